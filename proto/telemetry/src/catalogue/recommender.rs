//! What the recommender alone counts.

use crate::metric::{Counter, Gauge, Metric, MetricInfo, Service, Unit};

const RECOMMENDER: &[Service] = &[Service::Recommender];

/// Whether this one acts.
pub const RECOMMENDER_LEADER: Metric<Gauge, 0> = Metric::new(
    "tyrscale_recommender_leader",
    Unit::One,
    &[],
    RECOMMENDER,
    "1 while this recommender holds the lease and computes weights, else 0.",
);
/// Runs made.
pub const RECOMMENDER_RUNS_TOTAL: Metric<Counter, 1> = Metric::new(
    "tyrscale_recommender_runs_total",
    Unit::One,
    &["outcome"],
    RECOMMENDER,
    "Runs of recommendations, by outcome: applied, held, proposed, shadowed or failed.",
);

pub(super) const METRICS: &[MetricInfo] = &[RECOMMENDER_LEADER.info(), RECOMMENDER_RUNS_TOTAL.info()];
