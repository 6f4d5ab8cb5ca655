//! What an upstream may be asked.

use crate::{Rate, Violation, rules::Rules};

/// What an upstream may be asked; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct UpstreamLimits {
    /// Calls a second.
    pub requests_per_second: f64,
    /// Calls above the rate at once.
    pub burst: u32,
    /// Requests in flight.
    pub max_concurrent: u32,
}

impl UpstreamLimits {
    /// The most requests in flight that can be set.
    pub const MAX_CONCURRENT: u32 = 1_000_000;

    /// The rate.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        Rate::of(self.requests_per_second, self.burst)
    }

    /// The most requests in flight.
    #[must_use]
    pub fn max_concurrent(&self) -> Option<u32> {
        (self.max_concurrent != 0).then_some(self.max_concurrent)
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let rate = ("requests_per_second", self.requests_per_second);
        Rate::check(&mut rules, rate, ("burst", self.burst));
        rules.at_most("max_concurrent", self.max_concurrent, Self::MAX_CONCURRENT);
        rules.within("limits")
    }
}
