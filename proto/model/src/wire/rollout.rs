//! Rollout policies in messages.

use std::time::Duration;

use tyrscale_proto::v1::{self, rollout_stage::Share};

use crate::{OnHalt, RolloutPolicy, RolloutShare, RolloutStage, Violation, ViolationCode};

/// The message of a policy.
#[must_use]
pub fn rollout_policy_to_wire(policy: &RolloutPolicy) -> v1::RolloutPolicy {
    v1::RolloutPolicy {
        stages: policy.stages.iter().map(rollout_stage_to_wire).collect(),
        on_halt: match policy.on_halt {
            OnHalt::Revert => v1::OnHalt::Revert.into(),
            OnHalt::Hold => v1::OnHalt::Hold.into(),
        },
        stage_timeout_ms: milliseconds(policy.stage_timeout),
    }
}

/// The message of a stage.
#[must_use]
pub fn rollout_stage_to_wire(stage: &RolloutStage) -> v1::RolloutStage {
    let share = match &stage.share {
        RolloutShare::Count(count) => Share::Count(*count),
        RolloutShare::Percent(percent) => Share::Percent(*percent),
        RolloutShare::Label { name, value } => Share::Label(v1::NodeLabel {
            name: name.clone(),
            value: value.clone(),
        }),
    };
    v1::RolloutStage {
        share: Some(share),
        bake_ms: milliseconds(stage.bake),
    }
}

/// Reads a policy.
///
/// # Errors
/// Every broken rule, with the path of its field.
pub fn rollout_policy_from_wire(message: &v1::RolloutPolicy) -> Result<RolloutPolicy, Vec<Violation>> {
    let stages = message.stages.iter().enumerate().map(|(index, stage)| {
        let share = match &stage.share {
            Some(Share::Count(count)) => RolloutShare::Count(*count),
            Some(Share::Percent(percent)) => RolloutShare::Percent(*percent),
            Some(Share::Label(label)) => RolloutShare::Label {
                name: label.name.clone(),
                value: label.value.clone(),
            },
            None => {
                let field = format!("stages[{index}].share");
                return Err(vec![Violation::new(
                    field,
                    ViolationCode::Required,
                    "must be set",
                )]);
            }
        };
        Ok(RolloutStage {
            share,
            bake: Duration::from_millis(stage.bake_ms.into()),
        })
    });
    let on_halt = match v1::OnHalt::try_from(message.on_halt) {
        Ok(v1::OnHalt::Unspecified | v1::OnHalt::Revert) => OnHalt::Revert,
        Ok(v1::OnHalt::Hold) => OnHalt::Hold,
        Err(_) => {
            let rule = format!("has the unknown value {}", message.on_halt);
            return Err(vec![Violation::new("on_halt", ViolationCode::Invalid, rule)]);
        }
    };
    let policy = RolloutPolicy {
        stages: stages.collect::<Result<_, _>>()?,
        on_halt,
        stage_timeout: match message.stage_timeout_ms {
            0 => RolloutPolicy::STAGE_TIMEOUT,
            ms => Duration::from_millis(ms.into()),
        },
    };
    policy.check()?;
    Ok(policy)
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
