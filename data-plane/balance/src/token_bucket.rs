//! A token bucket: so many requests a second, and a burst after a pause.
//!
//! Tokens are counted in whole numbers of 10^-15, so that a rate such as a third of a request per
//! second is kept exactly however long it runs.

use std::time::{Duration, Instant};

/// A rate of requests with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Millionths of a request per second.
    micros_per_second: u64,
    burst: u32,
}

impl Rate {
    /// `per_second` requests a second, to a millionth and up to 10^9, and `burst` at once (at least
    /// 1). `None` when the rate is not above 0, which no bucket could ever fill.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and bounded"
    )]
    pub fn new(per_second: f64, burst: u32) -> Option<Self> {
        // NaN becomes 0 by the cast.
        let micros_per_second = (per_second.clamp(0.0, 1e9) * 1e6).round() as u64;
        (micros_per_second > 0).then_some(Self {
            micros_per_second,
            burst: burst.max(1),
        })
    }
}

/// A bucket of tokens. A request takes one; they come back at the [`Rate`].
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: Rate,
    /// In 10^-15 of a token.
    tokens: u128,
    filled: Instant,
}

/// A token: a nanosecond at a millionth of a request per second brings one of these parts.
const TOKEN: u128 = 1_000_000_000_000_000;

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: capacity(rate),
            filled: now,
        }
    }

    /// Takes one token; false when there is none.
    #[must_use]
    pub fn try_take(&mut self, now: Instant) -> bool {
        self.tokens = self.tokens_at(now);
        // A clock behind another thread's gives no time twice.
        self.filled = self.filled.max(now);
        match self.tokens.checked_sub(TOKEN) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    /// Gives a token back that was taken for a request that was not sent.
    pub fn give_back(&mut self) {
        self.tokens = (self.tokens + TOKEN).min(capacity(self.rate));
    }

    /// When the next token is there: `None` when there is one at `now`. For
    /// [`Headroom::At`](crate::Headroom::At) and `Retry-After`.
    #[must_use]
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        let missing = TOKEN
            .checked_sub(self.tokens_at(now))
            .filter(|missing| *missing > 0)?;
        let nanos = missing.div_ceil(self.rate.micros_per_second.into());
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Some(self.filled.max(now) + wait)
    }

    /// Whether nothing was taken that has not come back.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.tokens_at(now) == capacity(self.rate)
    }

    /// Goes on with another rate, with the tokens that are left.
    pub fn set_rate(&mut self, rate: Rate, now: Instant) {
        self.tokens = self.tokens_at(now).min(capacity(rate));
        self.filled = self.filled.max(now);
        self.rate = rate;
    }

    fn tokens_at(&self, now: Instant) -> u128 {
        let nanos = now.saturating_duration_since(self.filled).as_nanos();
        let came = nanos.saturating_mul(self.rate.micros_per_second.into());
        self.tokens.saturating_add(came).min(capacity(self.rate))
    }
}

fn capacity(rate: Rate) -> u128 {
    u128::from(rate.burst) * TOKEN
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn bucket(per_second: f64, burst: u32, now: Instant) -> TokenBucket {
        TokenBucket::new(Rate::new(per_second, burst).unwrap(), now)
    }

    #[test]
    fn scenario_76_ten_of_a_hundred_pass_and_the_rest_are_told_when() {
        let t0 = Instant::now();
        let mut bucket = bucket(10.0, 10, t0);
        assert_eq!((0..100).filter(|_| bucket.try_take(t0)).count(), 10);
        let next = t0 + Duration::from_millis(100);
        assert_eq!(bucket.ready_at(t0), Some(next));
        assert!(!bucket.try_take(next - Duration::from_nanos(1)));
        assert!(bucket.try_take(next));
        let later = t0 + Duration::from_secs(10);
        assert!(bucket.is_full(later));
        assert_eq!((0..100).filter(|_| bucket.try_take(later)).count(), 10);
    }

    #[test]
    fn a_third_of_a_request_per_second_does_not_drift() {
        let t0 = Instant::now();
        let mut bucket = bucket(0.333_333, 1, t0);
        assert!(bucket.try_take(t0));
        let mut now = t0;
        for _ in 0..100_000 {
            now = bucket.ready_at(now).unwrap();
            assert!(bucket.try_take(now));
        }
        // 100,000 requests at 0.333333 per second, and no more than a nanosecond late for each.
        let exact = 100_000.0 / 0.333_333;
        assert!(((now - t0).as_secs_f64() - exact).abs() < 0.001);
    }

    #[test]
    fn only_a_rate_above_nothing_is_one() {
        for per_second in [0.0, -1.0, f64::NAN, 1e-9] {
            assert_eq!(Rate::new(per_second, 1), None);
        }
        assert!(Rate::new(f64::INFINITY, 0).is_some());
    }

    #[test]
    fn a_request_that_was_not_sent_costs_nothing() {
        let t0 = Instant::now();
        let mut bucket = bucket(1.0, 1, t0);
        assert!(bucket.try_take(t0));
        bucket.give_back();
        bucket.give_back();
        assert!(bucket.try_take(t0));
        assert!(!bucket.try_take(t0));
    }

    #[test]
    fn a_clock_that_goes_back_mints_nothing() {
        let t0 = Instant::now();
        let mut bucket = bucket(1.0, 1, t0);
        let second = Duration::from_secs(1);
        assert!(bucket.try_take(t0 + second));
        assert!(!bucket.try_take(t0));
        assert!(!bucket.try_take(t0 + second));
        assert!(bucket.try_take(t0 + 2 * second));
    }

    proptest! {
        #[test]
        fn never_more_than_rate_and_burst_over_any_span(
            rate in 1_u32..200, burst in 1_u32..20, steps in vec((0_u64..2_000, 0_u32..30), 1..60),
        ) {
            let t0 = Instant::now();
            let mut bucket = bucket(f64::from(rate) / 10.0, burst, t0);
            let mut taken: Vec<(u64, u64)> = Vec::new();
            let mut millis = 0;
            for (wait, asked) in steps {
                millis += wait;
                let now = t0 + Duration::from_millis(millis);
                let got = (0..asked).filter(|_| bucket.try_take(now)).count();
                taken.push((millis, u64::try_from(got).unwrap()));
                let mut sum = 0;
                for (at, got) in taken.iter().rev() {
                    sum += got;
                    // In ten-thousandths: the rate is in tenths, the time in milliseconds.
                    prop_assert!(sum * 10_000 <= u64::from(burst) * 10_000 + (millis - at) * u64::from(rate));
                }
                if let Some(ready) = bucket.ready_at(now) {
                    prop_assert!(!bucket.clone().try_take(ready - Duration::from_nanos(1)));
                    prop_assert!(bucket.clone().try_take(ready));
                }
            }
        }
    }
}
