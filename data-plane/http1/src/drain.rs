//! Telling all connections that no more requests are taken.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Starts the drain of the connections that hold a [`Drain`] of it.
#[derive(Debug, Default)]
pub struct DrainSignal {
    shared: Arc<Shared>,
}

/// Held by a connection. Looking whether the drain has begun is one load; a connection that waits is registered
/// once, not for each request.
#[derive(Debug)]
pub struct Drain {
    shared: Arc<Shared>,
    registered: Option<(usize, Waker)>,
}

#[derive(Debug, Default)]
struct Shared {
    begun: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Wakers at fixed places, and which places are free.
#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl DrainSignal {
    /// A signal that nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For one connection.
    #[must_use]
    pub fn watch(&self) -> Drain {
        Drain {
            shared: Arc::clone(&self.shared),
            registered: None,
        }
    }

    /// Begins the drain: requests in flight end, no other is taken.
    pub fn begin(&self) {
        self.shared.begun.store(true, Ordering::SeqCst);
        let wakers: Vec<Waker> = self.shared.waiting().wakers.iter().flatten().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }
}

impl Drain {
    /// One that never begins.
    #[must_use]
    pub fn never() -> Self {
        DrainSignal::new().watch()
    }

    /// Whether the drain has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.shared.begun.load(Ordering::SeqCst)
    }

    /// Ready once the drain has begun.
    pub fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let known = matches!(&self.registered, Some((_, waker)) if waker.will_wake(context.waker()));
        if !known {
            self.register(context.waker().clone());
        }
        if self.has_begun() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn register(&mut self, waker: Waker) {
        let mut waiting = self.shared.waiting();
        let place = match &self.registered {
            Some((place, _)) => *place,
            None => waiting.free.pop().unwrap_or_else(|| {
                waiting.wakers.push(None);
                waiting.wakers.len().saturating_sub(1)
            }),
        };
        if let Some(slot) = waiting.wakers.get_mut(place) {
            *slot = Some(waker.clone());
        }
        drop(waiting);
        self.registered = Some((place, waker));
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some((place, _)) = self.registered.take() {
            let mut waiting = self.shared.waiting();
            if let Some(slot) = waiting.wakers.get_mut(place) {
                *slot = None;
            }
            waiting.free.push(place);
        }
    }
}
