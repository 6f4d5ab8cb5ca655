//! What one route makes of the probes of its upstreams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tyrscale_balance::{
    CircuitOpen, HealthCheckType as Check, ProbeOutcome, Transition, Verdict, judge_heights, judge_probe,
};
use tyrscale_model::{ChainId, HealthCheck, HealthCheckType};

use super::failure::Failure;
use super::prober::{Observation, Place};
use super::question::{Question, Seen};
use crate::endpoint::{Admission, Endpoint};
use crate::route::Route;

/// Leave to probe an upstream.
#[derive(Debug)]
pub(super) enum Leave {
    /// The breaker has no say.
    NotNeeded,
    Given(Admission),
}

/// The rules and the upstreams of one route, and what was seen of them last.
#[derive(Debug)]
pub(super) struct Watch {
    policy: HealthCheck,
    check: Check,
    question: Question,
    /// Whether probes pass through the circuit breakers.
    combined: bool,
    /// Blocks by which an upstream may be ahead of where it was and be believed unasked.
    max_jump: u64,
    endpoints: Vec<Arc<Endpoint>>,
    /// The height of each at its last probe; `None` when that gave none.
    heights: Mutex<Vec<Option<u64>>>,
}

impl Watch {
    /// What is to be watched of a route, going on from what was seen `before`; `None` when nothing is.
    pub(super) fn new(route: &Route, before: Option<&Self>) -> Option<Self> {
        let policy = route.health.clone()?;
        let first = route.endpoints().first()?;
        let (check, question) = match policy.check? {
            HealthCheckType::EthBlockNumber => (Check::EthBlockNumber, Question::BlockNumber),
            HealthCheckType::EthSyncing => (Check::EthSyncing, Question::Syncing),
            HealthCheckType::Custom => (Check::Custom, Question::Custom(policy.request.clone()?)),
        };
        let carried = |endpoint: &Arc<Endpoint>| {
            let before = before.filter(|before| before.question == question)?;
            let at = before.endpoints.iter().position(|it| Arc::ptr_eq(it, endpoint))?;
            before.heights().get(at).copied().flatten()
        };
        let heights = route.endpoints().iter().map(carried).collect();
        Some(Self {
            check,
            question,
            combined: policy.combined_with_circuit_breaker && first.spec().breaker.is_some(),
            max_jump: route.consistency.max_height_jump(),
            endpoints: route.endpoints().to_vec(),
            heights: Mutex::new(heights),
            policy,
        })
    }

    /// Whether it watches just what `route` asks for.
    pub(super) fn is_of(&self, route: &Route) -> bool {
        let endpoints = route.endpoints();
        Some(&self.policy) == route.health.as_ref()
            && self.max_jump == route.consistency.max_height_jump()
            && self.endpoints.len() == endpoints.len()
            && self
                .endpoints
                .iter()
                .zip(endpoints)
                .all(|(watched, asked)| Arc::ptr_eq(watched, asked))
    }

    /// Whether it watches the same upstream, asking the same, as `other` at `position`.
    pub(super) fn knows(&self, other: &Self, position: usize) -> bool {
        let endpoint = other.endpoint(position);
        self.question == other.question
            && endpoint.is_some_and(|asked| self.endpoints.iter().any(|it| Arc::ptr_eq(it, asked)))
    }

