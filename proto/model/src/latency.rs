//! Durations by exponential buckets, which can be added up over nodes and told apart over time.

use std::time::Duration;

use tyrscale_proto::v1;

/// The scale of what we count ourselves: each bucket ends at √2 times where it begins, so a quantile is off by
/// less than a fifth.
const SCALE: i32 = 1;
/// Bounds of the indices at [`SCALE`]: from 2^-20 s, a microsecond, to 2^12 s, an hour.
const FIRST: i32 = -40;
const LAST: i32 = 23;
/// The coarsest and the finest scale taken from others.
const SCALES: std::ops::RangeInclusive<i32> = -8..=8;
/// The most buckets taken from others.
const MAX_BUCKETS: usize = 256;
/// Indices beyond are no durations that anything takes.
const MAX_INDEX: i32 = 1 << 14;
/// The part of a first bucket, which has no lower bound, that counts are spread over.
const FIRST_PART: f64 = 1.0 / 16.0;

/// Durations by bucket. Bucket `i` holds those above 2^(i / 2^scale) and up to 2^((i + 1) / 2^scale) seconds.
/// Source: OpenTelemetry, "Metrics data model", exponential histograms.
#[derive(Debug, Clone, PartialEq)]
pub struct LatencyHistogram {
    scale: i32,
    /// Index of the first of `counts`.
    offset: i32,
    counts: Vec<u64>,
    zero: u64,
    sum: f64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            scale: SCALE,
            offset: 0,
            counts: Vec::new(),
            zero: 0,
            sum: 0.0,
        }
    }
}

impl LatencyHistogram {
    /// Counts one duration.
    pub fn record(&mut self, observed: Duration) {
        self.sum += observed.as_secs_f64();
        if observed.is_zero() {
            self.zero = self.zero.saturating_add(1);
            return;
        }
        let index = index_of(observed.as_secs_f64(), self.scale);
        self.add(index.clamp(FIRST, LAST), 1);
    }

    /// What a histogram with fixed bounds counted: the bounds, ascending, each with the observations up to it; all
    /// observations; and their sum. The counts of a bucket are spread evenly over those of ours that it covers.
    #[must_use]
    pub fn from_bounds(cumulative: &[(Duration, u64)], count: u64, sum: Duration) -> Self {
        let mut histogram = Self {
            sum: sum.as_secs_f64(),
            ..Self::default()
        };
        let mut below = (None, 0);
        for &(bound, up_to) in cumulative {
            let bound = bound.as_secs_f64();
            let low = below.0.unwrap_or(bound * FIRST_PART);
            histogram.spread(low, bound, up_to.saturating_sub(below.1));
            below = (Some(bound), up_to);
        }
        let above = count.saturating_sub(below.1);
        if above > 0 {
            let low = below.0.unwrap_or(1.0);
            histogram.spread(low, low * 2.0, above);
        }
        histogram
    }

