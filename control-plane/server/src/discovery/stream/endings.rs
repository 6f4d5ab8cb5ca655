//! What a stream ends with.

use tonic::Status;

use crate::discovery::lanes::Breach;

pub(super) fn stopping() -> Status {
    Status::unavailable("the control plane is stopping")
}

pub(super) fn gone() -> Status {
    Status::cancelled("the subscriber is gone")
}

pub(super) fn breached(breach: Breach) -> Status {
    match breach {
        Breach::FutureNonce => Status::invalid_argument(breach.to_string()),
        Breach::Unanswered => Status::unavailable(breach.to_string()),
    }
}

pub(super) fn replacement() -> Status {
    Status::aborted("a newer stream of the same process replaces this one")
}
