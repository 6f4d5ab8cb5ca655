//! Where measurements come from: both sources give histories of the same form.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tyrscale_model::{RouteId, RpcId, UpstreamId};
use tyrscale_proto::v1;
use tyrscale_scoring::{History, Span};

use crate::{
    prometheus::{Prometheus, PrometheusError, SeriesQuery},
    telemetry::Memory,
};

/// Whose history is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) upstream: UpstreamId,
    /// Whose height counts, when the upstream is one of an rpc.
    pub(crate) rpc: Option<RpcId>,
}

/// Where measurements come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// What the control plane knows of the fleet, remembered here.
    Telemetry(Arc<Mutex<Memory>>),
    /// A Prometheus that scrapes the fleet.
    Prometheus(Box<Prometheus>),
}

impl Source {
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Telemetry(_) => "telemetry",
            Self::Prometheus(_) => "prometheus",
        }
    }

    pub(crate) const fn to_wire(&self) -> v1::MeasurementSource {
        match self {
            Self::Telemetry(_) => v1::MeasurementSource::Telemetry,
            Self::Prometheus(_) => v1::MeasurementSource::Prometheus,
        }
    }

    /// The histories of the subjects, in their order, over the span and a little before.
    pub(crate) async fn histories(
        &self,
        route: RouteId,
        subjects: &[Subject],
        span: Span,
    ) -> Result<Vec<History>, PrometheusError> {
        match self {
            Self::Telemetry(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(subjects.iter().map(|subject| memory.history(subject)).collect())
            }
            Self::Prometheus(prometheus) => {
                let query = SeriesQuery {
                    route,
                    subjects,
                    span,
                };
                prometheus.histories(&query).await
            }
        }
    }

    /// The scores that an expression gives, by upstream; only Prometheus can tell.
    pub(crate) async fn scores(
        &self,
        promql: &str,
        subjects: &[Subject],
        at: u64,
    ) -> Result<Option<BTreeMap<UpstreamId, f64>>, PrometheusError> {
        match self {
            Self::Telemetry(_) => Ok(None),
            Self::Prometheus(prometheus) => prometheus.scores(promql, subjects, at).await.map(Some),
        }
    }
}

#[cfg(test)]
mod tests;
