//! Telemetry as it is shown: counts since they are counted, or of the time between two looks.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;
use tyrscale_model::{LatencyHistogram, Traffic};
use tyrscale_proto::v1::{self, telemetry::Telemetry as Of};

use crate::output::Columns;

pub(crate) const NETWORK_COLUMNS: Columns = &[
    "network",
    "height",
    "rpcs",
    "healthy_rpcs",
    "upstreams",
    "requests",
    "per_second",
    "errors",
    "p50_ms",
    "p95_ms",
    "in_flight",
];
pub(crate) const RPC_COLUMNS: Columns = &[
    "rpc",
    "network",
    "provider",
    "height",
    "lag",
    "head_age_s",
    "peers",
    "healthy",
    "p50_ms",
    "p95_ms",
    "exporter",
];
pub(crate) const UPSTREAM_COLUMNS: Columns = &[
    "upstream",
    "network",
    "requests",
    "per_second",
    "errors",
    "p50_ms",
    "p95_ms",
    "in_flight",
    "healthy",
    "height",
];

/// What is shown.
#[derive(Debug, Default, Serialize)]
pub(crate) struct View {
    pub(crate) networks: Vec<NetworkView>,
    pub(crate) rpcs: Vec<RpcView>,
    pub(crate) upstreams: Vec<UpstreamView>,
}

