//! A scriptable EVM node for tests and the demo.
//!
//! [`SimNode`] is a real HTTP server on loopback (HTTP/1.1, HTTP/2 by prior knowledge, TLS if given a
//! certificate) that answers JSON-RPC as an EVM node does, and fails as it is
//! told: late, with a status, with garbage, in mid-body, or not at all. It keeps what it received, so a test can
//! look at the very bytes, and wait for them instead of sleeping. [`ConnectProxy`] is the proxy to go with it.
//!
//! ```
//! # async fn example() -> Result<(), tyrscale_simnode::SimNodeError> {
//! use tyrscale_simnode::{Fault, SimNode, SimNodeConfig};
//!
//! let node = SimNode::start(SimNodeConfig::named("a")).await?;
//! node.set_lag(5);
//! node.fail_next_of("eth_call", 2, Fault::CloseBeforeAnswer);
//! // … send requests to node.url() …
//! node.wait_for_hits_of("eth_call", 3).await;
//! # Ok(())
//! # }
//! ```

mod behavior;
mod body;
mod canned;
mod chain;
mod coding;
mod connect_proxy;
mod control;
mod fault;
mod load;
mod node;
mod rpc;
mod service;
mod traffic;

pub use behavior::{Behavior, GzipAnswers};
pub use canned::CannedAnswer;
pub use chain::BlockHash;
pub use connect_proxy::{ConnectProxy, ConnectRequest};
pub use fault::{Fault, FaultKind, Garbage, RawResponse, RpcError};
pub use load::Load;
pub use node::{SimNode, SimNodeConfig, SimNodeError};
pub use rpc::BatchShape;
pub use service::NODE_HEADER;
pub use traffic::CapturedRequest;
