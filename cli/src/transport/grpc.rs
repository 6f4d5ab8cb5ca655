//! Resources over gRPC.

use http::Uri;
use serde::Serialize;
use tonic::{Code, Request, Status, metadata::MetadataValue};
use tyrscale_client::{ControlPlane, Credentials};
use tyrscale_model::wire;
use tyrscale_proto::v1;

use super::{Change, Deleted, Removal, Written};
use crate::{Connection, Failure, resource::Resource};

const PAGE_SIZE: u32 = 1000;
/// How often a list starts again because the configuration changed between two of its pages.
const MAX_LIST_ATTEMPTS: u32 = 10;

/// The control plane's gRPC services.
#[derive(Debug)]
pub(crate) struct GrpcClient {
    server: Uri,
    control_plane: ControlPlane,
}

/// Names a resource.
#[derive(Debug, Serialize)]
pub(crate) struct Reference {
    kind: &'static str,
    id: String,
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind, self.id)
    }
}

impl Reference {
    /// The resource of this kind and id.
    pub(crate) fn new(kind: tyrscale_model::Kind, id: impl Into<String>) -> Self {
        Self {
            kind: kind.as_str(),
            id: id.into(),
        }
    }

    /// From a message; one of a kind that is not known keeps its id.
    pub(crate) fn from_message(message: &v1::ResourceRef) -> Self {
        Self {
            kind: wire::key_from_wire(message).map_or("unknown", |key| key.kind.as_str()),
            id: message.id.clone(),
        }
    }
}

impl GrpcClient {
    /// The services at --server.
    pub(crate) async fn connect(connection: &Connection) -> Result<Self, Failure> {
        Self::connect_to(&connection.server, &connection.credentials()?).await
    }

    pub(crate) async fn connect_to(server: &Uri, credentials: &Credentials) -> Result<Self, Failure> {
        let connected = ControlPlane::connect(server, credentials).await;
        Ok(Self {
            control_plane: connected.map_err(|error| Failure::of_call(error, server))?,
            server: server.clone(),
        })
    }

    /// The services themselves.
    pub(crate) const fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Why a call failed.
    pub(crate) fn failure(&self, status: Status) -> Failure {
        Failure::of_call(status, &self.server)
    }

    pub(crate) async fn list<R: Resource>(
        &self,
        filter: &str,
        at_revision: Option<u64>,
    ) -> Result<Vec<R>, Failure> {
        let mut attempt = 1;
        loop {
            match self.list_pages::<R>(filter, at_revision).await {
                Err(status)
                    if status.code() == Code::OutOfRange
                        && at_revision.is_none()
                        && attempt < MAX_LIST_ATTEMPTS =>
                {
                    attempt += 1;
                }
                Err(status) => return Err(self.failure(status)),
                Ok(messages) => return Ok(messages.into_iter().map(R::from_message).collect()),
            }
        }
    }

    async fn list_pages<R: Resource>(
        &self,
        filter: &str,
        at_revision: Option<u64>,
    ) -> Result<Vec<R::Message>, Status> {
        let mut all = Vec::new();
        let mut token = String::new();
        loop {
            let (messages, next) =
                R::Message::list(&self.control_plane, filter, (token, at_revision)).await?;
            all.extend(messages);
            if next.is_empty() {
                return Ok(all);
            }
            token = next;
        }
    }

    pub(super) async fn get<R: Resource>(&self, id: &str, at_revision: Option<u64>) -> Result<R, Failure> {
        let message = R::Message::get(&self.control_plane, id, at_revision).await;
        message
            .map(R::from_message)
            .map_err(|status| self.failure(status))
    }

    pub(super) async fn create<R: Resource>(
        &self,
        resource: R,
        dry_run: bool,
    ) -> Result<Written<R>, Failure> {
        let created = R::Message::create(&self.control_plane, resource.into_message(), dry_run).await;
        self.written(created)
    }

    pub(super) async fn update<R: Resource>(&self, change: Change<R>) -> Result<Written<R>, Failure> {
        let mut paths = change.cleared;
        paths.extend(change.fields);
        let mask = prost_types::FieldMask { paths };
        let message = change.resource.into_message();
        let updated = R::Message::update(&self.control_plane, message, mask, change.dry_run).await;
        self.written(updated)
    }

    fn written<R: Resource>(
        &self,
        answer: Result<Answer<R::Message>, Status>,
    ) -> Result<Written<R>, Failure> {
        let (message, version) = answer.map_err(|status| self.failure(status))?;
        let message = message.ok_or_else(|| Failure::Refused(format!("the answer holds no {}", R::KIND)))?;
        Ok(Written {
            resource: R::from_message(message),
            revision: version.map(|version| version.revision),
        })
    }

    pub(super) async fn delete<R: Resource>(&self, removal: &Removal) -> Result<Deleted, Failure> {
        let deleted = R::Message::delete(&self.control_plane, removal).await;
        let (references, version) = deleted.map_err(|status| self.failure(status))?;
        Ok(Deleted {
            resources: references.iter().map(Reference::from_message).collect(),
            revision: version.map(|version| version.revision),
        })
    }
}

/// What a write answers: the resource and the version that holds it.
type Answer<M> = (Option<M>, Option<v1::Version>);

