//! Clients: accepted, served, drained.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::connection::Serving;
use crate::gateway::Gateway;
use crate::pool::Worker;
use crate::shedding::Shed;
use crate::tls::ServerTls;

/// Between two tries to accept when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How soon the first request has to come on a connection that was accepted at the shutdown.
const LAST_REQUEST_WITHIN: Duration = Duration::from_millis(500);

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

/// A connection, and its place among those that may be open.
struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    slot: OwnedSemaphorePermit,
}

/// Accepts and serves until `shutdown`, then finishes what is in flight, at most for the drain timeout.
pub(crate) async fn serve(gateway: Arc<Gateway>, worker: Worker, front: Front, shutdown: CancellationToken) {
    let Front { listener, tls } = front;
    let serving = Arc::new(Serving::new(gateway, worker, tls));
    let mut connections = JoinSet::new();
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept_all(&listener, &serving, &mut connections) => {}
    }
    for accepted in waiting(listener, &serving.gateway.slots) {
        connections.spawn(serve_last(Arc::clone(&serving), accepted));
    }
    serving.drain.begin();
    let drain = serving.gateway.settings.drain_timeout;
    tracing::info!(connections = connections.len(), "finishing requests in flight");
    let finished = async {
        while connections.join_next().await.is_some() {}
        serving.gateway.broadcasts.finished().await;
    };
    if tokio::time::timeout(drain, finished).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "requests took too long to finish and are cut off"
        );
        connections.shutdown().await;
    }
}

/// Accepts for ever, and looks after what the worker keeps meanwhile.
async fn accept_all(listener: &TcpListener, serving: &Arc<Serving>, connections: &mut JoinSet<()>) {
    let mut sweep = tokio::time::interval(serving.gateway.settings.idle_timeout);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let next = || accept(listener, &serving.gateway.slots);
    // Kept while other things are done: it may hold a connection that waits for its place.
    let mut accepting = pin!(next());
    loop {
        tokio::select! {
            accepted = &mut accepting => {
                if let Some(accepted) = accepted {
                    connections.spawn(serve_one(Arc::clone(serving), accepted));
                }
                accepting.set(next());
            }
            Some(_) = connections.join_next() => {}
            now = sweep.tick() => sweep_pools(serving, now),
        }
    }
}

async fn serve_one(serving: Arc<Serving>, accepted: Accepted) {
    let Accepted { stream, peer, slot } = accepted;
    let gateway = &serving.gateway;
    // A proxy connects for many.
    let is_counted = !gateway.settings.trusts(peer.ip());
    let counted = is_counted.then(|| gateway.client_connections.take(peer.ip()));
    if matches!(counted, Some(None)) {
        gateway.stats.count_shed(Shed::ClientConnections);
        return;
    }
    Arc::clone(&serving).serve(stream, peer).await;
    drop((counted, slot));
}

/// Serves a connection that was made before the shutdown: its first request may have been sent, too.
async fn serve_last(serving: Arc<Serving>, accepted: Accepted) {
    let spoke = tokio::time::timeout(LAST_REQUEST_WITHIN, accepted.stream.readable()).await;
    if let Ok(Ok(())) = spoke {
        serve_one(serving, accepted).await;
    }
}

/// The next connection, once there is room for it; `None` never comes while the semaphore is open. A worker that waits
/// for one takes no room.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<Accepted> {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let slot = Arc::clone(slots).acquire_owned().await.ok()?;
                return Some(Accepted { stream, peer, slot });
            }
            Err(error) => {
                tracing::warn!(%error, "connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The connections that clients had made before the listener goes, as far as there is room for them.
fn waiting(listener: TcpListener, slots: &Arc<Semaphore>) -> Vec<Accepted> {
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
        waiting.extend(stream.ok().map(|stream| Accepted { stream, peer, slot }));
    }
    waiting
}

/// Closes the worker's connections to upstreams that have been idle for too long.
fn sweep_pools(serving: &Serving, now: Instant) {
    for route in serving.gateway.running().table.routes() {
        for endpoint in route.endpoints() {
            endpoint.pool().sweep(serving.worker, now);
        }
    }
}
