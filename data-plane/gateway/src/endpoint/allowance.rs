//! What may be asked of an upstream: a rate, and so many requests at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tyrscale_balance::{Headroom, Rate, Slots, TokenBucket};
use tyrscale_model::UpstreamLimits;

use crate::queue::{Held, Queue};

/// The limits of one upstream, as far as it has any.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    rate: Option<Arc<Mutex<TokenBucket>>>,
    slots: Option<Arc<Slots>>,
    /// Who waits for a slot.
    queue: Arc<Queue>,
}

impl Allowance {
    /// What `limits` say; what was taken from the limits `before` stays taken.
    pub(super) fn new(
        limits: Option<&UpstreamLimits>,
        queue: &Arc<Queue>,
        before: Option<&Self>,
        now: Instant,
    ) -> Self {
        let rate = limits
            .and_then(UpstreamLimits::rate)
            .and_then(|rate| Rate::new(rate.per_second, rate.burst));
        let most = limits.and_then(UpstreamLimits::max_concurrent);
        Self {
            rate: rate.map(|rate| match before.and_then(|before| before.rate.as_ref()) {
                Some(bucket) => {
                    lock(bucket).set_rate(rate, now);
                    Arc::clone(bucket)
                }
                None => Arc::new(Mutex::new(TokenBucket::new(rate, now))),
            }),
            slots: most.map(|most| match before.and_then(|before| before.slots.as_ref()) {
                Some(slots) => {
                    slots.set_limit(most);
                    Arc::clone(slots)
                }
                None => Arc::new(Slots::new(most)),
            }),
            queue: Arc::clone(queue),
        }
    }

    /// What they leave.
    pub(super) fn headroom(&self, now: Instant) -> Headroom {
        match &self.rate {
            None => Headroom::of(None, self.slots.as_deref(), now),
            Some(bucket) => Headroom::of(Some(&lock(bucket)), self.slots.as_deref(), now),
        }
    }

    /// Takes a slot; `None` when there is none.
    pub(super) fn take_slot(&self) -> Option<Held> {
        match &self.slots {
            None => Some(Held::default()),
            Some(slots) => Some(Held::slot(slots.try_take()?, Arc::clone(&self.queue))),
        }
    }

    /// Takes a request of so many calls out of the rate, as far as there is that much; false when there is nothing.
    pub(super) fn take_calls(&self, calls: usize, now: Instant) -> bool {
        let Some(bucket) = &self.rate else { return true };
        let mut bucket = lock(bucket);
        if !bucket.try_take(now) {
            return false;
        }
        for _ in 1..calls {
            if !bucket.try_take(now) {
                break;
            }
        }
        true
    }
}

fn lock(bucket: &Mutex<TokenBucket>) -> MutexGuard<'_, TokenBucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}
