//! What the gateway counts per route and per upstream.
//!
//! The first seven are inherited and keep their names for existing dashboards.

use crate::metric::{Counter, Gauge, Histogram, Metric, MetricInfo, Service, Unit};

const GATEWAY: &[Service] = &[Service::Gateway];

/// The labels of a series per upstream of a route.
const UPSTREAM: &[&str; 4] = &["route_uuid", "route_url", "upstream_uuid", "upstream_url"];
/// The labels of a state per upstream of a route.
const UPSTREAM_IDS: &[&str; 2] = &["route_uuid", "upstream_uuid"];
/// The labels of a series per route and kind of answer.
const ROUTE: &[&str; 5] = &["route_uuid", "method", "status", "host", "scheme"];

/// Attempts that an upstream answered well.
pub const UPSTREAM_SUCCESSES_TOTAL: Metric<Counter, 4> = Metric::new(
    "upstream_successes_total",
    Unit::One,
    UPSTREAM,
    GATEWAY,
    "Attempts that the upstream answered without a fault of its own.",
);
/// Attempts that an upstream failed.
pub const UPSTREAM_FAILURES_TOTAL: Metric<Counter, 4> = Metric::new(
    "upstream_failures_total",
    Unit::One,
    UPSTREAM,
    GATEWAY,
    "Attempts that failed by the upstream's fault, lost connections and timeouts included.",
);
/// How long successful attempts took.
pub const UPSTREAM_DURATION_SECONDS: Metric<Histogram, 4> = Metric::new(
    "upstream_duration_seconds",
    Unit::Seconds,
    UPSTREAM,
    GATEWAY,
    "Time from the start of a successful attempt until it is settled.",
);
/// Answers with status 429.
pub const STATUS_429_RESPONSES_TOTAL: Metric<Counter, 4> = Metric::new(
    "status_429_responses_total",
    Unit::One,
    UPSTREAM,
    GATEWAY,
    "Attempts that the upstream answered with HTTP status 429.",
);
/// All attempts. Inherited without the suffix of a counter.
pub const UPSTREAM_TOTAL_REQUESTS: Metric<Counter, 4> = Metric::new(
    "upstream_total_requests",
    Unit::One,
    UPSTREAM,
    GATEWAY,
    "Attempts sent to the upstream.",
);
/// Answers to clients.
pub const ROUTE_REQUESTS_TOTAL: Metric<Counter, 5> = Metric::new(
    "route_requests_total",
    Unit::One,
    ROUTE,
    GATEWAY,
    "Requests of clients that the route answered; method is the HTTP method.",
);
/// How long answers to clients took.
pub const ROUTE_HTTP_REQUEST_DURATION_SECONDS: Metric<Histogram, 5> = Metric::new(
    "route_http_request_duration_seconds",
    Unit::Seconds,
    ROUTE,
    GATEWAY,
    "Time from the head of a client's request to the head of the answer.",
);
/// Requests an upstream has not answered yet.
pub const UPSTREAM_IN_FLIGHT: Metric<Gauge, 2> = Metric::new(
    "tyrscale_upstream_in_flight",
    Unit::One,
    UPSTREAM_IDS,
    GATEWAY,
    "Attempts at the upstream that are not settled yet.",
);
/// Verdict of the health checks.
pub const UPSTREAM_HEALTHY: Metric<Gauge, 2> = Metric::new(
    "tyrscale_upstream_healthy",
    Unit::One,
    UPSTREAM_IDS,
    GATEWAY,
    "1 while the health checks let the upstream serve, else 0.",
);
/// Upstreams on another chain.
pub const UPSTREAM_WRONG_CHAIN: Metric<Gauge, 2> = Metric::new(
    "tyrscale_upstream_wrong_chain",
    Unit::One,
    UPSTREAM_IDS,
    GATEWAY,
    "1 while the upstream answers for another chain than that of its network, else 0.",
);
/// How far an upstream has come.
pub const UPSTREAM_HEIGHT: Metric<Gauge, 2> = Metric::new(
    "tyrscale_upstream_height",
    Unit::One,
    UPSTREAM_IDS,
    GATEWAY,
    "Height of the upstream's latest block, where probes or answers tell.",
);
/// What block tags stand for.
pub const ROUTE_HEAD: Metric<Gauge, 2> = Metric::new(
    "tyrscale_route_head",
    Unit::One,
    &["route_uuid", "tag"],
    GATEWAY,
    "Height that a block tag stands for on the route, where probes tell.",
);
/// Probes that found something wrong.
pub const UPSTREAM_PROBE_FAILURES_TOTAL: Metric<Counter, 3> = Metric::new(
    "tyrscale_upstream_probe_failures_total",
    Unit::One,
    &["route_uuid", "upstream_uuid", "reason"],
    GATEWAY,
    "Probes of the upstream that did not go well, by reason.",
);
/// State of the circuit breaker.
pub const UPSTREAM_BREAKER_STATE: Metric<Gauge, 2> = Metric::new(
    "tyrscale_upstream_breaker_state",
    Unit::One,
    UPSTREAM_IDS,
    GATEWAY,
    "State of the upstream's circuit breaker: 0 closed, 1 half-open, 2 open.",
);
/// What came of attempts.
pub const UPSTREAM_ATTEMPTS_TOTAL: Metric<Counter, 3> = Metric::new(
    "tyrscale_upstream_attempts_total",
    Unit::One,
    &["route_uuid", "upstream_uuid", "outcome"],
    GATEWAY,
    "Settled attempts at the upstream, by outcome: answered, or the class of the failure.",
);
/// What keeps upstreams from requests.
pub const UPSTREAM_OBSTACLE: Metric<Gauge, 3> = Metric::new(
    "tyrscale_upstream_obstacle",
    Unit::One,
    &["route_uuid", "upstream_uuid", "obstacle"],
    GATEWAY,
    "1 for what stands against using the upstream, whatever is asked of it; no series when nothing does.",
);
/// Races under way.
pub const ROUTE_RACES: Metric<Gauge, 1> = Metric::new(
    "tyrscale_route_races",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Reads that several upstreams are asked for at once and none has answered.",
);
/// Broadcasts under way.
pub const ROUTE_BROADCASTS: Metric<Gauge, 1> = Metric::new(
    "tyrscale_route_broadcasts",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Transactions on their way to several upstreams at once, those of clients that have left included.",
);
/// Attempts after the first.
pub const RETRIES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_retries_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Attempts after the first of a request, but for those made beside another (races, hedges).",
);
/// Retries that were not made.
pub const RETRY_BUDGET_EXHAUSTED_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_retry_budget_exhausted_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Requests answered with an error because the route's budget for retries was used up.",
);
/// Attempts beside others that take long.
pub const HEDGES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_hedges_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Attempts made beside one that had not answered within the route's hedge_delay_ms.",
);
/// Attempts in spite of what stands against them.
pub const FAIL_OPEN_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_fail_open_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Attempts at upstreams that look bad, made because all of the route do.",
);

