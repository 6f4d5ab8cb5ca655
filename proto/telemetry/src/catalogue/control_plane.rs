//! What the control plane counts.

use crate::metric::{Counter, Gauge, Metric, MetricInfo, Service, Unit};

const CONTROL_PLANE: &[Service] = &[Service::ControlPlane];

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
pub const DISCOVERY_UPDATES_TOTAL: Metric<Counter, 2> = Metric::new(
    "tyrscale_discovery_updates_total",
    Unit::One,
    &["lane", "kind"],
    CONTROL_PLANE,
    "Updates sent to subscribers, by lane (config or weights) and kind (snapshot or delta).",
);
/// Newest revision of the recommended weights.
pub const WEIGHTS_REVISION: Metric<Gauge, 0> = Metric::new(
    "tyrscale_weights_revision",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Newest revision of the recommended weights; starts over with the process.",
);
/// Recommended weights that hold.
pub const RECOMMENDED_WEIGHTS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_recommended_weights",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Upstreams with a recommended weight that has not expired.",
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

pub(super) const METRICS: &[MetricInfo] = &[
    CONFIG_REVISION.info(),
    STORE_COMMITS_TOTAL.info(),
    DISCOVERY_STREAMS.info(),
    DISCOVERY_UPDATES_TOTAL.info(),
    WEIGHTS_REVISION.info(),
    RECOMMENDED_WEIGHTS.info(),
    DISCOVERY_NACKS_TOTAL.info(),
    DISCOVERY_DIGEST_MISMATCHES_TOTAL.info(),
    STORE_READY.info(),
];
