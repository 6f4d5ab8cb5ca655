//! A histogram of durations, exact to a hundredth.

use std::time::Duration;

use serde::Serialize;

/// Each power of two is cut into this many buckets.
const STEPS_BITS: u32 = 7;
const STEPS: usize = 1 << STEPS_BITS;
const BUCKETS: usize = (64 - STEPS_BITS as usize + 1) * STEPS;

/// Counts of durations in nanoseconds, in buckets that are at most 1/128 of their value wide.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            total: 0,
        }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Takes in what another recorded.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `per_mille` thousandths of the recorded ones do not exceed; zero without any.
    pub(crate) fn quantile(&self, per_mille: u64) -> Duration {
        let rank = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        found.map_or(Duration::ZERO, |index| Duration::from_nanos(lower_bound(index)))
    }
}

fn bucket(nanos: u64) -> usize {
    let power = (u64::BITS - nanos.leading_zeros()).saturating_sub(STEPS_BITS + 1);
    // Below 2 * STEPS, as everything above was shifted out.
    let step = usize::try_from(nanos >> power).unwrap_or(usize::MAX);
    power as usize * STEPS + step
}

fn lower_bound(index: usize) -> u64 {
    let power = (index / STEPS).saturating_sub(1);
    let step = index - power * STEPS;
    (step as u64) << power
}

/// Quantiles of durations, in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
}

impl From<&Histogram> for Quantiles {
    fn from(histogram: &Histogram) -> Self {
        let at = |per_mille| histogram.quantile(per_mille).as_secs_f64() * 1e3;
        Self {
            count: histogram.total(),
            p50_ms: at(500),
            p99_ms: at(990),
            max_ms: at(1000),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_duration_is_kept_to_a_hundredth(nanos in any::<u64>()) {
            let kept = lower_bound(bucket(nanos));
            prop_assert!(kept <= nanos);
            prop_assert!(nanos - kept <= nanos / 100);
        }

        #[test]
        fn buckets_rise_with_what_they_hold(a in any::<u64>(), b in any::<u64>()) {
            prop_assert_eq!(bucket(a.min(b)) <= bucket(a.max(b)), true);
            prop_assert!(bucket(a) < BUCKETS);
        }
    }

    #[test]
    fn quantiles_name_the_rank() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), Duration::ZERO);
        for nanos in 1..=100 {
            histogram.record(Duration::from_nanos(nanos));
        }
        assert_eq!(histogram.total(), 100);
        assert_eq!(histogram.quantile(500), Duration::from_nanos(50));
        assert_eq!(histogram.quantile(990), Duration::from_nanos(99));
        assert_eq!(histogram.quantile(1000), Duration::from_nanos(100));
    }
}
