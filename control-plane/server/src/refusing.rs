//! A control plane that has nothing to serve: it says why.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes, transport::server::Server};
use tyrscale_access::{Port, Spoken};
use tyrscale_telemetry::{AdminState, Check, Metrics, Readiness, Service, catalogue, serve_admin};

use crate::{
    access::tls,
    config::ControlPlaneConfig,
    error::ControlPlaneError,
    server::{GRPC_LIMITS, Listeners, drained},
};

/// What strangers are told in place of the reason.
const RECOVERY: &str = "the control plane is in recovery mode: its log and its admin port say why";

/// Answers every call with the reason until `stop`; with tokens on nobody can show one, and the reason, which tells of
/// files, is for the log and the admin port only. Subscribers go on with what they run and try again.
pub(crate) async fn refuse(
    config: &ControlPlaneConfig,
    listeners: Listeners,
    reason: String,
    stop: CancellationToken,
) -> Result<(), ControlPlaneError> {
    tracing::info!(
        grpc = listeners.grpc.local_addr().ok().map(tracing::field::display),
        rest = listeners.rest.local_addr().ok().map(tracing::field::display),
        "control plane says why it has nothing to serve"
    );
    let told: Arc<str> = if config.access.tokens {
        RECOVERY.into()
    } else {
        reason.as_str().into()
    };
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    let words = Arc::clone(&told);
    let unavailable = move || async move { Status::unavailable(words.as_ref()).into_http::<Body>() };
    let routes = Routes::new(health_service)
        .into_axum_router()
        .fallback(unavailable);
    let port = Port::new(
        listeners.grpc,
        tls(&config.access, Spoken::Grpc).await?,
        GRPC_LIMITS,
    );
    let grpc = Server::builder()
        .add_routes(Routes::from(routes))
        .serve_with_incoming_shutdown(port.connections(stop.clone()), stop.clone().cancelled_owned());
    let router = Router::new().fallback(move || async move { service_unavailable(&told) });
    let port = tyrscale_rest::port(listeners.rest, tls(&config.access, Spoken::Http1).await?);
    let rest = tyrscale_rest::serve(port, router, stop.clone());
    let state = admin_state(reason)?;
    let admin = async {
        if let Some(listener) = listeners.admin {
            serve_admin(listener, state, stop.clone()).await;
        }
    };
    let (served, _, ()) = tokio::join!(
        drained(grpc, stop.clone(), "grpc"),
        drained(rest, stop.clone(), "rest"),
        admin
    );
    served.transpose()?;
    Ok(())
}

fn service_unavailable(reason: &str) -> Response {
    let body = serde_json::json!({ "status": 503, "code": 14, "message": reason });
    let json = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::SERVICE_UNAVAILABLE, json, body.to_string()).into_response()
}

fn admin_state(reason: String) -> Result<AdminState, ControlPlaneError> {
    let metrics = Metrics::new(Service::ControlPlane)?;
    metrics.observe_gauge(&catalogue::STORE_READY, |gauge| gauge.observe(0.0, []))?;
    metrics.observe_gauge(&catalogue::STORE_RECOVERY, |gauge| gauge.observe(1.0, []))?;
    let ready = move || Readiness {
        checks: vec![Check {
            name: "store",
            ready: false,
            detail: reason.clone(),
        }],
    };
    Ok(AdminState::new(Arc::new(metrics), ready))
}
