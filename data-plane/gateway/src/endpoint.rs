//! One upstream of one route as it runs: its connections, breaker, health, load and counts.
//!
//! An endpoint outlives changes of the configuration that do not change what it is, so that neither a new
//! weight nor a new neighbour makes the gateway forget what it has learnt.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tyrscale_balance::{
    Bar, BreakerState, BreakerView, CircuitOpen, CoolDownTicket, Facts, HealthTicket, Latency, Permit,
    SlowStart, Transition,
};
use tyrscale_jsonrpc::Class;
use tyrscale_model::HealthCheck;

use crate::address::Address;
use crate::pool::{Pool, Transport};
use crate::queue::Queue;
use crate::subject::Subject;

mod admission;
mod allowance;
mod counts;
mod findings;
mod fuse;
mod health;
mod learnt;
mod spec;
#[cfg(test)]
mod tests;

pub(crate) use admission::{Admission, Entry};
pub(crate) use counts::{EndpointStats, Outcomes};
pub(crate) use findings::Finding;
pub(crate) use spec::{EndpointError, Spec};

use allowance::Allowance;
use fuse::Fuse;
use health::Health;
use learnt::Learnt;

/// One upstream of one route, as it runs.
pub(crate) struct Endpoint {
    spec: Spec,
    address: Address,
    pool: Arc<Pool>,
    fuse: Option<Arc<Fuse>>,
    health: Arc<Health>,
    learnt: Arc<Learnt>,
    allowance: Allowance,
    stats: Arc<EndpointStats>,
}

impl Endpoint {
    /// The endpoint of `spec`; `before` is the same upstream's until now, whose counts go on. If both lead to the same
    /// place, so do its connections and what has been learnt, by breaker and health checks as far as their rules are
    /// the same. Those in `queue` wait for its slots.
    ///
    /// # Errors
    /// [`EndpointError`] when nothing can be sent to it.
    pub(crate) fn new(
        spec: Spec,
        before: Option<&Self>,
        transport: &Transport,
        queue: &Arc<Queue>,
        now: Instant,
    ) -> Result<Self, EndpointError> {
        let same_place = before.filter(|known| known.spec.place() == spec.place());
        let pool = match same_place {
            Some(known) => Arc::clone(&known.pool),
            None => {
                let pool = transport.pool(&spec.url, spec.proxy.as_ref(), spec.protocol);
                Arc::new(pool.ok_or(EndpointError::Proxy)?)
            }
        };
        // With other headers, a key among them, it may answer otherwise.
        let same_asker = same_place.filter(|known| known.spec.headers == spec.headers);
        let same_breaker = same_asker.filter(|known| known.spec.breaker == spec.breaker);
        let fuse = match same_breaker {
            Some(known) => known.fuse.clone(),
            None => spec
                .breaker
                .as_ref()
                .map(|policy| Arc::new(Fuse::new(policy, now))),
        };
        let same_health = same_asker
            .filter(|known| known.spec.chain == spec.chain)
            .filter(|known| known.spec.verdict_rule() == spec.verdict_rule());
        Ok(Self {
            address: Address::new(&spec.url, &spec.headers).map_err(|_| EndpointError::Url)?,
            pool,
            fuse,
            learnt: same_asker.map_or_else(|| Arc::new(Learnt::new(now)), |known| Arc::clone(&known.learnt)),
            allowance: Allowance::new(
                spec.limits.as_ref(),
                queue,
                same_place.map(|known| &known.allowance),
                now,
            ),
            health: same_health.map_or_else(
                || Arc::new(Health::new(spec.health.as_ref())),
                |known| Arc::clone(&known.health),
            ),
            stats: before.map_or_else(Arc::default, |known| Arc::clone(&known.stats)),
            spec,
        })
    }

    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn stats(&self) -> &EndpointStats {
        &self.stats
    }

    /// Attempts that are not settled yet.
    pub(crate) fn in_flight(&self) -> u32 {
        self.stats.in_flight()
    }

    /// Whether it takes so many requests at once and no more.
    pub(crate) const fn has_slots(&self) -> bool {
        self.allowance.has_slots()
    }

    pub(crate) fn enter(&self) {
        self.stats.enter();
    }

    pub(crate) fn leave(&self) {
        self.stats.leave();
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.health.is_good() && !self.health.findings.speak_against(None, None)
    }

    /// What checks have found that it does wrong.
    pub(crate) fn findings(&self) -> impl Iterator<Item = Finding> {
        Finding::ALL
            .into_iter()
            .filter(|finding| self.health.findings.has(*finding))
    }

    /// Notes what a check has found. Returns whether it was otherwise before.
    pub(crate) fn note(&self, finding: Finding, is_so: bool) -> bool {
        self.health.findings.note(finding, is_so)
    }

    /// A request failed there: what probes have found before counts for less.
    pub(crate) fn doubt(&self) {
        self.health.doubt();
    }

    /// Counts one probe in the upstream's health.
    pub(crate) fn observe_probe(&self, good: bool) -> Option<Transition> {
        let transition = self.health.observe_probe(good);
        self.on_transition(transition)
    }

    fn on_transition(&self, transition: Option<Transition>) -> Option<Transition> {
        if transition == Some(Transition::BecameHealthy) {
            self.learnt.onset.begin(tokio::time::Instant::now().into_std());
        }
        transition
    }

    /// Whether it answers for another chain than that of its network, as far as is known.
    pub(crate) fn is_on_wrong_chain(&self) -> bool {
        self.health.is_on_wrong_chain()
    }

    /// Notes on which chain it was found. Returns whether that is another finding than before.
    pub(crate) fn set_on_wrong_chain(&self, is_wrong: bool) -> bool {
        self.health.set_on_wrong_chain(is_wrong)
    }

