//! What the recommender counts.

use tokio::sync::watch;
use tyrscale_proto::v1::RunState;
use tyrscale_telemetry::{LabelledCounter, Metrics, TelemetryError, catalogue};

use crate::leader::Leadership;

/// Counters of runs.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    runs: LabelledCounter<1>,
}

impl Counts {
    /// Registers the metrics.
    ///
    /// # Errors
    /// [`TelemetryError`] when one cannot be.
    pub(crate) fn register(
        metrics: &Metrics,
        leadership: watch::Receiver<Option<Leadership>>,
    ) -> Result<Self, TelemetryError> {
        metrics.observe_gauge(&catalogue::RECOMMENDER_LEADER, move |gauge| {
            let leads = leadership.borrow().as_ref().is_some_and(Leadership::holds);
            gauge.observe(f64::from(u8::from(leads)), []);
        })?;
        let runs = metrics.counter(&catalogue::RECOMMENDER_RUNS_TOTAL)?;
        for state in [
            RunState::Applied,
            RunState::Held,
            RunState::Proposed,
            RunState::Shadowed,
            RunState::Failed,
        ] {
            runs.add(0, [word(state)]);
        }
        Ok(Self { runs })
    }

    /// Counts a run by what became of it.
    pub(crate) fn made(&self, state: RunState) {
        self.runs.add(1, [word(state)]);
    }
}

const fn word(state: RunState) -> &'static str {
    match state {
        RunState::Applied => "applied",
        RunState::Held => "held",
        RunState::Proposed => "proposed",
        RunState::Shadowed => "shadowed",
        RunState::Unspecified
        | RunState::Open
        | RunState::Approved
        | RunState::Rejected
        | RunState::Failed => "failed",
    }
}
