//! Rates: how much per second, and how much at once.

use crate::{ViolationCode, rules::Rules};

/// A rate that is enforced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Per second, finite and above 0.
    pub per_second: f64,
    /// At once, at least 1.
    pub burst: u32,
}

impl Rate {
    /// The lowest rate, per second.
    pub const MIN: f64 = 0.001;
    /// The highest rate, per second.
    pub const MAX: f64 = 1_000_000.0;
    /// The largest burst.
    pub const MAX_BURST: u32 = 1_000_000;

    /// The rate that two fields mean: none when `per_second` is 0; a second's worth at once when `burst` is 0.
    pub(crate) fn of(per_second: f64, burst: u32) -> Option<Self> {
        if !(per_second.is_finite() && per_second > 0.0) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "is clamped to what fits first"
        )]
        let second = per_second.ceil().clamp(1.0, Self::MAX) as u32;
        let burst = if burst == 0 { second } else { burst };
        Some(Self { per_second, burst })
    }

    /// The rules of two fields that make a rate.
    pub(crate) fn check(
        rules: &mut Rules,
        (field, per_second): (&str, f64),
        (burst_field, burst): (&str, u32),
    ) {
        let not_finite = !per_second.is_finite();
        rules.refuse_if(
            not_finite,
            field,
            ViolationCode::Invalid,
            "must be a finite number",
        );
        if !not_finite {
            rules.zero_or(field, per_second, Self::MIN..=Self::MAX);
        }
        rules.at_most(burst_field, burst, Self::MAX_BURST);
        let is_limited = not_finite || per_second != 0.0;
        rules.needs(burst_field, burst != 0, field, is_limited);
    }
}
