//! Requests that wait until one of their route's upstreams may take one more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// How many may wait on one route.
const MOST: u32 = 1024;

/// Those who wait on one route, first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: AtomicU32,
    released: Notify,
}

/// A place in the queue.
#[derive(Debug)]
pub(crate) struct Waiting<'a>(&'a Queue);

impl Queue {
    /// Takes a place; `None` when all are taken.
    pub(crate) fn enter(&self) -> Option<Waiting<'_>> {
        let one_more = |waiting| (waiting < MOST).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .ok()?;
        Some(Waiting(self))
    }

    /// Whether somebody waits.
    pub(crate) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Ready once an upstream has become free and it is one's turn.
    pub(crate) fn released(&self) -> Notified<'_> {
        self.released.notified()
    }

    fn release(&self) {
        if self.has_waiting() {
            self.released.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What an attempt holds of an upstream's limits.
#[derive(Debug, Default)]
pub(crate) struct Held {
    slot: Option<tyrscale_balance::Slot>,
    queue: Option<Arc<Queue>>,
}

impl Held {
    /// A slot, of which the queue is told when it is free again.
    pub(crate) const fn slot(slot: tyrscale_balance::Slot, queue: Arc<Queue>) -> Self {
        Self {
            slot: Some(slot),
            queue: Some(queue),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.slot.take());
        if let Some(queue) = &self.queue {
            queue.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn who_came_first_is_first() {
        let queue = Queue::default();
        let _places = [queue.enter(), queue.enter(), queue.enter()];
        let (mut first, mut second, mut third) = (
            pin!(queue.released()),
            pin!(queue.released()),
            pin!(queue.released()),
        );
        for waiting in [&mut first, &mut second, &mut third] {
            waiting.as_mut().enable();
        }
        queue.release();
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(first.as_mut().now_or_never().is_some());
        queue.release();
        assert!(third.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn whose_turn_it_was_and_who_has_gone_leaves_it_to_the_next() {
        let queue = Queue::default();
        let _places = [queue.enter(), queue.enter()];
        let mut second = pin!(queue.released());
        {
            let mut first = pin!(queue.released());
            first.as_mut().enable();
            second.as_mut().enable();
            queue.release();
        }
        assert!(second.as_mut().now_or_never().is_some());
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let queue = Queue::default();
        let places: Vec<_> = (0..MOST).map(|_| queue.enter()).collect();
        assert!(places.iter().all(Option::is_some) && queue.enter().is_none());
        drop(places);
        assert!(queue.enter().is_some());
        assert!(!queue.has_waiting());
    }
}
