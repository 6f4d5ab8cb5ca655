//! What a soak comes to: answers counted, causes kept, memory and descriptors followed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::process::Holdings;

/// Failures told one by one.
const TOLD: usize = 20;
/// Points of the curves in the report.
const POINTS: usize = 20;

/// How a request ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Answered,
    /// No answer, or one that says so.
    Failed(String),
    /// What looked like the answer was none.
    False(String),
}

/// What ought to have been possible while it was under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chance {
    /// A healthy upstream was there all the time.
    pub(crate) any: bool,
    /// It had been there for the settling time before, too.
    pub(crate) settled: bool,
}

/// One request that failed though it ought not to.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    at_seconds: f64,
    took_ms: u128,
    cause: String,
    nodes: String,
}

/// Counts of all requests.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Tally {
    requests: u64,
    answered: u64,
    /// Requests during which a healthy upstream was there, and of those the failed ones.
    with_healthy: u64,
    with_healthy_failed: u64,
    /// The same, for an upstream that had been healthy for the settling time when the request came.
    with_settled: u64,
    with_settled_failed: u64,
    /// Answers that were another's, at any time.
    false_answers: u64,
    /// Causes of all failures with a settled upstream.
    causes: BTreeMap<String, u64>,
    failures: Vec<Failure>,
}

impl Tally {
    pub(crate) fn record(&mut self, ending: Ending, chance: Chance, told: impl FnOnce(String) -> Failure) {
        self.requests += 1;
        self.with_healthy += u64::from(chance.any);
        self.with_settled += u64::from(chance.settled);
        let cause = match ending {
            Ending::Answered => {
                self.answered += 1;
                return;
            }
            Ending::False(cause) => {
                self.false_answers += 1;
                cause
            }
            Ending::Failed(cause) => cause,
        };
        self.with_healthy_failed += u64::from(chance.any);
        self.with_settled_failed += u64::from(chance.settled);
        if !chance.settled {
            return;
        }
        *self.causes.entry(cause.clone()).or_default() += 1;
        if self.failures.len() < TOLD {
            self.failures.push(told(cause));
        }
    }

    pub(crate) const fn is_perfect(&self) -> bool {
        self.with_settled_failed == 0 && self.false_answers == 0 && self.with_settled > 0
    }
}

impl Failure {
    pub(crate) fn new(at: Duration, took: Duration, cause: String, nodes: String) -> Self {
        Self {
            at_seconds: at.as_secs_f64(),
            took_ms: took.as_millis(),
            cause,
            nodes,
        }
    }
}

/// What the gateway held over time.
#[derive(Debug, Serialize)]
pub(crate) struct Curve {
    /// Once the warm-up was over.
    first: Holdings,
    /// After all had recovered and come to rest.
    last: Holdings,
    max_rss_kib: u64,
    max_fds: u64,
    points: Vec<Holdings>,
}

/// The samples of a run: one a second.
#[derive(Debug, Default)]
pub(crate) struct Samples(pub(crate) Vec<Holdings>);

impl Samples {
    /// The curve from `first` to `last`.
    pub(crate) fn curve(&self, first: Holdings, last: Holdings) -> Curve {
        let all = || self.0.iter().chain([&first, &last]);
        Curve {
            first,
            last,
            max_rss_kib: all().map(|held| held.rss_kib).max().unwrap_or(0),
            max_fds: all().map(|held| held.fds).max().unwrap_or(0),
            points: self
                .0
                .iter()
                .step_by(self.0.len().div_ceil(POINTS).max(1))
                .copied()
                .collect(),
        }
    }
}

impl Curve {
    pub(crate) const fn rss_growth_kib(&self) -> u64 {
        self.last.rss_kib.saturating_sub(self.first.rss_kib)
    }

    pub(crate) const fn fd_growth(&self) -> u64 {
        self.last.fds.saturating_sub(self.first.fds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Chance = Chance {
        any: true,
        settled: true,
    };
    const NONE: Chance = Chance {
        any: false,
        settled: false,
    };

    fn told(cause: String) -> Failure {
        Failure::new(Duration::ZERO, Duration::ZERO, cause, String::new())
    }

    #[test]
    fn failures_count_only_where_an_upstream_could_answer_but_false_answers_always() {
        let mut tally = Tally::default();
        assert!(!tally.is_perfect(), "nothing was shown yet");
        tally.record(Ending::Answered, GOOD, told);
        tally.record(Ending::Failed("status 503".to_owned()), NONE, told);
        assert!(tally.is_perfect());
        tally.record(Ending::False("id of another call".to_owned()), NONE, told);
        assert!(!tally.is_perfect());
        let mut tally = Tally::default();
        tally.record(Ending::Failed("status 503".to_owned()), GOOD, told);
        assert!(!tally.is_perfect());
        assert_eq!(tally.causes["status 503"], 1);
        assert_eq!(tally.failures.len(), 1);
    }

    #[test]
    fn a_curve_keeps_its_peak() {
        let held = |rss_kib, fds| Holdings { rss_kib, fds };
        let samples = Samples((0..100).map(|n| held(n % 90, n)).collect());
        let curve = samples.curve(held(10, 20), held(15, 12));
        assert_eq!((curve.max_rss_kib, curve.max_fds), (89, 99));
        assert_eq!((curve.rss_growth_kib(), curve.fd_growth()), (5, 0));
        assert!(curve.points.len() <= POINTS);
    }
}
