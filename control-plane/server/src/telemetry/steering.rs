//! How often and how much nodes report. Pure.

use std::time::Duration;

/// Rarer reports would be of the past.
const MAX_INTERVAL: Duration = Duration::from_secs(60);
/// A thousand nodes report this often.
const INTERVAL_PER_THOUSAND: Duration = Duration::from_secs(10);
/// Samples that are held of all nodes together.
const MAX_HELD: usize = 200_000;
/// The most and the fewest samples a node may report.
const SAMPLES: (usize, usize) = (50, 10_000);

/// What a node is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Steering {
    /// Between two reports.
    pub(super) interval: Duration,
    /// Of a report.
    pub(super) max_samples: usize,
}

impl Steering {
    /// For each of `nodes`, not more often than every `base`.
    pub(super) fn of(nodes: usize, base: Duration) -> Self {
        let nodes = nodes.max(1);
        let count = u32::try_from(nodes).unwrap_or(u32::MAX);
        let interval = INTERVAL_PER_THOUSAND.saturating_mul(count) / 1_000;
        let (fewest, most) = SAMPLES;
        Self {
            interval: interval.clamp(base, MAX_INTERVAL.max(base)),
            max_samples: (MAX_HELD / nodes).clamp(fewest, most),
        }
    }

    /// How long a report stands: three intervals.
    pub(super) const fn patience(self) -> Duration {
        self.interval.saturating_mul(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_nodes_report_less_each() {
        let five = Duration::from_secs(5);
        let told = |nodes| {
            let steering = Steering::of(nodes, five);
            (steering.interval.as_secs(), steering.max_samples)
        };
        assert_eq!(told(0), (5, 10_000));
        assert_eq!(told(500), (5, 400));
        assert_eq!(told(1_000), (10, 200));
        assert_eq!(told(20_000), (60, 50));
    }
}
