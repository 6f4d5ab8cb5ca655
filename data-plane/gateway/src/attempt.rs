//! One attempt at an upstream, settled exactly once on every way out.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tyrscale_balance::{CoolDownTicket, HealthTicket};
use tyrscale_jsonrpc::{Blame, Class};

use crate::endpoint::{Admission, Endpoint, Entry};
use crate::queue::Held;
use crate::subject::Subject;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The upstream answered, with a result or an error of the request's own.
    Answered,
    /// It gave no answer to pass on.
    Faulted(Class),
    /// The same, but that may be the client's own doing, who must not be able to close an upstream to the others.
    Doubtful(Class),
}

/// One request at one upstream: counts in its load from the pick until it is settled.
///
/// Dropped unsettled, it was cancelled: that says nothing about the upstream, so it counts neither as a
/// success nor as a failure, and gives back its place at the breaker.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// `None` once the breaker was told.
    admission: Option<Admission>,
    /// `None` once told, and when there is nothing to tell.
    rests: Option<CoolDownTicket>,
    /// `None` once told, and when requests do not count.
    health: Option<HealthTicket>,
    endpoint: Arc<Endpoint>,
    started: Instant,
    /// Given back last, when nothing is in flight any more.
    _held: Held,
}

impl Attempt {
    /// Begins at the endpoint that it has entered.
    pub(crate) fn begin(entry: Entry, started: Instant) -> Self {
        let Entry {
            admission,
            held,
            rests,
            health,
        } = entry;
        let endpoint = Arc::clone(admission.endpoint());
        endpoint.enter();
        endpoint.stats().attempts.fetch_add(1, Ordering::Relaxed);
        Self {
            admission: Some(admission),
            rests,
            health,
            endpoint,
            started,
            _held: held,
        }
    }

    pub(crate) const fn started(&self) -> Instant {
        self.started
    }

    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The upstream has begun an answer to pass on, which is what was asked for if it `served` it. All are told
    /// now, for how long the rest takes is up to the client, who must not keep others from the upstream meanwhile.
    pub(crate) fn answers(&mut self, subject: &Subject<'_>, served: bool, now: Instant) {
        self.endpoint.learn_answer(
            self.rests.take(),
            subject,
            served,
            now - self.started,
            now.into_std(),
        );
        self.succeeds(now);
    }

    /// The upstream has failed, or has said that it does not serve this: remembers what that teaches about it.
    pub(crate) fn teaches(
        &mut self,
        class: Class,
        retry_after: Option<Duration>,
        subject: &Subject<'_>,
        now: Instant,
    ) {
        self.endpoint
            .learn_failure(self.rests.take(), class, retry_after, subject, now.into_std());
    }

    /// Settles breaker, health and counts; load is given back with the drop that follows.
    pub(crate) fn settle(mut self, outcome: Outcome, now: Instant) {
        let stats = self.endpoint.stats();
        match outcome {
            Outcome::Answered => {
                stats.outcomes.count(None);
                stats.latency.record(now - self.started);
                self.succeeds(now);
            }
            Outcome::Faulted(class) => {
                stats.outcomes.count(Some(class));
                self.settle_fault(class, now);
            }
            Outcome::Doubtful(class) => stats.outcomes.count(Some(class)),
        }
    }

    fn settle_fault(&mut self, class: Class, now: Instant) {
        let stats = self.endpoint.stats();
        match class.policy().blame {
            // The work that a client asks for takes as long everywhere: it must not close upstreams to the others.
            Blame::Upstream if class == Class::NodeTimeout => self.took_too_long(now),
            Blame::Upstream => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                self.fails(now);
            }
            Blame::Latency => self.took_too_long(now),
            Blame::Nobody if class == Class::RateLimited => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                stats.rate_limited.fetch_add(1, Ordering::Relaxed);
            }
            // Cut off by the gateway's own limit.
            Blame::Nobody if class == Class::AnswerTooLarge => {}
            Blame::Nobody => {
                stats.latency.record(now - self.started);
                self.succeeds(now);
            }
            // It may be the client's own doing, who must not be able to close an upstream to the others.
            Blame::IfAnotherAnswers => {}
        }
    }

    fn took_too_long(&self, now: Instant) {
        self.endpoint.doubt();
        let (stats, took) = (self.endpoint.stats(), now - self.started);
        stats.failures.fetch_add(1, Ordering::Relaxed);
        stats.latency.record(took);
        self.endpoint.learn_latency(took, now.into_std());
    }

    fn succeeds(&mut self, now: Instant) {
        if let Some(admission) = self.admission.take() {
            admission.succeeded(now.into_std());
        }
        if let Some(ticket) = self.health.take() {
            self.endpoint.observe_traffic(ticket, true);
        }
    }

    /// After a good beginning it counts as another request would.
    fn fails(&mut self, now: Instant) {
        self.endpoint.doubt();
        let admission = self.admission.take();
        if let Some(admission) = admission.or_else(|| self.endpoint.admit(now.into_std()).ok()) {
            admission.failed(now.into_std());
        }
        if let Some(ticket) = self.health.take() {
            self.endpoint.observe_traffic(ticket, false);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint.leave();
    }
}
