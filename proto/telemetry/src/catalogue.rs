//! Every metric of the system.
//!
//! Names are as scraped. Rules: snake case, base units, `_total` for counters. The first seven are inherited
//! and keep their names for existing dashboards; all others begin with `tyrscale_`. Label values are ids or
//! words of closed sets; a URL label never carries user information, a query or a secret path segment.

use crate::metric::{Counter, Gauge, Histogram, Metric, MetricInfo, Service, Unit};

const GATEWAY: &[Service] = &[Service::Gateway];
const CONTROL_PLANE: &[Service] = &[Service::ControlPlane];
const FOLLOWERS: &[Service] = &[Service::Exporter, Service::Recommender];
const SUBSCRIBERS: &[Service] = &[Service::Gateway, Service::Exporter, Service::Recommender];
const ALL: &[Service] = &[
    Service::Gateway,
    Service::ControlPlane,
    Service::Exporter,
    Service::Recommender,
];

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

/// What runs.
pub const BUILD_INFO: Metric<Gauge, 2> = Metric::new(
    "tyrscale_build_info",
    Unit::One,
    &["service", "version"],
    ALL,
    "Always 1; the labels say what runs.",
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
/// Requests missing in the access log.
pub const ACCESS_LOG_LEFT_OUT_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_access_log_left_out_total",
    Unit::One,
    &[],
    GATEWAY,
    "Requests that are not in the access log because it could not be written in time.",
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
/// Attempts after the first.
pub const RETRIES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_retries_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Attempts after the first of a request.",
);
/// Retries that were not made.
pub const RETRY_BUDGET_EXHAUSTED_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_retry_budget_exhausted_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Requests answered with an error because the route's budget for retries was used up.",
);
/// Attempts in spite of what stands against them.
pub const FAIL_OPEN_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_fail_open_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Attempts at upstreams that look bad, made because all of the route do.",
);
/// Requests that no upstream had room for.
pub const UPSTREAMS_THROTTLED_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_upstreams_throttled_total",
    Unit::One,
    &["route_uuid"],
    GATEWAY,
    "Requests refused because every upstream of the route throttles or is at its limit.",
);
/// Open connections of clients.
pub const GATEWAY_CONNECTIONS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_connections",
    Unit::One,
    &[],
    GATEWAY,
    "Open connections of clients.",
);
/// Requests of clients in progress.
pub const GATEWAY_REQUESTS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_requests",
    Unit::One,
    &[],
    GATEWAY,
    "Requests of clients that have begun and whose answer has not.",
);
/// Bytes held of requests in progress.
pub const GATEWAY_REQUEST_BYTES: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_request_bytes",
    Unit::Bytes,
    &[],
    GATEWAY,
    "Bytes of the bodies of requests in progress, those to come included.",
);
/// What the gateway did not take on.
pub const SHED_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_shed_total",
    Unit::One,
    &["reason"],
    GATEWAY,
    "Requests and connections refused at once, by the limit they are beyond: requests, request_bytes or client_connections.",
);
/// Calls above a rate.
pub const LIMITED_CALLS_TOTAL: Metric<Counter, 2> = Metric::new(
    "tyrscale_limited_calls_total",
    Unit::One,
    &["route_uuid", "scope"],
    GATEWAY,
    "Calls refused for being above a rate; scope is route or client.",
);
/// TLS handshakes with clients.
pub const TLS_HANDSHAKES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_tls_handshakes_total",
    Unit::One,
    &["outcome"],
    GATEWAY,
    "TLS handshakes with clients, by outcome: completed, failed or timed_out.",
);
/// When a certificate that clients are shown ends.
pub const TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS: Metric<Gauge, 1> = Metric::new(
    "tyrscale_tls_certificate_expiry_timestamp_seconds",
    Unit::Seconds,
    &["server_name"],
    GATEWAY,
    "End of a certificate that clients are shown, in Unix time; server_name is the first name it is for.",
);
/// Revision the gateway serves from.
pub const GATEWAY_CONFIG_REVISION: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_config_revision",
    Unit::One,
    &[],
    GATEWAY,
    "Revision of the configuration the gateway serves from.",
);
/// Time since the gateway last knew its configuration to be current.
pub const GATEWAY_CONFIG_AGE_SECONDS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_config_age_seconds",
    Unit::Seconds,
    &[],
    GATEWAY,
    "Time since the control plane last confirmed that the configuration is current.",
);
/// Whether the discovery stream is up.
pub const CONTROL_PLANE_CONNECTED: Metric<Gauge, 0> = Metric::new(
    "tyrscale_control_plane_connected",
    Unit::One,
    &[],
    SUBSCRIBERS,
    "1 while the discovery stream to the control plane is up, else 0.",
);
/// Configuration updates received.
pub const CONFIG_UPDATES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_config_updates_total",
    Unit::One,
    &["outcome"],
    SUBSCRIBERS,
    "Configuration updates received, by outcome: applied or refused.",
);
/// JSON-RPC requests.
pub const RPC_REQUESTS_TOTAL: Metric<Counter, 2> = Metric::new(
    "tyrscale_rpc_requests_total",
    Unit::One,
    &["method", "outcome"],
    GATEWAY,
    "JSON-RPC requests, each element of a batch counted; an unknown method is `other`.",
);
/// Requests no route takes.
pub const UNROUTED_REQUESTS_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_unrouted_requests_total",
    Unit::One,
    &[],
    GATEWAY,
    "Requests whose host and path belong to no route.",
);

