//! What the recommender alone counts.

use crate::metric::MetricInfo;

pub(super) const METRICS: &[MetricInfo] = &[];
