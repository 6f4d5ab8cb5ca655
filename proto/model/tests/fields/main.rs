//! The fields of routes, rpcs and upstreams: what is read, what is refused, and that nothing is lost on the wire.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod apply;
mod checks;
mod refused;
mod roundtrip;

use tyrscale_model::{
    Applied, ChangeSet, Lineage, Operation, Policy, Rejection, Resource, Snapshot, UnixMillis, apply, wire,
};
use tyrscale_proto::v1::{self, resource::Resource as Wire};

const ROUTE: &str = "00000000-0000-4000-8000-000000000020";
const UPSTREAM: &str = "00000000-0000-4000-8000-000000000030";

/// A route with what it must have.
fn route() -> v1::Route {
    v1::Route {
        id: ROUTE.to_owned(),
        host: "a.example".to_owned(),
        path: "/".to_owned(),
        load_balancer: v1::LoadBalancer::LeastLoad.into(),
        ..v1::Route::default()
    }
}

/// An upstream of that route with what it must have.
fn upstream() -> v1::Upstream {
    v1::Upstream {
        id: UPSTREAM.to_owned(),
        route_id: ROUTE.to_owned(),
        target: Some(v1::upstream::Target::Address(v1::Address {
            scheme: "https".to_owned(),
            host: "node.example".to_owned(),
            port: 443,
            path: "/".to_owned(),
        })),
        weight: 1.0,
        ..v1::Upstream::default()
    }
}

fn rpc() -> v1::Rpc {
    v1::Rpc {
        id: "00000000-0000-4000-8000-000000000010".to_owned(),
        network: "eth".to_owned(),
        provider: "own".to_owned(),
        visibility: v1::Visibility::Private.into(),
        url: "https://node.example/".to_owned(),
        collectors: vec![v1::Collector::EthBlockNumber.into()],
        ..v1::Rpc::default()
    }
}

fn recommendation() -> v1::Recommendation {
    v1::Recommendation {
        route_id: ROUTE.to_owned(),
        network: "eth".to_owned(),
        schedule: "@hourly".to_owned(),
        strategy: v1::RecommendationStrategy::Balanced.into(),
        mode: v1::RecommendationMode::Apply.into(),
        prior: v1::RecommendationPrior::Operator.into(),
        ..v1::Recommendation::default()
    }
}

fn network() -> v1::Network {
    v1::Network {
        name: "eth".to_owned(),
        blockchain: "ethereum".to_owned(),
        chain_id: 1,
        meta: None,
    }
}

fn read(message: Wire) -> Result<Resource, Rejection> {
    let message = v1::Resource {
        resource: Some(message),
    };
    wire::resource_from_wire(&message).map_err(Rejection::from)
}

/// Puts messages one after the other, as one change.
fn put(snapshot: &Snapshot, messages: Vec<Wire>) -> Result<Applied, Rejection> {
    let upsert = |message| Ok(Operation::put(read(message)?));
    let operations = messages
        .into_iter()
        .map(upsert)
        .collect::<Result<_, Rejection>>()?;
    let change_set = ChangeSet {
        operations,
        ..ChangeSet::default()
    };
    apply(snapshot, &change_set, &Policy::default(), UnixMillis(0))
}

fn empty() -> Snapshot {
    Snapshot::empty(Lineage([7; 16]))
}

/// The fields of the broken rules.
fn fields(rejection: Rejection) -> Vec<String> {
    let violations = rejection.violations.into_iter();
    violations.map(|violation| violation.field).collect()
}
