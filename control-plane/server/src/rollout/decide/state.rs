//! How a rollout may stand, and why it halts.

/// How a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Goes on by itself.
    Running,
    /// Until an operator resumes it.
    Paused,
    /// Until it is reverted, or an operator decides.
    Halted,
    /// A new revision restored what it touched.
    Reverted,
    /// All gateways have it.
    Succeeded,
    /// A rollback took its place.
    Superseded,
}

impl State {
    /// Those in which it still decides what gateways run.
    pub(crate) const ACTIVE: [Self; 3] = [Self::Running, Self::Paused, Self::Halted];

    /// The word for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Reverted => "reverted",
            Self::Succeeded => "succeeded",
            Self::Superseded => "superseded",
        }
    }

    /// Whether it still decides what gateways run.
    pub(crate) const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Halted)
    }
}

/// Why a rollout halted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A gateway refused it or died with it.
    Refused,
    /// Requests fare worse with it.
    Worse,
    /// A gateway of the stage did not answer in time.
    Silent,
    /// No gateway of the stage is there any more.
    Away,
    /// An operator aborted it.
    Operator,
}

impl Cause {
    pub(crate) const ALL: [Self; 5] = [
        Self::Refused,
        Self::Worse,
        Self::Silent,
        Self::Away,
        Self::Operator,
    ];

    /// The word for metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Worse => "worse",
            Self::Silent => "silent",
            Self::Away => "away",
            Self::Operator => "operator",
        }
    }
}
