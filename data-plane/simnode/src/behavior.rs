//! How a node behaves, and which fault a request meets. Pure; the caller brings the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::time::Instant;

use crate::canned::CannedAnswer;
use crate::fault::{Fault, RpcError};
use crate::rpc::BatchShape;

/// How many scripted faults may wait; more push the oldest out.
const MAX_SCRIPT: usize = 1_024;

/// How a node answers until told otherwise. The default is a healthy, fast node.
#[derive(Debug, Clone, PartialEq)]
pub struct Behavior {
    /// Wait before the head of every answer.
    pub latency: Duration,
    /// Further wait before the head, from nothing to this, another on each request.
    pub latency_jitter: Duration,
    /// Further wait before the head of an answer to these methods.
    pub method_latency: BTreeMap<String, Duration>,
    /// Wait between head and body of every answer.
    pub body_start_delay: Duration,
    /// Wait in the middle of every body.
    pub body_delay: Duration,
    /// Every request meets this fault.
    pub fault: Option<Fault>,
    /// Requests that call these methods meet these faults. [`Fault::RpcError`] answers only the calls of that
    /// method in a batch; any other fault answers the whole request.
    pub method_faults: BTreeMap<String, Fault>,
    /// Methods answered with -32601.
    pub unsupported: BTreeSet<String>,
    /// Results given instead of the node's own.
    pub results: BTreeMap<String, Value>,
    /// What calls of a method with certain parameters are answered; the first that fits counts, before
    /// `results`.
    pub answers: Vec<CannedAnswer>,
    /// How batches are answered.
    pub batch_shape: BatchShape,
    /// Which answers are compressed with gzip.
    pub gzip_answers: GzipAnswers,
    /// Requests compressed with gzip get 415; else they are taken.
    pub refuses_gzip: bool,
    /// What `web3_clientVersion` says, instead of the node's name.
    pub client_version: Option<String>,
    /// Requests answered in one second; the rest get 429 with `Retry-After: 1`.
    pub rate_limit: Option<NonZeroU32>,
    /// Share of requests, 0 to 1, that get status 500, spread evenly: at 0.25 each fourth one.
    pub error_rate: f64,
    /// Status of the answer to `GET` on any path.
    pub health_status: StatusCode,
}

/// Which answers are compressed with gzip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GzipAnswers {
    /// None.
    Never,
    /// Those to requests that accept it.
    WhenAccepted,
    /// All, whether accepted or not.
    Always,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            latency_jitter: Duration::ZERO,
            method_latency: BTreeMap::new(),
            body_start_delay: Duration::ZERO,
            body_delay: Duration::ZERO,
            fault: None,
            method_faults: BTreeMap::new(),
            unsupported: BTreeSet::new(),
            results: BTreeMap::new(),
            answers: Vec::new(),
            batch_shape: BatchShape::InOrder,
            gzip_answers: GzipAnswers::Never,
            refuses_gzip: false,
            client_version: None,
            rate_limit: None,
            error_rate: 0.0,
            health_status: StatusCode::OK,
        }
    }
}

impl Behavior {
    /// The wait before the head of an answer to a request calling `methods`.
    pub(crate) fn latency_of(&self, methods: &[String]) -> Duration {
        let slowest = methods
            .iter()
            .filter_map(|method| self.method_latency.get(method))
            .max();
        self.latency + slowest.copied().unwrap_or_default()
    }

    /// The error a single call of `method` gets, if any.
    pub(crate) fn call_error(&self, method: &str) -> Option<RpcError> {
        if let Some(Fault::RpcError(error)) = self.method_faults.get(method) {
            return Some(error.clone());
        }
        self.unsupported
            .contains(method)
            .then(|| RpcError::method_not_found(method))
    }

    fn request_fault(&self, methods: &[String]) -> Option<&Fault> {
        let of_method = methods.iter().filter_map(|method| self.method_faults.get(method));
        self.fault.as_ref().or_else(|| {
            of_method
                .into_iter()
                .find(|fault| !matches!(fault, Fault::RpcError(_)))
        })
    }
}

