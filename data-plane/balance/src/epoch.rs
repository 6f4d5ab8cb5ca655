//! Moments as whole numbers, so that they fit into an atomic.

use std::time::{Duration, Instant};

/// Where the counting of time begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) const fn new(start: Instant) -> Self {
        Self(start)
    }

    /// Nanoseconds from the epoch to `now`; 0 before it. Lasts for 584 years.
    pub(crate) fn nanos(self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Milliseconds from the epoch to `now`; 0 before it.
    pub(crate) fn millis(self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.0);
        let seconds = since.as_secs().saturating_mul(1_000);
        seconds.saturating_add(u64::from(since.subsec_millis()))
    }
}

/// `duration` in nanoseconds, at most what 64 bits hold.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