pub(super) const METRICS: &[MetricInfo] = &[
    UPSTREAM_SUCCESSES_TOTAL.info(),
    UPSTREAM_FAILURES_TOTAL.info(),
    UPSTREAM_DURATION_SECONDS.info(),
    STATUS_429_RESPONSES_TOTAL.info(),
    UPSTREAM_TOTAL_REQUESTS.info(),
    ROUTE_REQUESTS_TOTAL.info(),
    ROUTE_HTTP_REQUEST_DURATION_SECONDS.info(),
    UPSTREAM_IN_FLIGHT.info(),
    UPSTREAM_HEALTHY.info(),
    UPSTREAM_WRONG_CHAIN.info(),
    UPSTREAM_HEIGHT.info(),
    ROUTE_HEAD.info(),
    UPSTREAM_PROBE_FAILURES_TOTAL.info(),
    UPSTREAM_BREAKER_STATE.info(),
    UPSTREAM_ATTEMPTS_TOTAL.info(),
    UPSTREAM_OBSTACLE.info(),
    ROUTE_RACES.info(),
    ROUTE_BROADCASTS.info(),
    RETRIES_TOTAL.info(),
    HEDGES_TOTAL.info(),
    RETRY_BUDGET_EXHAUSTED_TOTAL.info(),
    FAIL_OPEN_TOTAL.info(),
];
