//! Latency histograms on our own atomics.
//!
//! An OpenTelemetry histogram costs about 100 ns per observation and keeps the series of what was removed.
//! These cost two relaxed additions, live in the object they measure, and vanish with it: the collector reads
//! the live table at each scrape.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto;

use crate::error::TelemetryError;
use crate::metrics::contain_panic;

/// The upper bounds of the buckets unless others are asked for: those of the Prometheus client libraries,
/// 5 ms to 10 s.
pub const DEFAULT_BOUNDS: [Duration; 11] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_500),
    Duration::from_millis(5_000),
    Duration::from_millis(10_000),
];

/// A lock-free histogram of durations with fixed buckets.
#[derive(Debug)]
pub struct AtomicHistogram {
    buckets: Box<[Bucket]>,
    overflow: AtomicU64,
    /// Nanoseconds; room for 584 years.
    sum: AtomicU64,
}

/// The observations above the bucket before and up to `bound`.
#[derive(Debug)]
struct Bucket {
    bound: Duration,
    count: AtomicU64,
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self::with_bounds(DEFAULT_BOUNDS)
    }
}

impl AtomicHistogram {
    /// An empty histogram with these upper bounds (inclusive), in any order.
    #[must_use]
    pub fn with_bounds(bounds: impl IntoIterator<Item = Duration>) -> Self {
        let sorted: BTreeSet<Duration> = bounds.into_iter().collect();
        let buckets = sorted
            .into_iter()
            .map(|bound| Bucket {
                bound,
                count: AtomicU64::new(0),
            })
            .collect();
        Self {
            buckets,
            overflow: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one observation.
    pub fn record(&self, observed: Duration) {
        let count = match self.buckets.iter().find(|bucket| observed <= bucket.bound) {
            Some(bucket) => &bucket.count,
            None => &self.overflow,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(observed.as_nanos()).unwrap_or(u64::MAX);
        self.sum.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counts now. Buckets and count agree with each other by construction; the sum may run ahead or
    /// behind by the observations being recorded meanwhile.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut cumulative = Vec::with_capacity(self.buckets.len());
        for bucket in &self.buckets {
            count += bucket.count.load(Ordering::Relaxed);
            cumulative.push((bucket.bound, count));
        }
        HistogramSnapshot {
            cumulative,
            count: count + self.overflow.load(Ordering::Relaxed),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
        }
    }
}

/// What an [`AtomicHistogram`] held at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Upper bound of each bucket, ascending, and the number of observations up to it.
    pub cumulative: Vec<(Duration, u64)>,
    /// The number of all observations.
    pub count: u64,
    /// The sum of all observations.
    pub sum: Duration,
}

impl From<HistogramSnapshot> for proto::Histogram {
    fn from(snapshot: HistogramSnapshot) -> Self {
        let buckets = snapshot.cumulative.into_iter().map(|(bound, count)| {
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound.as_secs_f64());
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Self::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(snapshot.count);
        histogram.set_sample_sum(snapshot.sum.as_secs_f64());
        histogram
    }
}

/// Reads the histograms of a live table: one row of label values and one snapshot per series.
type ReadHistograms<const N: usize> = Box<dyn Fn() -> Vec<([String; N], HistogramSnapshot)> + Send + Sync>;

/// A histogram family that is read from a live table at each scrape, so that a removed entry leaves no series.
pub struct HistogramCollector<const N: usize> {
    name: &'static str,
    labels: [&'static str; N],
    desc: Desc,
    read: ReadHistograms<N>,
}

impl<const N: usize> fmt::Debug for HistogramCollector<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HistogramCollector")
            .field("desc", &self.desc)
            .finish_non_exhaustive()
    }
}

impl<const N: usize> HistogramCollector<N> {
    /// The family called `name`; `read` gives one row per series, with the values of `labels` in that order.
    ///
    /// # Errors
    /// [`TelemetryError::Registry`] when the name, the help or a label is not allowed in Prometheus.
    pub fn new(
        name: &'static str,
        help: &str,
        labels: [&'static str; N],
        read: ReadHistograms<N>,
    ) -> Result<Self, TelemetryError> {
        let variable_labels = labels.map(str::to_owned).to_vec();
        let desc = Desc::new(name.to_owned(), help.to_owned(), variable_labels, [].into())?;
        Ok(Self {
            name,
            labels,
            desc,
            read,
        })
    }

    fn label_pairs(&self, values: [String; N]) -> Vec<proto::LabelPair> {
        let mut named: Vec<_> = self.labels.into_iter().zip(values).collect();
        named.sort_unstable();
        let pair = |(name, value): (&str, String)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.to_owned());
            pair.set_value(value);
            pair
        };
        named.into_iter().map(pair).collect()
    }
}

impl<const N: usize> Collector for HistogramCollector<N> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let rows = contain_panic(self.name, &self.read).unwrap_or_default();
        let series = rows.into_iter().map(|(values, snapshot)| {
            let mut metric = proto::Metric::from_label(self.label_pairs(values));
            metric.set_histogram(snapshot.into());
            metric
        });
        let mut family = proto::MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(series.collect());
        vec![family]
    }
}

#[cfg(test)]
mod tests {
    use super::{AtomicHistogram, DEFAULT_BOUNDS};
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert_eq, proptest};
    use std::time::Duration;

    #[test]
    fn an_observation_on_a_bound_belongs_to_its_bucket() {
        let histogram = AtomicHistogram::default();
        for bound in DEFAULT_BOUNDS {
            histogram.record(bound);
        }
        let counts: Vec<u64> = histogram
            .snapshot()
            .cumulative
            .iter()
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(counts, (1..=11).collect::<Vec<u64>>());
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histogram = AtomicHistogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1_000).for_each(|_| histogram.record(Duration::from_millis(3))));
            }
        });
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum), (4_000, Duration::from_secs(12)));
    }

    proptest! {
        #[test]
        fn a_bucket_counts_what_is_at_most_its_bound(
            bounds in prop::collection::vec(any::<u32>(), 0..8),
            observed in prop::collection::vec(any::<u32>(), 0..64),
        ) {
            let nanos = |value: u32| Duration::from_nanos(value.into());
            let histogram = AtomicHistogram::with_bounds(bounds.iter().copied().map(nanos));
            observed.iter().for_each(|value| histogram.record(nanos(*value)));

            let snapshot = histogram.snapshot();
            prop_assert_eq!(snapshot.count, observed.len() as u64);
            prop_assert_eq!(snapshot.sum, observed.iter().copied().map(nanos).sum::<Duration>());
            for (bound, count) in snapshot.cumulative {
                let expected = observed.iter().filter(|value| nanos(**value) <= bound).count();
                prop_assert_eq!(count, expected as u64);
            }
        }
    }
}
