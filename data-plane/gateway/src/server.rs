//! Connections of clients: accepted, served as HTTP/1.1 or HTTP/2, with TLS or in clear text, drained.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tyrscale_model::Scheme;

use crate::config::Settings;
use crate::gateway::Gateway;
use crate::proxy::{Origin, handle};
use crate::stall::WriteTimeout;
use crate::tls::ServerTls;

/// Between two tries to accept when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How soon the first request has to come on a connection that was accepted at the shutdown.
const LAST_REQUEST_WITHIN: Duration = Duration::from_millis(500);
/// Most headers of a request.
const MAX_HEADERS: usize = 128;
/// Most requests at once on an HTTP/2 connection.
const MAX_STREAMS: u32 = 256;
/// How often a quiet HTTP/2 client is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Where clients connect.
pub(crate) struct Front {
    pub(crate) listener: TcpListener,
    /// `None` where they connect without TLS.
    pub(crate) tls: Option<Arc<ServerTls>>,
}

impl Front {
    pub(crate) const fn plain(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }

    pub(crate) const fn tls(listener: TcpListener, tls: Arc<ServerTls>) -> Self {
        Self {
            listener,
            tls: Some(tls),
        }
    }
}

/// Accepts and serves until `shutdown`, then finishes what is in flight, at most for the drain timeout.
pub(crate) async fn serve(gateway: Arc<Gateway>, front: Front, shutdown: CancellationToken) {
    let Front { listener, tls } = front;
    let server = Server {
        builder: builder(&gateway.settings),
        cut: CancellationToken::new(),
        shutdown,
        tls,
        gateway,
    };
    let server = Arc::new(server);
    let connections = TaskTracker::new();
    let slots = &server.gateway.slots;
    while let Some(Some((slot, stream, peer))) = server
        .shutdown
        .run_until_cancelled(accept(&listener, slots))
        .await
    {
        connections.spawn(Arc::clone(&server).serve_connection(stream, peer, slot));
    }
    for (slot, stream, peer) in waiting(listener, slots) {
        connections.spawn(Arc::clone(&server).serve_last(stream, peer, slot));
    }
    connections.close();
    let drain = server.gateway.settings.drain_timeout;
    tracing::info!(connections = connections.len(), "finishing requests in flight");
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests took too long to finish and are cut off"
        );
        server.cut.cancel();
        connections.wait().await;
    }
}

/// The next connection, once there is room for it; `None` never comes while the semaphore is open.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> Option<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((slot, stream, peer)),
            Err(error) => {
                tracing::warn!(%error, "connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connections that clients had made before the listener goes, as far as there is room for them.
fn waiting(
    listener: TcpListener,
    slots: &Arc<Semaphore>,
) -> Vec<(OwnedSemaphorePermit, TcpStream, SocketAddr)> {
    let mut waiting = Vec::new();
    // The runtime may not have heard of the latest; the system has.
    let Ok(listener) = listener.into_std() else {
        return waiting;
    };
    while let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        let Ok((stream, peer)) = listener.accept() else {
            break;
        };
        let stream = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        waiting.extend(stream.ok().map(|stream| (slot, stream, peer)));
    }
    waiting
}

fn builder(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(usize::try_from(settings.max_header_bytes).unwrap_or(usize::MAX));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(settings.max_header_bytes)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

struct Server {
    gateway: Arc<Gateway>,
    tls: Option<Arc<ServerTls>>,
    builder: Builder<TokioExecutor>,
    /// Take no more requests.
    shutdown: CancellationToken,
    /// Stop at once.
    cut: CancellationToken,
}

impl Server {
    /// Serves a connection that was made before the shutdown: its first request may have been sent, too.
    async fn serve_last(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        if let Ok(Ok(())) = tokio::time::timeout(LAST_REQUEST_WITHIN, stream.readable()).await {
            self.serve_connection(stream, peer, slot).await;
        }
    }

    async fn serve_connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        _slot: OwnedSemaphorePermit,
    ) {
        let _counted = self.gateway.stats.connection();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "nodelay could not be set");
        }
        let stream = WriteTimeout::new(stream, self.gateway.settings.write_timeout);
        let Some(tls) = &self.tls else {
            return self.serve_stream(stream, peer).await;
        };
        match self.cut.run_until_cancelled(tls.accept(stream)).await {
            Some(Ok(stream)) => self.serve_stream(stream, peer).await,
            Some(Err(error)) => tracing::debug!(%error, "tls handshake with a client failed"),
            None => {}
        }
    }

    async fn serve_stream<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let origin = Origin {
            address: peer.ip(),
            scheme: if self.tls.is_some() {
                Scheme::Https
            } else {
                Scheme::Http
            },
        };
        let spoke = AtomicBool::new(false);
        let service = service_fn(|request| {
            spoke.store(true, Ordering::Relaxed);
            let gateway = Arc::clone(&self.gateway);
            async move { Ok::<_, Infallible>(handle(gateway, origin, request).await) }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // Until the first bytes tell which protocol it is, no timeout of a protocol runs.
        let mut silence = pin!(tokio::time::sleep(self.gateway.settings.header_timeout));
        let (mut may_be_silent, mut draining) = (true, false);
        let ended = loop {
            tokio::select! {
                // What has been sent already is read before the connection is told to take no more.
                biased;
                ended = connection.as_mut() => break Some(ended),
                () = silence.as_mut(), if may_be_silent => {
                    if !spoke.load(Ordering::Relaxed) {
                        break None;
                    }
                    may_be_silent = false;
                }
                () = self.shutdown.cancelled(), if !draining => {
                    connection.as_mut().graceful_shutdown();
                    draining = true;
                }
                () = self.cut.cancelled() => break None,
            }
        };
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "connection of a client failed");
        }
    }
}
