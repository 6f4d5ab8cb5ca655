//! What the exporter alone measures and counts.

use crate::metric::{Counter, Gauge, Histogram, Metric, MetricInfo, Service, Unit};

const EXPORTER: &[Service] = &[Service::Exporter];
/// What tells an rpc; never its URL.
const RPC: &[&str; 4] = &["network", "provider", "rpc_uuid", "type"];

/// Whether an rpc answers.
pub const RPC_UP: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_up",
    Unit::One,
    RPC,
    EXPORTER,
    "1 while the last call of every collector of the rpc was answered well, else 0.",
);
/// Its height.
pub const RPC_BLOCK_HEIGHT: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_block_height",
    Unit::One,
    RPC,
    EXPORTER,
    "Height of the rpc's latest block, as last read.",
);
/// How old that height is.
pub const RPC_BLOCK_HEIGHT_AGE_SECONDS: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_block_height_age_seconds",
    Unit::Seconds,
    RPC,
    EXPORTER,
    "Time since the rpc's height was read.",
);
/// How long it has not risen.
pub const RPC_HEAD_AGE_SECONDS: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_head_age_seconds",
    Unit::Seconds,
    RPC,
    EXPORTER,
    "Time since the rpc's height last rose.",
);
/// How far it is behind.
pub const RPC_LAG_BLOCKS: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_lag_blocks",
    Unit::One,
    RPC,
    EXPORTER,
    "Blocks that the rpc is behind the best of its network, of all exporters.",
);
/// Its peers.
pub const RPC_PEERS: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_peers",
    Unit::One,
    RPC,
    EXPORTER,
    "Peers of the rpc's node.",
);
/// Whether it catches up.
pub const RPC_SYNCING: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_syncing",
    Unit::One,
    RPC,
    EXPORTER,
    "1 while the rpc's node says that it is catching up, else 0.",
);
/// Whether it is on another chain.
pub const RPC_CHAIN_MISMATCH: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_chain_mismatch",
    Unit::One,
    RPC,
    EXPORTER,
    "1 while the rpc answers with another chain id than its network's, else 0.",
);
/// The price of gas.
pub const RPC_GAS_PRICE_WEI: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_gas_price_wei",
    Unit::One,
    RPC,
    EXPORTER,
    "Price of gas that the rpc suggests, in wei.",
);
/// The node's program.
pub const RPC_CLIENT_INFO: Metric<Gauge, 5> = Metric::new(
    "tyrscale_rpc_client_info",
    Unit::One,
    &["network", "provider", "rpc_uuid", "type", "client_version"],
    EXPORTER,
    "Always 1; the label says program and version of the rpc's node, cut to 128 characters.",
);
/// The finalized block.
pub const RPC_FINALIZED_HEIGHT: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_finalized_height",
    Unit::One,
    RPC,
    EXPORTER,
    "Height of the block that the rpc calls finalized.",
);
/// The safe block.
pub const RPC_SAFE_HEIGHT: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_safe_height",
    Unit::One,
    RPC,
    EXPORTER,
    "Height of the block that the rpc calls safe.",
);
/// The pool.
pub const RPC_POOL_TRANSACTIONS: Metric<Gauge, 5> = Metric::new(
    "tyrscale_rpc_pool_transactions",
    Unit::One,
    &["network", "provider", "rpc_uuid", "type", "state"],
    EXPORTER,
    "Transactions in the pool of the rpc's node; state is pending or queued.",
);
/// The oldest state.
pub const RPC_OLDEST_STATE_HEIGHT: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_oldest_state_height",
    Unit::One,
    RPC,
    EXPORTER,
    "Height of the oldest block whose state the rpc serves; 0 for an archive.",
);
/// How long calls take.
pub const RPC_CALL_DURATION_SECONDS: Metric<Histogram, 5> = Metric::new(
    "tyrscale_rpc_call_duration_seconds",
    Unit::Seconds,
    &["network", "provider", "rpc_uuid", "type", "collector"],
    EXPORTER,
    "Time that answered calls of a collector took, of rpcs with the collector latency.",
);
/// Calls and what came of them.
pub const RPC_CALLS_TOTAL: Metric<Counter, 6> = Metric::new(
    "tyrscale_rpc_calls_total",
    Unit::One,
    &["network", "provider", "rpc_uuid", "type", "collector", "outcome"],
    EXPORTER,
    "Calls of a collector, by outcome: answered, or the reason of the failure.",
);
/// Calls that were not made.
pub const RPC_CALLS_OVER_BUDGET_TOTAL: Metric<Counter, 4> = Metric::new(
    "tyrscale_rpc_calls_over_budget_total",
    Unit::One,
    RPC,
    EXPORTER,
    "Calls that were due and not made because the rpc's budget of calls was used up.",
);
/// Whether it is left alone.
pub const RPC_BACKING_OFF: Metric<Gauge, 4> = Metric::new(
    "tyrscale_rpc_backing_off",
    Unit::One,
    RPC,
    EXPORTER,
    "1 while the rpc is left alone because it throttles or refuses the credentials, else 0.",
);
/// Rpcs that are measured.
pub const EXPORTER_RPCS: Metric<Gauge, 0> = Metric::new(
    "tyrscale_exporter_rpcs",
    Unit::One,
    &[],
    EXPORTER,
    "Rpcs that this exporter measures.",
);

pub(super) const METRICS: &[MetricInfo] = &[
    RPC_UP.info(),
    RPC_BLOCK_HEIGHT.info(),
    RPC_BLOCK_HEIGHT_AGE_SECONDS.info(),
    RPC_HEAD_AGE_SECONDS.info(),
    RPC_LAG_BLOCKS.info(),
    RPC_PEERS.info(),
    RPC_SYNCING.info(),
    RPC_CHAIN_MISMATCH.info(),
    RPC_GAS_PRICE_WEI.info(),
    RPC_CLIENT_INFO.info(),
    RPC_FINALIZED_HEIGHT.info(),
    RPC_SAFE_HEIGHT.info(),
    RPC_POOL_TRANSACTIONS.info(),
    RPC_OLDEST_STATE_HEIGHT.info(),
    RPC_CALL_DURATION_SECONDS.info(),
    RPC_CALLS_TOTAL.info(),
    RPC_CALLS_OVER_BUDGET_TOTAL.info(),
    RPC_BACKING_OFF.info(),
    EXPORTER_RPCS.info(),
];
