//! Every refusal of the shim, and how the store's become HTTP.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, header};
use tyrscale_access::Refusal;
use tyrscale_model::{HttpUrl, Kind, Rejection, ResourceKey, Violation, ViolationCode};
use tyrscale_store::StoreError;

use crate::envelope::{Failure, Identified};

/// Why a request is refused; the text is the envelope's message.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("Invalid input parameters: {0}")]
    Invalid(String),
    #[error("Resource Not found: {0}")]
    NotFound(String),
    #[error("Resource Conflict: {detail}")]
    Conflict {
        detail: String,
        /// The rpc that has the URL already.
        context: Option<Identified>,
    },
    #[error("Internal server error: {0}")]
    Internal(&'static str),
    #[error("Insufficient Storage: the store takes no writes, its disk is full")]
    Full,
    #[error("Cannot {method} {path}")]
    NoSuchPath { method: Method, path: String },
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    #[error("{0}")]
    Access(Refusal),
    #[error("Request Timeout")]
    Timeout,
    #[error("Request Entity Too Large")]
    TooLarge,
}

impl ApiError {
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid(detail.into())
    }

    /// HTTP status and envelope code (google.rpc.Code, or the status again).
    const fn status_and_code(&self) -> (u16, u32) {
        match self {
            Self::Invalid(_) => (400, 3),
            Self::NotFound(_) => (404, 5),
            Self::Conflict { .. } => (409, 6),
            Self::Internal(_) => (500, 13),
            Self::Full => (507, 8),
            Self::NoSuchPath { .. } => (404, 404),
            Self::MethodNotAllowed => (405, 405),
            Self::Access(refusal) if refusal.is_unauthenticated() => (401, 16),
            Self::Access(refusal) if refusal.is_limit() => (429, 8),
            Self::Access(_) => (403, 7),
            Self::Timeout => (408, 408),
            Self::TooLarge => (413, 413),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let message = self.to_string();
        // The rest of a body that was not read to its end must not be taken for the next request.
        let closes = matches!(self, Self::Timeout | Self::TooLarge | Self::Access(_));
        let context = match self {
            Self::Conflict { context, .. } => context,
            _ => None,
        };
        let failure = Failure {
            status,
            code,
            message,
            context,
        };
        let mut response = failure.into_response();
        if status == 401 {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        if closes {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// The violation of a plan whose subject is not there.
pub(crate) fn absent(key: ResourceKey) -> Violation {
    Violation::new("", ViolationCode::NotFound, "does not exist").of(key)
}

/// The violation of a plan that names something that is not there.
pub(crate) fn unknown_reference(key: ResourceKey) -> Violation {
    Violation::new("", ViolationCode::ReferenceNotFound, "does not exist").of(key)
}

/// What a refusal of the store means to the client. `url` is the rpc URL that was written, if any.
pub(crate) fn refusal(error: StoreError, url: Option<&HttpUrl>) -> ApiError {
    match error {
        StoreError::Rejected(Rejection { violations }) => match violations.into_iter().next() {
            Some(violation) => refused(&violation, url),
            None => ApiError::Internal("the change was refused without a reason"),
        },
        error => {
            tracing::error!(%error, "store refused a change");
            match error {
                StoreError::Full(_) => ApiError::Full,
                _ => ApiError::Internal("the store takes no writes"),
            }
        }
    }
}

fn refused(violation: &Violation, url: Option<&HttpUrl>) -> ApiError {
    let subject = violation.resource.as_ref();
    match violation.code {
        ViolationCode::NotFound | ViolationCode::ReferenceNotFound => {
            ApiError::NotFound(missing(violation, subject))
        }
        ViolationCode::AlreadyExists => taken(violation, subject, url),
        ViolationCode::InUse => ApiError::Conflict {
            detail: in_use(violation, subject),
            context: None,
        },
        ViolationCode::EtagMismatch
        | ViolationCode::RevisionMismatch
        | ViolationCode::ManagedByAnother
        | ViolationCode::LimitExceeded
        | ViolationCode::OutOfScope
        | ViolationCode::Unsupported => ApiError::Conflict {
            detail: violation.message.clone(),
            context: None,
        },
        ViolationCode::Required => {
            ApiError::invalid(format!("{} is a required field", rest_field(&violation.field)))
        }
        ViolationCode::Invalid | ViolationCode::OutOfRange | ViolationCode::Immutable => ApiError::invalid(
            format!("{} {}", rest_field(&violation.field), violation.message)
                .trim_start()
                .to_owned(),
        ),
    }
}

fn missing(violation: &Violation, subject: Option<&ResourceKey>) -> String {
    match subject {
        Some(key) if key.kind == Kind::Network => match violation.code {
            ViolationCode::ReferenceNotFound => format!("network with name {} not found", key.id),
            _ => format!("key {} not found", key.id),
        },
        Some(key) => format!("{} not found", key.kind),
        None => "resource not found".to_owned(),
    }
}

fn taken(violation: &Violation, subject: Option<&ResourceKey>, url: Option<&HttpUrl>) -> ApiError {
    let by_url = violation.field == "url";
    let detail = match subject.map(|key| key.kind) {
        Some(Kind::Network) => "network with the same name already exist".to_owned(),
        Some(Kind::Rpc) if by_url => {
            let host = url.map_or("its host", HttpUrl::host);
            format!("rpc with url {host} already exists")
        }
        Some(Kind::Recommendation) if violation.field == "network" => {
            "network already associated to a recommendation".to_owned()
        }
        Some(Kind::Recommendation) => "route already associated to a recommendation".to_owned(),
        Some(kind) => format!("{kind} already exists"),
        None => "resource already exists".to_owned(),
    };
    let owner = violation.conflict.as_ref().filter(|_| by_url);
    let context = owner.map(|key| Identified {
        uuid: key.id.to_string(),
    });
    ApiError::Conflict { detail, context }
}

fn in_use(violation: &Violation, subject: Option<&ResourceKey>) -> String {
    let subject = subject.map_or("resource", |key| key.kind.as_str());
    match violation.conflict.as_ref().map(|key| key.kind) {
        Some(Kind::Upstream) => format!("cannot delete {subject}, it is associated to an upstream"),
        Some(kind) => format!("cannot delete {subject}, it is associated to a {kind}"),
        None => format!("cannot delete {subject}, it is in use"),
    }
}

/// The name a field of the model has in this interface.
fn rest_field(field: &str) -> &str {
    let last = field.rsplit('.').next().unwrap_or(field);
    match last {
        "visibility" => "type",
        "load_balancer" => "load_balancer_strategy",
        "network" => "network_name",
        "id" => "uuid",
        "config_json" => "config",
        _ => last.strip_suffix("_ms").unwrap_or(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_clients_know_them() {
        for (field, name) in [
            ("health_check.interval_ms", "interval"),
            ("load_balancer", "load_balancer_strategy"),
            ("proxy_host", "proxy_host"),
            ("id", "uuid"),
        ] {
            assert_eq!(rest_field(field), name);
        }
    }

    #[test]
    fn a_store_that_fails_tells_no_detail() {
        let error = refusal(StoreError::Unavailable("disk /secret is full".into()), None);
        assert_eq!(
            error.to_string(),
            "Internal server error: the store takes no writes"
        );
        let full = refusal(StoreError::Full("no space left on /secret".into()), None);
        assert_eq!(full.status_and_code(), (507, 8));
        assert!(!full.to_string().contains("secret"));
    }
}
