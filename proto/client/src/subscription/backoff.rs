//! How long to wait before the next connection.

use std::time::Duration;

use super::Timing;

/// The bound of the exponent; the waits are bounded long before.
const MAX_DOUBLINGS: u32 = 30;

/// Full-jitter exponential back-off over connections that did not hold.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Connections tried since the last that held.
    pub(crate) const fn attempt(&self) -> u32 {
        self.failures
    }

    /// The wait after a stream that held for `held` (zero: it never stood); `random` is in `[0, 1)`.
    pub(crate) fn after(&mut self, held: Duration, timing: &Timing, random: f64) -> Duration {
        if held >= timing.stable_after {
            self.failures = 0;
            return timing.reconnect_spread.mul_f64(random);
        }
        let doublings = self.failures.min(MAX_DOUBLINGS);
        self.failures = self.failures.saturating_add(1);
        let bound = timing.backoff_base.saturating_mul(1 << doublings);
        bound.min(timing.backoff_max).mul_f64(random)
    }
}

/// The moment within a time to connect again: any, so that a fleet that was asked at once does not come at once.
/// `random` is in `[0, 1)`.
pub(crate) fn spread(within: Duration, random: f64) -> Duration {
    within.mul_f64(random)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Scenario 120.
        #[test]
        fn waits_grow_to_the_maximum_and_start_over_after_a_stream_that_held(
            held in proptest::collection::vec(0u64..20, 1..120),
            random in 0.0..1.0f64,
        ) {
            let timing = Timing::default();
            let mut backoff = Backoff::default();
            let mut bound = timing.backoff_base;
            let mut failures = 0;
            for held in held.into_iter().map(Duration::from_secs) {
                let wait = backoff.after(held, &timing, random);
                if held >= timing.stable_after {
                    (bound, failures) = (timing.backoff_base, 0);
                    prop_assert_eq!(wait, timing.reconnect_spread.mul_f64(random));
                } else {
                    prop_assert_eq!(wait, bound.mul_f64(random));
                    bound = (bound * 2).min(timing.backoff_max);
                    failures += 1;
                }
                prop_assert_eq!(backoff.attempt(), failures);
            }
        }
    }

    #[test]
    fn c106_an_hour_without_a_server_is_spent_in_tries_no_closer_than_need_be_and_never_given_up() {
        let timing = Timing::default();
        let mut backoff = Backoff::default();
        let (mut waited, mut tries) = (Duration::ZERO, 0u32);
        while waited < Duration::from_secs(3600) {
            waited += backoff.after(Duration::ZERO, &timing, fastrand::f64());
            tries += 1;
        }
        // At most one each 20 s would be 180, and on average a wait is half of its bound.
        assert!((180..1000).contains(&tries), "{tries}");
    }

    #[test]
    fn c74_a_thousand_that_are_asked_to_connect_again_spread_over_the_time() {
        let within = Duration::from_secs(60);
        let mut seconds = [0u32; 60];
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..1000 {
            let at = spread(within, random.f64());
            seconds[usize::try_from(at.as_secs()).unwrap()] += 1;
        }
        assert!(seconds.iter().all(|came| *came <= 50), "{seconds:?}");
    }

    #[test]
    fn endless_failures_do_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX };
        let timing = Timing::default();
        assert!(backoff.after(Duration::ZERO, &timing, 0.99) <= timing.backoff_max);
    }
}
