//! The errors of this crate.

use tonic::{Code, Status};
use tyrscale_model::Rejection;

use crate::rejection;

/// Why the control plane could not be asked, or what it answered instead.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No endpoint was given.
    #[error("no control plane endpoint is given")]
    NoEndpoint,
    /// An endpoint is not of the form `http://host:port` or `https://host:port`.
    #[error("control plane endpoint must be http://host:port or https://host:port")]
    InvalidEndpoint,
    /// The node's id is not of the form the control plane takes.
    #[error("node id must have 1 to 128 printable ascii characters without blanks")]
    InvalidNodeId,
    /// No connection could be made.
    #[error("control plane could not be reached")]
    Connect(#[source] tonic::transport::Error),
    /// The control plane named broken rules.
    #[error("{rejection}")]
    Rejected {
        /// The class of the first broken rule.
        code: Code,
        /// The broken rules.
        rejection: Rejection,
    },
    /// The call failed.
    #[error("control plane answered: {}", .0.message())]
    Call(#[source] Status),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        match rejection::from_status(&status) {
            Some(rejection) => Self::Rejected {
                code: status.code(),
                rejection,
            },
            None => Self::Call(status),
        }
    }
}
