//! How traffic moves between the tiers of upstreams.

use std::time::Duration;

use crate::{Violation, rules::Rules};

/// How traffic moves between the tiers of upstreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tiers {
    /// A tier takes all of its traffic while its healthy share times this is at least 100 percent; 0 means
    /// [`Tiers::DEFAULT_OVERPROVISIONING_PERCENT`].
    pub overprovisioning_percent: u32,
    /// How long a tier must have been able to take more before it gets more back, milliseconds; absent means
    /// [`Tiers::DEFAULT_RETURN_AFTER`].
    pub return_after_ms: Option<u32>,
}

impl Tiers {
    /// The overprovisioning when the route does not say, percent.
    pub const DEFAULT_OVERPROVISIONING_PERCENT: u32 = 140;
    /// How long a tier waits for its traffic when the route does not say.
    pub const DEFAULT_RETURN_AFTER: Duration = Duration::from_secs(10);
    /// The longest wait, milliseconds: an hour.
    pub const MAX_RETURN_AFTER_MS: u32 = 3_600_000;

    /// The overprovisioning, percent.
    #[must_use]
    pub const fn overprovisioning_percent(&self) -> u32 {
        match self.overprovisioning_percent {
            0 => Self::DEFAULT_OVERPROVISIONING_PERCENT,
            percent => percent,
        }
    }

    /// How long a tier must have been able to take more before it gets more back.
    #[must_use]
    pub fn return_after(&self) -> Duration {
        self.return_after_ms
            .map_or(Self::DEFAULT_RETURN_AFTER, |ms| Duration::from_millis(ms.into()))
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.zero_or(
            "overprovisioning_percent",
            self.overprovisioning_percent,
            100..=1000,
        );
        let wait = self.return_after_ms.unwrap_or_default();
        rules.at_most("return_after_ms", wait, Self::MAX_RETURN_AFTER_MS);
        rules.within("tiers")
    }
}
