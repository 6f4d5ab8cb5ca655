//! How a change reaches the gateways: stage after stage, or all at once.

use std::{fmt, str::FromStr, time::Duration};

use crate::{Violation, ViolationCode};

/// How a change reaches the gateways. After the last stage all of them get it.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutPolicy {
    /// In order; none: all at once.
    pub stages: Vec<RolloutStage>,
    /// What follows when it halts.
    pub on_halt: OnHalt,
    /// How long a stage waits for its gateways to answer.
    pub stage_timeout: Duration,
}

/// Some of the gateways, at least one, for some time. Those of the stages before are among them.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutStage {
    /// Which.
    pub share: RolloutShare,
    /// How long they must run it well, once all of them do.
    pub bake: Duration,
}

/// Which gateways a stage takes.
#[derive(Debug, Clone, PartialEq)]
pub enum RolloutShare {
    /// So many.
    Count(u32),
    /// This part of 100 of the connected ones, rounded up.
    Percent(f64),
    /// Those with a label.
    Label {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What follows when a rollout halts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHalt {
    /// A new revision restores what the change touched.
    #[default]
    Revert,
    /// Nothing, until an operator decides.
    Hold,
}

impl RolloutPolicy {
    /// The most stages.
    pub const MAX_STAGES: usize = 16;
    /// The longest time of a stage.
    pub const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// The shortest time a stage waits for answers.
    pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);
    /// How long a stage waits unless it is told.
    pub const STAGE_TIMEOUT: Duration = Duration::from_secs(120);

    /// All gateways at once.
    #[must_use]
    pub const fn at_once() -> Self {
        Self {
            stages: Vec::new(),
            on_halt: OnHalt::Revert,
            stage_timeout: Self::STAGE_TIMEOUT,
        }
    }

    /// Whether there are no stages.
    #[must_use]
    pub const fn is_at_once(&self) -> bool {
        self.stages.is_empty()
    }

    /// The policy that takes more care: more stages, then longer ones.
    #[must_use]
    pub fn more_careful(self, other: Self) -> Self {
        let care = |policy: &Self| {
            let bake: Duration = policy.stages.iter().map(|stage| stage.bake).sum();
            (policy.stages.len(), bake)
        };
        if care(&other) > care(&self) { other } else { self }
    }

    /// Every broken rule, with the path of its field.
    ///
    /// # Errors
    /// The violations.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut broken = Vec::new();
        let mut refuse_if = |is_broken: bool, field: String, rule: &str| {
            if is_broken {
                broken.push(Violation::new(field, ViolationCode::OutOfRange, rule));
            }
        };
        let stages = self.stages.len();
        refuse_if(
            stages > Self::MAX_STAGES,
            "stages".into(),
            "must have at most 16 entries",
        );
        let timeout = Self::MIN_TIMEOUT..=Self::MAX_TIME;
        refuse_if(
            !timeout.contains(&self.stage_timeout),
            "stage_timeout_ms".into(),
            "must be 1000 to 86400000",
        );
        for (index, stage) in self.stages.iter().enumerate() {
            let field = |name: &str| format!("stages[{index}].{name}");
            refuse_if(
                stage.bake > Self::MAX_TIME,
                field("bake_ms"),
                "must be at most 86400000",
            );
            match &stage.share {
                RolloutShare::Count(count) => {
                    refuse_if(*count == 0, field("count"), "must be at least 1");
                }
                RolloutShare::Percent(percent) => {
                    let is_share = *percent > 0.0 && *percent <= 100.0;
                    refuse_if(!is_share, field("percent"), "must be above 0 and at most 100");
                }
                RolloutShare::Label { name, value } => {
                    let is_label = !name.is_empty() && name.len() <= 256 && value.len() <= 256;
                    refuse_if(
                        !is_label,
                        field("label"),
                        "must have a name, and texts of at most 256 bytes",
                    );
                }
            }
        }
        if broken.is_empty() { Ok(()) } else { Err(broken) }
    }
}

/// A text that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolloutPolicyError {
    /// A stage is not of its form.
    #[error(
        "{0:?} is no stage: write a count, a percentage or `label name=value`, then perhaps a time, such as `10% 60s`"
    )]
    Stage(String),
    /// A stage's numbers are out of range.
    #[error("{0}")]
    Range(String),
}

impl FromStr for RolloutPolicy {
    type Err = RolloutPolicyError;

    /// Reads `all`, or stages parted by commas: `label canary=true 30s, 10% 60s, 100%`. A last stage of all
    /// gateways without a time says nothing and is left out.
    fn from_str(text: &str) -> Result<Self, RolloutPolicyError> {
        let mut policy = Self::at_once();
        if text.trim() == "all" {
            return Ok(policy);
        }
        for stage in text.split(',') {
            let read = read_stage(stage).ok_or_else(|| RolloutPolicyError::Stage(stage.trim().to_owned()))?;
            policy.stages.push(read);
        }
        let says_nothing =
            |stage: &RolloutStage| stage.share == RolloutShare::Percent(100.0) && stage.bake.is_zero();
        policy.stages.pop_if(|stage| says_nothing(stage));
        policy.check().map_err(|violations| {
            let texts: Vec<_> = violations.iter().map(ToString::to_string).collect();
            RolloutPolicyError::Range(texts.join("; "))
        })?;
        Ok(policy)
    }
}