/// Newest revision of the store.
pub const CONFIG_REVISION: Metric<Gauge, 0> = Metric::new(
    "tyrscale_config_revision",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Newest committed revision of the configuration.",
);
/// Changes committed.
pub const STORE_COMMITS_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_store_commits_total",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Changes committed since the process started; a change that changes nothing is none.",
);
/// Open discovery streams.
pub const DISCOVERY_STREAMS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_discovery_streams",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Open discovery streams.",
);
/// Updates sent to subscribers.
pub const DISCOVERY_UPDATES_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_discovery_updates_total",
    Unit::One,
    &["kind"],
    CONTROL_PLANE,
    "Updates sent to subscribers, by kind: snapshot or delta.",
);
/// Updates refused by subscribers.
pub const DISCOVERY_NACKS_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_discovery_nacks_total",
    Unit::One,
    &["reason"],
    CONTROL_PLANE,
    "Updates that subscribers refused, by reason.",
);
/// Acknowledged versions whose digest differs from the control plane's.
pub const DISCOVERY_DIGEST_MISMATCHES_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_discovery_digest_mismatches_total",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Acknowledgements whose digest differs from the sent content's; anything but 0 is a bug.",
);
/// Whether the store takes writes.
pub const STORE_READY: Metric<Gauge, 0> = Metric::new(
    "tyrscale_store_ready",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "1 while the store is open and verified, else 0.",
);

/// Revision a follower works with.
pub const SUBSCRIBER_CONFIG_REVISION: Metric<Gauge, 0> = Metric::new(
    "tyrscale_subscriber_config_revision",
    Unit::One,
    &[],
    FOLLOWERS,
    "Revision of the configuration the service works with.",
);
/// Resources a follower knows.
pub const SUBSCRIBER_RESOURCES: Metric<Gauge, 1> = Metric::new(
    "tyrscale_subscriber_resources",
    Unit::One,
    &["kind"],
    FOLLOWERS,
    "Resources the service follows, by kind.",
);

