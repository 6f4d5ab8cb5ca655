//! What a rollout sees of the gateways.

use std::collections::BTreeMap;

/// How one gateway stands to the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) id: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) is_connected: bool,
    /// It runs the change, or something later.
    pub(crate) runs: bool,
    /// It refused the change or died with it, and how it said so.
    pub(crate) refused: Option<String>,
    /// It is of a build that cannot run the change, and is left out.
    pub(crate) is_unable: bool,
}

impl Gateway {
    /// Takes another process of the same id in.
    pub(crate) fn join(&mut self, other: Self) {
        // One that is gone says nothing beside one that lives.
        if !other.is_connected && self.is_connected && other.refused.is_none() {
            return;
        }
        self.runs = other.runs && (self.runs || !self.is_connected);
        self.is_connected |= other.is_connected;
        self.refused = self.refused.take().or(other.refused);
        self.is_unable |= other.is_unable;
    }
}

/// How requests fare on the gateways of the stages so far, beside the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Comparison {
    /// Requests on the gateways that have the change, since the stage began.
    pub(crate) requests: u64,
    /// The part of them that failed.
    pub(crate) error_ratio: f64,
    /// The same of the others.
    pub(crate) other_error_ratio: f64,
    /// The 95th percentile of their latency, in seconds.
    pub(crate) p95: f64,
    /// The same of the others.
    pub(crate) other_p95: f64,
}

impl Comparison {
    /// Fewer requests say nothing.
    const MIN_REQUESTS: u64 = 100;
    /// So much more of the requests may fail.
    const ERROR_MARGIN: f64 = 0.02;
    /// So many times slower may they be, and by this many seconds.
    const LATENCY_FACTOR: f64 = 1.5;
    const LATENCY_MARGIN: f64 = 0.05;

    /// What is worse with the change, in words.
    pub(super) fn worse(&self) -> Option<String> {
        if self.requests < Self::MIN_REQUESTS {
            return None;
        }
        if self.error_ratio > self.other_error_ratio + Self::ERROR_MARGIN {
            return Some(format!(
                "{:.1}% of requests fail with it, {:.1}% without",
                self.error_ratio * 100.0,
                self.other_error_ratio * 100.0
            ));
        }
        let bound = (self.other_p95 * Self::LATENCY_FACTOR).max(self.other_p95 + Self::LATENCY_MARGIN);
        (self.p95 > bound).then(|| {
            format!(
                "the 95th percentile of latency is {:.0} ms with it, {:.0} ms without",
                self.p95 * 1000.0,
                self.other_p95 * 1000.0
            )
        })
    }
}
