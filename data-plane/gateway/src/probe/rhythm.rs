//! When the next probe is due.

use std::time::Duration;

/// Most doublings of the interval for an upstream that asks to be left alone.
const MAX_DOUBLINGS: u32 = 4;
/// The longest time that such an upstream is left alone, unless the interval is longer.
const MAX_REST: Duration = Duration::from_secs(300);

/// The time between the probes of one place: the interval, give or take a tenth, so that probers do not fall into
/// step; longer while the upstream asks to be left alone.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    refusals: u32,
}

impl Rhythm {
    /// The upstream took the probe.
    pub(super) const fn accepted(&mut self) {
        self.refusals = 0;
    }

    /// The upstream asked to be left alone.
    pub(super) const fn refused(&mut self) {
        self.refusals = self.refusals.saturating_add(1);
    }

    /// The time from one probe to the next. `random` is evenly drawn from 0 to 1, `retry_after` what the upstream
    /// asked for.
    pub(super) fn pause(&self, interval: Duration, retry_after: Option<Duration>, random: f64) -> Duration {
        let jittered = interval.mul_f64(0.9 + 0.2 * random);
        if self.refusals == 0 {
            return jittered;
        }
        let doubled = jittered.saturating_mul(1 << self.refusals.min(MAX_DOUBLINGS));
        let rest = doubled.max(retry_after.unwrap_or_default());
        rest.min(MAX_REST).max(jittered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_doubles_with_each_refusal_up_to_a_limit_and_returns_with_an_answer() {
        let mut rhythm = Rhythm::default();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            pauses.push(rhythm.pause(SECOND, None, 0.5).as_secs());
            rhythm.refused();
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
        rhythm.accepted();
        assert_eq!(rhythm.pause(SECOND, None, 0.5), SECOND);
    }

    #[test]
    fn what_the_upstream_asks_for_is_heard_within_reason() {
        let mut rhythm = Rhythm::default();
        rhythm.refused();
        let pause = |interval, asked: u64| rhythm.pause(interval, Some(Duration::from_secs(asked)), 0.5);
        assert_eq!(pause(SECOND, 60), 60 * SECOND);
        assert_eq!(pause(SECOND, 1_000_000), MAX_REST);
        assert_eq!(pause(2 * MAX_REST, 1), 2 * MAX_REST);
    }

    #[test]
    fn it_varies_by_a_tenth() {
        let rhythm = Rhythm::default();
        assert_eq!(rhythm.pause(SECOND, None, 0.0), Duration::from_millis(900));
        assert_eq!(rhythm.pause(SECOND, None, 1.0), Duration::from_millis(1_100));
    }
}
