//! Circuit breaker: stops sending to an upstream that keeps failing and tries again later.
//!
//! The pattern is M. Nygard's ("Release It!", chapter "Stability Patterns"); the states, counters and
//! settings mean what they mean in sony/gobreaker, which users of the `circuit_breaker` fields know:
//!
//! - **closed**: everything passes. `max_consecutive_failures` failures in a row open it, a success
//!   ends the row, and every `interval` the row is forgotten.
//! - **open**: nothing passes until `timeout` is over.
//! - **half-open**: at most `max_requests` trials pass. As many successes close it, one failure
//!   opens it again.
//!
//! Beside the row of failures, a share of failures over a window can open it ([`FailureShare`]), for
//! upstreams that fail often but never in a row. The time it stays open can be stretched at random
//! ([`BreakerSettings::with_jitter`]), so that many gateways do not all try at the same moment.
//!
//! A [`Permit`] belongs to the state that gave it. An answer that arrives after that state has ended
//! is ignored, so a slow request from before the trip cannot close or reopen the breaker.

use std::time::{Duration, Instant};

use crate::draws::Draws;
use crate::facts::BreakerView;
use crate::rolling::{Counts, Rolling};
use crate::share::Share;

/// Opens a [`Breaker`] when, of at least `samples` requests within `window`, `share` failed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FailureShare {
    /// The part of the requests that may fail; at this share it opens.
    pub share: Share,
    /// Fewer requests than this say nothing.
    pub samples: u32,
    /// How far back requests count.
    pub window: Duration,
}

/// When a [`Breaker`] opens, and what it takes to close it again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerSettings {
    max_requests: u32,
    max_consecutive_failures: u32,
    interval: Duration,
    timeout: Duration,
    failure_share: Option<FailureShare>,
    jitter: Share,
}

impl BreakerSettings {
    /// The longest `interval` and `timeout` (49 days): what 32 bits of milliseconds can say.
    const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

    /// Settings as configured; a zero stands for its default of 3 trials, 3 failures, an interval of
    /// 120 s or a timeout of 60 s. Durations are capped at 2^32 ms.
    #[must_use]
    pub fn new(
        max_requests: u32,
        max_consecutive_failures: u32,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let or_default = |given: Duration, default| {
            if given.is_zero() {
                Duration::from_secs(default)
            } else {
                given.min(Self::LONGEST)
            }
        };
        Self {
            max_requests: if max_requests == 0 { 3 } else { max_requests },
            max_consecutive_failures: if max_consecutive_failures == 0 {
                3
            } else {
                max_consecutive_failures
            },
            interval: or_default(interval, 120),
            timeout: or_default(timeout, 60),
            failure_share: None,
            jitter: Share::NONE,
        }
    }

    /// Also opens by a share of failures.
    #[must_use]
    pub const fn with_failure_share(self, failure_share: FailureShare) -> Self {
        Self {
            failure_share: Some(failure_share),
            ..self
        }
    }

    /// Stays open for up to `jitter` of the timeout longer, drawn anew each time.
    #[must_use]
    pub const fn with_jitter(self, jitter: Share) -> Self {
        Self { jitter, ..self }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self::new(0, 0, Duration::ZERO, Duration::ZERO)
    }
}

/// The state of a [`Breaker`], for metrics and status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// A few trials pass.
    HalfOpen,
}

/// Leave to send one request. Settle it exactly once, with [`Breaker::on_success`],
/// [`Breaker::on_failure`] or [`Breaker::on_cancel`]: a trial that is never settled keeps its slot.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a permit that is not settled keeps its trial slot"]
pub struct Permit {
    /// `None` for one that no breaker gave.
    generation: Option<u64>,
}

impl Permit {
    /// Leave to send past a breaker that refuses, when nobody better is left (fail-open). Its outcome
    /// does not count: trials alone decide when the breaker closes.
    pub const fn uncounted() -> Self {
        Self { generation: None }
    }
}

/// The breaker refuses the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("circuit breaker open")]
pub struct CircuitOpen {
    /// When trials begin; `None` when they have begun and every slot is taken.
    pub until: Option<Instant>,
}

/// The circuit breaker of one upstream on one route.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Counts the changes of state: tells which state a permit belongs to.
    generation: u64,
    /// What the failure share is of; emptied when the breaker closes.
    window: Option<Rolling>,
    draws: Draws,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32, forget_at: Instant },
    Open { until: Instant },
    HalfOpen { outstanding: u32, succeeded: u32 },
}

impl Breaker {
    /// A closed breaker whose first interval begins `now`.
    #[must_use]
    pub fn new(settings: BreakerSettings, now: Instant) -> Self {
        Self {
            settings,
            state: closed(&settings, now),
            generation: 0,
            window: settings.failure_share.map(|rule| Rolling::new(rule.window, now)),
            draws: Draws::new(0),
        }
    }

