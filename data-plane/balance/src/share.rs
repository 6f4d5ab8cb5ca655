//! A share of a whole.

/// A share of a whole, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Share(f64);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0.0);
    /// All of it.
    pub const FULL: Self = Self(1.0);

    /// The share `of_one`, brought into 0 to 1; NaN is nothing.
    #[must_use]
    pub const fn new(of_one: f64) -> Self {
        // NaN is greater than nothing else either.
        if of_one > 0.0 {
            Self(of_one.min(1.0))
        } else {
            Self::NONE
        }
    }

    /// `part` of `whole`; nothing of nothing.
    #[must_use]
    pub fn of(part: u64, whole: u64) -> Self {
        if whole == 0 {
            Self::NONE
        } else {
            #[expect(clippy::cast_precision_loss, reason = "a share is as precise as it has to be")]
            Self::new(part as f64 / whole as f64)
        }
    }

    /// As a number from 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::FULL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_between_nothing_and_all() {
        for (given, share) in [
            (-1.0, 0.0),
            (0.25, 0.25),
            (7.0, 1.0),
            (f64::NAN, 0.0),
            (f64::INFINITY, 1.0),
        ] {
            assert_eq!(Share::new(given), Share(share), "{given}");
        }
        assert_eq!(Share::of(1, 4), Share(0.25));
        assert_eq!(Share::of(0, 0), Share::NONE);
    }
}
