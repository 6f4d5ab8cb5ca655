//! A limit on how many requests are in flight at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many requests at once and no more. Shared by all threads without a lock.
#[derive(Debug)]
pub struct Slots {
    limit: AtomicU32,
    taken: AtomicU32,
}

/// One request's slot; free again when this is dropped, on every way out.
#[derive(Debug)]
#[must_use = "dropped, the slot is free again"]
pub struct Slot {
    of: Arc<Slots>,
}

impl Slots {
    /// Room for `limit` requests.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self {
            limit: AtomicU32::new(limit),
            taken: AtomicU32::new(0),
        }
    }

    /// Takes a slot; `None` when all are taken.
    pub fn try_take(self: &Arc<Self>) -> Option<Slot> {
        let limit = self.limit.load(Ordering::Relaxed);
        let one_more = |taken| (taken < limit).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Slot { of: Arc::clone(self) })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether one is free.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.taken() < self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit. What is in flight above a lower one ends in its own time.
    pub fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.of.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_third_of_two_is_refused_until_one_ends() {
        let slots = Arc::new(Slots::new(2));
        let first = slots.try_take().unwrap();
        let _second = slots.try_take().unwrap();
        assert!(slots.try_take().is_none());
        assert!(!slots.is_free());
        drop(first);
        assert_eq!(slots.taken(), 1);
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn a_lower_limit_lets_what_is_in_flight_end() {
        let slots = Arc::new(Slots::new(3));
        let mut held: Vec<_> = (0..3).map(|_| slots.try_take().unwrap()).collect();
        slots.set_limit(1);
        held.pop();
        held.pop();
        assert!(slots.try_take().is_none());
        held.pop();
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn threads_never_hold_more_than_the_limit() {
        let slots = Arc::new(Slots::new(3));
        let take_and_leave = || {
            for _ in 0..2_000 {
                let slot = slots.try_take();
                assert!(slots.taken() <= 3);
                drop(slot);
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(take_and_leave);
            }
        });
        assert_eq!(slots.taken(), 0);
    }
}
