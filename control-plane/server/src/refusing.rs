//! A control plane that has nothing to serve, or not yet: it says why.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, metadata::MetadataValue, service::Routes, transport::server::Server};
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
const LOADING: &str = "the control plane is loading its store: try again";
/// Clients that retry by themselves wait so many milliseconds before they do (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// Why nothing is served.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The store is being opened; it passes.
    Loading,
    /// There is none to be opened, for this reason.
    Recovery(String),
}

impl Refusal {
    /// When to come again, if it passes.
    pub(crate) const AGAIN: Duration = Duration::from_secs(1);

    /// What callers are told: with tokens on nobody can show one, and a reason that tells of files is for the log and the
    /// admin port only.
    fn told(&self, config: &ControlPlaneConfig) -> Arc<str> {
        match self {
            Self::Loading => LOADING.into(),
            Self::Recovery(_) if config.access.tokens => RECOVERY.into(),
            Self::Recovery(reason) => reason.as_str().into(),
        }
    }

    const fn passes(&self) -> bool {
        matches!(self, Self::Loading)
    }

    fn status(&self, told: &str) -> Status {
        let mut status = Status::unavailable(told);
        if self.passes() {
            let pause = MetadataValue::from(Self::AGAIN.as_secs() * 1000);
            status.metadata_mut().insert(PUSHBACK, pause);
        }
        status
    }

    fn response(&self, told: &str) -> Response {
        let body = serde_json::json!({ "status": 503, "code": 14, "message": told });
        let json = [(header::CONTENT_TYPE, "application/json")];
        let mut response = (StatusCode::SERVICE_UNAVAILABLE, json, body.to_string()).into_response();
        if self.passes() {
            let pause = HeaderValue::from(Self::AGAIN.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, pause);
        }
        response
    }
}

/// Answers every call with the reason until `stop`. Subscribers go on with what they run and try again.
pub(crate) async fn refuse(
    config: &ControlPlaneConfig,
    listeners: Listeners,
    refusal: Refusal,
    stop: CancellationToken,
) -> Result<(), ControlPlaneError> {
    if refusal.passes() {
        tracing::info!("control plane is still loading its store: callers are told to come again");
    } else {
        tracing::info!(
            grpc = listeners.grpc.local_addr().ok().map(tracing::field::display),
            rest = listeners.rest.local_addr().ok().map(tracing::field::display),
            "control plane says why it has nothing to serve"
        );
    }
    let (told, refusal) = (refusal.told(config), Arc::new(refusal));
    let (health, health_service) = tonic_health::server::health_reporter();
    health
        .set_service_status("", tonic_health::ServingStatus::NotServing)
        .await;
    let (words, why) = (Arc::clone(&told), Arc::clone(&refusal));
    let unavailable = move || async move { why.status(&words).into_http::<Body>() };
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
    let state = admin_state(&refusal)?;
    let router = Router::new().fallback(move || async move { refusal.response(&told) });
    let port = tyrscale_rest::port(listeners.rest, tls(&config.access, Spoken::Http1).await?);
    let rest = tyrscale_rest::serve(port, router, stop.clone());
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

fn admin_state(refusal: &Refusal) -> Result<AdminState, ControlPlaneError> {
    let metrics = Metrics::new(Service::ControlPlane)?;
    let recovery = if refusal.passes() { 0.0 } else { 1.0 };
    metrics.observe_gauge(&catalogue::STORE_READY, |gauge| gauge.observe(0.0, []))?;
    metrics.observe_gauge(&catalogue::STORE_RECOVERY, move |gauge| {
        gauge.observe(recovery, []);
    })?;
    let detail = match refusal {
        Refusal::Loading => LOADING.to_owned(),
        Refusal::Recovery(reason) => reason.clone(),
    };
    let ready = move || Readiness {
        checks: vec![Check {
            name: "store",
            ready: false,
            detail: detail.clone(),
        }],
    };
    Ok(AdminState::new(Arc::new(metrics), ready))
}
