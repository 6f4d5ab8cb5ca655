//! The time that a request has left.

use std::time::{Duration, Instant};

/// When a request has to be answered, and how long one attempt may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    per_attempt: Duration,
}

impl Deadline {
    /// A request that began at `start` has `total` for everything and `per_attempt` for each attempt.
    #[must_use]
    pub fn new(start: Instant, total: Duration, per_attempt: Duration) -> Self {
        Self {
            at: start + total,
            per_attempt,
        }
    }

    /// When the request has to be answered.
    #[must_use]
    pub const fn at(&self) -> Instant {
        self.at
    }

    /// The time left at `now`; zero when it is over.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// When an attempt that begins `now` has to be over; `None` when there is no time left for one.
    #[must_use]
    pub fn attempt_ends(&self, now: Instant) -> Option<Instant> {
        (now < self.at).then(|| self.at.min(now + self.per_attempt))
    }

    /// The latest moment to wait to that leaves time for one more attempt of `worth` (what a usual
    /// answer takes); `now` when none does. This is [`Ask::patience`](crate::Ask::patience).
    #[must_use]
    pub fn patience(&self, worth: Duration, now: Instant) -> Instant {
        self.at.checked_sub(worth).map_or(now, |latest| latest.max(now))
    }

    /// Whether after a wait of `wait` there is time for an attempt of `worth`.
    #[must_use]
    pub fn allows(&self, wait: Duration, worth: Duration, now: Instant) -> bool {
        wait.saturating_add(worth) < self.remaining(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_attempt_ends_with_its_own_time_or_with_the_request() {
        let t0 = Instant::now();
        let deadline = Deadline::new(t0, 10 * SECOND, 4 * SECOND);
        assert_eq!(deadline.attempt_ends(t0), Some(t0 + 4 * SECOND));
        assert_eq!(deadline.attempt_ends(t0 + 8 * SECOND), Some(t0 + 10 * SECOND));
        assert_eq!(deadline.attempt_ends(t0 + 10 * SECOND), None);
        assert_eq!(deadline.remaining(t0 + 11 * SECOND), Duration::ZERO);
    }

    #[test]
    fn waits_only_while_an_attempt_fits_behind() {
        let t0 = Instant::now();
        let deadline = Deadline::new(t0, 10 * SECOND, 4 * SECOND);
        assert_eq!(deadline.patience(SECOND, t0), t0 + 9 * SECOND);
        assert_eq!(deadline.patience(20 * SECOND, t0), t0);
        assert!(deadline.allows(8 * SECOND, SECOND, t0));
        assert!(!deadline.allows(9 * SECOND, SECOND, t0));
        assert!(!deadline.allows(Duration::MAX, SECOND, t0));
    }
}
