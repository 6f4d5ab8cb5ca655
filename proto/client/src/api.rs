//! The control plane's services over one connection.

use std::time::Duration;

use http::Uri;
use tonic::{service::interceptor::InterceptedService, transport::Channel};
use tyrscale_model::{
    Expectation, Operation,
    wire::{self, Exposure},
};
use tyrscale_proto::v1::{
    self, ApplyRequest, ApplyResponse, access_service_client::AccessServiceClient, apply_request::Part,
    configuration_service_client::ConfigurationServiceClient,
    coordination_service_client::CoordinationServiceClient, discovery_service_client::DiscoveryServiceClient,
    network_service_client::NetworkServiceClient, plugin_service_client::PluginServiceClient,
    recommendation_run_service_client::RecommendationRunServiceClient,
    recommendation_service_client::RecommendationServiceClient, route_service_client::RouteServiceClient,
    rpc_service_client::RpcServiceClient, secret_service_client::SecretServiceClient,
    status_service_client::StatusServiceClient, telemetry_service_client::TelemetryServiceClient,
    upstream_service_client::UpstreamServiceClient,
};

use crate::{Bearer, ClientError, Credentials, endpoint::Server};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the head of an answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest answer taken, in bytes: what an `Apply` of 200,000 operations or a large fleet's status needs, and more.
const MAX_ANSWER: usize = 256 * 1024 * 1024;

/// What the clients of services call through.
pub type Connection = InterceptedService<Channel, Bearer>;

/// A connection to the control plane, shared by its clones; it is made again when it is lost.
#[derive(Debug, Clone)]
pub struct ControlPlane {
    connection: Connection,
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $client:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> $client<Connection> {
                $client::new(self.connection.clone()).max_decoding_message_size(MAX_ANSWER)
            }
        )*
    };
}

impl ControlPlane {
    /// Connects to `http://host:port`, or `https://host:port` with the TLS of `credentials`, within five seconds; calls
    /// end after 30 seconds without an answer.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`] or [`ClientError::Connect`].
    pub async fn connect(uri: &Uri, credentials: &Credentials) -> Result<Self, ClientError> {
        let server = Server::new(uri, CONNECT_TIMEOUT, &credentials.tls)?.timeout(CALL_TIMEOUT);
        let channel = server.connect().await.map_err(ClientError::Connect)?;
        let bearer = Bearer::new(credentials.token.as_ref());
        Ok(Self {
            connection: InterceptedService::new(channel, bearer),
        })
    }

    services! {
        /// Networks.
        networks: NetworkServiceClient;
        /// Values that are written and never read.
        secrets: SecretServiceClient;
        /// Rpcs.
        rpcs: RpcServiceClient;
        /// Routes.
        routes: RouteServiceClient;
        /// Upstreams.
        upstreams: UpstreamServiceClient;
        /// Plugins attached to routes.
        plugins: PluginServiceClient;
        /// Recommendations.
        recommendations: RecommendationServiceClient;
        /// Records of the runs of recommendations.
        recommendation_runs: RecommendationRunServiceClient;
        /// The configuration as a whole.
        configuration: ConfigurationServiceClient;
        /// Who follows the configuration.
        status: StatusServiceClient;
        /// The configuration as a stream; [`crate::subscription`] follows it.
        discovery: DiscoveryServiceClient;
        /// Who may call what, and what was done.
        access: AccessServiceClient;
        /// What nodes see of upstreams and rpcs.
        telemetry: TelemetryServiceClient;
        /// Who shares work and who leads.
        coordination: CoordinationServiceClient;
    }

    /// Applies the operations in order as one change, all or nothing.
    ///
    /// # Errors
    /// [`ClientError::Rejected`] with the broken rules; [`ClientError::Call`] when the call failed.
    pub async fn apply(
        &self,
        header: v1::ApplyHeader,
        operations: &[Operation],
    ) -> Result<ApplyResponse, ClientError> {
        let requests = tokio_stream::iter(apply_requests(header, operations));
        Ok(self.configuration().apply(requests).await?.into_inner())
    }
}

