//! The admin endpoints of a service: liveness, readiness, metrics, and what the service adds.
//!
//! Meant for an operator's network: no TLS, no authentication. One request a connection, few connections,
//! a limit on the time of each, so that nobody can hold it.

use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

const MAX_CONNECTIONS: usize = 64;
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an answer under way may take once the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to accept when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// One condition of a service's readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// A stable word, such as `config`.
    pub name: &'static str,
    /// Whether the condition holds.
    pub ready: bool,
    /// For people: what is there or what is missing. No secrets.
    pub detail: String,
}

/// Whether a service may be sent work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Readiness {
    /// All must hold.
    pub checks: Vec<Check>,
}

impl Readiness {
    /// Whether all checks hold.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.ready)
    }

    fn to_json(&self) -> String {
        let checks: Vec<_> = self
            .checks
            .iter()
            .map(|check| json!({"name": check.name, "ready": check.ready, "detail": check.detail}))
            .collect();
        json!({"ready": self.is_ready(), "checks": checks}).to_string()
    }
}

/// An answer of the admin server.
#[derive(Debug, Clone)]
pub struct Page {
    /// HTTP status.
    pub status: StatusCode,
    /// Media type of the body.
    pub content_type: &'static str,
    /// The whole body.
    pub body: Bytes,
}

impl Page {
    /// A page of plain text.
    #[must_use]
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: body.into(),
        }
    }

    /// A page of JSON; `body` is already encoded.
    #[must_use]
    pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: JSON,
            body: body.into(),
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }
}

type ReadReadiness = Box<dyn Fn() -> Readiness + Send + Sync>;
type FindPage = Box<dyn Fn(&str) -> Option<Page> + Send + Sync>;

/// What the admin endpoints show.
pub struct AdminState {
    metrics: Arc<Metrics>,
    ready: ReadReadiness,
    pages: FindPage,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState")
            .field("metrics", &self.metrics)
            .finish_non_exhaustive()
    }
}

impl AdminState {
    /// Shows `metrics`, and as readiness what `ready` says at each request. `ready` must not block.
    pub fn new(metrics: Arc<Metrics>, ready: impl Fn() -> Readiness + Send + Sync + 'static) -> Self {
        Self {
            metrics,
            ready: Box::new(ready),
            pages: Box::new(|_| None),
        }
    }

    /// Adds pages of the service's own: `find` is asked for every path that is not one of ours. It must not
    /// block.
    #[must_use]
    pub fn with_pages(self, find: impl Fn(&str) -> Option<Page> + Send + Sync + 'static) -> Self {
        Self {
            pages: Box::new(find),
            ..self
        }
    }
}

/// Serves `GET` and `HEAD` of `/livez`, `/readyz`, `/metrics` and the service's own pages until `shutdown`;
/// then ends when the answers under way are sent, within five seconds. Dropping the future cuts them off.
///
/// Nothing that happens on a connection, nor a failure to accept one, ends it early.
pub async fn serve_admin(listener: TcpListener, state: AdminState, shutdown: CancellationToken) {
    let state = Arc::new(state);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some(ended) = connections.join_next() => report(ended),
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&state), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "admin connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "admin connection ended by a panic");
    }
}

async fn serve_connection(stream: TcpStream, state: Arc<AdminState>, shutdown: CancellationToken) {
    let service = service_fn(|request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(&state, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(CONNECTION_TIMEOUT) => None,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN_TIMEOUT, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(%error, "admin connection failed"),
        None => tracing::debug!("admin connection took too long"),
    }
}

async fn answer<B>(state: &AdminState, request: &http::Request<B>) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = Page::text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n").into_response();
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let page = match request.uri().path() {
        "/livez" => Page::text(StatusCode::OK, "ok"),
        "/readyz" => readiness_page(&(state.ready)()),
        "/metrics" => metrics_page(Arc::clone(&state.metrics)).await,
        path => (state.pages)(path).unwrap_or_else(|| Page::text(StatusCode::NOT_FOUND, "not found\n")),
    };
    page.into_response()
}

fn readiness_page(readiness: &Readiness) -> Page {
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    Page::json(status, readiness.to_json())
}

/// Off the workers: with thousands of series a scrape takes milliseconds.
async fn metrics_page(metrics: Arc<Metrics>) -> Page {
    match tokio::task::spawn_blocking(move || metrics.render()).await {
        Ok(Ok((content_type, body))) => Page {
            status: StatusCode::OK,
            content_type,
            body: body.into(),
        },
        Ok(Err(error)) => scrape_failed(&error),
        Err(error) => scrape_failed(&error),
    }
}

fn scrape_failed(error: &(dyn std::error::Error + 'static)) -> Page {
    tracing::error!(error, "metrics could not be rendered");
    Page::text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "metrics could not be rendered\n",
    )
}
