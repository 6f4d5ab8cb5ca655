//! What a gateway counts as a whole.

use crate::metric::{Counter, Gauge, Metric, MetricInfo, Service, Unit};

const GATEWAY: &[Service] = &[Service::Gateway];

/// Requests missing in the access log.
pub const ACCESS_LOG_LEFT_OUT_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_access_log_left_out_total",
    Unit::One,
    &[],
    GATEWAY,
    "Requests that are not in the access log because it could not be written in time.",
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
    "Bytes of the bodies of requests in progress, and of the large answers that are held for them.",
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
/// Revision of the recommended weights.
pub const GATEWAY_WEIGHTS_REVISION: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_weights_revision",
    Unit::One,
    &[],
    GATEWAY,
    "Revision of the recommended weights the gateway has.",
);
/// Time since the recommended weights changed.
pub const GATEWAY_WEIGHTS_AGE_SECONDS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_weights_age_seconds",
    Unit::Seconds,
    &[],
    GATEWAY,
    "Time since the gateway last took recommended weights from the control plane.",
);
/// Recommended weights that hold.
pub const GATEWAY_WEIGHTS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_gateway_weights",
    Unit::One,
    &[],
    GATEWAY,
    "Upstreams with a recommended weight that has not expired.",
);
/// Recommended weights that expired.
pub const GATEWAY_WEIGHTS_EXPIRED_TOTAL: Metric<Counter, 0> = Metric::new(
    "tyrscale_gateway_weights_expired_total",
    Unit::One,
    &[],
    GATEWAY,
    "Recommended weights that expired here, so that the operator's weight counts again.",
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

pub(super) const METRICS: &[MetricInfo] = &[
    ACCESS_LOG_LEFT_OUT_TOTAL.info(),
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
    GATEWAY_WEIGHTS_REVISION.info(),
    GATEWAY_WEIGHTS_AGE_SECONDS.info(),
    GATEWAY_WEIGHTS.info(),
    GATEWAY_WEIGHTS_EXPIRED_TOTAL.info(),
    RPC_REQUESTS_TOTAL.info(),
    UNROUTED_REQUESTS_TOTAL.info(),
];
