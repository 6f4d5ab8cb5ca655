//! A small HTTP proxy for tests: it tunnels `CONNECT` and records who asked for what.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{AUTHORIZATION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::node::SimNodeError;

/// Requests kept; further ones are served but not recorded.
const MAX_REQUESTS: usize = 10_000;
/// Connections and tunnels open at once; further connections are closed at once.
const MAX_TASKS: usize = 1_024;

/// A `CONNECT` request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    /// The host and port asked for.
    pub target: String,
    /// The `Proxy-Authorization` header.
    pub proxy_authorization: Option<HeaderValue>,
    /// The `Authorization` header; a client that sends one here tells the proxy what is meant for the target.
    pub authorization: Option<HeaderValue>,
}

/// A running proxy on a free loopback port. It stops when dropped, tunnels included.
#[derive(Debug)]
pub struct ConnectProxy {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<ConnectRequest>>>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Clone)]
struct Tunnels {
    requests: Arc<Mutex<Vec<ConnectRequest>>>,
    /// The `Proxy-Authorization` asked for, if any.
    required: Option<HeaderValue>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for ConnectProxy {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl ConnectProxy {
    /// Starts a proxy open to everybody.
    ///
    /// # Errors
    /// [`SimNodeError::Listen`] when no port is free.
    pub async fn start() -> Result<Self, SimNodeError> {
        Self::listen(None).await
    }

    /// Starts a proxy that answers 407 unless `Proxy-Authorization` is exactly `required`.
    ///
    /// # Errors
    /// [`SimNodeError::Listen`] when no port is free.
    pub async fn start_with_authorization(required: HeaderValue) -> Result<Self, SimNodeError> {
        Self::listen(Some(required)).await
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The `CONNECT` requests received, oldest first, refused ones included.
    #[must_use]
    pub fn requests(&self) -> Vec<ConnectRequest> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Closes the listener and every tunnel and waits until it is done.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn listen(required: Option<HeaderValue>) -> Result<Self, SimNodeError> {
        let asked = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen_error = |source| SimNodeError::Listen { addr: asked, source };
        let listener = TcpListener::bind(asked).await.map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        let (requests, cancel, tasks) = (Arc::default(), CancellationToken::new(), TaskTracker::new());
        let tunnels = Tunnels {
            requests: Arc::clone(&requests),
            required,
            cancel: cancel.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(tunnels.accept(listener));
        Ok(Self {
            addr,
            requests,
            cancel,
            tasks,
        })
    }
}

impl Tunnels {
    async fn accept(self, listener: TcpListener) {
        while let Some(Ok((stream, _))) = self.cancel.run_until_cancelled(listener.accept()).await {
            if self.tasks.len() >= MAX_TASKS {
                continue;
            }
            let tunnels = self.clone();
            self.tasks.spawn(async move {
                let cancel = tunnels.cancel.clone();
                let service = service_fn(|request| tunnels.serve(request));
                let connection = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades();
                if let Some(Err(error)) = cancel.run_until_cancelled(connection).await {
                    tracing::debug!(%error, "proxy connection ended");
                }
            });
        }
    }

    async fn serve(&self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, http::Error> {
        let Some(target) = request
            .uri()
            .authority()
            .filter(|_| request.method() == Method::CONNECT)
        else {
            return Response::builder()
                .status(StatusCode::METHOD_NOT_ALLOWED)
                .body(Empty::new());
        };
        let target = target.to_string();
        let proxy_authorization = request.headers().get(PROXY_AUTHORIZATION).cloned();
        let refused = self.required.is_some() && proxy_authorization != self.required;
        self.record(ConnectRequest {
            target: target.clone(),
            proxy_authorization,
            authorization: request.headers().get(AUTHORIZATION).cloned(),
        });
        if refused {
            return Response::builder()
                .status(StatusCode::PROXY_AUTHENTICATION_REQUIRED)
                .header(PROXY_AUTHENTICATE, "Basic")
                .body(Empty::new());
        }
        let Ok(upstream) = TcpStream::connect(target).await else {
            return Response::builder()
                .status(StatusCode::BAD_GATEWAY)
                .body(Empty::new());
        };
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            if let Some(Err(error)) = cancel.run_until_cancelled(tunnel(request, upstream)).await {
                tracing::debug!(%error, "tunnel ended");
            }
        });
        Ok(Response::new(Empty::new()))
    }

    fn record(&self, request: ConnectRequest) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if requests.len() < MAX_REQUESTS {
            requests.push(request);
        }
    }
}

async fn tunnel(request: Request<Incoming>, mut upstream: TcpStream) -> std::io::Result<()> {
    let upgraded = hyper::upgrade::on(request).await.map_err(std::io::Error::other)?;
    tokio::io::copy_bidirectional(&mut TokioIo::new(upgraded), &mut upstream).await?;
    Ok(())
}
