//! Errors as HTTP and JSON. The one place where a gRPC code becomes an HTTP status.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::Code;

use crate::answer;

const VIOLATION: &str = "tyrscale.v1.Violation";

/// Why a request has no answer of its method.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No method has the path.
    #[error("there is no {0}")]
    NoSuchPath(String),
    /// The path is there for other HTTP methods.
    #[error("{method} is not allowed here; allowed are {allowed}")]
    WrongMethod { method: String, allowed: String },
    /// The body is too large.
    #[error("the body has more than {0} bytes")]
    TooLarge(usize),
    /// The body could not be read.
    #[error("the body could not be read")]
    Unread,
    /// The request is no message of the method.
    #[error("{0}")]
    BadRequest(String),
    /// The method's own error.
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
}

/// A gRPC status with its details.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
    /// Each broken rule.
    pub(crate) violations: Vec<Value>,
    /// Whether the client said which content it expects, so that another is its precondition failed.
    pub(crate) conditional: bool,
}

impl Refusal {
    /// From a status, with the violations its details hold.
    pub(crate) fn of(status: &tonic::Status, pool: &DescriptorPool) -> Self {
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            violations: violations(status.details(), pool),
            conditional: false,
        }
    }

    /// A service that does not answer as gRPC has it.
    pub(crate) fn internal(message: &str) -> Self {
        Self {
            code: Code::Internal,
            message: message.to_owned(),
            violations: Vec::new(),
            conditional: false,
        }
    }

    const fn http_status(&self) -> StatusCode {
        match self.code {
            Code::Ok => StatusCode::OK,
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Aborted if self.conditional => StatusCode::PRECONDITION_FAILED,
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Cancelled | Code::Unknown | Code::DataLoss | Code::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        }
    }
}

/// The violations in the details of a status: a `google.rpc.Status` whose details are one message each.
fn violations(details: &[u8], pool: &DescriptorPool) -> Vec<Value> {
    let Some(descriptor) = pool.get_message_by_name(VIOLATION) else {
        return Vec::new();
    };
    let carried = RichStatus::decode(details).unwrap_or_default();
    let ours = carried
        .details
        .iter()
        .filter(|any| any.type_url.ends_with(VIOLATION));
    ours.filter_map(|any| DynamicMessage::decode(descriptor.clone(), any.value.as_slice()).ok())
        .filter_map(|violation| answer::to_json(&violation).ok())
        .collect()
}

/// `google.rpc.Status`, as far as it is read here. Source: Google AIP-193.
#[derive(Clone, PartialEq, prost::Message)]
struct RichStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoSuchPath(_) => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest(_) | Self::Unread => StatusCode::BAD_REQUEST,
            Self::Refused(refusal) => refusal.http_status(),
        }
    }

    /// The error as the body of an answer, or the last line of a stream.
    pub(crate) fn to_json(&self) -> Value {
        let (code, violations) = match self {
            Self::Refused(refusal) => (word(refusal.code), refusal.violations.as_slice()),
            Self::NoSuchPath(_) => ("NOT_FOUND", [].as_slice()),
            Self::WrongMethod { .. } => ("UNIMPLEMENTED", [].as_slice()),
            Self::TooLarge(_) | Self::BadRequest(_) | Self::Unread => ("INVALID_ARGUMENT", [].as_slice()),
        };
        json!({"error": {
            "status": self.status().as_u16(),
            "code": code,
            "message": self.to_string(),
            "violations": violations,
        }})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        if let Self::WrongMethod { allowed, .. } = &self
            && let Ok(value) = HeaderValue::from_str(allowed)
        {
            headers.insert(header::ALLOW, value);
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        (self.status(), headers, axum::Json(self.to_json())).into_response()
    }
}

/// The code's name in the gRPC documentation, "Status codes".
const fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
