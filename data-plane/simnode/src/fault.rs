//! What can go wrong on purpose.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One way to answer badly, or as told.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// An HTTP status with its reason as a text body.
    Status {
        /// The status of the answer.
        status: StatusCode,
        /// The `Retry-After` header, in seconds.
        retry_after: Option<u32>,
    },
    /// Status 200 with a body that is no JSON-RPC answer.
    Garbage(Garbage),
    /// The request is read and never answered; the connection stays open.
    Silence,
    /// The request is read, then the connection closes.
    CloseBeforeAnswer,
    /// The head announces the whole answer, and the connection closes after this many bytes of the body.
    CloseMidBody {
        /// Bytes of the body that are sent; the whole body when it is shorter.
        after_bytes: usize,
    },
    /// The head announces the whole answer, and after this many bytes of the body nothing more comes; the
    /// connection stays open.
    StallMidBody {
        /// Bytes of the body that are sent; 0 stalls between head and body.
        after_bytes: usize,
    },
    /// The body comes one byte at a time.
    Trickle {
        /// From byte to byte.
        every: Duration,
    },
    /// Every call is answered with this JSON-RPC error.
    RpcError(RpcError),
    /// A raw response.
    Respond(RawResponse),
}

impl Fault {
    /// An HTTP status without `Retry-After`.
    #[must_use]
    pub fn status(status: StatusCode) -> Self {
        Self::Status {
            status,
            retry_after: None,
        }
    }

    /// The kind of this fault.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Status { .. } => FaultKind::Status,
            Self::Garbage(_) => FaultKind::Garbage,
            Self::Silence => FaultKind::Silence,
            Self::CloseBeforeAnswer => FaultKind::CloseBeforeAnswer,
            Self::CloseMidBody { .. } => FaultKind::CloseMidBody,
            Self::StallMidBody { .. } => FaultKind::StallMidBody,
            Self::Trickle { .. } => FaultKind::Trickle,
            Self::RpcError(_) => FaultKind::RpcError,
            Self::Respond(_) => FaultKind::Respond,
        }
    }
}

/// The kind of a [`Fault`], as shown in the node's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// [`Fault::Status`].
    Status,
    /// [`Fault::Garbage`].
    Garbage,
    /// [`Fault::Silence`].
    Silence,
    /// [`Fault::CloseBeforeAnswer`].
    CloseBeforeAnswer,
    /// [`Fault::CloseMidBody`].
    CloseMidBody,
    /// [`Fault::StallMidBody`].
    StallMidBody,
    /// [`Fault::Trickle`].
    Trickle,
    /// [`Fault::RpcError`].
    RpcError,
    /// [`Fault::Respond`].
    Respond,
}

/// A body that is no JSON-RPC answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Garbage {
    /// A gateway's error page.
    Html,
    /// A plain sentence.
    Text,
    /// The first half of the proper answer, as if it were whole.
    TruncatedJson,
    /// No bytes.
    Empty,
}

/// A JSON-RPC error object. Source: JSON-RPC 2.0, section 5.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcError {
    /// The error's number.
    pub code: i64,
    /// The error's text.
    pub message: String,
    /// What the error carries along, such as revert bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

impl RpcError {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same error carrying `data`.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Value>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// What a node says of a method it does not have.
    #[must_use]
    pub fn method_not_found(method: &str) -> Self {
        Self::new(
            -32601,
            format!("the method {method} does not exist/is not available"),
        )
    }
}

/// A response sent as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct RawResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers; the node adds `x-simnode`, and the server the length and the date.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl RawResponse {
    /// A response without headers.
    #[must_use]
    pub fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// A response of type `application/json`.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self::new(status, body).with_header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// The same response with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}
