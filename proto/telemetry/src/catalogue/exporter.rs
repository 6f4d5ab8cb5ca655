//! What the exporter alone counts.

use crate::metric::MetricInfo;

pub(super) const METRICS: &[MetricInfo] = &[];