#[derive(Debug)]
struct ScriptedFault {
    /// The method that meets the fault; `None` for any request.
    method: Option<String>,
    /// Requests that pass before the first one fails.
    passing: u32,
    remaining: u32,
    fault: Fault,
}

/// Decides which fault each request meets: script first, then standing faults, rate limit, error rate.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    script: VecDeque<ScriptedFault>,
    window: Option<Window>,
    /// Fraction of the next error that has built up.
    error_debt: f64,
    /// Requests that waited a jitter.
    jittered: u32,
}

#[derive(Debug)]
struct Window {
    opened: Instant,
    used: u32,
}

impl FaultPlan {
    pub(crate) fn fail_next(&mut self, method: Option<String>, requests: u32, fault: Fault) {
        self.fail_after(method, 0, requests, fault);
    }

    /// Lets `passing` requests pass, then fails `requests` of them.
    pub(crate) fn fail_after(&mut self, method: Option<String>, passing: u32, requests: u32, fault: Fault) {
        if requests == 0 {
            return;
        }
        if self.script.len() == MAX_SCRIPT {
            self.script.pop_front();
        }
        self.script.push_back(ScriptedFault {
            method,
            passing,
            remaining: requests,
            fault,
        });
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many scripted faults are still to come.
    pub(crate) fn scripted(&self) -> u64 {
        self.script.iter().map(|entry| u64::from(entry.remaining)).sum()
    }

    /// The fault a request calling `methods` meets at `now`.
    pub(crate) fn next(&mut self, behavior: &Behavior, methods: &[String], now: Instant) -> Option<Fault> {
        self.scripted_fault(methods)
            .or_else(|| behavior.request_fault(methods).cloned())
            .or_else(|| self.over_limit(behavior.rate_limit, now))
            .or_else(|| self.due_error(behavior.error_rate))
    }

    fn scripted_fault(&mut self, methods: &[String]) -> Option<Fault> {
        let position = self.script.iter_mut().position(|entry| {
            let method = entry.method.as_ref();
            let wanted = method.is_none_or(|method| methods.contains(method));
            if wanted && entry.passing > 0 {
                entry.passing -= 1;
                return false;
            }
            wanted
        })?;
        let entry = self.script.get_mut(position)?;
        entry.remaining -= 1;
        let fault = entry.fault.clone();
        if entry.remaining == 0 {
            self.script.remove(position);
        }
        Some(fault)
    }

    /// The wait this request gets on top: shares of `most` that spread evenly and repeat in each run.
    pub(crate) fn jitter(&mut self, most: Duration) -> Duration {
        // Steps of the golden ratio leave no gap and no cluster.
        self.jittered = self.jittered.wrapping_add(2_654_435_769);
        most.mul_f64(f64::from(self.jittered) / f64::from(u32::MAX))
    }

    fn over_limit(&mut self, limit: Option<NonZeroU32>, now: Instant) -> Option<Fault> {
        let limit = limit?.get();
        let second = Duration::from_secs(1);
        let open = self
            .window
            .take()
            .filter(|window| now.saturating_duration_since(window.opened) < second);
        let mut window = open.unwrap_or(Window { opened: now, used: 0 });
        let over = window.used >= limit;
        window.used = window.used.saturating_add(1);
        self.window = Some(window);
        over.then_some(Fault::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            retry_after: Some(1),
        })
    }

    fn due_error(&mut self, rate: f64) -> Option<Fault> {
        // A NaN must not stick in the sum; clamping alone would let it through.
        let rate = if rate.is_finite() {
            rate.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.error_debt += rate;
        // Ten times 0.1 is a hair below one in binary.
        if self.error_debt < 1.0 - 1e-9 {
            return None;
        }
        self.error_debt -= 1.0;
        Some(Fault::status(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

#[cfg(test)]
mod tests;
