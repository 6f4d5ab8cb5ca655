//! Why a command failed, what to do about it, and the exit code that says so.

use std::{fmt::Write as _, io, path::PathBuf, process::ExitCode};

use http::Uri;
use tonic::{Code, Status};
use tyrscale_client::ClientError;
use tyrscale_model::Rejection;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed, or what a file holds, cannot be meant.
    #[error("{0}")]
    Usage(String),
    /// The file given cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// Nobody answers at the address.
    #[error("cannot reach the control plane at {0}: is `tyrctl up` running? ({flag} says where it is)", flag = .1)]
    Unreachable(Uri, &'static str),
    /// The control plane named broken rules.
    #[error("refused{}", rules(.0))]
    Rejected(Rejection),
    /// The control plane refused or could not, in its own words.
    #[error("{0}")]
    Refused(String),
    /// A store or a file does not prove itself.
    #[error("{0}")]
    Damaged(String),
    /// A service of `tyrctl up` could not start or ended with an error.
    #[error("{service}: {error}")]
    Service { service: &'static str, error: String },
}

impl Failure {
    /// 1 refused or failed, 2 wrong usage, 3 the control plane cannot be reached, 4 a store or file is damaged.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Rejected(_) | Self::Refused(_) | Self::Service { .. } => ExitCode::from(1),
            Self::Usage(_) | Self::File { .. } => ExitCode::from(2),
            Self::Unreachable(..) => ExitCode::from(3),
            Self::Damaged(_) => ExitCode::from(4),
        }
    }

    /// The failure of a call to the control plane at `server`.
    pub(crate) fn of_call(error: impl Into<ClientError>, server: &Uri) -> Self {
        match error.into() {
            ClientError::Connect(_) => Self::Unreachable(server.clone(), "--server"),
            ClientError::Rejected { rejection, .. } => Self::Rejected(rejection),
            ClientError::Call(status) if is_unreachable(&status) => {
                Self::Unreachable(server.clone(), "--server")
            }
            ClientError::Call(status) => Self::Refused(format!(
                "the control plane answered {:?}: {}",
                status.code(),
                status.message()
            )),
            error @ (ClientError::NoEndpoint | ClientError::InvalidEndpoint) => {
                Self::Usage(format!("--server {server}: {error}"))
            }
            error => Self::Refused(error.to_string()),
        }
    }
}

/// A status made here because the connection is gone, and not one the control plane sent.
fn is_unreachable(status: &Status) -> bool {
    let has_cause = std::error::Error::source(status).is_some();
    has_cause && matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

/// Every broken rule on a line of its own: resource, field, what is wrong, the rule's name.
fn rules(rejection: &Rejection) -> String {
    let mut text = String::new();
    for violation in &rejection.violations {
        let code = violation.code.as_str();
        // Writing to a string cannot fail.
        _ = write!(text, "\n  {violation} ({code})");
        if let Some(conflict) = &violation.conflict {
            _ = write!(text, ", because of {conflict}");
        }
    }
    text
}
