//! One attempt at an upstream, settled exactly once on every way out.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tyrscale_jsonrpc::{Blame, Class};

use crate::endpoint::{Admission, Endpoint};

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The upstream answered, with a result or an error of the request's own.
    Answered,
    /// It gave no answer to pass on.
    Faulted(Class),
}

/// One request at one upstream: counts in its load from the pick until it is settled.
///
/// Dropped unsettled, it was cancelled: that says nothing about the upstream, so it counts neither as a
/// success nor as a failure, and gives back its place at the breaker.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// `None` once the breaker was told.
    admission: Option<Admission>,
    endpoint: Arc<Endpoint>,
    started: Instant,
}

impl Attempt {
    /// Begins at the endpoint that gave leave.
    pub(crate) fn begin(admission: Admission, started: Instant) -> Self {
        let endpoint = Arc::clone(admission.endpoint());
        endpoint.enter();
        endpoint.stats().attempts.fetch_add(1, Ordering::Relaxed);
        Self {
            admission: Some(admission),
            endpoint,
            started,
        }
    }

    /// Begins at this very endpoint, if its breaker gives leave.
    pub(crate) fn at(endpoint: &Arc<Endpoint>, now: Instant) -> Option<Self> {
        let admission = endpoint.admit(now.into_std()).ok()?;
        Some(Self::begin(admission, now))
    }

    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The upstream has begun an answer to pass on: the breaker is told now, for how long the rest takes is up
    /// to the client, who must not keep others from the upstream meanwhile.
    pub(crate) fn answers(&mut self) {
        if let Some(admission) = self.admission.take() {
            admission.succeeded(Instant::now().into_std());
        }
    }

    /// Settles breaker and counts; load is given back with the drop that follows.
    pub(crate) fn settle(mut self, outcome: Outcome) {
        let now = Instant::now();
        let stats = self.endpoint.stats();
        match outcome {
            Outcome::Answered => {
                stats.latency.record(now - self.started);
                self.answers();
            }
            Outcome::Faulted(class) => self.settle_fault(class, now),
        }
    }

    fn settle_fault(&mut self, class: Class, now: Instant) {
        let stats = self.endpoint.stats();
        match class.policy().blame {
            Blame::Upstream => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                // After a good beginning it counts as another request would.
                let admission = self.admission.take();
                if let Some(admission) = admission.or_else(|| self.endpoint.admit(now.into_std()).ok()) {
                    admission.failed(now.into_std());
                }
            }
            Blame::Latency => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                stats.latency.record(now - self.started);
            }
            Blame::Nobody if class == Class::RateLimited => {
                stats.failures.fetch_add(1, Ordering::Relaxed);
                stats.rate_limited.fetch_add(1, Ordering::Relaxed);
            }
            // Cut off by the gateway's own limit.
            Blame::Nobody if class == Class::AnswerTooLarge => {}
            Blame::Nobody => {
                stats.latency.record(now - self.started);
                self.answers();
            }
            // A refusal may be the client's own doing: it neither closes nor opens a breaker.
            Blame::IfAnotherAnswers => {}
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.endpoint.leave();
    }
}
