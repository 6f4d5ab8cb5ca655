//! Weights as whole numbers, so that millions of additions do not drift.

/// A weight in millionths; zero means drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight(i64);

impl Weight {
    const PER_ONE: f64 = 1e6;
    /// Keeps every sum of weights, and of credits over them, far inside 64 bits.
    const HIGHEST: f64 = 1e4;

    /// Rounds to a millionth, but what is not drained keeps at least that.
    #[expect(clippy::cast_possible_truncation, reason = "clamped to a range that fits")]
    pub(super) fn new(weight: f64) -> Self {
        if weight > 0.0 {
            Self(((weight.min(Self::HIGHEST) * Self::PER_ONE).round() as i64).max(1))
        } else {
            Self(0)
        }
    }

    pub(super) const fn is_drained(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn millionths(self) -> i64 {
        self.0
    }
}

/// The sum of `weights`, in millionths.
pub(super) fn total(weights: &[Weight]) -> i64 {
    weights.iter().fold(0, |sum, weight| sum.saturating_add(weight.0))
}

/// The change of the sum of a route's weights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) from: i64,
    pub(super) to: i64,
}

impl Scale {
    /// `amount`, in proportion.
    pub(super) fn apply(self, amount: i64) -> i64 {
        let scaled = i128::from(amount) * i128::from(self.to) / i128::from(self.from.max(1));
        i64::try_from(scaled).unwrap_or(0)
    }
}
