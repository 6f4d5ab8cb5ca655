//! Slow start: an upstream that is new or has returned takes its share gradually.
//!
//! Cold caches and connection pools make the first answers slow, and whoever was just overloaded
//! goes down again under full traffic. While it ramps, an upstream takes part in a growing part of
//! the picks (see [`Selector`](crate::Selector)), whatever the strategy, so its share of the
//! requests grows in line from the floor to full.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::epoch::Epoch;
use crate::share::Share;

/// How a route lets upstreams start slowly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlowStart {
    window: Duration,
    floor: Share,
}

impl SlowStart {
    /// Everybody starts with the full share.
    pub const OFF: Self = Self::new(Duration::ZERO, Share::FULL);

    /// From `floor` to full within `window`.
    #[must_use]
    pub const fn new(window: Duration, floor: Share) -> Self {
        Self { window, floor }
    }

    /// The part of its share for an upstream that began `age` ago.
    #[must_use]
    pub fn ramp(&self, age: Duration) -> Share {
        if age >= self.window {
            return Share::FULL;
        }
        let done = age.as_secs_f64() / self.window.as_secs_f64();
        Share::new((1.0 - self.floor.get()).mul_add(done, self.floor.get()))
    }
}

/// When one upstream began to take traffic. Shared by all threads without a lock.
#[derive(Debug)]
pub struct Onset {
    epoch: Epoch,
    /// Nanoseconds since the epoch, plus 1; 0 means long ago.
    began: AtomicU64,
}

impl Onset {
    /// An upstream that is there from the start and has nothing to ramp. `epoch` is any moment not
    /// after the first use.
    #[must_use]
    pub const fn settled(epoch: Instant) -> Self {
        Self {
            epoch: Epoch::new(epoch),
            began: AtomicU64::new(0),
        }
    }

    /// It begins now: it is new, healthy again, its breaker has closed, or its exclusion has ended.
    pub fn begin(&self, now: Instant) {
        let began = self.epoch.nanos(now).saturating_add(1);
        self.began.store(began, Ordering::Relaxed);
    }

    /// The part of its share that it takes at `now`.
    #[must_use]
    pub fn ramp(&self, slow_start: &SlowStart, now: Instant) -> Share {
        match self.began.load(Ordering::Relaxed) {
            0 => Share::FULL,
            began => {
                let age = self.epoch.nanos(now).saturating_sub(began - 1);
                slow_start.ramp(Duration::from_nanos(age))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);

    #[test]
    fn rises_in_line_from_the_floor_to_full() {
        let t0 = Instant::now();
        let slow_start = SlowStart::new(WINDOW, Share::new(0.1));
        let onset = Onset::settled(t0);
        assert_eq!(onset.ramp(&slow_start, t0), Share::FULL);
        onset.begin(t0 + WINDOW);
        let at = |age| onset.ramp(&slow_start, t0 + WINDOW + age).get();
        assert!((at(Duration::ZERO) - 0.1).abs() < 1e-9);
        assert!((at(WINDOW / 2) - 0.55).abs() < 1e-9);
        assert!((at(WINDOW) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn off_is_full_from_the_first_moment() {
        assert_eq!(SlowStart::OFF.ramp(Duration::ZERO), Share::FULL);
    }
}
