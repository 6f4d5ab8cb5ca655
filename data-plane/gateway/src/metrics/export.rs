//! The metrics of the catalogue, read from the live table at each scrape.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use tyrscale_balance::BreakerState;
use tyrscale_telemetry::catalogue::{
    ACCESS_LOG_LEFT_OUT_TOTAL, FAIL_OPEN_TOTAL, GATEWAY_CONFIG_REVISION, GATEWAY_CONNECTIONS,
    GATEWAY_REQUEST_BYTES, GATEWAY_REQUESTS, HEDGES_TOTAL, LIMITED_CALLS_TOTAL, RETRIES_TOTAL,
    RETRY_BUDGET_EXHAUSTED_TOTAL, ROUTE_BROADCASTS, ROUTE_HEAD, ROUTE_HTTP_REQUEST_DURATION_SECONDS,
    ROUTE_RACES, ROUTE_REQUESTS_TOTAL, RPC_REQUESTS_TOTAL, SHED_TOTAL, STATUS_429_RESPONSES_TOTAL,
    UNROUTED_REQUESTS_TOTAL, UPSTREAM_ATTEMPTS_TOTAL, UPSTREAM_BREAKER_STATE, UPSTREAM_DURATION_SECONDS,
    UPSTREAM_FAILURES_TOTAL, UPSTREAM_HEALTHY, UPSTREAM_HEIGHT, UPSTREAM_IN_FLIGHT, UPSTREAM_OBSTACLE,
    UPSTREAM_PROBE_FAILURES_TOTAL, UPSTREAM_SUCCESSES_TOTAL, UPSTREAM_TOTAL_REQUESTS, UPSTREAM_WRONG_CHAIN,
    UPSTREAMS_THROTTLED_TOTAL,
};
use tyrscale_telemetry::{AtomicHistogram, Counter, Gauge, Metric, Metrics, TelemetryError};

use crate::admission::Scope;
use crate::endpoint::{Endpoint, EndpointStats};
use crate::gateway::Live;
use crate::metrics::{AnswerKind, CallOutcome, GatewayStats, RetryStats, RouteStats};
use crate::recorder::Recorder;
use crate::route::Route;
use crate::shedding::{Load, Shed};

/// Registers every metric of the gateway that is read from its table and counts.
///
/// # Errors
/// [`TelemetryError`] when a metric is registered twice.
pub(crate) fn register(
    metrics: &Metrics,
    live: &Arc<Live>,
    stats: &Arc<GatewayStats>,
    load: &Arc<Load>,
) -> Result<(), TelemetryError> {
    register_upstreams(metrics, live)?;
    register_probes(metrics, live)?;
    register_routes(metrics, live)?;
    register_load(metrics, stats, load)?;
    register_retries(metrics, live)?;
    register_gateway(metrics, live, stats)
}

fn register_upstreams(metrics: &Metrics, live: &Arc<Live>) -> Result<(), TelemetryError> {
    type Count = fn(&EndpointStats) -> u64;
    let counters: [(&Metric<Counter, 4>, Count); 4] = [
        (&UPSTREAM_TOTAL_REQUESTS, |stats| {
            stats.attempts.load(Ordering::Relaxed)
        }),
        (&UPSTREAM_SUCCESSES_TOTAL, |stats| stats.latency.snapshot().count),
        (&UPSTREAM_FAILURES_TOTAL, |stats| {
            stats.failures.load(Ordering::Relaxed)
        }),
        (&STATUS_429_RESPONSES_TOTAL, |stats| {
            stats.rate_limited.load(Ordering::Relaxed)
        }),
    ];
    for (metric, count) in counters {
        let live = Arc::clone(live);
        metrics.observe_counter(metric, move |observer| {
            for_each_endpoint(&live, |route, endpoint| {
                let labels = upstream_labels(route, endpoint);
                observer.observe(count(endpoint.stats()), labels.each_ref().map(String::as_str));
            });
        })?;
    }
    let histograms = Arc::clone(live);
    metrics.observe_histogram(&UPSTREAM_DURATION_SECONDS, move || {
        let mut rows = Vec::new();
        for_each_endpoint(&histograms, |route, endpoint| {
            rows.push((
                upstream_labels(route, endpoint),
                endpoint.stats().latency.snapshot(),
            ));
        });
        rows
    })?;
    type Level = fn(&Endpoint) -> f64;
    let gauges: [(&Metric<Gauge, 2>, Level); 4] = [
        (&UPSTREAM_IN_FLIGHT, |endpoint| endpoint.in_flight().into()),
        (&UPSTREAM_HEALTHY, |endpoint| {
            (endpoint.is_healthy() && !endpoint.is_on_wrong_chain()).into()
        }),
        (&UPSTREAM_WRONG_CHAIN, |endpoint| {
            endpoint.is_on_wrong_chain().into()
        }),
        (&UPSTREAM_BREAKER_STATE, breaker_level),
    ];
    for (metric, level) in gauges {
        let live = Arc::clone(live);
        metrics.observe_gauge(metric, move |observer| {
            for_each_endpoint(&live, |route, endpoint| {
                let ids = [route.id.to_string(), endpoint.spec().upstream_id.to_string()];
                observer.observe(level(endpoint), ids.each_ref().map(String::as_str));
            });
        })?;
    }
    register_attempts(metrics, live)
}

