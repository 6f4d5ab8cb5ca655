//! The envelope of every answer: `status`, `code`, `message`, then `data` or `context`.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// The envelope of a success.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Success<T> {
    /// The HTTP status.
    status: u16,
    /// 0 (google.rpc.Code OK).
    code: u32,
    message: &'static str,
    /// Left out when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// The envelope of a refusal.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The google.rpc.Code; for unknown paths and methods the HTTP status again.
    pub(crate) code: u32,
    pub(crate) message: String,
    /// What stands in the way, when there is something to name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) context: Option<Identified>,
}

/// Names a resource by its UUID.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Identified {
    pub(crate) uuid: String,
}

/// A list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Items<T> {
    items: Vec<T>,
}

/// Data of answers that have none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Nothing {}

/// 201 with data.
pub(crate) const fn created<T>(data: T) -> Success<T> {
    Success {
        status: 201,
        code: 0,
        message: "Resource Created Successfully",
        data: Some(data),
    }
}

/// 200 with data.
pub(crate) const fn found<T>(data: T) -> Success<T> {
    Success {
        status: 200,
        code: 0,
        message: "Success",
        data: Some(data),
    }
}

/// 200 with a list.
pub(crate) fn listed<T>(items: impl IntoIterator<Item = T>) -> Success<Items<T>> {
    found(Items {
        items: items.into_iter().collect(),
    })
}

/// 200 without data.
pub(crate) const fn done() -> Success<Nothing> {
    Success {
        status: 200,
        code: 0,
        message: "Success",
        data: None,
    }
}

impl<T: Serialize> IntoResponse for Success<T> {
    fn into_response(self) -> Response {
        respond(self.status, &self)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        respond(self.status, &self)
    }
}

fn respond(status: u16, body: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(body)).into_response()
}
