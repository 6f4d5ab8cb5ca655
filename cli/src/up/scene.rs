//! What `tyrctl up` puts behind the gateway: simulated nodes, or endpoints that are given.

use std::{collections::BTreeSet, time::Duration};

use tyrscale_model::{HttpUrl, Kind};
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};
use tyrscale_simnode::{SimNode, SimNodeConfig};

use super::chain_id;
use crate::{
    Failure,
    apply::upsert,
    resource::{Network, Recommendation, Resource, Route, Rpc, Upstream},
    transport::GrpcClient,
};

/// The host that clients ask for: every machine knows it.
pub(super) const HOST: &str = "localhost";
const DEMO_CHAIN_ID: u64 = 1337;
const BLOCK_TIME: Duration = Duration::from_secs(2);
/// The demo's nodes: name, share of traffic, latency. One is a little slower than the others.
const DEMO_NODES: [(&str, f64, Duration); 3] = [
    ("alpha", 50.0, Duration::ZERO),
    ("beta", 30.0, Duration::ZERO),
    ("gamma", 20.0, Duration::from_millis(2)),
];
const HEALTH_TIMEOUT_MS: u32 = 5_000;

/// A network, a route, and what stands behind it.
#[derive(Debug)]
pub(super) struct Scene {
    /// Starts the ids of its resources, so that a second start finds them again.
    id_prefix: &'static str,
    network: &'static str,
    chain_id: u64,
    path: &'static str,
    health_interval_ms: u32,
    endpoints: Vec<Endpoint>,
    /// Whether the weights of its route are computed.
    is_recommended: bool,
    /// They stop with the scene.
    _nodes: Vec<SimNode>,
}

#[derive(Debug)]
struct Endpoint {
    provider: String,
    url: HttpUrl,
    weight: f64,
}

