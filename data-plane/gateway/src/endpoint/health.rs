//! Whether an upstream is healthy, by its probes and, where the route says so, by its traffic.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tyrscale_balance::{HealthState, HealthThresholds, HealthTicket, Transition};
use tyrscale_model::HealthCheck;

use super::findings::Findings;

/// What health checks have found.
#[derive(Debug)]
pub(super) struct Health {
    state: Mutex<HealthState>,
    /// What the state says, for the many who ask.
    is_good: AtomicBool,
    /// Whether it answered for another chain than it should when it was last asked.
    is_on_wrong_chain: AtomicBool,
    /// What the checks beside its health have found.
    pub(super) findings: Findings,
    /// How many requests a probe vouches for that has found it good since one failed there: none, some trials, or
    /// [`PROVEN`](Self::PROVEN).
    vouched: AtomicU8,
    /// Whether clients' requests count too.
    is_passive: bool,
}

impl Health {
    /// Requests that one good probe vouches for until one of them goes well: a node may answer probes and nothing else.
    const TRIALS: u8 = 10;
    /// One of them went well, and none has failed since.
    const PROVEN: u8 = u8::MAX;

    pub(super) fn new(policy: Option<&HealthCheck>) -> Self {
        let (unhealthy, healthy) = policy.map_or((0, 0), |policy| {
            (policy.unhealthy_threshold, policy.healthy_threshold)
        });
        Self {
            state: Mutex::new(HealthState::new(HealthThresholds::new(unhealthy, healthy))),
            is_good: AtomicBool::new(true),
            is_on_wrong_chain: AtomicBool::new(false),
            findings: Findings::default(),
            vouched: AtomicU8::new(0),
            // Only probes bring back who takes no traffic.
            is_passive: policy.is_some_and(|policy| policy.passive),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.is_good.load(Ordering::Relaxed)
    }

    pub(super) fn is_on_wrong_chain(&self) -> bool {
        self.is_on_wrong_chain.load(Ordering::Relaxed)
    }

    /// Notes on which chain it was found. Returns whether that is another finding than before.
    pub(super) fn set_on_wrong_chain(&self, is_wrong: bool) -> bool {
        self.is_on_wrong_chain.swap(is_wrong, Ordering::Relaxed) != is_wrong
    }

    /// Whether a probe has found it good since a request last failed there.
    pub(super) fn is_vouched(&self) -> bool {
        self.vouched.load(Ordering::Relaxed) > 0
    }

    /// Takes one of the requests that are vouched for; false when there is none left.
    pub(super) fn take_vouched(&self) -> bool {
        let take = |left: u8| match left {
            Self::PROVEN => Some(left),
            _ => left.checked_sub(1),
        };
        self.vouched
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// A request that was vouched for went well.
    pub(super) fn prove(&self) {
        self.vouched.store(Self::PROVEN, Ordering::Relaxed);
    }

    /// A request failed there.
    pub(super) fn doubt(&self) {
        self.vouched.store(0, Ordering::Relaxed);
    }

    /// Counts one probe.
    pub(super) fn observe_probe(&self, good: bool) -> Option<Transition> {
        if good {
            self.vouched.fetch_max(Self::TRIALS, Ordering::Relaxed);
        } else {
            self.doubt();
        }
        self.change(|state| state.observe(good))
    }

    /// A request begins; `None` when requests do not count.
    pub(super) fn begin(&self) -> Option<HealthTicket> {
        self.is_passive.then(|| self.lock().begin())
    }

    /// Counts a request.
    pub(super) fn observe_traffic(&self, ticket: HealthTicket, good: bool) -> Option<Transition> {
        self.change(|state| state.observe_traffic(ticket, good))
    }

    fn change(&self, observe: impl FnOnce(&mut HealthState) -> Option<Transition>) -> Option<Transition> {
        let mut state = self.lock();
        let transition = observe(&mut state);
        self.is_good.store(state.is_healthy(), Ordering::Relaxed);
        transition
    }

    fn lock(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(health: &Health) -> usize {
        (0..100).take_while(|_| health.take_vouched()).count()
    }

    #[test]
    fn a_good_probe_vouches_for_some_requests_and_the_first_that_goes_well_for_all() {
        let health = Health::new(None);
        assert_eq!(taken(&health), 0, "no probe has seen it");
        health.observe_probe(true);
        assert_eq!(taken(&health), 10);
        assert!(!health.is_vouched());
        health.observe_probe(true);
        assert!(health.take_vouched());
        health.prove();
        assert_eq!(taken(&health), 100);
        health.observe_probe(true);
        assert_eq!(
            taken(&health),
            100,
            "what is proven is not taken back by a good probe"
        );
        health.doubt();
        assert_eq!(taken(&health), 0);
        health.observe_probe(true);
        health.observe_probe(false);
        assert_eq!(taken(&health), 0);
    }
}
