//! What is counted of an upstream.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tyrscale_jsonrpc::Class;
use tyrscale_telemetry::AtomicHistogram;

use crate::probe::FailureCounts;

/// Counts since the upstream came to the route.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) rate_limited: AtomicU64,
    /// Probes that did not go well.
    pub(crate) probe_failures: FailureCounts,
    pub(crate) outcomes: Outcomes,
    /// Attempts that are not settled yet.
    in_flight: AtomicU32,
    /// Of the attempts answered without a fault.
    pub(crate) latency: AtomicHistogram,
}

impl EndpointStats {
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Settled attempts by what came of them.
#[derive(Debug)]
pub(crate) struct Outcomes {
    answered: AtomicU64,
    faulted: [AtomicU64; Class::ALL.len()],
}

impl Default for Outcomes {
    fn default() -> Self {
        Self {
            answered: AtomicU64::new(0),
            faulted: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Outcomes {
    /// The name of the outcome that is no fault.
    pub(crate) const ANSWERED: &str = "answered";

    /// Counts one; `None`: answered.
    pub(crate) fn count(&self, fault: Option<Class>) {
        let counter = match fault {
            None => Some(&self.answered),
            Some(class) => self.faulted.get(class as usize),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that there are, by name.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let faults = Class::ALL.iter().map(|class| class.name()).zip(&self.faulted);
        std::iter::once((Self::ANSWERED, &self.answered))
            .chain(faults)
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}
