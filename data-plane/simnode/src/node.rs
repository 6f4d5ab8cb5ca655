//! The node as its owner holds it: started, told what to do, asked what it saw, stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::behavior::Behavior;
use crate::chain::{BlockHash, Chain};
use crate::fault::{Fault, RawResponse};
use crate::service::{Shared, now};
use crate::traffic::CapturedRequest;

/// Connections served at once; further ones wait in the listener's backlog.
const MAX_CONNECTIONS: usize = 4_096;

/// How a node starts.
#[derive(Debug, Clone)]
pub struct SimNodeConfig {
    /// Where the node listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The node's name, told in `web3_clientVersion` and in the header `x-simnode`.
    pub name: String,
    /// The chain's id.
    pub chain_id: u64,
    /// The first height, in blocks.
    pub height: u64,
    /// Time from block to block; `None` or zero makes blocks only by [`SimNode::mine`].
    pub block_time: Option<Duration>,
}

impl Default for SimNodeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: "simnode".to_owned(),
            chain_id: 1337,
            height: 1_000,
            block_time: None,
        }
    }
}

impl SimNodeConfig {
    /// The default node under another name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimNodeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The name cannot stand in a response header.
    #[error("name must be visible ascii")]
    Name,
}

/// A running node. It stops when dropped; [`SimNode::stop`] also waits until its port is free again.
pub struct SimNode {
    addr: SocketAddr,
    shared: Arc<Shared>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl fmt::Debug for SimNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimNode")
            .field("name", &self.shared.name)
            .field("addr", &self.addr)
            .finish()
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl SimNode {
    /// Starts a node that behaves well.
    ///
    /// # Errors
    /// [`SimNodeError`] when the address is taken or the name fits no header.
    pub async fn start(config: SimNodeConfig) -> Result<Self, SimNodeError> {
        let name_header = HeaderValue::from_str(&config.name).map_err(|_| SimNodeError::Name)?;
        let listen_error = |source| SimNodeError::Listen {
            addr: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        let chain = Chain::new(config.chain_id, config.height, config.block_time, now());
        let shared = Arc::new(Shared::new(config.name, name_header, chain));
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(
            listener,
            Arc::clone(&shared),
            cancel.clone(),
            tasks.clone(),
        ));
        Ok(Self {
            addr,
            shared,
            cancel,
            tasks,
        })
    }

    /// Closes the listener and every connection, answered or not, and waits until it is done.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Where the node listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The node's URL, such as `http://127.0.0.1:8545`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }
}

/// The chain.
impl SimNode {
    /// The height the node reports: the true one less the lag.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.shared.state().chain.head()
    }

    /// The hash of the block at `height` on the node's current fork.
    #[must_use]
    pub fn block_hash(&self, height: u64) -> BlockHash {
        self.shared.state().chain.hash(height)
    }

    /// Sets the true height, up or down.
    pub fn set_height(&self, height: u64) {
        self.shared.state().chain.set_height(height, now());
    }

    /// Makes `blocks` blocks at once.
    pub fn mine(&self, blocks: u64) {
        self.shared.state().chain.mine(blocks, now());
    }

    /// Lets the node report and serve only blocks this many below its height.
    pub fn set_lag(&self, blocks: u64) {
        self.shared.state().chain.lag = blocks;
    }

    /// Gives the last `depth` blocks, and all later ones, new hashes at the same heights.
    pub fn reorg(&self, depth: u64) {
        self.shared.state().chain.reorg(depth);
    }

    /// Stops the chain from growing by itself; it catches up when let go.
    pub fn set_frozen(&self, frozen: bool) {
        self.shared.state().chain.frozen = frozen;
    }

    /// Sets whether `eth_syncing` says so.
    pub fn set_syncing(&self, syncing: bool) {
        self.shared.state().chain.syncing = syncing;
    }

    /// Sets what `net_peerCount` says.
    pub fn set_peers(&self, peers: u32) {
        self.shared.state().chain.peers = peers;
    }
}

/// The behaviour. Every change holds from the next request on.
impl SimNode {
    /// The present behaviour.
    #[must_use]
    pub fn behavior(&self) -> Behavior {
        self.shared.state().behavior.clone()
    }

