//! One recommended weight, and which of two weights counts.

use std::time::Duration;

use crate::{Revision, Upstream, Violation, ViolationCode, Weight};

/// How long a recommended weight holds: 1 second to 7 days, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WeightTtl(Duration);

impl WeightTtl {
    /// The longest.
    pub const MAX: Self = Self(Duration::from_secs(7 * 24 * 3600));

    /// The time.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// What is left of a time to live; less than a second counts as one.
    #[must_use]
    pub fn remaining(left: Duration) -> Self {
        let left = Duration::from_millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        Self(left.clamp(Duration::from_secs(1), Self::MAX.0))
    }
}

impl Default for WeightTtl {
    fn default() -> Self {
        Self(Duration::from_secs(15 * 60))
    }
}

impl TryFrom<Duration> for WeightTtl {
    type Error = Violation;

    fn try_from(time: Duration) -> Result<Self, Violation> {
        if (Duration::from_secs(1)..=Self::MAX.0).contains(&time)
            && time.subsec_nanos().is_multiple_of(1_000_000)
        {
            return Ok(Self(time));
        }
        let message = "must be 1 second to 7 days, in whole milliseconds";
        Err(Violation::new("ttl", ViolationCode::OutOfRange, message))
    }
}

/// A weight that was recommended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftWeight {
    /// The number.
    pub weight: Weight,
    /// How long it holds from when it is set.
    pub ttl: WeightTtl,
    /// The revision of the configuration it was computed from.
    pub based_on: Revision,
}

/// Which weight of an upstream counts, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The operator's: none is recommended.
    Operator,
    /// The recommended one.
    Recommended,
    /// None: the operator has drained or cordoned the upstream.
    Withheld,
    /// The operator's: the upstream was changed after what the recommended weight is based on.
    Outdated,
}

/// What counts of an upstream's weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectiveWeight {
    /// The number.
    pub weight: Weight,
    /// Why it is that.
    pub standing: Standing,
}

/// What an operator says of an upstream's weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatorWeight {
    /// The number; 0 drains.
    pub weight: Weight,
    /// Whether it is taken out, whatever its weight.
    pub cordoned: bool,
    /// The revision of the configuration at which the upstream was last changed.
    pub modified: Revision,
}

impl OperatorWeight {
    /// That of an upstream that was last changed at `modified`.
    #[must_use]
    pub const fn new(upstream: &Upstream, modified: Revision) -> Self {
        Self {
            weight: upstream.weight,
            cordoned: upstream.cordoned,
            modified,
        }
    }
}

impl EffectiveWeight {
    /// The one rule: an operator who has drained (weight 0) or cordoned an upstream always wins; a recommended
    /// weight counts unless the upstream was changed after the revision that it is based on.
    #[must_use]
    pub fn of(operator: &OperatorWeight, soft: Option<&SoftWeight>) -> Self {
        let (weight, standing) = match soft {
            _ if operator.cordoned || operator.weight == Weight::ZERO => (Weight::ZERO, Standing::Withheld),
            None => (operator.weight, Standing::Operator),
            Some(soft) if operator.modified > soft.based_on => (operator.weight, Standing::Outdated),
            Some(soft) => (soft.weight, Standing::Recommended),
        };
        Self { weight, standing }
    }
}
