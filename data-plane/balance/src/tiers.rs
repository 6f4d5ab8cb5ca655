//! Priority tiers: which of a route's tiers takes a request.
//!
//! Each tier can carry load in proportion to its healthy share times an overprovisioning factor, at
//! most all of it; what it cannot carry flows to the next. With a factor of 1.4 the first tier keeps
//! everything until less than 5 of 7 of its upstreams are healthy. When all tiers together cannot
//! carry the load it is shared in proportion to what they can. The rule is Envoy's ("Priority
//! levels" in its load balancing documentation).
//!
//! What Envoy lacks is hysteresis. Here a tier loses load at once, and gets it back only after it
//! could have carried more for a settling time without interruption, so that upstreams that come
//! and go do not shake the traffic.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::epoch::Epoch;
use crate::share::Share;

/// How many tiers a route distinguishes; lower ones count with the last.
pub const MAX_TIERS: usize = 8;

/// How load flows between tiers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TierSettings {
    overprovisioning: f64,
    settle: Duration,
}

impl TierSettings {
    /// A tier carries its healthy share × `overprovisioning` (at least 1; infinity: one healthy
    /// upstream carries all), and gets load back after `settle`.
    #[must_use]
    pub const fn new(overprovisioning: f64, settle: Duration) -> Self {
        Self {
            // NaN too.
            overprovisioning: if overprovisioning > 1.0 {
                overprovisioning
            } else {
                1.0
            },
            settle,
        }
    }

    fn carries(self, health: TierHealth) -> Share {
        if health.healthy == 0 {
            return Share::NONE;
        }
        Share::new(Share::of(health.healthy.into(), health.total.into()).get() * self.overprovisioning)
    }
}

impl Default for TierSettings {
    /// A factor of 1.4, as in Envoy, and 10 s.
    fn default() -> Self {
        Self::new(1.4, Duration::from_secs(10))
    }
}

/// How a tier is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TierHealth {
    pub(crate) healthy: u32,
    pub(crate) total: u32,
}

/// The load that each tier of a route is granted. Shared by all threads without a lock: a tier's
/// state is one atomic word, and two threads that judge it at the same moment agree.
#[derive(Debug)]
pub(crate) struct Tiers {
    settings: TierSettings,
    epoch: Epoch,
    grants: Vec<AtomicU64>,
}

impl Tiers {
    /// Tiers that may carry everything until their health is known.
    pub(crate) fn new(settings: TierSettings, tiers: usize, epoch: Instant) -> Self {
        Self {
            settings,
            epoch: Epoch::new(epoch),
            grants: (0..tiers.clamp(1, MAX_TIERS))
                .map(|_| AtomicU64::new(Grant::FULL.pack()))
                .collect(),
        }
    }

    /// The same, going on where `before` is if the tiers are as many.
    pub(crate) fn continuing(mut self, before: &Self) -> Self {
        if self.grants.len() == before.grants.len() {
            self.epoch = before.epoch;
            for (grant, old) in self.grants.iter().zip(&before.grants) {
                grant.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        self
    }

    /// How many there are, at least one.
    pub(crate) const fn count(&self) -> usize {
        self.grants.len()
    }

    /// The tier that takes a request; `unit`, evenly drawn from 0 to 1, decides between those that
    /// share the load.
    pub(crate) fn choose(&self, health: &[TierHealth; MAX_TIERS], now: Instant, unit: f64) -> usize {
        if self.grants.len() <= 1 {
            return 0;
        }
        let mut granted = [0.0; MAX_TIERS];
        let mut carried = [0.0; MAX_TIERS];
        for (tier, (grant, health)) in self.grants.iter().zip(health).enumerate() {
            let carries = self.settings.carries(*health);
            let share = self.grant(grant, carries, now);
            if let Some((granted, carried)) = granted.get_mut(tier).zip(carried.get_mut(tier)) {
                (*granted, *carried) = (share.get(), carries.get());
            }
        }
        // Who just came back is better than nobody.
        let shares = if granted.iter().any(|share| *share > 0.0) {
            granted
        } else {
            carried
        };
        spread(&shares, unit)
    }

    /// What a tier that carries `carries` is granted at `now`.
    fn grant(&self, grant: &AtomicU64, carries: Share, now: Instant) -> Share {
        let now = self.epoch.millis(now);
        let settle = u64::try_from(self.settings.settle.as_millis()).unwrap_or(u64::MAX);
        let next = |word| {
            let before = Grant::unpack(word);
            let after = before.next(Grant::parts(carries), now, settle);
            (after != before).then(|| after.pack())
        };
        let word = match grant.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
            Ok(before) => next(before).unwrap_or(before),
            Err(unchanged) => unchanged,
        };
        Grant::unpack(word).share()
    }
}

/// Where `unit` falls when the first tier takes its share, the next its share of the rest, and so on;
/// stretched to the whole if they do not fill it.
fn spread(shares: &[f64; MAX_TIERS], unit: f64) -> usize {
    let total: f64 = shares.iter().sum();
    let mut reached = unit * total.min(1.0);
    for (tier, share) in shares.iter().enumerate() {
        if reached < *share {
            return tier;
        }
        reached -= share;
    }
    0
}

/// What one tier may carry: a part of 10,000, and since when it could carry more (in milliseconds
/// since the epoch, plus 1; 0: it could not).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Grant {
    parts: u64,
    better_since: u64,
}

impl Grant {
    const FULL: Self = Self {
        parts: 10_000,
        better_since: 0,
    };
    const SINCE_BITS: u32 = 48;

    fn next(self, carries: u64, now: u64, settle: u64) -> Self {
        let settled = |since: u64| now.saturating_sub(since - 1) >= settle;
        match self.better_since {
            _ if carries <= self.parts => Self {
                parts: carries,
                better_since: 0,
            },
            0 if settle > 0 => Self {
                better_since: now + 1,
                ..self
            },
            since if since > 0 && !settled(since) => self,
            _ => Self {
                parts: carries,
                better_since: 0,
            },
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 10,000"
    )]
    fn parts(share: Share) -> u64 {
        (share.get() * 10_000.0).ceil() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
    fn share(self) -> Share {
        Share::new(self.parts as f64 / 10_000.0)
    }

    const fn pack(self) -> u64 {
        (self.parts << Self::SINCE_BITS) | (self.better_since & ((1 << Self::SINCE_BITS) - 1))
    }

    const fn unpack(word: u64) -> Self {
        Self {
            parts: word >> Self::SINCE_BITS,
            better_since: word & ((1 << Self::SINCE_BITS) - 1),
        }
    }
}

#[cfg(test)]
mod tests;