fn apply_requests(header: v1::ApplyHeader, operations: &[Operation]) -> Vec<ApplyRequest> {
    let commit = v1::ApplyCommit {
        count: u32::try_from(operations.len()).unwrap_or(u32::MAX),
    };
    std::iter::once(Part::Header(header))
        .chain(operations.iter().map(part_of))
        .chain(std::iter::once(Part::Commit(commit)))
        .map(|part| ApplyRequest { part: Some(part) })
        .collect()
}

fn part_of(operation: &Operation) -> Part {
    match operation {
        Operation::Upsert {
            resource,
            expectation,
            etag,
        } => {
            let mut resource = wire::resource_to_wire(resource, Exposure::Full);
            if let Some(etag) = etag {
                set_etag(&mut resource, &etag.0);
            }
            let expectation = match expectation {
                Expectation::Any => v1::Expectation::Unspecified,
                Expectation::Absent => v1::Expectation::Absent,
                Expectation::Present => v1::Expectation::Present,
            };
            Part::Upsert(v1::ApplyUpsert {
                resource: Some(resource),
                expectation: expectation.into(),
            })
        }
        Operation::Delete { key, etag, cascade } => Part::Deletion(v1::ApplyDeletion {
            resource: Some(wire::key_to_wire(key)),
            etag: etag.as_ref().map(|etag| etag.0.clone()).unwrap_or_default(),
            cascade: Some(*cascade),
        }),
    }
}

fn set_etag(resource: &mut v1::Resource, etag: &str) {
    use v1::resource::Resource as Wire;
    let meta = match &mut resource.resource {
        Some(Wire::Network(network)) => &mut network.meta,
        Some(Wire::Secret(secret)) => &mut secret.meta,
        Some(Wire::Rpc(rpc)) => &mut rpc.meta,
        Some(Wire::Plugin(plugin)) => &mut plugin.meta,
        Some(Wire::Upstream(upstream)) => &mut upstream.meta,
        Some(Wire::Route(route)) => &mut route.meta,
        Some(Wire::Recommendation(recommendation)) => &mut recommendation.meta,
        None => return,
    };
    meta.get_or_insert_default().etag = etag.to_owned();
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Etag, Kind, Network, Resource, ResourceKey};

    use super::*;

    #[test]
    fn a_change_is_header_operations_in_order_and_a_counted_commit() {
        let network = Network {
            name: "ethereum".parse().unwrap(),
            blockchain: "ethereum".parse().unwrap(),
            chain_id: 1.try_into().unwrap(),
        };
        let operations = [
            Operation::Upsert {
                resource: Resource::Network(network),
                expectation: Expectation::Present,
                etag: Some(Etag("00ff".to_owned())),
            },
            Operation::Delete {
                key: ResourceKey::new(Kind::Network, "polygon"),
                etag: None,
                cascade: false,
            },
        ];
        let header = v1::ApplyHeader {
            dry_run: true,
            ..v1::ApplyHeader::default()
        };
        let parts: Vec<_> = apply_requests(header.clone(), &operations)
            .into_iter()
            .map(|request| request.part.unwrap())
            .collect();
        assert_eq!(parts.len(), 4);
        assert_eq!(parts[0], Part::Header(header));
        let Part::Upsert(upsert) = &parts[1] else {
            panic!("{:?}", parts[1])
        };
        assert_eq!(upsert.expectation(), v1::Expectation::Present);
        let Some(v1::resource::Resource::Network(network)) = &upsert.resource.as_ref().unwrap().resource
        else {
            panic!("{upsert:?}")
        };
        assert_eq!(network.meta.as_ref().unwrap().etag, "00ff");
        let Part::Deletion(deletion) = &parts[2] else {
            panic!("{:?}", parts[2])
        };
        assert_eq!(deletion.cascade, Some(false));
        assert_eq!(parts[3], Part::Commit(v1::ApplyCommit { count: 2 }));
    }
}
