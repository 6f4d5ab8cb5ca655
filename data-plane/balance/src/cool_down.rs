//! Rests that an upstream asked for or earned: throttling, an unpaid bill, a refused key.
//!
//! An upstream that **throttles** us is left alone for what its `Retry-After` says, or for a
//! cool-down that doubles with each throttling up to a cap. Then it is on trial: one attempt at a
//! time (a lost one is made up for after a base cool-down), and after enough good ones in a row it is
//! fully back and its next cool-down is short again. Throttled on trial, it rests twice as long.
//!
//! A **bill** or a **key** does not mend itself in seconds: those rest for a fixed, longer time and
//! then go on trial too.
//!
//! An answer counts only in the state it began in, as with the breaker's generations: what was sent
//! before the rest neither lengthens it nor counts as a trial.

use std::time::{Duration, Instant};

use crate::facts::Obstacle;

/// Why an upstream rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExclusionCause {
    /// It said that we ask too much (429 and its relatives).
    Throttled,
    /// It said that the plan is used up or not paid (402 and its relatives).
    Billing,
    /// It refused the key (401, 403 and their relatives).
    Unauthorised,
}

/// A rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusion {
    /// Why.
    pub cause: ExclusionCause,
    /// Until when, or until when at the latest the next trial begins.
    pub until: Instant,
}

impl Exclusion {
    pub(crate) const fn obstacle(self) -> Obstacle {
        match self.cause {
            ExclusionCause::Throttled => Obstacle::Throttled { until: self.until },
            ExclusionCause::Billing | ExclusionCause::Unauthorised => Obstacle::Excluded(self),
        }
    }
}

/// How long upstreams rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDownSettings {
    /// The first rest of an upstream that throttles without saying how long.
    pub base: Duration,
    /// The longest rest for throttling, whatever it says.
    pub cap: Duration,
    /// The rest for an unpaid bill or a refused key.
    pub account: Duration,
    /// How many good trials in a row bring it back; at least 1.
    pub good_trials: u32,
}

impl Default for CoolDownSettings {
    /// 1 s doubling up to 60 s, 10 minutes for bills and keys, back after 3 good trials.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            account: Duration::from_secs(600),
            good_trials: 3,
        }
    }
}

/// The rests of one upstream.
#[derive(Debug, Clone)]
pub struct CoolDown {
    settings: CoolDownSettings,
    state: State,
    /// How often the cool-down has doubled.
    doublings: u32,
    /// Counts the changes of state: tells which one an attempt began in.
    generation: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Serving,
    Resting(Exclusion),
    OnTrial {
        cause: ExclusionCause,
        good_in_a_row: u32,
        next_trial: Instant,
    },
}

/// Tells which state of the [`CoolDown`] an attempt began in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoolDownTicket {
    generation: u64,
}

impl CoolDown {
    /// An upstream that serves.
    #[must_use]
    pub const fn new(settings: CoolDownSettings) -> Self {
        Self {
            settings,
            state: State::Serving,
            doublings: 0,
            generation: 0,
        }
    }

    /// What keeps the upstream from taking a request at `now`; `None` when nothing does.
    #[must_use]
    pub fn exclusion(&self, now: Instant) -> Option<Exclusion> {
        match self.state {
            State::Resting(rest) if now < rest.until => Some(rest),
            State::OnTrial {
                cause, next_trial, ..
            } if now < next_trial => Some(Exclusion {
                cause,
                until: next_trial,
            }),
            State::Serving | State::Resting(_) | State::OnTrial { .. } => None,
        }
    }

    /// An attempt begins, also one that is sent in spite of an exclusion. Give the ticket back with
    /// its outcome; one that tells nothing (the client left) is just dropped.
    pub fn begin(&mut self, now: Instant) -> CoolDownTicket {
        let again = now + self.settings.base;
        match &mut self.state {
            State::Resting(rest) if now >= rest.until => {
                let cause = rest.cause;
                self.enter(State::OnTrial {
                    cause,
                    good_in_a_row: 0,
                    next_trial: again,
                });
            }
            State::OnTrial { next_trial, .. } if now >= *next_trial => *next_trial = again,
            State::Serving | State::Resting(_) | State::OnTrial { .. } => {}
        }
        CoolDownTicket {
            generation: self.generation,
        }
    }

    /// The attempt went well. Returns whether that brought the upstream back.
    pub fn on_good(&mut self, ticket: CoolDownTicket, now: Instant) -> bool {
        if ticket.generation != self.generation {
            return false;
        }
        if let State::OnTrial {
            good_in_a_row,
            next_trial,
            ..
        } = &mut self.state
        {
            *good_in_a_row += 1;
            *next_trial = now;
            if *good_in_a_row >= self.settings.good_trials {
                self.doublings = 0;
                self.enter(State::Serving);
                return true;
            }
        }
        false
    }

    /// The attempt failed in another way: a trial begins its row again.
    pub const fn on_bad(&mut self, ticket: CoolDownTicket) {
        if let State::OnTrial { good_in_a_row, .. } = &mut self.state
            && ticket.generation == self.generation
        {
            *good_in_a_row = 0;
        }
    }

    /// The upstream asks for a rest, or earned one. `retry_after` is what it asks for, which counts
    /// only for throttling.
    pub fn on_excluded(
        &mut self,
        ticket: CoolDownTicket,
        cause: ExclusionCause,
        retry_after: Option<Duration>,
        now: Instant,
    ) {
        if ticket.generation != self.generation {
            self.lengthen(retry_after, now);
            return;
        }
        let rest = match cause {
            ExclusionCause::Billing | ExclusionCause::Unauthorised => self.settings.account,
            ExclusionCause::Throttled => {
                let factor = 2_u32.saturating_pow(self.doublings);
                let own = self.settings.base.saturating_mul(factor).min(self.settings.cap);
                self.doublings = (self.doublings + 1).min(31);
                retry_after.map_or(own, |asked| asked.clamp(self.settings.base, self.settings.cap))
            }
        };
        self.enter(State::Resting(Exclusion {
            cause,
            until: now + rest,
        }));
    }

    /// One of a burst says again what is known: only a later end is news.
    fn lengthen(&mut self, retry_after: Option<Duration>, now: Instant) {
        let asked = now + retry_after.unwrap_or(Duration::ZERO).min(self.settings.cap);
        if let State::Resting(rest) = &mut self.state {
            rest.until = rest.until.max(asked);
        }
    }

    const fn enter(&mut self, state: State) {
        self.state = state;
        self.generation = self.generation.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests;
