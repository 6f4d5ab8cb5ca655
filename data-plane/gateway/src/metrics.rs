//! What is counted, and how it is scraped.
//!
//! Counts are atomics inside what they count: they go with the route or upstream, and no client can make a new
//! label value.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tyrscale_jsonrpc::{Method, method};
use tyrscale_model::Scheme;
use tyrscale_telemetry::AtomicHistogram;

use crate::admission::Scope;
use crate::shedding::Shed;

pub(crate) mod export;

/// Answers of one route: how many and how fast, by kind.
#[derive(Debug, Default)]
pub(crate) struct RouteStats {
    /// Of the kinds that nearly all are of, without a lock.
    usual: [Arc<AtomicHistogram>; 2],
    pub(crate) retries: RetryStats,
    others: RwLock<HashMap<AnswerKind, Arc<AtomicHistogram>>>,
    pub(crate) limited: LimitedCalls,
    /// Reads for which several upstreams are asked at once.
    pub(crate) races: AtomicU64,
    /// Transactions that several upstreams are sent at once.
    pub(crate) broadcasts: AtomicU64,
}

/// Calls of one route above a rate.
#[derive(Debug, Default)]
pub(crate) struct LimitedCalls {
    route: AtomicU64,
    client: AtomicU64,
}

impl LimitedCalls {
    pub(crate) fn count(&self, scope: Scope) {
        self.of(scope).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) const fn of(&self, scope: Scope) -> &AtomicU64 {
        match scope {
            Scope::Route => &self.route,
            Scope::Client => &self.client,
        }
    }
}

/// What became of the requests of one route that the first upstream did not answer.
#[derive(Debug, Default)]
pub(crate) struct RetryStats {
    /// Attempts after the first.
    pub(crate) retries: AtomicU64,
    /// Attempts beside one that took long.
    pub(crate) hedges: AtomicU64,
    /// Requests that were given up for want of budget.
    pub(crate) exhausted: AtomicU64,
    /// Attempts at upstreams that look bad, because all do.
    pub(crate) fail_open: AtomicU64,
    /// Requests refused because every upstream throttles or is at its limit.
    pub(crate) throttled: AtomicU64,
}

/// Which of a route's counts goes up and down.
type Level = fn(&RouteStats) -> &AtomicU64;

/// Something that is under way, counted until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it is no longer counted"]
pub(crate) struct UnderWay {
    stats: Arc<RouteStats>,
    level: Level,
}

impl UnderWay {
    pub(crate) fn begin(stats: &Arc<RouteStats>, level: Level) -> Self {
        level(stats).fetch_add(1, Ordering::Relaxed);
        Self {
            stats: Arc::clone(stats),
            level,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.level)(&self.stats).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Scheme and HTTP method of the request, and status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AnswerKind {
    pub(crate) scheme: Scheme,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
}

impl AnswerKind {
    const fn usual(scheme: Scheme) -> Self {
        Self {
            scheme,
            method: "POST",
            status: 200,
        }
    }
}

impl RouteStats {
    const USUAL: [AnswerKind; 2] = [AnswerKind::usual(Scheme::Http), AnswerKind::usual(Scheme::Https)];

    pub(crate) fn record(&self, kind: AnswerKind, latency: Duration) {
        let mut usual = Self::USUAL.iter().zip(&self.usual);
        if let Some((_, usual)) = usual.find(|(usual, _)| **usual == kind) {
            usual.record(latency);
            return;
        }
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = others.get(&kind) {
            known.record(latency);
            return;
        }
        drop(others);
        let mut others = self.others.write().unwrap_or_else(PoisonError::into_inner);
        others.entry(kind).or_default().record(latency);
    }

    /// Every kind of answer given so far.
    pub(crate) fn answers(&self) -> Vec<(AnswerKind, Arc<AtomicHistogram>)> {
        let others = self.others.read().unwrap_or_else(PoisonError::into_inner);
        let mut answers: Vec<_> = others
            .iter()
            .map(|(kind, latency)| (*kind, Arc::clone(latency)))
            .collect();
        let usual = Self::USUAL.iter().zip(&self.usual);
        let usual = usual.filter(|(_, latency)| latency.snapshot().count > 0);
        answers.extend(usual.map(|(kind, latency)| (*kind, Arc::clone(latency))));
        answers
    }
}

/// The HTTP method as a label that clients cannot multiply.
pub(crate) fn method_label(method: &http::Method) -> &'static str {
    match *method {
        http::Method::GET => "GET",
        http::Method::POST => "POST",
        http::Method::PUT => "PUT",
        http::Method::PATCH => "PATCH",
        http::Method::DELETE => "DELETE",
        http::Method::OPTIONS => "OPTIONS",
        http::Method::HEAD => "HEAD",
        _ => "other",
    }
}

/// How a JSON-RPC call came off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallOutcome {
    /// An upstream answered with a result, or took the notification.
    Result,
    /// An upstream answered with an error of the call's own.
    Error,
    /// No upstream answered.
    Failed,
    /// It was no call, and refused.
    Invalid,
    /// It was above a rate.
    Limited,
    /// The route does not serve its method.
    Refused,
}

