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
    "Newest revision of the recommended weights; starts over with the process unless control planes share the store.",
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
/// Whether a backup is served in place of the store.
pub const STORE_RECOVERY: Metric<Gauge, 0> = Metric::new(
    "tyrscale_store_recovery",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "1 while the store is damaged and a backup, or nothing, is served in its place, else 0.",
);
/// Backups.
pub const STORE_BACKUPS_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_store_backups_total",
    Unit::One,
    &["outcome"],
    CONTROL_PLANE,
    "Backups of the store, by outcome: verified, which is read back and proved, or failed.",
);
/// The age of the newest backup.
pub const STORE_BACKUP_AGE: Metric<Gauge, 0> = Metric::new(
    "tyrscale_store_backup_age_seconds",
    Unit::Seconds,
    &[],
    CONTROL_PLANE,
    "Time since the newest verified backup; no series before the first.",
);
/// Nodes whose reports stand.
pub const TELEMETRY_NODES: Metric<Gauge, 0> = Metric::new(
    "tyrscale_telemetry_nodes",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Gateways and exporters whose last report still stands.",
);
/// Exporters that share the rpcs.
pub const EXPORTER_MEMBERS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_exporter_members",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Exporters that share the rpcs.",
);
/// The stage of the rollout under way.
pub const ROLLOUT_STAGE: Metric<Gauge, 0> = Metric::new(
    "tyrscale_rollout_stage",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "Stage of the rollout under way, 1 for the first; 0 when there is none.",
);
/// The state of the rollout under way.
pub const ROLLOUT_STATE: Metric<Gauge, 1> = Metric::new(
    "tyrscale_rollout_state",
    Unit::One,
    &["state"],
    CONTROL_PLANE,
    "1 for the state (running, paused or halted) of the rollout under way, else 0.",
);
/// Halts of rollouts.
pub const ROLLOUT_HALTS_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_rollout_halts_total",
    Unit::One,
    &["cause"],
    CONTROL_PLANE,
    "Rollouts that this process halted, by cause: refused, worse, silent, away or operator.",
);
/// Whether the fleet is frozen.
pub const FLEET_FROZEN: Metric<Gauge, 0> = Metric::new(
    "tyrscale_fleet_frozen",
    Unit::One,
    &[],
    CONTROL_PLANE,
    "1 while an operator keeps gateways from new revisions, else 0.",
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
    STORE_RECOVERY.info(),
    STORE_BACKUPS_TOTAL.info(),
    STORE_BACKUP_AGE.info(),
    TELEMETRY_NODES.info(),
    EXPORTER_MEMBERS.info(),
    ROLLOUT_STAGE.info(),
    ROLLOUT_STATE.info(),
    ROLLOUT_HALTS_TOTAL.info(),
    FLEET_FROZEN.info(),
];
