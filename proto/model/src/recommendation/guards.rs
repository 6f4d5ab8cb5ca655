//! What keeps computed weights from doing harm.

use std::ops::RangeInclusive;

use crate::{Violation, ViolationCode, rules::Rules};

/// Notes a number that is set and not a finite one within its bounds.
pub(super) fn bound(rules: &mut Rules, field: &str, value: Option<f64>, bounds: RangeInclusive<f64>) {
    let broken = value.is_some_and(|value| !bounds.contains(&value));
    let rule = format!("must be {} to {}", bounds.start(), bounds.end());
    rules.refuse_if(broken, field, ViolationCode::OutOfRange, &rule);
}

/// What keeps computed weights from doing harm; what is absent means the default. Weights count in points: those of
/// a tier's upstreams sum to 100.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Guards {
    /// Attempts in the window below which an upstream's traffic says nothing.
    pub min_samples: Option<u32>,
    /// Points that must move for a change to be worth it.
    pub hysteresis: Option<f64>,
    /// Seconds between two changes.
    pub min_dwell_s: Option<u32>,
    /// Points by which a weight may move in one run.
    pub max_step: Option<f64>,
    /// Points below which no upstream falls.
    pub floor_weight: Option<f64>,
    /// Upstreams that keep at least [`Guards::USABLE_WEIGHT`] points.
    pub min_usable: Option<u32>,
    /// Seconds after which a measurement is stale.
    pub max_age_s: Option<u32>,
}

impl Guards {
    /// What an upstream that counts as usable gets at least, points; an even share if that is less.
    pub const USABLE_WEIGHT: f64 = 10.0;

    /// Attempts in the window below which an upstream's traffic says nothing.
    #[must_use]
    pub fn min_samples(&self) -> u32 {
        self.min_samples.unwrap_or(20)
    }

    /// Points that must move for a change to be worth it.
    #[must_use]
    pub fn hysteresis(&self) -> f64 {
        self.hysteresis.unwrap_or(3.0)
    }

    /// Milliseconds between two changes.
    #[must_use]
    pub fn min_dwell_ms(&self) -> u64 {
        u64::from(self.min_dwell_s.unwrap_or(60)) * 1000
    }

    /// Points by which a weight may move in one run.
    #[must_use]
    pub fn max_step(&self) -> f64 {
        self.max_step.unwrap_or(30.0)
    }

    /// Points below which no upstream of so many falls: never more than an even share.
    #[must_use]
    pub fn floor_weight(&self, upstreams: usize) -> f64 {
        self.floor_weight.unwrap_or(1.0).min(even_share(upstreams))
    }

    /// What each of [`Guards::min_usable`] upstreams, of so many, gets at least.
    #[must_use]
    pub fn usable_weight(&self, upstreams: usize) -> f64 {
        Self::USABLE_WEIGHT
            .min(even_share(upstreams))
            .max(self.floor_weight(upstreams))
    }

    /// Upstreams that stay usable.
    #[must_use]
    pub fn min_usable(&self) -> usize {
        usize::try_from(self.min_usable.unwrap_or(1)).unwrap_or(usize::MAX)
    }

    /// Milliseconds after which a measurement is stale.
    #[must_use]
    pub fn max_age_ms(&self) -> u64 {
        u64::from(self.max_age_s.unwrap_or(60)) * 1000
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let whole = |number: Option<u32>| number.map(f64::from);
        bound(
            &mut rules,
            "min_samples",
            whole(self.min_samples),
            1.0..=1_000_000.0,
        );
        bound(&mut rules, "hysteresis", self.hysteresis, 0.0..=100.0);
        bound(&mut rules, "min_dwell_s", whole(self.min_dwell_s), 0.0..=86_400.0);
        bound(&mut rules, "max_step", self.max_step, 0.1..=100.0);
        bound(&mut rules, "floor_weight", self.floor_weight, 0.0..=20.0);
        bound(&mut rules, "min_usable", whole(self.min_usable), 1.0..=100.0);
        bound(&mut rules, "max_age_s", whole(self.max_age_s), 1.0..=86_400.0);
        rules.within("guards")
    }
}

#[expect(clippy::cast_precision_loss, reason = "no route has 2^52 upstreams")]
fn even_share(upstreams: usize) -> f64 {
    100.0 / upstreams.max(1) as f64
}