/// The five calls on one kind of resource.
pub(crate) trait Calls: Sized + Send + 'static {
    /// Reads one, as it was then when a revision is given.
    fn get(
        control_plane: &ControlPlane,
        id: &str,
        at_revision: Option<u64>,
    ) -> impl Future<Output = Result<Self, Status>> + Send;
    /// Reads a page of a list, by its token and maybe of a revision, with the token of the next.
    fn list(
        control_plane: &ControlPlane,
        filter: &str,
        page: (String, Option<u64>),
    ) -> impl Future<Output = Result<(Vec<Self>, String), Status>> + Send;
    /// Makes one.
    fn create(
        control_plane: &ControlPlane,
        message: Self,
        dry_run: bool,
    ) -> impl Future<Output = Result<Answer<Self>, Status>> + Send;
    /// Changes the fields of the mask.
    fn update(
        control_plane: &ControlPlane,
        message: Self,
        mask: prost_types::FieldMask,
        dry_run: bool,
    ) -> impl Future<Output = Result<Answer<Self>, Status>> + Send;
    /// Takes one away.
    fn delete(
        control_plane: &ControlPlane,
        removal: &Removal,
    ) -> impl Future<Output = Result<(Vec<v1::ResourceRef>, Option<v1::Version>), Status>> + Send;
}

/// The request, saying who asks.
pub(crate) fn signed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let author = MetadataValue::from_static("tyrctl");
    request.metadata_mut().insert("x-tyrscale-author", author);
    request
}

macro_rules! calls {
    (
        $message:ident { $id:ident, $one:ident, $many:ident }
        $get:ident($get_request:ident), $list:ident($list_request:ident), $create:ident($create_request:ident),
        $update:ident($update_request:ident), $delete:ident($delete_request:ident) $(, $cascade:ident, $deleted:ident)?
    ) => {
        impl Calls for v1::$message {
            async fn get(
                control_plane: &ControlPlane,
                id: &str,
                at_revision: Option<u64>,
            ) -> Result<Self, Status> {
                let $id = id.to_owned();
                let request = v1::$get_request { $id, at_revision };
                let answer = control_plane
                    .$many()
                    .$get(signed(request))
                    .await?
                    .into_inner();
                answer
                    .$one
                    .ok_or_else(|| Status::internal("the answer is empty"))
            }

            async fn list(
                control_plane: &ControlPlane,
                filter: &str,
                (page_token, at_revision): (String, Option<u64>),
            ) -> Result<(Vec<Self>, String), Status> {
                let request = v1::$list_request {
                    page_size: PAGE_SIZE,
                    page_token,
                    filter: filter.to_owned(),
                    at_revision,
                };
                let answer = control_plane
                    .$many()
                    .$list(signed(request))
                    .await?
                    .into_inner();
                Ok((answer.$many, answer.next_page_token))
            }

            async fn create(
                control_plane: &ControlPlane,
                message: Self,
                dry_run: bool,
            ) -> Result<Answer<Self>, Status> {
                let request = v1::$create_request {
                    $one: Some(message),
                    validate_only: dry_run,
                    request_id: String::new(),
                };
                let answer = control_plane
                    .$many()
                    .$create(signed(request))
                    .await?
                    .into_inner();
                Ok((answer.$one, answer.version))
            }

            async fn update(
                control_plane: &ControlPlane,
                message: Self,
                mask: prost_types::FieldMask,
                dry_run: bool,
            ) -> Result<Answer<Self>, Status> {
                let request = v1::$update_request {
                    $one: Some(message),
                    update_mask: Some(mask),
                    allow_missing: false,
                    validate_only: dry_run,
                    request_id: String::new(),
                };
                let answer = control_plane
                    .$many()
                    .$update(signed(request))
                    .await?
                    .into_inner();
                Ok((answer.$one, answer.version))
            }

            async fn delete(
                control_plane: &ControlPlane,
                removal: &Removal,
            ) -> Result<(Vec<v1::ResourceRef>, Option<v1::Version>), Status> {
                let request = v1::$delete_request {
                    $id: removal.id.clone(),
                    etag: removal.etag.clone().unwrap_or_default(),
                    $($cascade: Some(removal.cascade),)?
                    validate_only: removal.dry_run,
                    request_id: String::new(),
                };
                let answer = control_plane
                    .$many()
                    .$delete(signed(request))
                    .await?
                    .into_inner();
                let deleted = [Vec::new() $(, answer.$deleted)?].concat();
                Ok((deleted, answer.version))
            }
        }
    };
}

calls! {
    Network { name, network, networks }
    get_network(GetNetworkRequest), list_networks(ListNetworksRequest), create_network(CreateNetworkRequest),
    update_network(UpdateNetworkRequest), delete_network(DeleteNetworkRequest), cascade, deleted
}
calls! {
    Secret { name, secret, secrets }
    get_secret(GetSecretRequest), list_secrets(ListSecretsRequest), create_secret(CreateSecretRequest),
    update_secret(UpdateSecretRequest), delete_secret(DeleteSecretRequest)
}
calls! {
    Rpc { id, rpc, rpcs }
    get_rpc(GetRpcRequest), list_rpcs(ListRpcsRequest), create_rpc(CreateRpcRequest),
    update_rpc(UpdateRpcRequest), delete_rpc(DeleteRpcRequest), cascade, deleted
}
calls! {
    Route { id, route, routes }
    get_route(GetRouteRequest), list_routes(ListRoutesRequest), create_route(CreateRouteRequest),
    update_route(UpdateRouteRequest), delete_route(DeleteRouteRequest), cascade, deleted
}
calls! {
    Upstream { id, upstream, upstreams }
    get_upstream(GetUpstreamRequest), list_upstreams(ListUpstreamsRequest), create_upstream(CreateUpstreamRequest),
    update_upstream(UpdateUpstreamRequest), delete_upstream(DeleteUpstreamRequest), cascade, deleted
}
calls! {
    Recommendation { route_id, recommendation, recommendations }
    get_recommendation(GetRecommendationRequest), list_recommendations(ListRecommendationsRequest),
    create_recommendation(CreateRecommendationRequest), update_recommendation(UpdateRecommendationRequest),
    delete_recommendation(DeleteRecommendationRequest), cascade, deleted
}
