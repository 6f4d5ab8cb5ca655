//! The configuration that is pushed: routes and upstreams, as messages.

use serde::Serialize;
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};

const NETWORK: &str = "bench";
const RPC: &str = "00000000-0000-4000-8003-000000000001";

/// How much of it there is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Shape {
    pub(crate) routes: u32,
    pub(crate) upstreams: u32,
}

impl Shape {
    /// All resources.
    pub(crate) fn resources(self) -> Vec<Wire> {
        let network = Wire::Network(v1::Network {
            name: NETWORK.to_owned(),
            blockchain: "ethereum".to_owned(),
            chain_id: 1,
            ..Default::default()
        });
        let rpc = Wire::Rpc(v1::Rpc {
            id: RPC.to_owned(),
            network: NETWORK.to_owned(),
            provider: "bench".to_owned(),
            visibility: v1::Visibility::Private.into(),
            url: "http://127.0.0.1:1/".to_owned(),
            collectors: vec![v1::Collector::EthBlockNumber.into()],
            ..Default::default()
        });
        let routes = (0..self.routes).flat_map(|route| self.route(route, 1_000));
        [network, rpc].into_iter().chain(routes).collect()
    }

    /// A route with its upstreams.
    pub(crate) fn route(self, number: u32, interval_ms: u32) -> Vec<Wire> {
        let route = Wire::Route(v1::Route {
            id: route_id(number),
            host: format!("r{number}.example"),
            path: "/".to_owned(),
            load_balancer: v1::LoadBalancer::WeightRoundRobin.into(),
            health_check: Some(v1::HealthCheck {
                enabled: true,
                r#type: v1::HealthCheckType::EthBlockNumber.into(),
                interval_ms,
                timeout_ms: 500,
                ..Default::default()
            }),
            ..Default::default()
        });
        let weight = if interval_ms.is_multiple_of(2) { 10.0 } else { 20.0 };
        let upstreams =
            (0..self.upstreams).map(|upstream| Wire::Upstream(self::upstream(number, upstream, weight)));
        std::iter::once(route).chain(upstreams).collect()
    }
}

/// An upstream of a route.
pub(crate) fn upstream(route: u32, number: u32, weight: f64) -> v1::Upstream {
    v1::Upstream {
        id: upstream_id(route, number),
        route_id: route_id(route),
        target: Some(v1::upstream::Target::RpcId(RPC.to_owned())),
        weight,
        ..Default::default()
    }
}

pub(crate) fn upstream_id(route: u32, number: u32) -> String {
    format!("{route:08x}-0000-4000-8002-{number:012x}")
}

pub(crate) fn route_id(number: u32) -> String {
    format!("{number:08x}-0000-4000-8001-000000000000")
}

/// Resources as the requests of one `Apply`.
pub(crate) fn apply(resources: Vec<Wire>, dry_run: bool) -> Vec<v1::ApplyRequest> {
    change(resources.into_iter().map(upsert).collect(), dry_run)
}

/// Steps as the requests of one `Apply`.
pub(crate) fn change(steps: Vec<Part>, dry_run: bool) -> Vec<v1::ApplyRequest> {
    let count = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    let header = v1::ApplyHeader {
        dry_run,
        ..Default::default()
    };
    let commit = v1::ApplyCommit { count };
    std::iter::once(Part::Header(header))
        .chain(steps)
        .chain(std::iter::once(Part::Commit(commit)))
        .map(|part| v1::ApplyRequest { part: Some(part) })
        .collect()
}

/// Makes a resource, or makes it anew.
pub(crate) fn upsert(resource: Wire) -> Part {
    let resource = v1::Resource {
        resource: Some(resource),
    };
    Part::Upsert(v1::ApplyUpsert {
        resource: Some(resource),
        ..Default::default()
    })
}

/// Takes a resource away, with all that belongs to it.
pub(crate) fn deletion(kind: v1::Kind, id: String) -> Part {
    Part::Deletion(v1::ApplyDeletion {
        resource: Some(v1::ResourceRef {
            kind: kind.into(),
            id,
        }),
        ..Default::default()
    })
}
