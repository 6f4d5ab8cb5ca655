//! What operators see and say of rollouts.

use tonic::Status;
use tyrscale_model::{Violation, ViolationCode};
use tyrscale_proto::v1;

use super::{refused, store_status};
use crate::rollout::{Control, RolloutError, Rollouts};

/// The longest reason of a freeze, in characters.
const MAX_REASON: usize = 256;

pub(super) fn get(rollouts: &Rollouts, id: u64) -> Result<v1::Rollout, Status> {
    rollouts.get(id).ok_or_else(|| status_of(RolloutError::NotFound))
}

pub(super) async fn control(
    rollouts: &Rollouts,
    request: &v1::ControlRolloutRequest,
) -> Result<v1::Rollout, Status> {
    let control = match request.action() {
        v1::RolloutAction::Pause => Control::Pause,
        v1::RolloutAction::Resume => Control::Resume,
        v1::RolloutAction::Abort => Control::Abort,
        v1::RolloutAction::Promote => Control::Promote,
        v1::RolloutAction::Unspecified => {
            let message = "must be one of the actions";
            return Err(refused(Violation::new(
                "action",
                ViolationCode::Required,
                message,
            )));
        }
    };
    rollouts.control(request.id, control).await.map_err(status_of)
}

pub(super) async fn freeze(rollouts: &Rollouts, request: v1::SetFreezeRequest) -> Result<v1::Freeze, Status> {
    let reason = request.reason;
    if reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        let message = "must have at most 256 printable characters";
        return Err(refused(Violation::new(
            "reason",
            ViolationCode::OutOfRange,
            message,
        )));
    }
    let reason = request.frozen.then_some(reason);
    rollouts.freeze(reason).await.map_err(status_of)
}

fn status_of(error: RolloutError) -> Status {
    match error {
        RolloutError::NotFound => Status::not_found(error.to_string()),
        RolloutError::NotNow(_) => Status::failed_precondition(error.to_string()),
        RolloutError::Store(error) => store_status(error),
        RolloutError::Stopping => Status::unavailable(error.to_string()),
    }
}
