//! What one route makes of one question to its upstreams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tyrscale_balance::{
    CircuitOpen, HealthCheckType as CheckType, ProbeOutcome, Transition, Verdict, corroborated, is_level,
    judge_probe,
};
use tyrscale_jsonrpc::Tag;
use tyrscale_model::{ChainId, HealthCheck, HealthCheckType};

use super::checks::Check;
use super::failure::Failure;
use super::prober::{Observation, Place};
use super::question::{Question, Seen};
use crate::endpoint::{Admission, Endpoint};
use crate::heads::{Heads, Sample, Trust};
use crate::route::Route;

/// How often heads are looked at on a route without a health check, and how long an answer may take.
const USUAL_INTERVAL: Duration = Duration::from_secs(5);
/// `safe` and `finalized` move with many blocks at once: they are looked at that much more rarely.
const RARER: u32 = 4;
/// What a node does wrong it does for long: it is asked for that once in so many intervals.
const CHECKED_RARER: u32 = 12;

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
    question: Question,
    interval: Duration,
    timeout: Duration,
    /// What decides about the health of upstreams; `None` when the answers are only for the heads.
    rule: Option<Rule>,
    /// What else the answers decide about.
    check: Option<Check>,
    checks_chain: bool,
    trust: Trust,
    heads: Arc<Heads>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Which of them take requests; what the others say counts for nobody else.
    in_use: Vec<bool>,
    /// The height of each at its last probe; `None` when that gave none.
    samples: Mutex<Vec<Option<Sample>>>,
}

/// How answers decide about health.
#[derive(Debug, PartialEq)]
struct Rule {
    check: CheckType,
    /// Whether probes pass through the circuit breakers.
    combined: bool,
    tolerance: u64,
}

impl Watch {
    /// All that is to be watched of a route, going on from what was seen `before`.
    pub(super) fn all_of(route: &Route, before: &[Arc<Self>]) -> Vec<Self> {
        let mut all = Vec::new();
        if let Some(policy) = &route.health
            && let Some((question, rule)) = rule(policy, route)
        {
            all.push(Self::new(route, question, Some(rule), 1));
        }
        if route.consistency.rewrite_block_tags {
            if all.iter().all(|watch| watch.question != Question::BlockNumber) {
                all.push(Self::new(route, Question::BlockNumber, None, 1));
            }
            for tag in [Tag::Safe, Tag::Finalized] {
                all.push(Self::new(route, Question::Height(tag), None, RARER));
            }
        }
        for check in route.health.iter().flat_map(Check::all_of) {
            let watch = Self::new(route, check.question.clone(), None, CHECKED_RARER);
            all.push(Self {
                check: Some(check),
                ..watch
            });
        }
        // One prober's word on the chain is enough, and two might differ for a while.
        all.iter_mut()
            .skip(1)
            .for_each(|watch| watch.checks_chain = false);
        for watch in &mut all {
            if let Some(before) = before.iter().find(|before| before.question == watch.question) {
                watch.carry(before);
            }
        }
        all
    }

    fn new(route: &Route, question: Question, rule: Option<Rule>, rarer: u32) -> Self {
        let policy = route.health.as_ref();
        let millis = |value: u32| Duration::from_millis(value.into());
        Self {
            question,
            interval: policy.map_or(USUAL_INTERVAL, |policy| millis(policy.interval_ms)) * rarer,
            timeout: policy.map_or(USUAL_INTERVAL, |policy| millis(policy.timeout_ms)),
            rule,
            check: None,
            checks_chain: policy.is_none_or(HealthCheck::checks_chain_id),
            trust: route.trust(),
            heads: Arc::clone(&route.heads),
            endpoints: route.endpoints().to_vec(),
            in_use: route.in_use().to_vec(),
            samples: Mutex::new(vec![None; route.endpoints().len()]),
        }
    }

