//! What is counted apart from the code under test, to hold it to its limits.

use std::collections::VecDeque;
use std::time::Instant;

/// Holds an upstream's attempts to its limits.
#[derive(Debug)]
pub(super) struct Pace {
    /// Requests a second, and at once.
    rate: Option<(u32, u32)>,
    at_once: Option<u32>,
    begun: VecDeque<Instant>,
}

impl Pace {
    pub(super) fn new(rate: Option<(u32, u32)>, at_once: Option<u32>) -> Self {
        Self {
            rate,
            at_once,
            begun: VecDeque::new(),
        }
    }

    /// One more begins `now`, which makes `in_flight`.
    pub(super) fn check(&mut self, in_flight: u32, now: Instant) {
        assert!(
            self.at_once.is_none_or(|limit| in_flight <= limit),
            "{in_flight} at once"
        );
        let Some((per_second, burst)) = self.rate else {
            return;
        };
        self.begun.push_back(now);
        if self.begun.len() > 100 {
            self.begun.pop_front();
        }
        for (nth, begun) in self.begun.iter().rev().enumerate() {
            let allowed = f64::from(burst) + (now - *begun).as_secs_f64() * f64::from(per_second);
            assert!(nth as f64 + 1.0 <= allowed + 1e-6, "{} of {allowed}", nth + 1);
        }
    }
}

/// Holds a route's retries to its budget, counted in tens of whole seconds.
#[derive(Debug)]
pub(super) struct Thrift {
    share: f64,
    per_second: f64,
    start: Instant,
    /// The second of each request (false) and retry (true).
    log: VecDeque<(u64, bool)>,
}

impl Thrift {
    pub(super) fn new(share: f64, per_second: f64, start: Instant) -> Self {
        Self {
            share,
            per_second,
            start,
            log: VecDeque::new(),
        }
    }

    pub(super) fn request(&mut self, now: Instant) {
        self.log(false, now);
    }

    pub(super) fn retry(&mut self, now: Instant) {
        self.log(true, now);
        let retries = self.log.iter().filter(|(_, retry)| *retry).count();
        let requests = self.log.len() - retries;
        let allowed = requests as f64 * self.share + 10.0 * self.per_second;
        assert!(retries as f64 <= allowed, "{retries} of {allowed} retries");
    }

    fn log(&mut self, retry: bool, now: Instant) {
        let second = (now - self.start).as_secs();
        self.log.retain(|(before, _)| second - before < 10);
        self.log.push_back((second, retry));
    }
}
