//! When an upstream that fails is left alone.

use crate::{Violation, rules::Rules};

/// When to stop sending to an upstream that fails, and when to try again. Zeros mean the defaults
/// 3, 3, 120,000 ms and 60,000 ms; those of the share of failures and the jitter are off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CircuitBreaker {
    /// Whether it acts.
    pub enabled: bool,
    /// Trial requests while half-open; as many successes close it.
    pub max_requests: u32,
    /// Failures in a row that open it.
    pub max_consecutive_failures: u32,
    /// How often the closed state forgets its failures, milliseconds.
    pub interval_ms: u32,
    /// How long it stays open, milliseconds.
    pub timeout_ms: u32,
    /// The share of failures in an interval that opens it too, percent; 0: only failures in a row count.
    pub failure_percent: u32,
    /// Requests of an interval below which the share says nothing; 0 means
    /// [`CircuitBreaker::DEFAULT_MIN_SAMPLES`].
    pub failure_min_samples: u32,
    /// By how much of the time it stays open that is lengthened at random, percent.
    pub jitter_percent: u32,
}

/// The rule by which a share of failures opens a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureShare {
    /// Percent of the requests of an interval, 1 to 100.
    pub percent: u32,
    /// Requests below which the share says nothing, at least 1.
    pub min_samples: u32,
}

impl CircuitBreaker {
    /// Requests below which a share of failures says nothing, when the route does not say.
    pub const DEFAULT_MIN_SAMPLES: u32 = 20;
    /// The highest of the same.
    pub const MAX_MIN_SAMPLES: u32 = 100_000;

    /// The rule by which a share of failures opens it, when there is one.
    #[must_use]
    pub const fn failure_share(&self) -> Option<FailureShare> {
        let min_samples = match self.failure_min_samples {
            0 => Self::DEFAULT_MIN_SAMPLES,
            samples => samples,
        };
        match self.failure_percent {
            0 => None,
            percent => Some(FailureShare { percent, min_samples }),
        }
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.at_most("failure_percent", self.failure_percent, 100);
        rules.at_most(
            "failure_min_samples",
            self.failure_min_samples,
            Self::MAX_MIN_SAMPLES,
        );
        rules.at_most("jitter_percent", self.jitter_percent, 100);
        rules.needs(
            "failure_min_samples",
            self.failure_min_samples != 0,
            "failure_percent",
            self.failure_percent != 0,
        );
        rules.within("circuit_breaker")
    }
}