impl CallOutcome {
    const ALL: [Self; 6] = [
        Self::Result,
        Self::Error,
        Self::Failed,
        Self::Invalid,
        Self::Limited,
        Self::Refused,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Error => "error",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Refused => "refused",
        }
    }
}

/// Calls of one method by outcome.
#[derive(Debug, Default)]
pub(crate) struct MethodStats {
    result: AtomicU64,
    error: AtomicU64,
    failed: AtomicU64,
    invalid: AtomicU64,
    limited: AtomicU64,
    refused: AtomicU64,
}

impl MethodStats {
    const fn of(&self, outcome: CallOutcome) -> &AtomicU64 {
        match outcome {
            CallOutcome::Result => &self.result,
            CallOutcome::Error => &self.error,
            CallOutcome::Failed => &self.failed,
            CallOutcome::Invalid => &self.invalid,
            CallOutcome::Limited => &self.limited,
            CallOutcome::Refused => &self.refused,
        }
    }
}

/// What is counted of the gateway as a whole.
#[derive(Debug)]
pub(crate) struct GatewayStats {
    unrouted: AtomicU64,
    connections: AtomicUsize,
    shed: [AtomicU64; Shed::ALL.len()],
    /// By the index of the method.
    methods: [MethodStats; method::COUNT],
}

impl Default for GatewayStats {
    fn default() -> Self {
        Self {
            unrouted: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            shed: Default::default(),
            methods: std::array::from_fn(|_| MethodStats::default()),
        }
    }
}

impl GatewayStats {
    pub(crate) fn count_unrouted(&self) {
        self.unrouted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a body that could not be read or understood.
    pub(crate) fn count_unread(&self) {
        self.count(method::other(), CallOutcome::Invalid);
    }

    /// Counts a call of a method.
    pub(crate) fn count(&self, method: &Method, outcome: CallOutcome) {
        if let Some(counts) = self.methods.get(usize::from(method.index)) {
            counts.of(outcome).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what was refused for being beyond a limit of the gateway.
    pub(crate) fn count_shed(&self, shed: Shed) {
        self.shed(shed).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) const fn shed(&self, shed: Shed) -> &AtomicU64 {
        let [requests, request_bytes, client_connections] = &self.shed;
        match shed {
            Shed::Requests => requests,
            Shed::RequestBytes => request_bytes,
            Shed::ClientConnections => client_connections,
        }
    }

    /// Counts a client's connection until the guard is dropped.
    pub(crate) fn connection(self: &Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionGuard(Arc::clone(self))
    }

    /// Every method with its counts.
    pub(crate) fn methods(&self) -> impl Iterator<Item = (&'static Method, &MethodStats)> {
        method::all().iter().zip(&self.methods)
    }
}

/// One open connection.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(Arc<GatewayStats>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
