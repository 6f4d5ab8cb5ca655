//! What the gateway reports to the control plane of its upstreams: its counters as they are.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tyrscale_balance::BreakerState;
use tyrscale_client::reporting::{BreakerLevel, Report, UpstreamSample};
use tyrscale_model::{LatencyHistogram, Traffic};

use crate::endpoint::{Endpoint, Outcomes};
use crate::gateway::Gateway;
use crate::route::Route;

/// A report of the `room` upstreams with the most traffic.
pub(crate) fn report(gateway: &Gateway, room: usize) -> Report {
    let running = gateway.running();
    let mut endpoints: Vec<(&Arc<Route>, &Arc<Endpoint>)> = Vec::new();
    for route in running.table.routes() {
        endpoints.extend(route.endpoints().iter().map(|endpoint| (route, endpoint)));
    }
    let attempts = |(_, endpoint): &(&Arc<Route>, &Arc<Endpoint>)| {
        Reverse(endpoint.stats().attempts.load(Ordering::Relaxed))
    };
    let left_out = endpoints.len().saturating_sub(room);
    if left_out > 0 {
        endpoints.sort_unstable_by_key(attempts);
        endpoints.truncate(room);
    }
    let now = Instant::now();
    Report {
        upstreams: endpoints
            .into_iter()
            .map(|(route, endpoint)| sample(route, endpoint, now))
            .collect(),
        left_out: u64::try_from(left_out).unwrap_or(u64::MAX),
        ..Report::default()
    }
}

fn sample(route: &Route, endpoint: &Endpoint, now: Instant) -> UpstreamSample {
    let now = now.into_std();
    UpstreamSample {
        upstream: endpoint.spec().upstream_id,
        route: route.id,
        traffic: traffic(endpoint),
        in_flight: endpoint.in_flight(),
        healthy: endpoint.is_healthy() && !endpoint.is_on_wrong_chain(),
        breaker: match endpoint.breaker_state(now) {
            BreakerState::Closed => BreakerLevel::Closed,
            BreakerState::HalfOpen => BreakerLevel::HalfOpen,
            BreakerState::Open => BreakerLevel::Open,
        },
        head: endpoint.head_with_age(now),
    }
}

fn traffic(endpoint: &Endpoint) -> Traffic {
    let stats = endpoint.stats();
    let latency = stats.latency.snapshot();
    let mut traffic = Traffic {
        latency: LatencyHistogram::from_bounds(&latency.cumulative, latency.count, latency.sum),
        ..Traffic::default()
    };
    for (outcome, count) in stats.outcomes.counts() {
        match outcome {
            Outcomes::ANSWERED => traffic.answered = count,
            fault => {
                traffic.failures.insert(fault.into(), count);
            }
        }
    }
    // Read last: what is settled was begun.
    traffic.requests = stats.attempts.load(Ordering::Relaxed);
    traffic
}