    /// How many were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        let counts = self.counts.iter().copied();
        counts.fold(self.zero, u64::saturating_add)
    }

    /// The sum of all, in seconds.
    #[must_use]
    pub const fn sum_seconds(&self) -> f64 {
        self.sum
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.coarsen(other.scale);
        for (index, count) in other.buckets() {
            self.add(index >> (other.scale - self.scale), count);
        }
        self.zero = self.zero.saturating_add(other.zero);
        self.sum += other.sum;
    }

    /// What came since `earlier`; `None` when it counts less than that in any bucket: it began anew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let mut before = earlier.clone();
        before.coarsen(self.scale);
        let mut difference = self.clone();
        difference.coarsen(before.scale);
        difference.zero = difference.zero.checked_sub(before.zero)?;
        difference.sum = (difference.sum - before.sum).max(0.0);
        for (index, count) in before.buckets().filter(|(_, count)| *count > 0) {
            let at = usize::try_from(index.checked_sub(difference.offset)?).ok()?;
            let left = difference.counts.get_mut(at)?;
            *left = left.checked_sub(count)?;
        }
        Some(difference)
    }

    /// The duration that a share `quantile` of all, in 0 to 1, do not exceed, interpolated within its bucket; `None`
    /// of nothing.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rank this far off is the same duration"
        )]
        let rank = quantile.clamp(0.0, 1.0) * count as f64;
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let mut below = self.zero as f64;
        if rank <= below {
            return Some(Duration::ZERO);
        }
        let mut last = 0.0;
        for (index, count) in self.buckets().filter(|(_, count)| *count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let held = count as f64;
            last = self.bound(f64::from(index) + 1.0);
            if rank <= below + held {
                last = self.bound(f64::from(index) + (rank - below) / held);
                break;
            }
            below += held;
        }
        Duration::try_from_secs_f64(last).ok()
    }

    /// The message of it.
    #[must_use]
    pub fn to_wire(&self) -> v1::LatencyHistogram {
        let is_empty = |count: &u64| *count == 0;
        let skipped = self.counts.iter().take_while(|count| is_empty(count)).count();
        let kept = self.counts.iter().skip(skipped).copied();
        let mut counts: Vec<u64> = kept.collect();
        while counts.last().is_some_and(is_empty) {
            counts.pop();
        }
        v1::LatencyHistogram {
            scale: self.scale,
            offset: self.offset + i32::try_from(skipped).unwrap_or(0),
            counts,
            zero: self.zero,
            sum_seconds: self.sum,
        }
    }

    /// Reads a message; `None` when it breaks a rule of it.
    #[must_use]
    pub fn from_wire(message: &v1::LatencyHistogram) -> Option<Self> {
        let is_bounded = SCALES.contains(&message.scale)
            && (-MAX_INDEX..=MAX_INDEX).contains(&message.offset)
            && message.counts.len() <= MAX_BUCKETS;
        let has_sum = message.sum_seconds.is_finite() && message.sum_seconds >= 0.0;
        (is_bounded && has_sum).then(|| Self {
            scale: message.scale,
            offset: message.offset,
            counts: message.counts.clone(),
            zero: message.zero,
            sum: message.sum_seconds,
        })
    }

    /// Where bucket `index` begins, in seconds.
    fn bound(&self, index: f64) -> f64 {
        (index / f64::from(self.scale).exp2()).exp2()
    }

    fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.offset..).zip(self.counts.iter().copied())
    }

    fn add(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.offset = index;
        }
        if let Ok(missing @ 1..) = usize::try_from(self.offset - index) {
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.offset = index;
        }
        let at = usize::try_from(index - self.offset).unwrap_or(0);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        if let Some(held) = self.counts.get_mut(at) {
            *held = held.saturating_add(count);
        }
    }

    /// Makes it no finer than `scale`.
    fn coarsen(&mut self, scale: i32) {
        if scale >= self.scale {
            return;
        }
        let finer = std::mem::replace(
            self,
            Self {
                scale,
                zero: self.zero,
                sum: self.sum,
                ..Self::default()
            },
        );
        for (index, count) in finer.buckets() {
            self.add(index >> (finer.scale - scale), count);
        }
    }

    /// Counts `count` over the buckets from `low` to `high`, each as many as the others, but for one.
    fn spread(&mut self, low: f64, high: f64, count: u64) {
        let last = index_of(high, self.scale).clamp(FIRST, LAST);
        let first = (index_of(low, self.scale) + 1).clamp(FIRST, last);
        let width = u64::try_from(last - first + 1).unwrap_or(1);
        for (place, index) in (first..=last).enumerate() {
            let place = u64::try_from(place).unwrap_or(0);
            // In turn, so that a bucket never counts less when there is more.
            let share = (count + width - 1 - place) / width;
            if share > 0 {
                self.add(index, share);
            }
        }
    }
}