/// What came of attempts, and what keeps upstreams from more.
fn register_attempts(metrics: &Metrics, live: &Arc<Live>) -> Result<(), TelemetryError> {
    let outcomes = Arc::clone(live);
    metrics.observe_counter(&UPSTREAM_ATTEMPTS_TOTAL, move |observer| {
        for_each_endpoint(&outcomes, |route, endpoint| {
            let [route, upstream] = ids(route, endpoint);
            for (outcome, count) in endpoint.stats().outcomes.counts() {
                observer.observe(count, [&route, &upstream, outcome]);
            }
        });
    })?;
    let obstacles = Arc::clone(live);
    metrics.observe_gauge(&UPSTREAM_OBSTACLE, move |observer| {
        for route in obstacles.load().table.routes() {
            for (endpoint, obstacle) in route.obstacles(Instant::now()) {
                if let Some(obstacle) = obstacle {
                    let [route, upstream] = ids(route, endpoint);
                    observer.observe(1.0, [&route, &upstream, obstacle.name()]);
                }
            }
        }
    })
}

fn ids(route: &Route, endpoint: &Endpoint) -> [String; 2] {
    [route.id.to_string(), endpoint.spec().upstream_id.to_string()]
}

/// What is counted of requests that the first upstream did not answer.
fn register_retries(metrics: &Metrics, live: &Arc<Live>) -> Result<(), TelemetryError> {
    type Count = fn(&RetryStats) -> &AtomicU64;
    let counters: [(&Metric<Counter, 1>, Count); 5] = [
        (&RETRIES_TOTAL, |stats| &stats.retries),
        (&HEDGES_TOTAL, |stats| &stats.hedges),
        (&RETRY_BUDGET_EXHAUSTED_TOTAL, |stats| &stats.exhausted),
        (&FAIL_OPEN_TOTAL, |stats| &stats.fail_open),
        (&UPSTREAMS_THROTTLED_TOTAL, |stats| &stats.throttled),
    ];
    for (metric, count) in counters {
        let live = Arc::clone(live);
        metrics.observe_counter(metric, move |observer| {
            for route in live.load().table.routes() {
                let counted = count(&route.stats.retries).load(Ordering::Relaxed);
                observer.observe(counted, [&route.id.to_string()]);
            }
        })?;
    }
    Ok(())
}

fn register_probes(metrics: &Metrics, live: &Arc<Live>) -> Result<(), TelemetryError> {
    let heights = Arc::clone(live);
    metrics.observe_gauge(&UPSTREAM_HEIGHT, move |observer| {
        for_each_endpoint(&heights, |route, endpoint| {
            let ids = [route.id.to_string(), endpoint.spec().upstream_id.to_string()];
            if let Some(height) = endpoint.head() {
                observer.observe(level_of(height), ids.each_ref().map(String::as_str));
            }
        });
    })?;
    let heads = Arc::clone(live);
    metrics.observe_gauge(&ROUTE_HEAD, move |observer| {
        for route in heads.load().table.routes() {
            let id = route.id.to_string();
            for (tag, height) in route.heads.each() {
                observer.observe(level_of(height), [&id, tag.name()]);
            }
        }
    })?;
    type Level = fn(&RouteStats) -> &AtomicU64;
    let levels: [(&Metric<Gauge, 1>, Level); 2] = [
        (&ROUTE_RACES, |stats| &stats.races),
        (&ROUTE_BROADCASTS, |stats| &stats.broadcasts),
    ];
    for (metric, level) in levels {
        let live = Arc::clone(live);
        metrics.observe_gauge(metric, move |observer| {
            for route in live.load().table.routes() {
                let count = level(&route.stats).load(Ordering::Relaxed);
                observer.observe(level_of(count), [route.id.to_string().as_str()]);
            }
        })?;
    }
    let live = Arc::clone(live);
    metrics.observe_counter(&UPSTREAM_PROBE_FAILURES_TOTAL, move |observer| {
        for_each_endpoint(&live, |route, endpoint| {
            let ids = [route.id.to_string(), endpoint.spec().upstream_id.to_string()];
            let [route, upstream] = ids.each_ref().map(String::as_str);
            for (failure, count) in endpoint.stats().probe_failures.each() {
                if count > 0 {
                    observer.observe(count, [route, upstream, failure.name()]);
                }
            }
        });
    })
}

