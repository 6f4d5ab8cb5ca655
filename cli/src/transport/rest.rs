//! Resources over the REST interface of the original program, which knows less: no read by id, no etags, no
//! dry run, and fewer fields. What it cannot do is refused by the flag's name before anything is sent.

use http::{Method, Request, Uri, header};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tyrscale_client::ApiToken;
use tyrscale_model::{Filter, Kind, wire};
use tyrscale_proto::v1;

use super::{
    Change, Deleted, Reference, Removal, Written,
    rest_fields::{from_rest, to_rest},
};
use crate::{
    Connection, Failure,
    http_client::{HttpClient, HttpError},
    resource::{self, Resource, Route, Upstream},
};

/// The REST interface.
#[derive(Debug)]
pub(crate) struct RestClient {
    server: Uri,
    http: HttpClient,
    token: Option<ApiToken>,
}

/// What every answer is wrapped in.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    context: Value,
}

impl RestClient {
    /// The interface at --rest-server.
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let server = &connection.rest_server;
        let is_http = matches!(server.scheme_str(), Some("http" | "https"));
        if !is_http || !matches!(server.path(), "" | "/") {
            return Err(Failure::Usage(format!(
                "--rest-server {server}: must be http://host:port or https://host:port"
            )));
        }
        let credentials = connection.credentials()?;
        let http = match server.scheme_str() {
            Some("https") => HttpClient::with_tls(&credentials.tls)?,
            _ => HttpClient::new().map_err(|error| Failure::Refused(error.to_string()))?,
        };
        Ok(Self {
            server: server.clone(),
            http,
            token: credentials.token,
        })
    }

    pub(super) async fn list<R: Resource>(&self, filter: &str) -> Result<Vec<R>, Failure> {
        let filter =
            Filter::parse(R::KIND, filter).map_err(|violation| Failure::Rejected(violation.into()))?;
        let mut found = self.list_all::<R>().await?;
        found.retain(|resource| passes(&filter, resource));
        Ok(found)
    }

    async fn list_all<R: Resource>(&self) -> Result<Vec<R>, Failure> {
        if R::KIND != Kind::Upstream {
            return self.items(collection(R::KIND)).await;
        }
        let mut found = Vec::new();
        for route in self.items::<Route>(collection(Kind::Route)).await? {
            let id = route.id().unwrap_or_default();
            let upstreams: Vec<Upstream> = self.items(&upstreams_of(id)).await?;
            for upstream in upstreams {
                let fields = resource::given(&upstream.of_route(id).with_one_target())?;
                found.push(resource::from_fields(fields)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn get<R: Resource>(&self, id: &str) -> Result<R, Failure> {
        let all = self.list_all::<R>().await?;
        all.into_iter()
            .find(|resource| resource.id() == Some(id))
            .ok_or_else(|| Failure::Refused(format!("{} {id} does not exist", R::KIND)))
    }

    pub(super) async fn create<R: Resource>(
        &self,
        resource: R,
        dry_run: bool,
    ) -> Result<Written<R>, Failure> {
        refuse(&[("--dry-run", dry_run)])?;
        let data = match R::KIND {
            Kind::Upstream => {
                let upstream: Upstream = resource::from_fields(resource::given(&resource)?)?;
                refuse(&[("--id", upstream.id().is_some())])?;
                let route = upstream.route_id().unwrap_or_default();
                if route.is_empty() {
                    return Err(Failure::Usage(
                        "--route-id is needed to create an upstream".to_owned(),
                    ));
                }
                let body = to_rest(&upstream, &["route_id"])?;
                self.send(Method::PUT, &upstreams_of(route), Some(body)).await?
            }
            kind => {
                refuse(&[("--id", kind == Kind::Route && resource.id().is_some())])?;
                let body = to_rest(&resource, &[])?;
                self.send(Method::POST, collection(kind), Some(body)).await?
            }
        };
        let made = ["uuid", "route_uuid"]
            .iter()
            .find_map(|name| data.get(name)?.as_str());
        let id = made.or_else(|| resource.id()).unwrap_or_default();
        self.written(id).await
    }

    pub(super) async fn update<R: Resource>(&self, change: Change<R>) -> Result<Written<R>, Failure> {
        let mut resource = change.resource;
        refuse(&[
            ("--dry-run", change.dry_run),
            ("--clear", !change.cleared.is_empty()),
            (
                "--etag (meta.etag)",
                resource
                    .meta_mut()
                    .as_ref()
                    .is_some_and(|meta| !meta.etag.is_empty()),
            ),
        ])?;
        let id = resource.id().unwrap_or_default().to_owned();
        match R::KIND {
            Kind::Rpc => {
                refuse(&[("--network", change.fields.iter().any(|field| field == "network"))])?;
                let body = to_rest(&resource, &[])?;
                self.send(Method::PUT, collection(Kind::Rpc), Some(body)).await?
            }
            Kind::Route => {
                let body = to_rest(&resource, &["id"])?;
                let path = format!("{}/{}", collection(Kind::Route), segment(&id));
                self.send(Method::PATCH, &path, Some(body)).await?
            }
            Kind::Recommendation => {
                let whole = resource::overlaid(&self.get::<R>(&id).await?, &resource)?;
                let body = to_rest(&whole, &[])?;
                self.send(Method::PUT, collection(Kind::Recommendation), Some(body))
                    .await?
            }
            Kind::Upstream => {
                let change: Upstream = resource::from_fields(resource::given(&resource)?)?;
                self.update_upstream(&id, &change).await?
            }
            kind @ (Kind::Network | Kind::Secret | Kind::Plugin) => {
                return Err(Failure::Usage(format!(
                    "REST cannot change a {kind}: use --transport grpc"
                )));
            }
        };
        self.written(&id).await
    }

    /// An upstream is replaced as a whole: what is not given stays as it is.
    async fn update_upstream(&self, id: &str, change: &Upstream) -> Result<Value, Failure> {
        let stored: Upstream = self.get(id).await?;
        let route = stored.route_id().unwrap_or_default().to_owned();
        refuse(&[("--route-id", change.route_id().is_some_and(|id| id != route))])?;
        let whole = resource::overlaid(&stored, change)?;
        let whole = match (stored.names_rpc(), change.names_rpc()) {
            (true, false)
                if resource::mask(change)?
                    .iter()
                    .any(|path| path.starts_with("address.")) =>
            {
                whole.without_rpc()
            }
            _ => whole.with_one_target(),
        };
        let body = to_rest(&whole, &["route_id"])?;
        self.send(Method::PUT, &upstreams_of(&route), Some(body)).await
    }

    async fn written<R: Resource>(&self, id: &str) -> Result<Written<R>, Failure> {
        Ok(Written {
            resource: self.get(id).await?,
            revision: None,
        })
    }

    pub(super) async fn delete<R: Resource>(&self, removal: &Removal) -> Result<Deleted, Failure> {
        refuse(&[
            ("--dry-run", removal.dry_run),
            ("--etag", removal.etag.is_some()),
            ("--no-cascade", !removal.cascade && R::KIND != Kind::Rpc),
        ])?;
        let id = segment(&removal.id);
        let path = match R::KIND {
            Kind::Upstream => {
                let stored: Upstream = self.get(&removal.id).await?;
                format!("{}/{id}", upstreams_of(stored.route_id().unwrap_or_default()))
            }
            kind => format!("{}/{id}", collection(kind)),
        };
        let keep = json!({"cascade_delete_upstream": false});
        let body = keep.as_object().filter(|_| !removal.cascade).cloned();
        self.send(Method::DELETE, &path, body).await?;
        Ok(Deleted {
            resources: vec![Reference::new(R::KIND, &removal.id)],
            revision: None,
        })
    }

    async fn items<R: Resource>(&self, path: &str) -> Result<Vec<R>, Failure> {
        let data = self.send(Method::GET, path, None).await?;
        let items = data.get("items").and_then(Value::as_array);
        items.into_iter().flatten().map(from_rest).collect()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Map<String, Value>>,
    ) -> Result<Value, Failure> {
        let base = self.server.to_string();
        let uri = format!("{}/api/v1{path}", base.trim_end_matches('/'));
        let body = body
            .map(|body| Value::Object(body).to_string())
            .unwrap_or_default();
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token.header());
        }
        let request = request.body(body);
        let request = request.map_err(|_| Failure::Usage(format!("{path} is no path")))?;
        let answer = self.http.send(request).await.map_err(|error| match error {
            HttpError::Unreachable => Failure::Unreachable(self.server.clone(), "--rest-server"),
            error => Failure::Refused(format!("{}: {error}", self.server)),
        })?;
        let envelope: Envelope = parse(&answer.body)?;
        if answer.status.is_success() {
            return Ok(envelope.data);
        }
        let context = match envelope.context {
            Value::Null => String::new(),
            context => format!(" {context}"),
        };
        Err(Failure::Refused(format!(
            "refused with status {}: {}{context}",
            answer.status.as_u16(),
            envelope.message
        )))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body)
        .map_err(|_| Failure::Refused("the answer is not that of a control plane".to_owned()))
}

/// Refuses flags that are given and that REST has no place for.
fn refuse(flags: &[(&str, bool)]) -> Result<(), Failure> {
    match flags.iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(Failure::Usage(format!(
            "{flag} cannot be said over REST: leave it out or use --transport grpc"
        ))),
        None => Ok(()),
    }
}

const fn collection(kind: Kind) -> &'static str {
    match kind {
        Kind::Network => "/networks",
        Kind::Secret => "/secrets",
        Kind::Rpc => "/rpcs",
        Kind::Route => "/routes",
        Kind::Upstream => "/upstreams",
        Kind::Recommendation => "/recommendations",
        Kind::Plugin => "/plugins",
    }
}

fn upstreams_of(route: &str) -> String {
    format!("/routes/{}/upstreams", segment(route))
}

/// A text as one segment of a path.
fn segment(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

fn passes<R: Resource>(filter: &Filter, resource: &R) -> bool {
    let message = v1::Resource {
        resource: Some(R::wrap(resource.clone().into_message())),
    };
    wire::resource_from_wire(&message).is_ok_and(|resource| filter.matches(&resource))
}