/// The bucket that holds `seconds`, which are above 0.
fn index_of(seconds: f64, scale: i32) -> i32 {
    let index = (seconds.log2() * f64::from(scale).exp2()).ceil() - 1.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded by the exponents of floats"
    )]
    let index = index as i32;
    index
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(millis: &[u64]) -> LatencyHistogram {
        let mut histogram = LatencyHistogram::default();
        for millis in millis {
            histogram.record(Duration::from_millis(*millis));
        }
        histogram
    }

    #[test]
    fn what_fixed_bounds_counted_keeps_its_count_and_its_place() {
        let ms = Duration::from_millis;
        let cumulative = [(ms(5), 10), (ms(10), 90), (ms(25), 100)];
        let histogram = LatencyHistogram::from_bounds(&cumulative, 103, ms(900));
        assert_eq!(histogram.count(), 103);
        let median = histogram.quantile(0.5).unwrap();
        assert!((ms(5)..ms(10)).contains(&median), "{median:?}");
        assert!(histogram.quantile(1.0).unwrap() > ms(25));
    }

    #[test]
    fn nothing_has_no_quantile_and_no_time_is_none() {
        assert_eq!(LatencyHistogram::default().quantile(0.5), None);
        assert_eq!(of(&[0, 0, 0, 8]).quantile(0.5), Some(Duration::ZERO));
    }

    #[test]
    fn a_message_beyond_its_rules_is_refused() {
        let good = of(&[1, 2, 3]).to_wire();
        for bad in [
            v1::LatencyHistogram {
                scale: 9,
                ..good.clone()
            },
            v1::LatencyHistogram {
                offset: i32::MIN,
                ..good.clone()
            },
            v1::LatencyHistogram {
                counts: vec![1; 257],
                ..good.clone()
            },
            v1::LatencyHistogram {
                sum_seconds: f64::NAN,
                ..good.clone()
            },
            v1::LatencyHistogram {
                sum_seconds: -1.0,
                ..good.clone()
            },
        ] {
            assert_eq!(LatencyHistogram::from_wire(&bad), None, "{bad:?}");
        }
    }

    fn durations() -> impl Strategy<Value = Vec<u64>> {
        proptest::collection::vec(0u64..100_000, 0..60)
    }

    fn any_histogram() -> impl Strategy<Value = LatencyHistogram> {
        (
            -8..=8i32,
            -200..200i32,
            proptest::collection::vec(any::<u64>(), 0..40),
            any::<u64>(),
        )
            .prop_map(|(scale, offset, counts, zero)| LatencyHistogram {
                scale,
                offset,
                counts,
                zero,
                sum: 1.0,
            })
    }

    proptest! {
        #[test]
        fn merging_is_counting_both_and_since_takes_it_back(one in durations(), two in durations()) {
            let (first, second) = (of(&one), of(&two));
            let mut merged = first.clone();
            merged.merge(&second);
            let together = of(&[one, two].concat());
            prop_assert_eq!(merged.count(), together.count());
            prop_assert_eq!(merged.quantile(0.9), together.quantile(0.9));
            let rest = merged.since(&first).unwrap();
            prop_assert_eq!(rest.count(), second.count());
            prop_assert_eq!(rest.quantile(0.5), second.quantile(0.5));
            prop_assert_eq!(first.since(&merged).is_none(), second.count() > 0);
        }

        #[test]
        fn a_quantile_is_off_by_less_than_a_bucket(mut millis in proptest::collection::vec(1u64..100_000, 1..60)) {
            let median = of(&millis).quantile(0.5).unwrap().as_secs_f64() * 1e3;
            millis.sort_unstable();
            let exact = millis[(millis.len() - 1) / 2] as f64;
            prop_assert!(median <= exact * 1.42 && median >= exact / 1.42, "{median} for {exact}");
        }

        #[test]
        fn a_count_of_fixed_bounds_that_rises_falls_nowhere(counts in proptest::collection::vec(0u64..50, 3), more in 0u64..50) {
            let ms = Duration::from_millis;
            let at = |more: u64| {
                let (a, b, c) = (counts[0], counts[0] + counts[1] + more, counts[0] + counts[1] + counts[2] + more);
                LatencyHistogram::from_bounds(&[(ms(5), a), (ms(1_000), b)], c, ms(1))
            };
            prop_assert_eq!(at(more).since(&at(0)).unwrap().count(), more);
        }

        #[test]
        fn any_scales_merge_and_the_wire_keeps_all(one in any_histogram(), two in any_histogram()) {
            let mut merged = one.clone();
            merged.merge(&two);
            prop_assert_eq!(merged.count(), one.count().saturating_add(two.count()));
            let again = LatencyHistogram::from_wire(&one.to_wire()).unwrap();
            prop_assert_eq!(again.count(), one.count());
            prop_assert_eq!(again.quantile(0.5), one.quantile(0.5));
        }
    }
}
