//! What a source knows of an upstream: counters and heights over time.

use std::collections::BTreeMap;

/// A stretch of time, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its begin.
    pub from: u64,
    /// Its end.
    pub to: u64,
}

impl Span {
    /// How long it is, seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        seconds(self.to.saturating_sub(self.from))
    }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^52 milliseconds")]
pub(crate) fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// A height that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeightPoint {
    /// When it was read, milliseconds since 1970.
    pub at: u64,
    /// The height, blocks.
    pub height: u64,
}

/// Durations by bucket: how many took at most so many microseconds, and more than the bucket before.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Distribution {
    /// Count by upper bound, microseconds.
    pub buckets: BTreeMap<u64, f64>,
}

impl Distribution {
    /// Adds what came since `before`, which is an earlier state of the same counters or empty.
    fn add_since(&mut self, now: &Self, before: Option<&Self>) {
        for (bound, count) in &now.buckets {
            let known = before.and_then(|before| before.buckets.get(bound));
            let came = count - known.copied().unwrap_or_default();
            *self.buckets.entry(*bound).or_default() += came.max(0.0);
        }
    }

    /// The time, in seconds, within which this share of them was done: linear within a bucket. `None` when there
    /// are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let total: f64 = self.buckets.values().sum();
        let wanted = (total * share).max(f64::MIN_POSITIVE);
        let (mut passed, mut lower) = (0.0, 0);
        for (bound, count) in &self.buckets {
            if *count > 0.0 && passed + count >= wanted {
                let within = (wanted - passed) / count;
                return Some((micros(lower) + (micros(*bound) - micros(lower)) * within).max(0.0));
            }
            passed += count;
            lower = *bound;
        }
        None
    }
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "times are far below 2^52 microseconds")]
fn micros(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

/// The counters of attempts at an upstream, since whoever counts began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficPoint {
    /// When they stood so, milliseconds since 1970.
    pub at: u64,
    /// Attempts that were answered.
    pub answered: f64,
    /// Attempts that failed, those that were refused for coming too fast included.
    pub failures: f64,
    /// Attempts that were refused for coming too fast.
    pub throttled: f64,
    /// The time that answers took together, seconds.
    pub latency_sum: f64,
    /// How many answers that was.
    pub latency_count: f64,
    /// The same by bucket; may be empty.
    pub latency: Distribution,
}

impl TrafficPoint {
    /// Adds what came between an earlier state of the same counters and `now`. Counters that fell have begun anew.
    fn add_since(&mut self, now: &Self, before: &Self) {
        let fell = now.answered < before.answered || now.failures < before.failures;
        let before = if fell { &Self::default() } else { before };
        self.answered += now.answered - before.answered;
        self.failures += now.failures - before.failures;
        self.throttled += (now.throttled - before.throttled).max(0.0);
        self.latency_sum += (now.latency_sum - before.latency_sum).max(0.0);
        self.latency_count += (now.latency_count - before.latency_count).max(0.0);
        self.latency.add_since(&now.latency, Some(&before.latency));
    }

    /// All attempts.
    #[must_use]
    pub fn requests(&self) -> f64 {
        self.answered + self.failures
    }
}

/// The counters that one process keeps of an upstream, in the order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TrafficSeries(pub Vec<TrafficPoint>);

impl TrafficSeries {
    /// What came within the span, to its points nearest before its ends. A series that begins within the span counts
    /// from its first point.
    fn add_increase(&self, span: Span, into: &mut TrafficPoint) {
        let begin = self
            .0
            .partition_point(|point| point.at <= span.from)
            .saturating_sub(1);
        let end = self.0.partition_point(|point| point.at <= span.to);
        let points = self.0.get(begin..end).unwrap_or_default();
        for pair in points.windows(2) {
            if let [before, now] = pair {
                into.add_since(now, before);
            }
        }
    }
}

/// What a source knows of an upstream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct History {
    /// Its heights, in the order of time; one before the window counts for its begin.
    pub heights: Vec<HeightPoint>,
    /// Its counters, one series per process that counts.
    pub traffic: Vec<TrafficSeries>,
}

impl History {
    /// What came within the span, over all series.
    #[must_use]
    pub fn increase(&self, span: Span) -> TrafficPoint {
        let mut increase = TrafficPoint {
            at: span.to,
            ..TrafficPoint::default()
        };
        for series in &self.traffic {
            series.add_increase(span, &mut increase);
        }
        increase
    }

    /// When its counters were last seen, not after `to`.
    pub(crate) fn traffic_seen(&self, to: u64) -> Option<u64> {
        let last = |series: &TrafficSeries| {
            let points = series.0.iter().rev();
            points.map(|point| point.at).find(|at| *at <= to)
        };
        self.traffic.iter().filter_map(last).max()
    }
}