    /// Takes over what was seen of the upstreams that both have.
    fn carry(&mut self, before: &Self) {
        let known = before.samples().clone();
        let carried = |endpoint: &Arc<Endpoint>| {
            let at = before.endpoints.iter().position(|it| Arc::ptr_eq(it, endpoint))?;
            known.get(at).copied().flatten()
        };
        self.samples = Mutex::new(self.endpoints.iter().map(carried).collect());
    }

    /// Whether it watches just as another one would.
    pub(super) fn is_like(&self, wanted: &Self) -> bool {
        self.question == wanted.question
            && self.interval == wanted.interval
            && self.timeout == wanted.timeout
            && self.rule == wanted.rule
            && self.check == wanted.check
            && self.checks_chain == wanted.checks_chain
            && self.trust == wanted.trust
            && self.in_use == wanted.in_use
            && self.endpoints.len() == wanted.endpoints.len()
            && self
                .endpoints
                .iter()
                .zip(&wanted.endpoints)
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
                timeout: self.timeout,
            };
            (position, place)
        })
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) const fn max_jump(&self) -> u64 {
        self.trust.max_jump
    }

    pub(super) fn endpoint(&self, position: usize) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(position)
    }

    /// The chain that an upstream must be on, if it is to be asked.
    pub(super) fn chain_of(&self, position: usize) -> Option<u64> {
        let chain = self.endpoint(position)?.spec().chain?;
        self.checks_chain.then(|| chain.get())
    }

    /// Asks the upstream's breaker for leave to probe it, if it has a say; `None` when it refuses, which is judged
    /// at once.
    pub(super) fn leave(&self, position: usize) -> Option<Leave> {
        let Some(rule) = self.rule.as_ref().filter(|rule| rule.combined) else {
            return Some(Leave::NotNeeded);
        };
        let endpoint = self.endpoint(position)?;
        match endpoint.admit(Instant::now().into_std()) {
            Ok(admission) => Some(Leave::Given(admission)),
            Err(open) => {
                refused(rule, endpoint, open);
                None
            }
        }
    }

    /// Judges what was seen before the route wanted to know: without the breaker, which gave no leave.
    pub(super) fn replay(&self, position: usize, observation: &Observation) {
        if self.rule.as_ref().is_none_or(|rule| !rule.combined) {
            self.judge(position, observation, Leave::NotNeeded);
        }
    }

    /// Judges what was seen of one upstream.
    pub(super) fn judge(&self, position: usize, observation: &Observation, leave: Leave) {
        let Some(endpoint) = self.endpoint(position) else {
            return;
        };
        if !self.is_on_its_chain(position, endpoint, observation) {
            self.reached(position, None);
            endpoint.stats().probe_failures.add(Failure::WrongChain);
            return;
        }
        if let Some(check) = &self.check {
            check.settle(endpoint, observation);
            return;
        }
        let outcome = match observation.seen {
            Ok(Seen::Good | Seen::Silent) => Ok(()),
            Ok(Seen::Number(height)) => self.look(position, endpoint, height),
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
        // One that is too far ahead to be believed is neither good nor bad.
        if let Some(rule) = &self.rule
            && outcome != Err(Failure::Ahead)
        {
            settle(rule, endpoint, outcome, leave);
        }
    }

    fn is_on_its_chain(&self, position: usize, endpoint: &Endpoint, observation: &Observation) -> bool {
        let Some(wanted) = self.chain_of(position) else {
            return !endpoint.is_on_wrong_chain();
        };
        let is_right = observation.chain.is_none_or(|chain| chain == wanted);
        if endpoint.set_on_wrong_chain(!is_right) {
            tell_chain(endpoint, observation.chain, is_right);
        }
        is_right
    }

    /// Takes in the height of an upstream.
    ///
    /// # Errors
    /// That it is behind the others by more than is tolerated, compared with what they said last: they may have moved on
    /// since, so that it is never behind only for having been asked later. Or ahead of them by more than is believed.
    fn look(&self, position: usize, endpoint: &Endpoint, height: u64) -> Result<(), Failure> {
        let samples = self.reached(position, Some((height, Instant::now().into_std())));
        if let Question::Height(_) = self.question {
            return Ok(());
        }
        if !self.heads.believes(height, self.trust) {
            return Err(Failure::Ahead);
        }
        endpoint.saw_head(height, Instant::now().into_std());
        let Some(rule) = &self.rule else {
            return Ok(());
        };
        let believed = |sample: &Option<Sample>| {
            let height = sample.map(|(height, _)| height);
            height.filter(|height| self.heads.believes(*height, self.trust))
        };
        let heights: Vec<Option<u64>> = self.in_use(&samples).map(believed).collect();
        if is_level(height, corroborated(&heights), rule.tolerance) {
            Ok(())
        } else {
            Err(Failure::Behind)
        }
    }

    /// What is noted of those that take requests.
    fn in_use<'s, T>(&'s self, of_each: &'s [T]) -> impl Iterator<Item = &'s T> {
        let each = of_each.iter().zip(&self.in_use);
        each.filter_map(|(of_one, in_use)| in_use.then_some(of_one))
    }

    /// Notes the height of an upstream and shows it to the heads. Returns those of all.
    fn reached(&self, position: usize, sample: Option<Sample>) -> Vec<Option<Sample>> {
        let mut samples = self.samples();
        if let Some(known) = samples.get_mut(position) {
            *known = sample;
        }
        let all = samples.clone();
        drop(samples);
        let tag = match self.question {
            Question::BlockNumber => Tag::Latest,
            Question::Height(tag) => tag,
            _ => return all,
        };
        let serving: Vec<Option<Sample>> = self
            .in_use(&all)
            .zip(self.in_use(&self.endpoints))
            .filter(|(_, endpoint)| endpoint.is_healthy() && !endpoint.is_on_wrong_chain())
            .map(|(sample, _)| *sample)
            .collect();
        let lasts = self.interval * 3 + self.timeout;
        let now = Instant::now().into_std();
        self.heads.look(tag, &serving, self.trust, lasts, now);
        all
    }

    fn samples(&self) -> MutexGuard<'_, Vec<Option<Sample>>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The question of a health check, and how its answers decide.
fn rule(policy: &HealthCheck, route: &Route) -> Option<(Question, Rule)> {
    let (check, question) = match policy.check? {
        HealthCheckType::EthBlockNumber => (CheckType::EthBlockNumber, Question::BlockNumber),
        HealthCheckType::EthSyncing => (CheckType::EthSyncing, Question::Syncing),
        HealthCheckType::Custom => (CheckType::Custom, Question::Custom(policy.request.clone()?)),
    };
    let has_breaker = route.endpoints().first()?.spec().breaker.is_some();
    let tolerance = policy.tolerance_blocks;
    let rule = Rule {
        check,
        combined: policy.combined_with_circuit_breaker && has_breaker,
        tolerance: tolerance.unwrap_or(HealthCheck::DEFAULT_TOLERANCE_BLOCKS).into(),
    };
    Some((question, rule))
}

fn refused(rule: &Rule, endpoint: &Endpoint, open: CircuitOpen) {
    let judgement = judge_probe(rule.check, rule.combined, ProbeOutcome::Refused(open));
    if let Some(good) = judgement.health {
        observe(endpoint, good, "circuit_open");
    }
}

fn settle(rule: &Rule, endpoint: &Endpoint, outcome: Result<(), Failure>, leave: Leave) {
    let judged = match outcome {
        Ok(()) => ProbeOutcome::Passed,
        Err(Failure::Behind) => ProbeOutcome::Behind,
        Err(_) => ProbeOutcome::Failed,
    };
    let judgement = judge_probe(rule.check, rule.combined, judged);
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
