//! The share of an upstream.

use crate::{Violation, ViolationCode};

/// A share of traffic: 0 to 100, fractions count, 0 drains.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// Sends nothing.
    pub const ZERO: Self = Self(0.0);

    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Weight {
    type Error = Violation;

    fn try_from(number: f64) -> Result<Self, Violation> {
        if !number.is_finite() {
            return Err(Violation::new(
                "weight",
                ViolationCode::Invalid,
                "must be a finite number",
            ));
        }
        if !(0.0..=100.0).contains(&number) {
            return Err(Violation::new(
                "weight",
                ViolationCode::OutOfRange,
                "must be 0 to 100",
            ));
        }
        Ok(Self(number + 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_finite_and_bounded() {
        for good in [0.0, 0.4, 33.5, 100.0] {
            assert!(Weight::try_from(good).is_ok());
        }
        for bad in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Weight::try_from(bad).is_err());
        }
    }
}