    /// The same with random bits of its own for the jitter, so that no two breakers draw alike.
    #[must_use]
    pub const fn with_random(mut self, random: u64) -> Self {
        self.draws = Draws::new(random);
        self
    }

    /// Asks leave to send one request.
    ///
    /// # Errors
    /// [`CircuitOpen`] while open, or half-open with every trial slot taken.
    pub fn try_acquire(&mut self, now: Instant) -> Result<Permit, CircuitOpen> {
        self.advance(now);
        match &mut self.state {
            State::Closed { .. } => {}
            State::Open { until } => return Err(CircuitOpen { until: Some(*until) }),
            State::HalfOpen {
                outstanding,
                succeeded,
            } => {
                if outstanding.saturating_add(*succeeded) >= self.settings.max_requests {
                    return Err(CircuitOpen { until: None });
                }
                *outstanding += 1;
            }
        }
        Ok(Permit {
            generation: Some(self.generation),
        })
    }

    /// The request went well. Returns the new state if that changed it.
    pub fn on_success(&mut self, permit: Permit, now: Instant) -> Option<BreakerState> {
        match self.state_of(permit, now)? {
            State::Closed { failures, .. } => {
                *failures = 0;
                self.count(false, now);
            }
            State::Open { .. } => {}
            State::HalfOpen {
                outstanding,
                succeeded,
            } => {
                *outstanding = outstanding.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= self.settings.max_requests {
                    self.enter(closed(&self.settings, now));
                    if let Some(window) = &self.window {
                        window.clear();
                    }
                    return Some(BreakerState::Closed);
                }
            }
        }
        None
    }

    /// The request failed. Returns the new state if that changed it.
    pub fn on_failure(&mut self, permit: Permit, now: Instant) -> Option<BreakerState> {
        match self.state_of(permit, now)? {
            State::Closed { failures, .. } => {
                *failures += 1;
                let too_many_in_a_row = *failures >= self.settings.max_consecutive_failures;
                self.count(true, now);
                if !too_many_in_a_row && !self.too_many_in_the_window(now) {
                    return None;
                }
            }
            State::Open { .. } => return None,
            State::HalfOpen { .. } => {}
        }
        let stretch = 1.0 + self.settings.jitter.get() * self.draws.unit();
        self.enter(State::Open {
            until: now + self.settings.timeout.mul_f64(stretch),
        });
        Some(BreakerState::Open)
    }

    /// Counts one request for the failure share.
    fn count(&self, failed: bool, now: Instant) {
        if let Some(window) = &self.window {
            let counts = Counts {
                events: 1,
                special: failed.into(),
            };
            window.add(counts, now);
        }
    }

    fn too_many_in_the_window(&self, now: Instant) -> bool {
        let Some((window, rule)) = self.window.as_ref().zip(self.settings.failure_share) else {
            return false;
        };
        let Counts { events, special } = window.total(now);
        events >= rule.samples.into() && Share::of(special, events) >= rule.share
    }

    /// The request ended without telling anything about the upstream (the client left, say): its
    /// trial slot is free again and nothing is counted.
    pub fn on_cancel(&mut self, permit: Permit, now: Instant) {
        if let Some(State::HalfOpen { outstanding, .. }) = self.state_of(permit, now) {
            *outstanding = outstanding.saturating_sub(1);
        }
    }

    /// The state at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until } if now < until => BreakerState::Open,
            State::Open { .. } | State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether [`try_acquire`](Self::try_acquire) would give a permit at `now`; takes none.
    #[must_use]
    pub fn would_admit(&self, now: Instant) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Open { until } => now >= until,
            State::HalfOpen {
                outstanding,
                succeeded,
            } => outstanding.saturating_add(succeeded) < self.settings.max_requests,
        }
    }

    /// What it says to one more request at `now`; takes no permit.
    #[must_use]
    pub fn view(&self, now: Instant) -> BreakerView {
        match self.state {
            State::Open { until } if now < until => BreakerView::OpenUntil(until),
            _ if self.would_admit(now) => BreakerView::Willing,
            _ => BreakerView::Trying,
        }
    }

    /// Does what the passing of time alone does.
    fn advance(&mut self, now: Instant) {
        match self.state {
            // The same state goes on, so answers under way still count in the new interval.
            State::Closed { forget_at, .. } if now >= forget_at => self.state = closed(&self.settings, now),
            State::Open { until } if now >= until => self.enter(State::HalfOpen {
                outstanding: 0,
                succeeded: 0,
            }),
            State::Closed { .. } | State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
    }

    /// The present state, if it is the one that gave `permit`.
    fn state_of(&mut self, permit: Permit, now: Instant) -> Option<&mut State> {
        self.advance(now);
        (permit.generation == Some(self.generation)).then_some(&mut self.state)
    }
}

fn closed(settings: &BreakerSettings, now: Instant) -> State {
    State::Closed {
        failures: 0,
        forget_at: now + settings.interval,
    }
}

#[cfg(test)]
mod tests;
