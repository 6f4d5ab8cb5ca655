//! The circuit breaker of an upstream, looked at by every request and locked by few.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tyrscale_balance::{
    Breaker, BreakerSettings, BreakerState, BreakerView, CircuitOpen, FailureShare, Permit, Share,
};
use tyrscale_model::CircuitBreaker;

/// A breaker that need not be locked to see that it is closed.
#[derive(Debug)]
pub(super) struct Fuse {
    breaker: Mutex<Breaker>,
    is_closed: AtomicBool,
}

impl Fuse {
    pub(super) fn new(policy: &CircuitBreaker, now: Instant) -> Self {
        let breaker = Breaker::new(settings(policy), now).with_random(fastrand::u64(..));
        Self {
            breaker: Mutex::new(breaker),
            is_closed: AtomicBool::new(true),
        }
    }

    /// What it says to one more request.
    pub(super) fn view(&self, now: Instant) -> BreakerView {
        if self.is_closed.load(Ordering::Relaxed) {
            return BreakerView::Willing;
        }
        self.lock().view(now)
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        if self.is_closed.load(Ordering::Relaxed) {
            return BreakerState::Closed;
        }
        self.lock().state(now)
    }

    /// Asks leave to send one request.
    ///
    /// # Errors
    /// [`CircuitOpen`] when the breaker refuses.
    pub(super) fn try_acquire(&self, now: Instant) -> Result<Permit, CircuitOpen> {
        self.lock().try_acquire(now)
    }

    /// Settles a permit; returns the state that this has led to, if it is another one.
    pub(super) fn settle(
        &self,
        settle: impl FnOnce(&mut Breaker) -> Option<BreakerState>,
    ) -> Option<BreakerState> {
        let mut breaker = self.lock();
        let entered = settle(&mut breaker)?;
        self.is_closed
            .store(entered == BreakerState::Closed, Ordering::Relaxed);
        Some(entered)
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn settings(policy: &CircuitBreaker) -> BreakerSettings {
    let interval = Duration::from_millis(policy.interval_ms.into());
    let settings = BreakerSettings::new(
        policy.max_requests,
        policy.max_consecutive_failures,
        interval,
        Duration::from_millis(policy.timeout_ms.into()),
    )
    .with_jitter(percent(policy.jitter_percent));
    match policy.failure_share() {
        None => settings,
        Some(rule) => settings.with_failure_share(FailureShare {
            share: percent(rule.percent),
            samples: rule.min_samples,
            window: if interval.is_zero() {
                DEFAULT_WINDOW
            } else {
                interval
            },
        }),
    }
}

/// What a share of failures is of when the policy names no interval: the breaker's own default.
const DEFAULT_WINDOW: Duration = Duration::from_secs(120);

fn percent(percent: u32) -> Share {
    Share::of(percent.into(), 100)
}