/// Requests, and how they went.
#[derive(Debug, Default, Serialize)]
pub(crate) struct TrafficView {
    requests: u64,
    /// Only between two looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<f64>,
    /// The share of those settled that failed.
    errors: Option<f64>,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    failures: BTreeMap<Box<str>, u64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NetworkView {
    network: String,
    height: Option<u64>,
    rpcs: u32,
    healthy_rpcs: u32,
    upstreams: u32,
    #[serde(flatten)]
    traffic: TrafficView,
    in_flight: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct RpcView {
    rpc: String,
    network: String,
    provider: String,
    height: Option<u64>,
    lag: Option<u64>,
    /// Since the height last rose.
    head_age_s: Option<f64>,
    finalized: Option<u64>,
    safe: Option<u64>,
    peers: Option<u64>,
    syncing: Option<bool>,
    chain_matches: Option<bool>,
    gas_price_wei: Option<u64>,
    oldest_state: Option<u64>,
    /// Whether the last call of each collector was answered.
    healthy: bool,
    backing_off: bool,
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    /// Failed calls by reason.
    failures: BTreeMap<String, u64>,
    exporter: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct UpstreamView {
    upstream: String,
    route: String,
    rpc: String,
    network: String,
    #[serde(flatten)]
    traffic: TrafficView,
    in_flight: u32,
    /// Gateways that find it healthy, of those that use it.
    healthy: String,
    /// Gateways whose circuit breaker is not closed.
    breakers: u32,
    height: Option<u64>,
}

/// The counts of an earlier look, by kind and id, and how long ago that was.
#[derive(Debug)]
pub(crate) struct Before {
    pub(crate) counts: BTreeMap<String, Traffic>,
    pub(crate) ago: Duration,
}

impl View {
    /// What there is; with an earlier look, what came since.
    pub(crate) fn of(telemetry: Vec<v1::Telemetry>, before: Option<&Before>) -> Self {
        let mut view = Self::default();
        for one in telemetry.into_iter().filter_map(|one| one.telemetry) {
            let traffic = shown(&one, before);
            match one {
                Of::Network(of) => view.networks.push(network(of, traffic)),
                Of::Rpc(of) => view.rpcs.push(rpc(of)),
                Of::Upstream(of) => view.upstreams.push(upstream(of, traffic)),
            }
        }
        view
    }
}

/// What was counted of each that has traffic, for the next look.
pub(crate) fn counts(telemetry: &[v1::Telemetry]) -> BTreeMap<String, Traffic> {
    let known = telemetry.iter().filter_map(|one| one.telemetry.as_ref());
    known.filter_map(counted).collect()
}

fn counted(of: &Of) -> Option<(String, Traffic)> {
    let (id, requests, answered, failures, latency) = match of {
        Of::Network(of) => (&of.network, of.requests, of.answered, &of.failures, &of.latency),
        Of::Upstream(of) => (
            &of.upstream_id,
            of.requests,
            of.answered,
            &of.failures,
            &of.latency,
        ),
        Of::Rpc(_) => return None,
    };
    let failures = failures
        .iter()
        .map(|(class, count)| (class.as_str().into(), *count));
    let traffic = Traffic {
        requests,
        answered,
        failures: failures.collect(),
        latency: histogram(latency.as_ref()),
    };
    Some((id.clone(), traffic))
}

fn histogram(message: Option<&v1::LatencyHistogram>) -> LatencyHistogram {
    message.and_then(LatencyHistogram::from_wire).unwrap_or_default()
}

fn shown(of: &Of, before: Option<&Before>) -> TrafficView {
    let Some((id, now)) = counted(of) else {
        return TrafficView::default();
    };
    let Some(before) = before else {
        return traffic(now, None);
    };
    let since = before.counts.get(&id).and_then(|counted| now.since(counted));
    traffic(since.unwrap_or(now), Some(before.ago))
}

fn traffic(traffic: Traffic, over: Option<Duration>) -> TrafficView {
    #[expect(clippy::cast_precision_loss, reason = "shown to a tenth")]
    let requests = traffic.requests as f64;
    TrafficView {
        requests: traffic.requests,
        per_second: over.map(|over| rounded(requests / over.as_secs_f64().max(0.001), 10.0)),
        errors: traffic.error_ratio().map(|ratio| rounded(ratio, 10_000.0)),
        p50_ms: quantile(&traffic.latency, 0.5),
        p95_ms: quantile(&traffic.latency, 0.95),
        failures: traffic.failures,
    }
}

fn quantile(latency: &LatencyHistogram, share: f64) -> Option<f64> {
    let quantile = latency.quantile(share)?;
    Some(rounded(quantile.as_secs_f64() * 1e3, 10.0))
}

fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

fn network(of: v1::NetworkTelemetry, traffic: TrafficView) -> NetworkView {
    NetworkView {
        network: of.network,
        height: of.block_height,
        rpcs: of.rpcs,
        healthy_rpcs: of.healthy_rpcs,
        upstreams: of.upstreams,
        traffic,
        in_flight: of.in_flight,
    }
}

fn rpc(of: v1::RpcTelemetry) -> RpcView {
    let sample = of.sample.unwrap_or_default();
    let latency = histogram(sample.latency.as_ref());
    let mut failures = BTreeMap::new();
    for (reason, count) in sample.collectors.iter().flat_map(|collector| &collector.failures) {
        *failures.entry(reason.clone()).or_default() += count;
    }
    let head_age = sample.head_age.and_then(|age| Duration::try_from(age).ok());
    RpcView {
        healthy: sample.collectors.iter().all(|collector| collector.healthy),
        rpc: sample.rpc_id,
        network: of.network,
        provider: of.provider,
        height: sample.block_height,
        lag: of.lag,
        head_age_s: head_age.map(|age| rounded(age.as_secs_f64(), 10.0)),
        finalized: sample.finalized_height,
        safe: sample.safe_height,
        peers: sample.peers,
        syncing: sample.syncing,
        chain_matches: sample.chain_matches,
        gas_price_wei: sample.gas_price_wei,
        oldest_state: sample.oldest_state,
        backing_off: sample.backing_off,
        p50_ms: quantile(&latency, 0.5),
        p95_ms: quantile(&latency, 0.95),
        failures,
        exporter: of.node_id,
    }
}

fn upstream(of: v1::UpstreamTelemetry, traffic: TrafficView) -> UpstreamView {
    UpstreamView {
        upstream: of.upstream_id,
        route: of.route_id,
        rpc: of.rpc_id,
        network: of.network,
        traffic,
        in_flight: of.in_flight,
        healthy: format!("{}/{}", of.healthy_nodes, of.nodes),
        breakers: of.breaker_nodes,
        height: of.block_height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry(requests: u64, answered: u64) -> Vec<v1::Telemetry> {
        let upstream = v1::UpstreamTelemetry {
            upstream_id: "u".to_owned(),
            requests,
            answered,
            failures: BTreeMap::from([("timeout".to_owned(), requests - answered)]),
            ..v1::UpstreamTelemetry::default()
        };
        vec![v1::Telemetry {
            telemetry: Some(Of::Upstream(upstream)),
        }]
    }

    #[test]
    fn between_two_looks_only_what_came_is_shown() {
        let before = Before {
            counts: counts(&telemetry(100, 100)),
            ago: Duration::from_secs(2),
        };
        let view = View::of(telemetry(120, 115), Some(&before));
        let shown = &view.upstreams[0].traffic;
        assert_eq!((shown.requests, shown.per_second), (20, Some(10.0)));
        assert_eq!(shown.errors, Some(0.25));
        let whole = View::of(telemetry(120, 115), None);
        assert_eq!(
            (
                whole.upstreams[0].traffic.requests,
                whole.upstreams[0].traffic.per_second
            ),
            (120, None)
        );
    }

    #[test]
    fn counts_that_began_anew_are_shown_whole() {
        let before = Before {
            counts: counts(&telemetry(100, 100)),
            ago: Duration::from_secs(1),
        };
        assert_eq!(
            View::of(telemetry(7, 7), Some(&before)).upstreams[0]
                .traffic
                .requests,
            7
        );
    }
}