    /// Replaces the whole behaviour; `Behavior::default()` heals the node.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.shared.state().behavior = behavior;
    }

    /// Changes part of the behaviour.
    pub fn update_behavior(&self, change: impl FnOnce(&mut Behavior)) {
        change(&mut self.shared.state().behavior);
    }

    /// Makes every request meet `fault`, or none.
    pub fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        self.shared.state().behavior.fault = fault.into();
    }

    /// Makes requests that call `method` meet `fault`.
    pub fn set_method_fault(&self, method: impl Into<String>, fault: Fault) {
        self.shared
            .state()
            .behavior
            .method_faults
            .insert(method.into(), fault);
    }

    /// Waits before the head of every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.state().behavior.latency = latency;
    }

    /// Makes the next `requests` requests meet `fault`. Scripts are played one after the other.
    pub fn fail_next(&self, requests: u32, fault: Fault) {
        self.shared.state().plan.fail_next(None, requests, fault);
    }

    /// Makes the next `requests` requests that call `method` meet `fault`; others pass.
    pub fn fail_next_of(&self, method: impl Into<String>, requests: u32, fault: Fault) {
        self.shared
            .state()
            .plan
            .fail_next(Some(method.into()), requests, fault);
    }

    /// Asks `responder` for every answer no fault decides; where it says `None` the node answers itself.
    pub fn respond_with(
        &self,
        responder: impl Fn(&CapturedRequest) -> Option<RawResponse> + Send + Sync + 'static,
    ) {
        self.shared.state().responder = Some(Arc::new(responder));
    }

    /// Forgets faults, scripts, delays and the responder, and lets held requests go. The chain stays.
    pub fn heal(&self) {
        self.shared.heal();
    }

    /// Holds back every answer until [`SimNode::release`]. Requests are counted when they arrive.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the held answers go.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }
}

/// What reached the node. Requests to `/sim/…` are not counted.
impl SimNode {
    /// The last 10,000 requests, oldest first; fewer when their bodies are large.
    #[must_use]
    pub fn captured(&self) -> Vec<Arc<CapturedRequest>> {
        self.shared.traffic.recent()
    }

    /// HTTP requests received since the start.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.shared.traffic.hits()
    }

    /// Calls of `method` received, each member of a batch counted.
    #[must_use]
    pub fn hits_of(&self, method: &str) -> u64 {
        self.shared.traffic.hits_of(method)
    }

    /// Calls received by method.
    #[must_use]
    pub fn hits_by_method(&self) -> BTreeMap<String, u64> {
        self.shared.traffic.by_method()
    }

    /// Connections accepted since the start.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.traffic.connections()
    }

    /// Returns once `count` HTTP requests have arrived since the start. The caller bounds the wait.
    pub async fn wait_for_hits(&self, count: u64) {
        self.shared
            .traffic
            .wait_until(|traffic| traffic.hits() >= count)
            .await;
    }

    /// Returns once `count` calls of `method` have arrived since the start. The caller bounds the wait.
    pub async fn wait_for_hits_of(&self, method: &str, count: u64) {
        self.shared
            .traffic
            .wait_until(|traffic| traffic.hits_of(method) >= count)
            .await;
    }
}

impl Shared {
    /// Forgets faults, scripts, delays and the responder, and lets held requests go.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.behavior = Behavior::default();
        state.plan.clear();
        state.responder = None;
        drop(state);
        self.held.send_replace(false);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, cancel: CancellationToken, tasks: TaskTracker) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let next = async || {
        let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
        Some((slot, listener.accept().await))
    };
    while let Some(Some((slot, accepted))) = cancel.run_until_cancelled(next()).await {
        match accepted {
            Ok((stream, peer)) => {
                let connection = serve_connection(stream, peer, Arc::clone(&shared));
                let cancel = cancel.clone();
                tasks.spawn(async move {
                    cancel.run_until_cancelled(connection).await;
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

async fn serve_connection(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    shared.traffic.record_connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set nodelay");
    }
    let service = service_fn(|request| shared.serve(request, peer));
    // Idle connections stay open until the client or the node's owner closes them.
    let served = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}