fn read_stage(text: &str) -> Option<RolloutStage> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    let share = if first == "label" {
        let (name, value) = words.next()?.split_once('=')?;
        RolloutShare::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    } else if let Some(percent) = first.strip_suffix('%') {
        RolloutShare::Percent(percent.parse().ok()?)
    } else {
        RolloutShare::Count(first.parse().ok()?)
    };
    let bake = words.next().map_or(Some(Duration::ZERO), read_time)?;
    words.next().is_none().then_some(RolloutStage { share, bake })
}

/// A whole number with the unit `ms`, `s`, `m` or `h`.
fn read_time(text: &str) -> Option<Duration> {
    let unit_at = text.find(|it: char| !it.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).map(Duration::from_millis)
}

impl fmt::Display for RolloutStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.share {
            RolloutShare::Count(count) => write!(f, "{count}")?,
            RolloutShare::Percent(percent) => write!(f, "{percent}%")?,
            RolloutShare::Label { name, value } => write!(f, "label {name}={value}")?,
        }
        let ms = self.bake.as_millis();
        match ms {
            0 => Ok(()),
            _ if ms.is_multiple_of(1000) => write!(f, " {}s", ms / 1000),
            _ => write!(f, " {ms}ms"),
        }
    }
}

impl fmt::Display for RolloutPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_at_once() {
            return f.write_str("all");
        }
        for (index, stage) in self.stages.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{stage}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_policy_is_read_as_people_write_it() {
        let policy: RolloutPolicy = "label canary=true 30s, 10% 60s,2 1500ms, 100%".parse().unwrap();
        let bakes: Vec<_> = policy.stages.iter().map(|stage| stage.bake.as_millis()).collect();
        assert_eq!(bakes, [30_000, 60_000, 1_500]);
        assert_eq!(policy.to_string(), "label canary=true 30s, 10% 60s, 2 1500ms");
        for nothing in ["all", "100%"] {
            assert!(nothing.parse::<RolloutPolicy>().unwrap().is_at_once());
        }
    }

    #[test]
    fn what_is_no_policy_is_told_by_its_stage() {
        for bad in ["", "10%,", "label canary 3s", "10% 3", "1 1s 2s", "-1", "x%"] {
            let error = bad.parse::<RolloutPolicy>().unwrap_err();
            assert!(matches!(error, RolloutPolicyError::Stage(_)), "{bad}: {error}");
        }
        for (bad, words) in [
            ("0", "stages[0].count: must be at least 1"),
            ("1, 0%", "stages[1].percent: must be above 0 and at most 100"),
            ("NaN%", "stages[0].percent: must be above 0 and at most 100"),
            ("1 25h", "stages[0].bake_ms: must be at most 86400000"),
        ] {
            assert_eq!(bad.parse::<RolloutPolicy>().unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn of_two_policies_the_one_with_more_and_longer_stages_takes_more_care() {
        let policy = |text: &str| text.parse::<RolloutPolicy>().unwrap();
        let careful = policy("1 30s, 10% 60s");
        for other in ["all", "50%", "1 30s, 10% 50s"] {
            assert_eq!(policy(other).more_careful(careful.clone()), careful);
            assert_eq!(careful.clone().more_careful(policy(other)), careful);
        }
    }

    fn stage() -> impl Strategy<Value = RolloutStage> {
        let share = prop_oneof![
            (1u32..1000).prop_map(RolloutShare::Count),
            (1u32..=1000).prop_map(|tenths| RolloutShare::Percent(f64::from(tenths) / 10.0)),
            ("[a-z]{1,8}", "[a-z0-9]{0,8}").prop_map(|(name, value)| RolloutShare::Label { name, value }),
        ];
        let bake = (1u64..=86_400_000).prop_map(Duration::from_millis);
        (share, bake).prop_map(|(share, bake)| RolloutStage { share, bake })
    }

    proptest! {
        #[test]
        fn a_policy_reads_back_as_it_is_shown(stages in proptest::collection::vec(stage(), 0..=16)) {
            let policy = RolloutPolicy { stages, ..RolloutPolicy::at_once() };
            prop_assert_eq!(policy.to_string().parse::<RolloutPolicy>(), Ok(policy.clone()));
            let wire = crate::wire::rollout_policy_to_wire(&policy);
            prop_assert_eq!(crate::wire::rollout_policy_from_wire(&wire), Ok(policy));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            if let Ok(policy) = text.parse::<RolloutPolicy>() {
                prop_assert_eq!(policy.check(), Ok(()));
            }
        }
    }
}
