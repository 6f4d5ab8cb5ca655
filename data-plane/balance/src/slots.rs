//! A limit on how many requests are in flight at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// So many requests at once and no more. Shared by all threads without a lock.
#[derive(Debug, Clone)]
pub struct Slots {
    limit: u32,
    taken: Arc<AtomicU32>,
}

/// One request's slot; free again when this is dropped, on every way out.
#[derive(Debug)]
#[must_use = "dropped, the slot is free again"]
pub struct Slot {
    taken: Arc<AtomicU32>,
}

impl Slots {
    /// Room for `limit` requests.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// The same requests under another limit. What is in flight above a lower one ends in its own time.
    #[must_use]
    pub fn limited_to(&self, limit: u32) -> Self {
        Self {
            limit,
            taken: Arc::clone(&self.taken),
        }
    }

    /// Takes a slot; `None` when all are taken.
    pub fn try_take(&self) -> Option<Slot> {
        let one_more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Slot {
            taken: Arc::clone(&self.taken),
        })
    }

    /// How many are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether one is free.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.taken() < self.limit
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_third_of_two_is_refused_until_one_ends() {
        let slots = Slots::new(2);
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
        let slots = Slots::new(3);
        let mut held: Vec<_> = (0..3).map(|_| slots.try_take().unwrap()).collect();
        let slots = slots.limited_to(1);
        held.pop();
        held.pop();
        assert!(slots.try_take().is_none());
        held.pop();
        assert!(slots.try_take().is_some());
    }

    #[test]
    fn threads_never_hold_more_than_the_limit() {
        let slots = Slots::new(3);
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
