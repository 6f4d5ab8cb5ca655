//! What several services count alike.

use crate::metric::{Counter, Gauge, Metric, MetricInfo, Service, Unit};

const ALL: &[Service] = &[
    Service::Gateway,
    Service::ControlPlane,
    Service::Exporter,
    Service::Recommender,
];
const SUBSCRIBERS: &[Service] = &[Service::Gateway, Service::Exporter, Service::Recommender];
const FOLLOWERS: &[Service] = &[Service::Exporter, Service::Recommender];

/// What runs.
pub const BUILD_INFO: Metric<Gauge, 2> = Metric::new(
    "tyrscale_build_info",
    Unit::One,
    &["service", "version"],
    ALL,
    "Always 1; the labels say what runs.",
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

pub(super) const METRICS: &[MetricInfo] = &[
    BUILD_INFO.info(),
    CONTROL_PLANE_CONNECTED.info(),
    CONFIG_UPDATES_TOTAL.info(),
    SUBSCRIBER_CONFIG_REVISION.info(),
    SUBSCRIBER_RESOURCES.info(),
];
