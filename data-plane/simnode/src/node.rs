//! The node as its owner holds it: started, told what to do, asked what it saw, stopped.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderValue;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::chain::Chain;
use crate::service::{Shared, now};

mod listen;
mod orders;
mod sight;

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
    /// Speaks TLS with this certificate; whether HTTP/2 is offered too is up to its ALPN protocols.
    pub tls: Option<Arc<ServerConfig>>,
}

impl Default for SimNodeConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            name: "simnode".to_owned(),
            chain_id: 1337,
            height: 1_000,
            block_time: None,
            tls: None,
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
    scheme: &'static str,
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
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let door = listen::Door {
            shared: Arc::clone(&shared),
            tls: config.tls.map(Into::into),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
        };
        tasks.spawn(door.accept(listener));
        Ok(Self {
            addr,
            scheme,
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
        format!("{}://{}", self.scheme, self.addr)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }
}
