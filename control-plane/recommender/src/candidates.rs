//! Who may get a weight: what the configuration says of a route's upstreams.

use std::collections::BTreeMap;

use tyrscale_model::{
    CallPrices, Kind, Recommendation, Resource, RouteId, RpcId, Snapshot, Target, Upstream, UpstreamId,
};
use tyrscale_scoring::{Candidate, History};

use crate::source::Subject;

/// An upstream that may get a weight.
#[derive(Debug, Clone)]
pub(crate) struct Eligible {
    pub(crate) subject: Subject,
    pub(crate) tier: u32,
    pub(crate) operator_weight: f64,
    pub(crate) prices: Option<CallPrices>,
}

impl Eligible {
    pub(crate) fn with_history(&self, history: History) -> Candidate {
        Candidate {
            id: self.subject.upstream,
            tier: self.tier,
            operator_weight: self.operator_weight,
            prices: self.prices,
            history,
        }
    }
}

/// Every recommendation of a configuration.
pub(crate) fn recommendations(snapshot: &Snapshot) -> BTreeMap<RouteId, Recommendation> {
    let all = snapshot.of_kind(Kind::Recommendation);
    let read = all.filter_map(|(_, entry)| match &entry.resource {
        Resource::Recommendation(recommendation) => Some((recommendation.route_id, recommendation.clone())),
        _ => None,
    });
    read.collect()
}

/// The upstreams of a route that are neither drained nor cordoned, in the order of their ids.
pub(crate) fn eligible(snapshot: &Snapshot, route: RouteId) -> Vec<Eligible> {
    let upstreams = snapshot.of_kind(Kind::Upstream);
    let mut found: Vec<Eligible> = upstreams
        .filter_map(|(_, entry)| match &entry.resource {
            Resource::Upstream(upstream) if upstream.route_id == route => Some(upstream),
            _ => None,
        })
        .filter(|upstream| !upstream.cordoned && upstream.weight.get() > 0.0)
        .map(|upstream| of(snapshot, upstream))
        .collect();
    found.sort_unstable_by_key(|eligible| eligible.subject.upstream);
    found
}

fn of(snapshot: &Snapshot, upstream: &Upstream) -> Eligible {
    let rpc = match &upstream.target {
        Target::Rpc(rpc) => Some(*rpc),
        Target::Address(_) => None,
    };
    Eligible {
        subject: Subject {
            upstream: upstream.id,
            rpc,
        },
        tier: u32::from(upstream.tier.get()),
        operator_weight: upstream.weight.get(),
        prices: rpc.and_then(|rpc| prices(snapshot, rpc)),
    }
}

fn prices(snapshot: &Snapshot, rpc: RpcId) -> Option<CallPrices> {
    match &snapshot.get(&rpc.key())?.resource {
        Resource::Rpc(rpc) => rpc.prices,
        _ => None,
    }
}

/// The current weights as points of 100 within each tier, by upstream.
pub(crate) fn points(eligible: &[Eligible], weights: &BTreeMap<UpstreamId, f64>) -> Vec<f64> {
    let weight = |one: &Eligible| {
        let current = weights.get(&one.subject.upstream).copied();
        current.unwrap_or(one.operator_weight).max(0.0)
    };
    let total = |tier: u32| -> f64 { eligible.iter().filter(|one| one.tier == tier).map(weight).sum() };
    let points = |one: &Eligible| {
        let total = total(one.tier);
        if total > 0.0 {
            weight(one) / total * 100.0
        } else {
            0.0
        }
    };
    eligible.iter().map(points).collect()
}
