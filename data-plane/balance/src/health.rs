//! Health: from the answers of probes to whether an upstream takes traffic.
//!
//! A route probes its upstreams in rounds. Each probe ends in a [`ProbeOutcome`]; [`judge_probe`]
//! says what that means for the circuit breaker and for the upstream's [`HealthState`], which leaves
//! and returns only after several answers in a row, so that one lost probe or one late block does
//! not move traffic.
//!
//! Traffic can speak too ([`HealthState::observe_traffic`]). The rule: an answer or a failure counts
//! as one probe if it belongs to the standing that it ends in. So failing requests take an upstream
//! out before the next probe, one failure among good answers does nothing, and an answer to a request
//! from before it left cannot bring it back. An upstream that is out gets no traffic, so only probes
//! (or requests sent for want of a better one) bring it back: do not feed traffic to the health of an
//! upstream that nobody probes; its circuit breaker counts failures and tries again by itself.

use crate::breaker::CircuitOpen;

/// How many probes in a row it takes to change an upstream's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthThresholds {
    unhealthy: u32,
    healthy: u32,
}

impl HealthThresholds {
    /// `unhealthy` bad probes in a row to leave, `healthy` good ones to return; 0 stands for the
    /// default of 2.
    #[must_use]
    pub const fn new(unhealthy: u32, healthy: u32) -> Self {
        Self {
            unhealthy: if unhealthy == 0 { 2 } else { unhealthy },
            healthy: if healthy == 0 { 2 } else { healthy },
        }
    }
}

/// A change of an upstream's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// It takes traffic again.
    BecameHealthy,
    /// It takes no more traffic.
    BecameUnhealthy,
}

/// The health of one upstream on one route; healthy until probes say otherwise.
#[derive(Debug, Clone)]
pub struct HealthState {
    thresholds: HealthThresholds,
    standing: Standing,
    /// Counts the transitions: tells which standing a request began in.
    generation: u64,
}

/// Tells which standing of a [`HealthState`] a request began in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthTicket {
    generation: u64,
}

#[derive(Debug, Clone, Copy)]
enum Standing {
    Healthy { bad_in_a_row: u32 },
    Unhealthy { good_in_a_row: u32 },
}

impl HealthState {
    /// A healthy upstream that no probe has judged yet.
    #[must_use]
    pub const fn new(thresholds: HealthThresholds) -> Self {
        Self {
            thresholds,
            standing: Standing::Healthy { bad_in_a_row: 0 },
            generation: 0,
        }
    }

    /// Whether the upstream takes traffic.
    #[must_use]
    pub const fn is_healthy(&self) -> bool {
        matches!(self.standing, Standing::Healthy { .. })
    }

    /// A request begins; give the ticket back with its outcome.
    #[must_use]
    pub const fn begin(&self) -> HealthTicket {
        HealthTicket {
            generation: self.generation,
        }
    }

    /// Counts one request like a probe, if the upstream is still in the standing in which the request
    /// began. Tell only what the upstream is to answer for. Returns the change it made, if any.
    pub fn observe_traffic(&mut self, ticket: HealthTicket, good: bool) -> Option<Transition> {
        if ticket.generation == self.generation {
            self.observe(good)
        } else {
            None
        }
    }

    /// Counts one probe. Returns the change it made, if any.
    pub fn observe(&mut self, probe_ok: bool) -> Option<Transition> {
        let transition = self.count(probe_ok);
        if transition.is_some() {
            self.generation = self.generation.wrapping_add(1);
        }
        transition
    }

    fn count(&mut self, probe_ok: bool) -> Option<Transition> {
        match (&mut self.standing, probe_ok) {
            (Standing::Healthy { bad_in_a_row: run }, true)
            | (Standing::Unhealthy { good_in_a_row: run }, false) => {
                *run = 0;
                None
            }
            (Standing::Healthy { bad_in_a_row }, false) => {
                *bad_in_a_row += 1;
                (*bad_in_a_row >= self.thresholds.unhealthy).then(|| {
                    self.standing = Standing::Unhealthy { good_in_a_row: 0 };
                    Transition::BecameUnhealthy
                })
            }
            (Standing::Unhealthy { good_in_a_row }, true) => {
                *good_in_a_row += 1;
                (*good_in_a_row >= self.thresholds.healthy).then(|| {
                    self.standing = Standing::Healthy { bad_in_a_row: 0 };
                    Transition::BecameHealthy
                })
            }
        }
    }
}

/// What a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthCheckType {
    /// `eth_blockNumber`, compared within the round.
    EthBlockNumber,
    /// `eth_syncing`, good when it answers false.
    EthSyncing,
    /// An HTTP request of the user's, good when it answers the given status.
    Custom,
}

/// How one probe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// It was not sent: the circuit breaker refused it.
    Refused(CircuitOpen),
    /// No answer, or one that is not good.
    Failed,
    /// Answered well, but behind the other upstreams ([`is_level`](crate::is_level)).
    Behind,
    /// Answered well.
    Passed,
}

/// How a probe settles its breaker permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Counts as a success.
    Success,
    /// Counts as a failure.
    Failure,
}

/// What one probe means for its upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// How to settle the permit the probe took; `None` when it took none.
    pub breaker: Option<Verdict>,
    /// What to tell [`HealthState::observe`]; `None` when the probe says nothing about health.
    pub health: Option<bool>,
}

/// Judges one probe.
///
/// On its own a health check decides health and leaves the breaker alone. `combined` with the
/// circuit breaker, a probe takes a permit like any request: an open breaker is bad health without a
/// probe, and the answer counts in the breaker. A failed `eth_syncing` or custom probe then leaves it
/// to the breaker to take the upstream out, while `eth_blockNumber` also speaks for itself. Being
/// behind is a fault of the chain's view, not of the endpoint: the breaker counts a success.
#[must_use]
pub const fn judge_probe(check: HealthCheckType, combined: bool, outcome: ProbeOutcome) -> Judgement {
    let breaker = match outcome {
        ProbeOutcome::Failed => Some(Verdict::Failure),
        ProbeOutcome::Behind | ProbeOutcome::Passed => Some(Verdict::Success),
        ProbeOutcome::Refused(_) => None,
    };
    let health = match outcome {
        ProbeOutcome::Passed => Some(true),
        ProbeOutcome::Behind | ProbeOutcome::Refused(CircuitOpen { until: Some(_) }) => Some(false),
        // Half-open and every trial under way: those will tell.
        ProbeOutcome::Refused(CircuitOpen { until: None }) => None,
        ProbeOutcome::Failed => match check {
            HealthCheckType::EthSyncing | HealthCheckType::Custom if combined => None,
            HealthCheckType::EthBlockNumber | HealthCheckType::EthSyncing | HealthCheckType::Custom => {
                Some(false)
            }
        },
    };
    Judgement {
        breaker: if combined { breaker } else { None },
        health,
    }
}

#[cfg(test)]
mod tests;
