//! What may be asked of an upstream: a rate, and so many requests at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tyrscale_balance::{Headroom, Rate, Slots, TokenBucket};
use tyrscale_model::UpstreamLimits;

use crate::queue::{Held, Queue};

/// The limits of one upstream, as far as it has any.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    rate: Option<Metered>,
    slots: Option<Slots>,
    /// Who waits for a slot.
    queue: Arc<Queue>,
}

/// A rate, and what is left of it.
#[derive(Debug, Clone)]
struct Metered {
    rate: Rate,
    bucket: Arc<Mutex<TokenBucket>>,
}

impl Allowance {
    /// What `limits` say; what was taken from the limits `before`, which this leaves
    /// as they are, stays taken.
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
            rate: rate.map(|rate| Metered::new(rate, before.and_then(|before| before.rate.as_ref()), now)),
            slots: most.map(|most| match before.and_then(|before| before.slots.as_ref()) {
                Some(slots) => slots.limited_to(most),
                None => Slots::new(most),
            }),
            queue: Arc::clone(queue),
        }
    }

    /// What they leave.
    pub(super) fn headroom(&self, now: Instant) -> Headroom {
        match &self.rate {
            None => Headroom::of(None, self.slots.as_ref(), now),
            Some(metered) => Headroom::of(Some(&metered.lock()), self.slots.as_ref(), now),
        }
    }

    pub(super) const fn has_slots(&self) -> bool {
        self.slots.is_some()
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
        let Some(metered) = &self.rate else { return true };
        let mut bucket = metered.lock();
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

impl Metered {
    fn new(rate: Rate, before: Option<&Self>, now: Instant) -> Self {
        let bucket = match before {
            Some(same) if same.rate == rate => return same.clone(),
            Some(other) => {
                let mut bucket = other.lock().clone();
                bucket.set_rate(rate, now);
                bucket
            }
            None => TokenBucket::new(rate, now),
        };
        Self {
            rate,
            bucket: Arc::new(Mutex::new(bucket)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TokenBucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
