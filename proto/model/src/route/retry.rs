//! When and how often a request is tried again.

use std::time::Duration;

use crate::{Violation, ViolationCode, rules::Rules};

/// When and how often a request is tried again after an attempt failed; what is absent or 0 means the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retry {
    /// Attempts over all upstreams, the first included.
    pub max_attempts: u32,
    /// How often upstreams that failed already are asked again when no other is left.
    pub same_upstream_attempts: Option<u32>,
    /// The first pause before an upstream is asked again, milliseconds.
    pub backoff_ms: Option<u32>,
    /// The longest such pause, milliseconds.
    pub backoff_max_ms: u32,
    /// Until an upstream's answer begins, milliseconds; 0: the gateway's own.
    pub attempt_timeout_ms: u32,
    /// For all attempts, until the answer begins, milliseconds; 0: the gateway's own.
    pub request_timeout_ms: u32,
    /// Retries as a share of requests, percent.
    pub budget_percent: Option<u32>,
    /// Retries per second allowed beside the share.
    pub budget_min_per_second: Option<u32>,
}

impl Retry {
    /// The most attempts a route may allow.
    pub const MAX_ATTEMPTS: u32 = 32;
    /// The most attempts when the route does not say.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 8;
    /// How often failed upstreams are asked again when the route does not say.
    pub const DEFAULT_SAME_UPSTREAM_ATTEMPTS: u32 = 2;
    /// The first pause when the route does not say.
    pub const DEFAULT_BACKOFF: Duration = Duration::from_millis(25);
    /// The longest pause when the route does not say.
    pub const DEFAULT_BACKOFF_MAX: Duration = Duration::from_secs(1);
    /// The share of retries when the route does not say, percent.
    pub const DEFAULT_BUDGET_PERCENT: u32 = 100;
    /// The retries per second beside the share when the route does not say.
    pub const DEFAULT_BUDGET_MIN_PER_SECOND: u32 = 10;
    const MAX_BACKOFF_MS: u32 = 60_000;
    const MAX_TIMEOUT_MS: u32 = 3_600_000;

    /// Attempts of one request on a route of so many upstreams: what is set, else one per upstream and those on the
    /// same again, at most [`Retry::DEFAULT_MAX_ATTEMPTS`].
    #[must_use]
    pub fn attempts(&self, upstreams: usize) -> u32 {
        if self.max_attempts != 0 {
            return self.max_attempts;
        }
        let upstreams = u32::try_from(upstreams).unwrap_or(u32::MAX);
        let all = upstreams.saturating_add(self.same_upstream_attempts());
        all.clamp(1, Self::DEFAULT_MAX_ATTEMPTS)
    }

    /// How often upstreams that failed already are asked again when no other is left.
    #[must_use]
    pub fn same_upstream_attempts(&self) -> u32 {
        self.same_upstream_attempts
            .unwrap_or(Self::DEFAULT_SAME_UPSTREAM_ATTEMPTS)
    }

    /// The first pause before an upstream is asked again.
    #[must_use]
    pub fn backoff(&self) -> Duration {
        self.backoff_ms
            .map_or(Self::DEFAULT_BACKOFF, |ms| Duration::from_millis(ms.into()))
    }

    /// The longest pause before an upstream is asked again, never shorter than the first.
    #[must_use]
    pub fn backoff_max(&self) -> Duration {
        let set = duration(self.backoff_max_ms);
        set.unwrap_or(Self::DEFAULT_BACKOFF_MAX).max(self.backoff())
    }

    /// Until an upstream's answer begins; `None`: the gateway's own.
    #[must_use]
    pub fn attempt_timeout(&self) -> Option<Duration> {
        duration(self.attempt_timeout_ms)
    }

    /// For all attempts, until the answer begins; `None`: the gateway's own.
    #[must_use]
    pub fn request_timeout(&self) -> Option<Duration> {
        duration(self.request_timeout_ms)
    }

    /// Retries as a share of requests, percent.
    #[must_use]
    pub fn budget_percent(&self) -> u32 {
        self.budget_percent.unwrap_or(Self::DEFAULT_BUDGET_PERCENT)
    }

    /// Retries per second allowed beside the share.
    #[must_use]
    pub fn budget_min_per_second(&self) -> u32 {
        self.budget_min_per_second
            .unwrap_or(Self::DEFAULT_BUDGET_MIN_PER_SECOND)
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.at_most("max_attempts", self.max_attempts, Self::MAX_ATTEMPTS);
        let again = self.same_upstream_attempts();
        rules.at_most("same_upstream_attempts", again, 8);
        let backoff_ms = self.backoff_ms.unwrap_or_default();
        rules.at_most("backoff_ms", backoff_ms, Self::MAX_BACKOFF_MS);
        rules.at_most("backoff_max_ms", self.backoff_max_ms, Self::MAX_BACKOFF_MS);
        rules.refuse_if(
            self.backoff_max_ms != 0 && self.backoff_max_ms < backoff_ms,
            "backoff_max_ms",
            ViolationCode::OutOfRange,
            "must not be below backoff_ms",
        );
        let (attempt, request) = (self.attempt_timeout_ms, self.request_timeout_ms);
        rules.at_most("attempt_timeout_ms", attempt, Self::MAX_TIMEOUT_MS);
        rules.refuse_if(
            request != 0 && attempt > request,
            "attempt_timeout_ms",
            ViolationCode::OutOfRange,
            "must not be above request_timeout_ms",
        );
        rules.at_most("request_timeout_ms", request, Self::MAX_TIMEOUT_MS);
        rules.at_most("budget_percent", self.budget_percent(), 100);
        rules.at_most("budget_min_per_second", self.budget_min_per_second(), 100_000);
        rules.within("retry")
    }
}

/// Milliseconds whose 0 means none.
fn duration(milliseconds: u32) -> Option<Duration> {
    (milliseconds != 0).then(|| Duration::from_millis(milliseconds.into()))
}
