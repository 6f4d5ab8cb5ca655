//! Connections of REST clients: bounded in number, and in the time of a head and of silence.

use std::{pin::pin, time::Duration};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tyrscale_access::{Connection, Port, PortLimits, PortTls};

const MAX_HEADERS: usize = 128;
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// For the head of a request, and for the pause before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const LIMITS: PortLimits = PortLimits {
    connections: 1024,
    handshake: Duration::from_secs(10),
    opening: (1, HEAD_TIMEOUT),
};

/// A port for [`serve`]. Clients beyond 1,024 wait until another has gone.
#[must_use]
pub const fn port(listener: TcpListener, tls: Option<PortTls>) -> Port {
    Port::new(listener, tls, LIMITS)
}

/// Serves a router until `shutdown`, then ends once the requests under way are answered. Nothing that happens on a
/// connection ends it early.
pub async fn serve(port: Port, router: Router, shutdown: CancellationToken) {
    let connections = TaskTracker::new();
    let mut incoming = port.connections(shutdown.clone());
    while let Some(Some(accepted)) = shutdown.run_until_cancelled(incoming.next()).await {
        if let Ok(connection) = accepted {
            let router = router.clone().layer(Extension(connection.peer().clone()));
            connections.spawn(serve_connection(connection, router, shutdown.clone()));
        }
    }
    drop(incoming);
    connections.close();
    connections.wait().await;
}

async fn serve_connection(stream: Connection, router: Router, shutdown: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "REST connection failed");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn start() -> (
        std::net::SocketAddr,
        CancellationToken,
        tokio::task::JoinHandle<()>,
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let served = tokio::spawn(serve(port(listener, None), router, shutdown.clone()));
        (address, shutdown, served)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_never_ends_its_head_is_cut_off() {
        let (address, _shutdown, _served) = start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_silent_connection_does_not_hold_up_the_end() {
        let (address, shutdown, served) = start().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await
            .unwrap();
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), served)
            .await
            .unwrap()
            .unwrap();
    }
}