    /// What it wants asked, with the position of the upstream that it is about.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, Place)> {
        self.endpoints.iter().enumerate().map(|(position, endpoint)| {
            let spec = endpoint.spec();
            let place = Place {
                url: spec.url.clone(),
                proxy: spec.proxy.clone(),
                protocol: spec.protocol,
                headers: spec.headers.clone(),
                question: self.question.clone(),
                timeout: Duration::from_millis(self.policy.timeout_ms.into()),
            };
            (position, place)
        })
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.policy.interval_ms.into())
    }

    pub(super) const fn max_jump(&self) -> u64 {
        self.max_jump
    }

    pub(super) fn endpoint(&self, position: usize) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(position)
    }

    /// The chain that an upstream must be on, if it is to be asked.
    pub(super) fn chain_of(&self, position: usize) -> Option<u64> {
        let chain = self.endpoint(position)?.spec().chain?;
        self.policy.checks_chain_id().then(|| chain.get())
    }

    /// Asks the upstream's breaker for leave to probe it, if it has a say; `None` when it refuses, which is judged
    /// at once.
    pub(super) fn leave(&self, position: usize) -> Option<Leave> {
        if !self.combined {
            return Some(Leave::NotNeeded);
        }
        let endpoint = self.endpoint(position)?;
        match endpoint.admit(Instant::now().into_std()) {
            Ok(admission) => Some(Leave::Given(admission)),
            Err(open) => {
                self.refused(endpoint, open);
                None
            }
        }
    }

    fn refused(&self, endpoint: &Endpoint, open: CircuitOpen) {
        let judgement = judge_probe(self.check, self.combined, ProbeOutcome::Refused(open));
        if let Some(good) = judgement.health {
            observe(endpoint, good, "circuit_open");
        }
    }

    /// Judges what was seen before the route wanted to know: without the breaker, which gave no leave.
    pub(super) fn replay(&self, position: usize, observation: &Observation) {
        if !self.combined {
            self.judge(position, observation, Leave::NotNeeded);
        }
    }

    /// Judges what was seen of one upstream.
    pub(super) fn judge(&self, position: usize, observation: &Observation, leave: Leave) {
        let Some(endpoint) = self.endpoint(position) else {
            return;
        };
        let wanted = self.chain_of(position);
        let is_right = observation
            .chain
            .zip(wanted)
            .is_none_or(|(chain, wanted)| chain == wanted);
        if endpoint.set_on_wrong_chain(!is_right) {
            tell_chain(endpoint, observation.chain, is_right);
        }
        if !is_right {
            self.reached(position, None);
            endpoint.stats().probe_failures.add(Failure::WrongChain);
            return;
        }
        let outcome = match observation.seen {
            Ok(Seen::Good) => Ok(()),
            Ok(Seen::Number(height)) if self.is_level(position, height) => Ok(()),
            Ok(Seen::Number(_)) => Err(Failure::Behind),
            Ok(Seen::Nothing(failure)) | Err(failure @ Failure::RateLimited) => {
                endpoint.stats().probe_failures.add(failure);
                return;
            }
            Err(failure) => {
                self.reached(position, None);
                Err(failure)
            }
        };
        if let Err(failure) = outcome {
            endpoint.stats().probe_failures.add(failure);
        }
        self.settle(endpoint, outcome, leave);
    }

    fn settle(&self, endpoint: &Endpoint, outcome: Result<(), Failure>, leave: Leave) {
        let judged = match outcome {
            Ok(()) => ProbeOutcome::Passed,
            Err(Failure::Behind) => ProbeOutcome::Behind,
            Err(_) => ProbeOutcome::Failed,
        };
        let judgement = judge_probe(self.check, self.combined, judged);
        let now = Instant::now().into_std();
        if let Leave::Given(admission) = leave {
            match judgement.breaker {
                Some(Verdict::Success) => admission.succeeded(now),
                Some(Verdict::Failure) => admission.failed(now),
                None => drop(admission),
            }
        }
        if let Some(good) = judgement.health {
            observe(endpoint, good, outcome.err().map_or("", Failure::name));
        }
    }

    /// Whether an upstream that is at this height is so within what the route tolerates, compared with what the
    /// others said last: they may have moved on since, so that it is never behind only for having been asked later.
    fn is_level(&self, position: usize, height: u64) -> bool {
        let heights = self.reached(position, Some(height));
        let tolerance = self
            .policy
            .tolerance_blocks
            .unwrap_or(HealthCheck::DEFAULT_TOLERANCE_BLOCKS);
        let level = judge_heights(&heights, tolerance.into());
        level.get(position).copied().unwrap_or_default()
    }

    /// Notes the height of an upstream. Returns those of all.
    fn reached(&self, position: usize, height: Option<u64>) -> Vec<Option<u64>> {
        let mut heights = self.heights();
        if let Some(known) = heights.get_mut(position) {
            *known = height;
        }
        heights.clone()
    }

    fn heights(&self) -> MutexGuard<'_, Vec<Option<u64>>> {
        self.heights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell_chain(endpoint: &Endpoint, chain: Option<u64>, is_right: bool) {
    let (route, upstream) = (endpoint.spec().route_id, endpoint.spec().upstream_id);
    if is_right {
        tracing::info!(route.id = %route, upstream.id = %upstream, "upstream is on its chain again");
    } else {
        let wanted = endpoint.spec().chain.map(ChainId::get);
        tracing::error!(route.id = %route, upstream.id = %upstream, chain, wanted, "upstream is on another chain");
    }
}

fn observe(endpoint: &Endpoint, good: bool, reason: &str) {
    let (route, upstream) = (endpoint.spec().route_id, endpoint.spec().upstream_id);
    match endpoint.observe_probe(good) {
        Some(Transition::BecameUnhealthy) => {
            tracing::warn!(route.id = %route, upstream.id = %upstream, reason, "upstream became unhealthy");
        }
        Some(Transition::BecameHealthy) => {
            tracing::info!(route.id = %route, upstream.id = %upstream, "upstream became healthy");
        }
        None => {}
    }
}