    /// The upstream reported that it has a block of this height.
    pub(crate) fn saw_head(&self, height: u64, now: Instant) {
        self.learnt.saw_head(height, now);
    }

    /// The height of its head, if it is known.
    pub(crate) fn head(&self) -> Option<u64> {
        self.learnt.head()
    }

    /// The height of its head and how long ago that was seen, if it is known.
    pub(crate) fn head_with_age(&self, now: Instant) -> Option<(u64, Duration)> {
        self.learnt.head_with_age(now)
    }

    /// It begins to take traffic beside others who have for a while.
    pub(crate) fn begin_slowly(&self, now: Instant) {
        self.learnt.onset.begin(now);
    }

    /// How fast it answers, as far as that is known.
    pub(crate) fn latency(&self, now: Instant) -> Option<Latency> {
        self.learnt.latency.latency(now)
    }

    /// What is known of it at `now`, as far as it decides whether it takes a question about `subject`; `None`: any. Its
    /// [latency](Self::latency) is not among it.
    pub(crate) fn facts(
        &self,
        subject: Option<&Subject<'_>>,
        slow_start: Option<&SlowStart>,
        now: Instant,
    ) -> Facts {
        let mut facts = Facts {
            healthy: self.health.is_good()
                && !self
                    .health
                    .findings
                    .speak_against(subject, self.spec.health.as_ref()),
            breaker: self
                .fuse
                .as_ref()
                .map_or(BreakerView::Willing, |fuse| match fuse.view(now) {
                    BreakerView::Willing => BreakerView::Willing,
                    refusing if self.health.is_vouched() => refusing.outdated(),
                    refusing => refusing,
                }),
            headroom: self.allowance.headroom(now),
            in_flight: self.in_flight(),
            ..Facts::default()
        };
        if let Some(slow_start) = slow_start {
            facts.ramp = self.learnt.onset.ramp(slow_start, now);
        }
        if self.is_on_wrong_chain() {
            facts.bar = Some(Bar::WrongChain);
        }
        if let (Some(filter), Some(subject)) = (&self.spec.methods, subject)
            && !subject.methods().iter().all(|method| filter.lets_through(method))
        {
            facts.bar = Some(Bar::MethodForbidden);
        }
        if self.spec.receipts_method.is_none() && subject.is_some_and(Subject::needs_receipts) {
            facts.bar = Some(Bar::MethodForbidden);
        }
        self.learnt.tell(&mut facts, subject, now);
        facts
    }

    /// Takes what one request costs; `None` when another one took it first.
    pub(crate) fn enter_with(self: &Arc<Self>, calls: usize, fail_open: bool, now: Instant) -> Option<Entry> {
        let held = self.allowance.take_slot()?;
        let admission = match self.admit(now) {
            Ok(admission) => admission,
            // Trials alone decide when the breaker closes.
            Err(_) if fail_open && self.health.take_vouched() => Admission {
                endpoint: Arc::clone(self),
                permit: Some(Permit::uncounted()),
                is_vouched: true,
            },
            Err(_) => return None,
        };
        self.allowance.take_calls(calls, now).then(|| Entry {
            admission,
            held,
            rests: self.learnt.begin(now),
            health: self.health.begin(),
        })
    }

    /// The upstream answered, after `latency`; with what was asked for, if it `served` it.
    pub(crate) fn learn_answer(
        &self,
        rests: Option<CoolDownTicket>,
        subject: &Subject<'_>,
        served: bool,
        latency: Duration,
        now: Instant,
    ) {
        self.learnt.latency.observe(latency, now);
        self.learnt.on_answer(rests, subject, served, now);
    }

    /// What the upstream's failure, or its word that it does not serve this, teaches about it.
    pub(crate) fn learn_failure(
        &self,
        rests: Option<CoolDownTicket>,
        class: Class,
        retry_after: Option<Duration>,
        subject: &Subject<'_>,
        now: Instant,
    ) {
        let is_probed = self.spec.chain.is_some()
            && self
                .spec
                .health
                .as_ref()
                .is_some_and(HealthCheck::checks_chain_id);
        // Who looks at its chain knows better.
        if class == Class::WrongChain && is_probed {
            return;
        }
        self.learnt.on_failure(rests, class, retry_after, subject, now);
    }

    /// An answer that did not come in time took at least that long.
    pub(crate) fn learn_latency(&self, latency: Duration, now: Instant) {
        self.learnt.latency.observe(latency, now);
    }

    /// Counts one request in the upstream's health.
    pub(crate) fn observe_traffic(&self, ticket: HealthTicket, good: bool) {
        let transition = self.on_transition(self.health.observe_traffic(ticket, good));
        if let Some(transition) = transition {
            let (route, upstream) = (self.spec.route_id, self.spec.upstream_id);
            tracing::warn!(route.id = %route, upstream.id = %upstream, ?transition, "requests changed the health of an upstream");
        }
    }

    /// The state of its breaker; one without a breaker is closed.
    pub(crate) fn breaker_state(&self, now: Instant) -> BreakerState {
        self.fuse
            .as_ref()
            .map_or(BreakerState::Closed, |fuse| fuse.state(now))
    }

    /// Asks its breaker for leave to send one request.
    ///
    /// # Errors
    /// [`CircuitOpen`] when the breaker refuses.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<Admission, CircuitOpen> {
        let permit = match &self.fuse {
            Some(fuse) => Some(fuse.try_acquire(now)?),
            None => None,
        };
        Ok(Admission {
            endpoint: Arc::clone(self),
            permit,
            is_vouched: false,
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("upstream", &self.spec.upstream_id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
