//! Peak EWMA: how slow an upstream is, believing bad news at once and good news gradually.
//!
//! A latency above the estimate replaces it; one below moves it by `1 - e^(-elapsed / decay)`, so
//! that what is `decay` old counts about a third. An upstream that nobody asks decays towards zero
//! and is tried again. The idea is Finagle's (`com.twitter.finagle.loadbalancer.PeakEwma`), known
//! in Rust from tower's `load::PeakEwma`.
//!
//! Feed it the time of answers and of timeouts, not that of quick failures: refusing fast is not
//! being fast. The breaker is there for failures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::epoch::{self, Epoch};

/// The latency of one upstream. Shared by all threads without a lock.
#[derive(Debug)]
pub struct PeakEwma {
    epoch: Epoch,
    /// In milliseconds.
    decay: f32,
    /// The estimate in nanoseconds (`f32` bits, high half) and when it was made, in milliseconds
    /// since the epoch modulo 2^32 (low half). The whole is 0 while nothing is known.
    word: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Estimate {
    nanos: f32,
    /// Milliseconds since the epoch, modulo 2^32.
    made: u32,
}

impl PeakEwma {
    /// How long it takes to forget two thirds, unless told otherwise: tower's and Finagle's 10 s.
    pub const DECAY: Duration = Duration::from_secs(10);

    /// Nothing is known yet. `decay` is at least a millisecond; `epoch` is any moment not after
    /// the first use.
    #[must_use]
    pub fn new(decay: Duration, epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            decay: (decay.as_secs_f32() * 1_000.0).max(1.0),
            word: AtomicU64::new(0),
        }
    }

    /// Takes in that an answer took `latency`.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let made = self.stamp(now);
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs few digits")]
        let seen = (epoch::nanos(latency) as f32).max(1.0);
        let next = |word| {
            let nanos = match unpack(word) {
                Some(before) if seen < before.nanos => {
                    let kept = self.kept(before.made, made);
                    before.nanos.mul_add(kept, seen * (1.0 - kept))
                }
                _ => seen,
            };
            Some(pack(Estimate { nanos, made }))
        };
        // `next` always gives a value, so this cannot fail.
        let _previous = self.word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// The estimate at `now`; `None` while nothing is known.
    #[must_use]
    pub fn latency(&self, now: Instant) -> Option<Latency> {
        let estimate = unpack(self.word.load(Ordering::Relaxed))?;
        Some(Latency {
            nanos: estimate.nanos,
            decays: self.decays(estimate.made, self.stamp(now)),
        })
    }

    #[expect(clippy::cast_possible_truncation, reason = "counted modulo 2^32 on purpose")]
    fn stamp(&self, now: Instant) -> u32 {
        self.epoch.millis(now) as u32
    }

    /// The part of an estimate made at `made` that is left at `now`.
    fn kept(&self, made: u32, now: u32) -> f32 {
        (-self.decays(made, now)).exp()
    }

    /// How often an estimate made at `made` has decayed by `now`.
    fn decays(&self, made: u32, now: u32) -> f32 {
        let elapsed = now.wrapping_sub(made);
        // More than half the range ahead is behind: another thread has a later clock.
        if elapsed > u32::MAX / 2 {
            return 0.0;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs few digits")]
        let elapsed = elapsed as f32;
        elapsed / self.decay
    }
}

/// An estimate as it was made, and how much it has decayed since: worked out only where it is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    nanos: f32,
    decays: f32,
}

impl Latency {
    /// In nanoseconds, as decayed.
    #[must_use]
    pub fn nanos(self) -> f64 {
        f64::from(self.nanos * (-self.decays).exp()).max(1.0)
    }
}

impl From<Duration> for Latency {
    /// One of the moment.
    fn from(latency: Duration) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an estimate needs few digits")]
        let nanos = epoch::nanos(latency) as f32;
        Self { nanos, decays: 0.0 }
    }
}

fn pack(estimate: Estimate) -> u64 {
    (u64::from(estimate.nanos.to_bits()) << 32) | u64::from(estimate.made)
}

fn unpack(word: u64) -> Option<Estimate> {
    let nanos = f32::from_bits(u32::try_from(word >> 32).unwrap_or(0));
    let made = u32::try_from(word & u64::from(u32::MAX)).unwrap_or(0);
    (nanos > 0.0).then_some(Estimate { nanos, made })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DECAY: Duration = Duration::from_secs(10);

    fn millis(ewma: &PeakEwma, now: Instant) -> f64 {
        ewma.latency(now).unwrap().nanos() / 1e6
    }

    #[test]
    fn rises_at_once_and_falls_by_the_time_constant() {
        let t0 = Instant::now();
        let ewma = PeakEwma::new(DECAY, t0);
        assert_eq!(ewma.latency(t0), None);
        ewma.observe(10 * MS, t0);
        ewma.observe(200 * MS, t0 + MS);
        assert!((millis(&ewma, t0 + MS) - 200.0).abs() < 0.1);
        ewma.observe(10 * MS, t0 + MS + DECAY);
        let expected = 200.0 / std::f64::consts::E + 10.0 * (1.0 - 1.0 / std::f64::consts::E);
        assert!((millis(&ewma, t0 + MS + DECAY) - expected).abs() < 0.1);
    }

    #[test]
    fn whom_nobody_asks_looks_faster_with_time_and_is_never_free() {
        let t0 = Instant::now();
        let ewma = PeakEwma::new(DECAY, t0);
        ewma.observe(100 * MS, t0);
        assert!((millis(&ewma, t0 + DECAY) - 36.8).abs() < 0.1);
        assert!(ewma.latency(t0 + 1_000 * DECAY).unwrap().nanos() > 0.0);
    }

    #[test]
    fn a_clock_behind_another_threads_decays_nothing() {
        let t0 = Instant::now();
        let ewma = PeakEwma::new(DECAY, t0);
        ewma.observe(100 * MS, t0 + 50 * MS);
        assert!((millis(&ewma, t0) - 100.0).abs() < 0.1);
        ewma.observe(10 * MS, t0 + 20 * MS);
        assert!(millis(&ewma, t0 + 20 * MS) > 99.0);
    }

    proptest! {
        #[test]
        fn stays_within_what_was_seen(samples in vec((1_u64..10_000, 0_u64..60_000), 1..50)) {
            let t0 = Instant::now();
            let ewma = PeakEwma::new(DECAY, t0);
            let mut now = t0;
            let (mut lowest, mut highest) = (u64::MAX, 0);
            for (latency, wait) in samples {
                now += Duration::from_millis(wait);
                ewma.observe(Duration::from_millis(latency), now);
                (lowest, highest) = (lowest.min(latency), highest.max(latency));
                let estimate = millis(&ewma, now);
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let within = estimate >= lowest as f64 * 0.999 && estimate <= highest as f64 * 1.001;
                prop_assert!(within, "{} not within {}..{}", estimate, lowest, highest);
                prop_assert!(estimate >= latency as f64 * 0.999, "never below the latest");
            }
        }
    }
}