fn register_routes(metrics: &Metrics, live: &Arc<Live>) -> Result<(), TelemetryError> {
    let counted = Arc::clone(live);
    metrics.observe_counter(&ROUTE_REQUESTS_TOTAL, move |observer| {
        for (labels, latency) in answers(&counted) {
            observer.observe(latency.snapshot().count, labels.each_ref().map(String::as_str));
        }
    })?;
    let limited = Arc::clone(live);
    metrics.observe_counter(&LIMITED_CALLS_TOTAL, move |observer| {
        for route in limited.load().table.routes() {
            let id = route.id.to_string();
            for scope in Scope::ALL {
                let count = route.stats.limited.of(scope).load(Ordering::Relaxed);
                if count > 0 {
                    observer.observe(count, [id.as_str(), scope.label()]);
                }
            }
        }
    })?;
    let timed = Arc::clone(live);
    metrics.observe_histogram(&ROUTE_HTTP_REQUEST_DURATION_SECONDS, move || {
        let rows = answers(&timed).into_iter();
        rows.map(|(labels, latency)| (labels, latency.snapshot()))
            .collect()
    })
}

/// Registers what the recorder counts.
///
/// # Errors
/// [`TelemetryError`] when the metric is registered already.
pub(crate) fn register_recorder(metrics: &Metrics, recorder: &Arc<Recorder>) -> Result<(), TelemetryError> {
    let recorder = Arc::clone(recorder);
    metrics.observe_counter(&ACCESS_LOG_LEFT_OUT_TOTAL, move |observer| {
        observer.observe(recorder.log_lines_left_out(), []);
    })
}

fn register_load(
    metrics: &Metrics,
    stats: &Arc<GatewayStats>,
    load: &Arc<Load>,
) -> Result<(), TelemetryError> {
    let shed = Arc::clone(stats);
    metrics.observe_counter(&SHED_TOTAL, move |observer| {
        for reason in Shed::ALL {
            observer.observe(shed.shed(reason).load(Ordering::Relaxed), [reason.label()]);
        }
    })?;
    type Level = fn((u64, u64)) -> u64;
    let gauges: [(&Metric<Gauge, 0>, Level); 2] = [
        (&GATEWAY_REQUESTS, |(requests, _)| requests),
        (&GATEWAY_REQUEST_BYTES, |(_, bytes)| bytes),
    ];
    for (metric, level) in gauges {
        let load = Arc::clone(load);
        metrics.observe_gauge(metric, move |observer| {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
            observer.observe(level(load.taken()) as f64, []);
        })?;
    }
    Ok(())
}

fn register_gateway(
    metrics: &Metrics,
    live: &Arc<Live>,
    stats: &Arc<GatewayStats>,
) -> Result<(), TelemetryError> {
    let unrouted = Arc::clone(stats);
    metrics.observe_counter(&UNROUTED_REQUESTS_TOTAL, move |observer| {
        observer.observe(unrouted.unrouted.load(Ordering::Relaxed), []);
    })?;
    let open = Arc::clone(stats);
    metrics.observe_gauge(&GATEWAY_CONNECTIONS, move |observer| {
        let connections = u32::try_from(open.connections.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        observer.observe(connections.into(), []);
    })?;
    let calls = Arc::clone(stats);
    metrics.observe_counter(&RPC_REQUESTS_TOTAL, move |observer| {
        for (method, counts) in calls.methods() {
            for outcome in CallOutcome::ALL {
                let count = counts.of(outcome).load(Ordering::Relaxed);
                if count > 0 {
                    observer.observe(count, [method.label, outcome.label()]);
                }
            }
        }
    })?;
    let running = Arc::clone(live);
    metrics.observe_gauge(&GATEWAY_CONFIG_REVISION, move |observer| {
        if let Some(version) = running.load().version {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
            observer.observe(version.revision.0 as f64, []);
        }
    })
}

fn for_each_endpoint(live: &Live, mut visit: impl FnMut(&Route, &Endpoint)) {
    let running = live.load();
    for route in running.table.routes() {
        for endpoint in route.endpoints() {
            visit(route, endpoint);
        }
    }
}

fn upstream_labels(route: &Route, endpoint: &Endpoint) -> [String; 4] {
    [
        route.id.to_string(),
        route.key.to_string(),
        endpoint.spec().upstream_id.to_string(),
        endpoint.address().origin().to_owned(),
    ]
}

fn answers(live: &Live) -> Vec<([String; 5], Arc<AtomicHistogram>)> {
    let running = live.load();
    let mut rows = Vec::new();
    for route in running.table.routes() {
        for (kind, latency) in route.stats.answers() {
            let AnswerKind {
                scheme,
                method,
                status,
            } = kind;
            let host = route.key.host.as_str().to_owned();
            let labels = [
                route.id.to_string(),
                method.to_owned(),
                status.to_string(),
                host,
                scheme.as_str().to_owned(),
            ];
            rows.push((labels, latency));
        }
    }
    rows
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
const fn level_of(height: u64) -> f64 {
    height as f64
}

fn breaker_level(endpoint: &Endpoint) -> f64 {
    match endpoint.breaker_state(Instant::now().into_std()) {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    }
}
