//! Threads that serve clients, each with a runtime and a listening socket of its own.
//!
//! The system shares the connections out among the sockets, and a connection stays with its thread, so that
//! nothing of a request crosses from one core to another.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gateway::Gateway;
use crate::pool::Worker;
use crate::server::{self, Front};
use crate::tls::ServerTls;

/// Connections that the system holds for a socket until they are accepted.
const BACKLOG: u32 = 4096;

/// Listens at `address` with a socket that the sockets of further workers may join. Runs inside a tokio runtime.
///
/// # Errors
/// As [`TcpListener::bind`]: also when another process of the same user already shares its port so.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    if address.port() != 0 {
        // Sockets that share a port do not mind each other; this one minds them.
        let alone = socket(address)?;
        alone.bind(address)?;
    }
    join(address)
}

/// A further socket at an address.
fn join(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Serves on the threads of the settings until `shutdown` and until what is in flight then has finished, at most for the
/// drain timeout. Dropped, it lets the threads finish by themselves.
///
/// # Errors
/// When a socket or a thread cannot be made.
pub(crate) async fn serve(
    gateway: &Arc<Gateway>,
    fronts: Vec<Front>,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let shutdown = shutdown.child_token();
    let _stop = shutdown.clone().drop_guard();
    let serving = TaskTracker::new();
    let workers = gateway.settings.workers;
    for (number, fronts) in shared(fronts, workers)?.into_iter().enumerate() {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (gateway, shutdown, token) = (Arc::clone(gateway), shutdown.clone(), serving.token());
        let work = async move {
            let serving_fronts = fronts.into_iter().map(|(listener, tls)| async {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        let front = Front { listener, tls };
                        server::serve(Arc::clone(&gateway), Worker::new(number), front, shutdown.clone())
                            .await;
                    }
                    Err(error) => tracing::error!(%error, "worker cannot listen"),
                }
            });
            join_all(serving_fronts).await;
            drop(token);
        };
        thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || runtime.block_on(work))?;
    }
    serving.close();
    serving.wait().await;
    Ok(())
}

/// A front that is of no runtime yet.
type Unborn = (std::net::TcpListener, Option<Arc<ServerTls>>);

/// For each worker a socket of each front.
fn shared(fronts: Vec<Front>, workers: NonZeroUsize) -> io::Result<Vec<Vec<Unborn>>> {
    let mut shared: Vec<Vec<Unborn>> = Vec::new();
    shared.resize_with(workers.get(), Vec::new);
    for front in fronts {
        let listeners = listeners(front.listener, workers)?;
        for (of_worker, listener) in shared.iter_mut().zip(listeners) {
            of_worker.push((listener, front.tls.clone()));
        }
    }
    Ok(shared)
}

/// One socket for each worker. Those of a listener that cannot be joined are that listener itself.
fn listeners(first: TcpListener, workers: NonZeroUsize) -> io::Result<Vec<std::net::TcpListener>> {
    let address = first.local_addr()?;
    let first = first.into_std()?;
    let mut listeners = Vec::with_capacity(workers.get());
    for _ in 1..workers.get() {
        listeners.push(match join(address) {
            Ok(listener) => listener.into_std()?,
            Err(_) => first.try_clone()?,
        });
    }
    listeners.push(first);
    Ok(listeners)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn workers_join_a_port_that_others_may_not() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_addr().unwrap();
        assert_eq!(bind(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let three = NonZeroUsize::new(3).unwrap();
        let all = listeners(first, three).unwrap();
        assert!(all.iter().all(|it| it.local_addr().unwrap() == address));
        assert_eq!(all.len(), 3);
    }

    #[tokio::test]
    async fn a_listener_that_cannot_be_joined_is_shared() {
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap();
        let all = listeners(first, NonZeroUsize::new(2).unwrap()).unwrap();
        assert!(all.iter().all(|it| it.local_addr().unwrap() == address));
    }
}