impl Scene {
    /// Three simulated nodes on free ports.
    pub(super) async fn demo() -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Refused(format!("simulated node: {error}"));
        let mut nodes = Vec::new();
        let mut endpoints = Vec::new();
        for (name, weight, latency) in DEMO_NODES {
            let config = SimNodeConfig {
                chain_id: DEMO_CHAIN_ID,
                block_time: Some(BLOCK_TIME),
                ..SimNodeConfig::named(name)
            };
            let node = SimNode::start(config).await.map_err(|error| failed(&error))?;
            node.set_latency(latency);
            endpoints.push(Endpoint {
                provider: name.to_owned(),
                url: node.url().parse().map_err(|error| failed(&error))?,
                weight,
            });
            nodes.push(node);
        }
        Ok(Self {
            id_prefix: "00de3000",
            network: "demo",
            chain_id: DEMO_CHAIN_ID,
            path: "/eth",
            health_interval_ms: 1_000,
            endpoints,
            is_recommended: true,
            _nodes: nodes,
        })
    }

    /// Endpoints that are there already; they tell which chain they serve.
    pub(super) async fn around(urls: &[HttpUrl]) -> Result<Self, Failure> {
        let chain_id = chain_id::ask(urls).await?;
        let endpoints = urls.iter().enumerate().map(|(index, url)| Endpoint {
            provider: format!("upstream-{}", index + 1),
            url: url.clone(),
            weight: 100.0,
        });
        Ok(Self {
            id_prefix: "00de4000",
            network: "default",
            chain_id,
            path: "/",
            // Probes of rented endpoints cost money.
            health_interval_ms: 10_000,
            endpoints: endpoints.collect(),
            is_recommended: false,
            _nodes: Vec::new(),
        })
    }

    /// Where clients send requests.
    pub(super) const fn path(&self) -> &'static str {
        self.path
    }

    /// The id of the route.
    pub(super) fn route_id(&self) -> String {
        self.id(Kind::Route, 0)
    }

    /// The ids of the upstreams, with what is behind each.
    pub(super) fn upstreams(&self) -> impl Iterator<Item = (String, &str)> {
        let named = self.endpoints.iter().enumerate();
        named.map(|(index, endpoint)| (self.id(Kind::Upstream, index), endpoint.provider.as_str()))
    }

    /// What makes the scene out of what is there. Networks, routes and upstreams that an earlier start left
    /// stay as they are now; rpcs get the endpoints of this start; leftovers of an earlier, larger scene go.
    pub(super) async fn operations(&self, client: &GrpcClient) -> Result<Vec<Part>, Failure> {
        let networks = ids(client.list::<Network>("", None).await?);
        let routes = ids(client.list::<Route>("", None).await?);
        let rpcs = ids(client.list::<Rpc>("", None).await?);
        let upstreams = ids(client.list::<Upstream>("", None).await?);
        let recommendations = ids(client.list::<Recommendation>("", None).await?);
        let mut parts = Vec::new();
        if !networks.contains(self.network) {
            parts.push(upsert(Wire::Network(self.network_message())));
        }
        if !routes.contains(&self.route_id()) {
            parts.push(upsert(Wire::Route(self.route_message())));
        }
        if self.is_recommended && !recommendations.contains(&self.route_id()) {
            parts.push(upsert(Wire::Recommendation(self.recommendation_message())));
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            parts.push(upsert(Wire::Rpc(self.rpc_message(index, endpoint))));
            if !upstreams.contains(&self.id(Kind::Upstream, index)) {
                parts.push(upsert(Wire::Upstream(self.upstream_message(index, endpoint))));
            }
        }
        let wanted: BTreeSet<String> = (0..self.endpoints.len())
            .map(|index| self.id(Kind::Rpc, index))
            .collect();
        let own = self.id_start(Kind::Rpc);
        let leftovers = rpcs
            .iter()
            .filter(|id| id.starts_with(&own) && !wanted.contains(*id));
        parts.extend(leftovers.map(|id| deletion(v1::Kind::Rpc, id)));
        Ok(parts)
    }

    fn network_message(&self) -> v1::Network {
        v1::Network {
            name: self.network.to_owned(),
            blockchain: "ethereum".to_owned(),
            chain_id: self.chain_id,
            meta: None,
        }
    }

    fn route_message(&self) -> v1::Route {
        v1::Route {
            id: self.route_id(),
            host: HOST.to_owned(),
            path: self.path.to_owned(),
            load_balancer: v1::LoadBalancer::WeightRoundRobin.into(),
            circuit_breaker: Some(v1::CircuitBreaker {
                enabled: true,
                ..v1::CircuitBreaker::default()
            }),
            health_check: Some(v1::HealthCheck {
                enabled: true,
                r#type: v1::HealthCheckType::EthBlockNumber.into(),
                interval_ms: self.health_interval_ms,
                timeout_ms: HEALTH_TIMEOUT_MS,
                ..v1::HealthCheck::default()
            }),
            ..v1::Route::default()
        }
    }

    /// Quick, so that one can watch: what a node does counts for 20 seconds.
    fn recommendation_message(&self) -> v1::Recommendation {
        v1::Recommendation {
            route_id: self.route_id(),
            network: self.network.to_owned(),
            schedule: "@every 6s".to_owned(),
            strategy: v1::RecommendationStrategy::Balanced.into(),
            window_s: 20,
            guards: Some(v1::RecommendationGuards {
                min_samples: Some(5),
                min_dwell_s: Some(5),
                floor_weight: Some(2.0),
                // One of the nodes is slower on purpose, and few requests tell little.
                hysteresis: Some(5.0),
                ..v1::RecommendationGuards::default()
            }),
            parameters: Some(v1::RecommendationParameters {
                latency_exponent: Some(1.0),
                ..v1::RecommendationParameters::default()
            }),
            ..v1::Recommendation::default()
        }
    }

    fn rpc_message(&self, index: usize, endpoint: &Endpoint) -> v1::Rpc {
        v1::Rpc {
            id: self.id(Kind::Rpc, index),
            network: self.network.to_owned(),
            provider: endpoint.provider.clone(),
            visibility: v1::Visibility::Private.into(),
            url: endpoint.url.expose().to_owned(),
            collectors: vec![v1::Collector::EthBlockNumber.into()],
            ..v1::Rpc::default()
        }
    }

    fn upstream_message(&self, index: usize, endpoint: &Endpoint) -> v1::Upstream {
        v1::Upstream {
            id: self.id(Kind::Upstream, index),
            route_id: self.route_id(),
            target: Some(v1::upstream::Target::RpcId(self.id(Kind::Rpc, index))),
            weight: endpoint.weight,
            ..v1::Upstream::default()
        }
    }

    fn id(&self, kind: Kind, index: usize) -> String {
        format!("{}{:012x}", self.id_start(kind), index + 1)
    }

    fn id_start(&self, kind: Kind) -> String {
        format!("{}-{:04x}-4000-8000-", self.id_prefix, kind.number())
    }
}

fn ids<R: Resource>(resources: Vec<R>) -> BTreeSet<String> {
    let ids = resources.iter().filter_map(Resource::id);
    ids.map(str::to_owned).collect()
}

/// Takes the upstreams of an rpc with it.
fn deletion(kind: v1::Kind, id: &str) -> Part {
    Part::Deletion(v1::ApplyDeletion {
        resource: Some(v1::ResourceRef {
            kind: kind.into(),
            id: id.to_owned(),
        }),
        etag: String::new(),
        cascade: Some(true),
    })
}
