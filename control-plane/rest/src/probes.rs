//! `/liveness` and `/readiness`, outside `/api/v1` and without envelope.

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::RestState;

/// Whether the service is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    name: &'static str,
    version: &'static str,
    status: bool,
    /// RFC 3339, UTC.
    date: String,
    /// Seconds the check took.
    duration: f64,
    /// What the service depends on.
    #[serde(skip_serializing_if = "Option::is_none")]
    integrations: Option<Vec<Integration>>,
}

/// Whether something the service depends on is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Integration {
    name: &'static str,
    kind: &'static str,
    status: bool,
    /// Seconds.
    response_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn health(status: bool, duration: f64, integrations: Option<Vec<Integration>>) -> Health {
    Health {
        name: "tyrscale",
        version: env!("CARGO_PKG_VERSION"),
        status,
        date: Timestamp::now().to_string(),
        duration,
        integrations,
    }
}

/// Says that the process runs.
#[utoipa::path(
    get, path = "/liveness", tag = "health", operation_id = "liveness",
    responses((status = 200, description = "Alive", body = Health))
)]
pub(crate) async fn liveness() -> Json<Health> {
    let start = Instant::now();
    Json(health(true, start.elapsed().as_secs_f64(), None))
}

/// Says whether the store takes reads and writes.
#[utoipa::path(
    get, path = "/readiness", tag = "health", operation_id = "readiness",
    responses(
        (status = 200, description = "Ready", body = Health),
        (status = 503, description = "The store takes no writes", body = Health)
    )
)]
pub(crate) async fn readiness(State(state): State<RestState>) -> Response {
    let start = Instant::now();
    let error = state.store().is_ready().err();
    let response_time = start.elapsed().as_secs_f64();
    let ready = error.is_none();
    let integration = Integration {
        name: "store checker",
        kind: "sled",
        status: ready,
        response_time,
        error: error.map(|error| format!("ping failed: {error}")),
    };
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (
        status,
        Json(health(ready, response_time, Some(vec![integration]))),
    )
        .into_response()
}
