//! How long to wait before trying again: exponential back-off with jitter.
//!
//! The wait is drawn evenly between a part of a ceiling and the ceiling, which grows by a factor with
//! each attempt until it meets its cap. With full jitter, the default, the part is nothing: drawing
//! from the whole span spreads those who failed together best. Source: M. Brooker, "Exponential
//! Backoff And Jitter", AWS Architecture Blog, 2015.

use std::time::Duration;

use crate::share::Share;

/// The bounds of an exponential back-off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    factor: f64,
    jitter: Share,
}

impl Backoff {
    /// The first wait lasts at most `base`, each next one at most twice as long, and none longer than
    /// `cap`; full jitter.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self {
            base,
            cap,
            factor: 2.0,
            jitter: Share::FULL,
        }
    }

    /// Grows by `factor` with each attempt; by nothing if that is below 1 or NaN.
    #[must_use]
    pub const fn with_factor(self, factor: f64) -> Self {
        let factor = if factor > 1.0 { factor } else { 1.0 };
        Self { factor, ..self }
    }

    /// Leaves `jitter` of each wait to chance; without any, waits are the ceilings.
    #[must_use]
    pub const fn with_jitter(self, jitter: Share) -> Self {
        Self { jitter, ..self }
    }

    /// The longest that the wait after failed attempt number `attempt` (from 0) may last.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let growth = self.factor.powi(i32::try_from(attempt).unwrap_or(i32::MAX));
        let seconds = self.base.as_secs_f64() * growth;
        Duration::try_from_secs_f64(seconds).map_or(self.cap, |ceiling| ceiling.min(self.cap))
    }

    /// The wait after failed attempt number `attempt` (from 0). `random`, evenly drawn from all of
    /// `u64`, decides where it lies between its least and its [`ceiling`](Self::ceiling).
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(attempt);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        let left_to_chance = Duration::from_nanos(nanos).mul_f64(self.jitter.get());
        let chance = u64::try_from(left_to_chance.as_nanos()).unwrap_or(u64::MAX);
        let kept = (u128::from(chance) * (u128::from(u64::MAX - random))) >> 64;
        ceiling - Duration::from_nanos(u64::try_from(kept).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));

    #[test]
    fn ceiling_doubles_until_the_cap() {
        let ceilings: Vec<u64> = [0, 1, 2, 8, 9, 40]
            .iter()
            .map(|attempt| u64::try_from(BACKOFF.ceiling(*attempt).as_millis()).unwrap())
            .collect();
        assert_eq!(ceilings, [100, 200, 400, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn random_bits_span_from_zero_to_the_ceiling() {
        for (random, millis) in [(0, 0), (1 << 63, 400), (u64::MAX, 800)] {
            let delay = BACKOFF.delay(3, random);
            let gap = delay.abs_diff(Duration::from_millis(millis));
            assert!(gap < Duration::from_micros(1), "{delay:?}");
        }
    }

    #[test]
    fn scenario_44_factor_and_jitter_are_as_set() {
        let backoff = BACKOFF.with_factor(3.0).with_jitter(Share::new(0.25));
        assert_eq!(backoff.ceiling(2), Duration::from_millis(900));
        let least = backoff.delay(2, 0);
        assert!(
            least.abs_diff(Duration::from_millis(675)) < Duration::from_micros(1),
            "{least:?}"
        );
        assert_eq!(backoff.delay(2, u64::MAX), Duration::from_millis(900));
        assert_eq!(
            backoff.with_jitter(Share::NONE).delay(2, 7),
            Duration::from_millis(900)
        );
        assert_eq!(
            BACKOFF.with_factor(f64::NAN).ceiling(30),
            Duration::from_millis(100)
        );
    }

    proptest! {
        #[test]
        fn delay_never_exceeds_the_ceiling(
            base in any::<Duration>(), cap in any::<Duration>(), attempt: u32, random: u64,
        ) {
            let backoff = Backoff::new(base, cap);
            prop_assert!(backoff.delay(attempt, random) <= backoff.ceiling(attempt));
            prop_assert!(backoff.ceiling(attempt) <= cap);
        }

        #[test]
        fn more_random_means_no_shorter_delay(attempt in 0_u32..12, a: u64, b: u64) {
            prop_assert!(BACKOFF.delay(attempt, a.min(b)) <= BACKOFF.delay(attempt, a.max(b)));
        }
    }
}
