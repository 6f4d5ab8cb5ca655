//! A budget for retries: at most a share of the requests, so that retries cannot multiply an outage.
//!
//! When everything fails, each request would otherwise be sent as often as it may be, just when the
//! upstreams can take it least. Within a sliding window of ten seconds, retries may be `share` of the
//! requests plus a minimum per second, so that a quiet route can retry at all. The argument is
//! tower's (`retry::budget`) and Finagle's (`RetryBudget`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::rolling::{Counts, Rolling};

/// The budget for the retries of one route. Shared by all threads without a lock; threads that draw on
/// the last retry at the same moment may overdraw by one each.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    min_per_second: f64,
    window: Rolling,
    refused: AtomicU64,
}

impl RetryBudget {
    const WINDOW: Duration = Duration::from_secs(10);

    /// Retries may be `share` of the requests (0.2 is one for five requests; more than 1 is more than
    /// one for each) plus `min_per_second`. What is negative or NaN counts as 0. `epoch` is any moment
    /// not after the first use.
    #[must_use]
    pub fn new(share: f64, min_per_second: f64, epoch: Instant) -> Self {
        Self {
            share: share.max(0.0),
            min_per_second: min_per_second.max(0.0),
            window: Rolling::new(Self::WINDOW, epoch),
            refused: AtomicU64::new(0),
        }
    }

    /// A client's request came. Count it once, whatever becomes of it.
    pub fn on_request(&self, now: Instant) {
        let request = Counts {
            events: 1,
            special: 0,
        };
        self.window.add(request, now);
    }

    /// Whether there is a retry left.
    #[must_use]
    pub fn has_left(&self, now: Instant) -> bool {
        let counts = self.window.total(now);
        #[expect(clippy::cast_precision_loss, reason = "at most 10 × 2^24")]
        let (requests, retries) = (counts.events as f64, counts.special as f64);
        let reserve = self.min_per_second * Self::WINDOW.as_secs_f64();
        retries + 1.0 <= requests.mul_add(self.share, reserve)
    }

    /// Takes one retry out of the budget; false when there is none left.
    #[must_use]
    pub fn try_retry(&self, now: Instant) -> bool {
        if !self.has_left(now) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        let retry = Counts {
            events: 0,
            special: 1,
        };
        self.window.add(retry, now);
        true
    }

    /// How many retries were refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn granted(budget: &RetryBudget, asked: u32, now: Instant) -> usize {
        (0..asked).filter(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let t0 = Instant::now();
        let budget = RetryBudget::new(0.2, 0.0, t0);
        assert_eq!(granted(&budget, 5, t0), 0);
        (0..100).for_each(|_| budget.on_request(t0));
        assert_eq!(granted(&budget, 100, t0), 20);
        assert_eq!(budget.refused(), 5 + 80);
    }

    #[test]
    fn a_quiet_route_has_its_minimum() {
        let t0 = Instant::now();
        let budget = RetryBudget::new(0.2, 1.0, t0);
        assert_eq!(granted(&budget, 100, t0), 10);
        assert_eq!(granted(&budget, 100, t0 + Duration::from_secs(10)), 10);
    }

    #[test]
    fn old_requests_pay_for_nothing() {
        let t0 = Instant::now();
        let budget = RetryBudget::new(0.2, 0.0, t0);
        (0..100).for_each(|_| budget.on_request(t0));
        assert_eq!(granted(&budget, 100, t0 + Duration::from_secs(10)), 0);
    }

    #[test]
    fn nonsense_allows_nothing() {
        let t0 = Instant::now();
        for (share, minimum) in [(-1.0, -1.0), (f64::NAN, f64::NAN)] {
            let budget = RetryBudget::new(share, minimum, t0);
            budget.on_request(t0);
            assert!(!budget.try_retry(t0));
        }
    }

    proptest! {
        #[test]
        fn never_exceeded_over_any_window(steps in vec((0_u64..800, 0_u32..4), 1..300)) {
            let t0 = Instant::now();
            let budget = RetryBudget::new(0.5, 0.1, t0);
            let mut log = Vec::new();
            let mut millis = 0;
            for (wait, retries) in steps {
                millis += wait;
                let now = t0 + Duration::from_millis(millis);
                budget.on_request(now);
                let granted = granted(&budget, retries, now);
                log.push((millis / 1_000, granted));
                let window: Vec<_> = log.iter().filter(|(second, _)| millis / 1_000 - second < 10).collect();
                let retried: usize = window.iter().map(|(_, granted)| granted).sum();
                // Requests that have left the window may have paid for retries still in it, but
                // nothing granted at this step exceeds what this window's requests pay for.
                prop_assert!(granted == 0 || 2 * retried <= window.len() + 2);
            }
        }
    }
}