/// All of the above.
pub const CATALOGUE: &[MetricInfo] = &[
    UPSTREAM_SUCCESSES_TOTAL.info(),
    UPSTREAM_FAILURES_TOTAL.info(),
    UPSTREAM_DURATION_SECONDS.info(),
    STATUS_429_RESPONSES_TOTAL.info(),
    UPSTREAM_TOTAL_REQUESTS.info(),
    ROUTE_REQUESTS_TOTAL.info(),
    ROUTE_HTTP_REQUEST_DURATION_SECONDS.info(),
    BUILD_INFO.info(),
    UPSTREAM_IN_FLIGHT.info(),
    UPSTREAM_HEALTHY.info(),
    UPSTREAM_WRONG_CHAIN.info(),
    UPSTREAM_HEIGHT.info(),
    ROUTE_HEAD.info(),
    UPSTREAM_PROBE_FAILURES_TOTAL.info(),
    UPSTREAM_BREAKER_STATE.info(),
    ACCESS_LOG_LEFT_OUT_TOTAL.info(),
    UPSTREAM_ATTEMPTS_TOTAL.info(),
    UPSTREAM_OBSTACLE.info(),
    RETRIES_TOTAL.info(),
    RETRY_BUDGET_EXHAUSTED_TOTAL.info(),
    FAIL_OPEN_TOTAL.info(),
    UPSTREAMS_THROTTLED_TOTAL.info(),
    GATEWAY_CONNECTIONS.info(),
    GATEWAY_REQUESTS.info(),
    GATEWAY_REQUEST_BYTES.info(),
    SHED_TOTAL.info(),
    LIMITED_CALLS_TOTAL.info(),
    TLS_HANDSHAKES_TOTAL.info(),
    TLS_CERTIFICATE_EXPIRY_TIMESTAMP_SECONDS.info(),
    GATEWAY_CONFIG_REVISION.info(),
    GATEWAY_CONFIG_AGE_SECONDS.info(),
    CONTROL_PLANE_CONNECTED.info(),
    CONFIG_UPDATES_TOTAL.info(),
    RPC_REQUESTS_TOTAL.info(),
    UNROUTED_REQUESTS_TOTAL.info(),
    CONFIG_REVISION.info(),
    STORE_COMMITS_TOTAL.info(),
    DISCOVERY_STREAMS.info(),
    DISCOVERY_UPDATES_TOTAL.info(),
    DISCOVERY_NACKS_TOTAL.info(),
    DISCOVERY_DIGEST_MISMATCHES_TOTAL.info(),
    STORE_READY.info(),
    SUBSCRIBER_CONFIG_REVISION.info(),
    SUBSCRIBER_RESOURCES.info(),
];

#[cfg(test)]
mod tests {
    use super::{CATALOGUE, UPSTREAM_TOTAL_REQUESTS};
    use crate::metric::{MetricKind, Unit};
    use std::collections::BTreeSet;

    const INHERITED: [&str; 7] = [
        "route_http_request_duration_seconds",
        "route_requests_total",
        "status_429_responses_total",
        "upstream_duration_seconds",
        "upstream_failures_total",
        "upstream_successes_total",
        "upstream_total_requests",
    ];

    fn is_snake_case(name: &str) -> bool {
        let word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(word)
    }

    #[test]
    fn a_name_is_used_once() {
        let names: BTreeSet<_> = CATALOGUE.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), CATALOGUE.len());
    }

    #[test]
    fn only_the_seven_inherited_names_lack_the_prefix() {
        let bare: BTreeSet<_> = CATALOGUE
            .iter()
            .map(|metric| metric.name)
            .filter(|name| !name.starts_with("tyrscale_"))
            .collect();
        assert_eq!(bare, BTreeSet::from(INHERITED));
    }

    #[test]
    fn names_and_labels_are_snake_case() {
        for metric in CATALOGUE {
            assert!(is_snake_case(metric.name), "{}", metric.name);
            let labels: BTreeSet<_> = metric.labels.iter().collect();
            assert_eq!(labels.len(), metric.labels.len(), "{}", metric.name);
            assert!(
                metric.labels.iter().all(|label| is_snake_case(label)),
                "{}",
                metric.name
            );
            assert!(!metric.labels.contains(&"le"), "{}", metric.name);
        }
    }

    #[test]
    fn counters_and_no_others_end_in_total() {
        for metric in CATALOGUE
            .iter()
            .filter(|metric| metric.name != UPSTREAM_TOTAL_REQUESTS.info().name)
        {
            let is_counter = metric.kind == MetricKind::Counter;
            assert_eq!(metric.name.ends_with("_total"), is_counter, "{}", metric.name);
        }
    }

    #[test]
    fn a_name_says_its_base_unit() {
        for metric in CATALOGUE {
            let stem = metric.name.trim_end_matches("_total");
            assert_eq!(
                stem.ends_with("_seconds"),
                metric.unit == Unit::Seconds,
                "{}",
                metric.name
            );
            for scaled in ["_milliseconds", "_ms", "_percent", "_bucket", "_sum", "_count"] {
                assert!(!stem.ends_with(scaled), "{}", metric.name);
            }
        }
    }

    #[test]
    fn every_metric_is_explained_and_owned() {
        for metric in CATALOGUE {
            assert!(
                metric.help.ends_with('.') && !metric.help.contains('\n'),
                "{}",
                metric.name
            );
            assert!(!metric.services.is_empty(), "{}", metric.name);
        }
    }
}
