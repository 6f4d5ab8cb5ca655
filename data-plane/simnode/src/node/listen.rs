//! A node's connections: accepted, upgraded to TLS if asked for, served in HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::service::Shared;

/// Connections served at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4_096;
/// For a TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What every connection needs.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) shared: Arc<Shared>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) cancel: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Door {
    /// Accepts connections until cancelled.
    pub(super) async fn accept(self, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let next = async || {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        while let Some(Some((slot, accepted))) = self.cancel.run_until_cancelled(next()).await {
            match accepted {
                Ok((stream, peer)) => {
                    let door = self.clone();
                    self.tasks.spawn(async move {
                        let connection = door.connection(stream, peer);
                        door.cancel.run_until_cancelled(connection).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely; accepting again at once would spin.
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let counted = self.shared.meter.connection();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set nodelay");
        }
        let by_client = match &self.tls {
            None => Box::pin(self.clone().serve(stream, peer)).await,
            Some(tls) => match tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                Ok(Ok(stream)) => Box::pin(self.clone().serve(stream, peer)).await,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "handshake failed");
                    true
                }
                Err(_) => false,
            },
        };
        if by_client {
            counted.closed_by_client();
        }
    }

    /// Serves one connection; whether it was the client who closed it.
    async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
    ) -> bool {
        let service = service_fn(move |request| {
            let shared = Arc::clone(&self.shared);
            async move { shared.serve(request, peer).await }
        });
        let mut server = auto::Builder::new(TokioExecutor::new());
        // Idle connections stay open until the client or the node's owner closes them.
        server.http1().header_read_timeout(None);
        let Err(error) = server.serve_connection(TokioIo::new(stream), service).await else {
            return true;
        };
        tracing::debug!(%error, "connection ended");
        // A fault ordered of this node is an error of its service.
        !error
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_user)
    }
}
