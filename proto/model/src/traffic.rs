//! What was counted of requests to one upstream.

use std::collections::BTreeMap;

use crate::LatencyHistogram;

/// Requests by what came of them, and how long the answered ones took. All counts only rise while whoever counts lives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// Attempts that were begun.
    pub requests: u64,
    /// Attempts that were answered.
    pub answered: u64,
    /// Attempts that failed, by class of the fault.
    pub failures: BTreeMap<Box<str>, u64>,
    /// Of the attempts that were answered.
    pub latency: LatencyHistogram,
}

impl Traffic {
    /// Attempts that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failures.values().copied().fold(0, u64::saturating_add)
    }

    /// The share of the settled attempts that failed; `None` of none.
    #[must_use]
    pub fn error_ratio(&self) -> Option<f64> {
        let failed = self.failed();
        let settled = self.answered.saturating_add(failed);
        #[expect(clippy::cast_precision_loss, reason = "a ratio this far off is the same")]
        let ratio = failed as f64 / settled as f64;
        (settled > 0).then_some(ratio)
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.answered = self.answered.saturating_add(other.answered);
        for (class, count) in &other.failures {
            let held = self.failures.entry(class.clone()).or_default();
            *held = held.saturating_add(*count);
        }
        self.latency.merge(&other.latency);
    }

    /// What came since `earlier`; `None` when any count is below what it was then: whoever counts began anew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut failures = self.failures.clone();
        for (class, before) in &earlier.failures {
            let count = failures.get_mut(class)?;
            *count = count.checked_sub(*before)?;
        }
        failures.retain(|_, count| *count > 0);
        Some(Self {
            requests: self.requests.checked_sub(earlier.requests)?,
            answered: self.answered.checked_sub(earlier.answered)?,
            failures,
            latency: self.latency.since(&earlier.latency)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn traffic(answered: u64, failed: u64) -> Traffic {
        let mut latency = LatencyHistogram::default();
        (0..answered).for_each(|_| latency.record(Duration::from_millis(10)));
        Traffic {
            requests: answered + failed,
            answered,
            failures: BTreeMap::from([("timeout".into(), failed)]),
            latency,
        }
    }

    #[test]
    fn the_ratio_is_of_what_settled() {
        assert_eq!(Traffic::default().error_ratio(), None);
        assert_eq!(traffic(3, 1).error_ratio(), Some(0.25));
    }

    #[test]
    fn what_was_added_can_be_told_again() {
        let mut merged = traffic(3, 1);
        merged.merge(&traffic(5, 2));
        assert_eq!(merged.since(&traffic(3, 1)), Some(traffic(5, 2)));
        assert_eq!(traffic(3, 1).since(&merged), None);
    }
}
