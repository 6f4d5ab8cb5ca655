//! How long to wait before trying again: exponential back-off with full jitter.
//!
//! The wait is drawn evenly from zero up to a ceiling that doubles with each attempt until it meets
//! its cap. Drawing from the whole span, not from a band around the ceiling, spreads those who
//! failed together best. Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
//! Blog, 2015.

use std::time::Duration;

/// The bounds of an exponential back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// The first wait lasts at most `base`, no wait lasts longer than `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest that the wait after failed attempt number `attempt` (from 0) may last.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        2_u32
            .checked_pow(attempt)
            .and_then(|factor| self.base.checked_mul(factor))
            .unwrap_or(self.cap)
            .min(self.cap)
    }

    /// The wait after failed attempt number `attempt` (from 0): `random`, evenly drawn from all of
    /// `u64`, scaled to the span from zero to [`ceiling`](Self::ceiling).
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let ceiling = u64::try_from(self.ceiling(attempt).as_nanos()).unwrap_or(u64::MAX);
        let scaled = (u128::from(ceiling) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(scaled).unwrap_or(ceiling))
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
        assert_eq!(BACKOFF.delay(3, 0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(3, 1 << 63), Duration::from_millis(400));
        let longest = BACKOFF.delay(3, u64::MAX);
        assert!(
            longest <= Duration::from_millis(800) && longest > Duration::from_micros(799_999),
            "{longest:?}"
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
