//! The gateway: a JSON-RPC reverse proxy that runs from one routing table.
//!
//! A request goes through the files in this order: `workers` (threads), `server` (accepted, drained), `connection`
//! (HTTP/1.1) or `http2`, `proxy` (one request from its head to its answer), `request` (host and path), `shedding`,
//! `admission`, `plan` and `batch` (what becomes of each call), `table` and `route` (whose turn it is), `forward` (one
//! attempt after the other), `attempt` (the account of one), `upstream`, `pool` and `dial` (sent, and its answer told
//! from a fault), `body` and `answer` (back to the client).
//! Beside it stand `probe`, which probes the upstreams, `metrics`, and `service`, which follows the control plane.
//!
//! What a client can rely on:
//!
//! - A route is found by host (or, from a trusted proxy, `X-Forwarded-Host`) and normalised path. An unknown one
//!   is 404; a request that does not name its host once is 400. Any HTTP method with a JSON-RPC body is served,
//!   and posted to the upstream, but for `HEAD`, `TRACE` and `CONNECT` (405); without a body it is 400. Preflights
//!   are answered on routes that say who may call.
//! - A body that is too large or a batch that is too long is 413, what is no JSON-RPC or not framed as HTTP asks
//!   for is 400, what does not arrive in time is 408; each with a JSON-RPC error.
//! - Notifications are forwarded and answered with 204. A batch goes whole to one upstream; calls that it left out or
//!   could not serve go to others in a smaller batch. The answer is in the order of the calls, with an error for each
//!   that is none, that the route does not serve, or that nobody answered. When no upstream answers a batch, each of
//!   its calls gets an error and the HTTP status is 200. An answer to a batch that is too large to be held is an
//!   error, too, and not asked for elsewhere.
//! - A call above a rate of the route is refused, alone with 429; requests beyond what the gateway takes on at once are
//!   503 before their bodies are read.
//! - Reads on routes that race go to several upstreams at once, and raw transactions on routes that broadcast.
//! - Each upstream is asked once, as long as asking another does no harm, then those again whose failure may pass,
//!   within the attempts, the time and the budget of the route. When all fail, the most telling
//!   of what happened is told, without addresses: 502, 503 or 504 with a JSON-RPC error. A 4xx that all share
//!   keeps its status, and its body if that is a JSON object or array that tells no secret of the upstream's
//!   address; redirects are not passed on.
//! - The client's headers travel on, except those of the connection, `Authorization` and `Cookie` (upstreams are
//!   third parties) unless the route says otherwise, and what an untrusted peer says of where a request came from.
//!   The upstream's travel back, except those of the connection, those about its own place such as `Location`, and
//!   any that tells a secret of its address. Compressed bodies are read on both sides.
//! - A client that does not take its answer is cut off, and gives back what it holds. A client can neither open
//!   nor hold an upstream's breaker by being slow, nor by a batch whose answer is too large. A call that takes an
//!   upstream longer than an attempt may last counts in its latency only.

mod access_log;
mod address;
mod admission;
mod answer;
mod args;
mod attempt;
mod batch;
mod blocks;
mod body;
mod coding;
mod compress;
pub mod config;
mod connection;
mod cors;
mod debug;
mod dial;
mod endpoint;
mod error;
mod failures;
mod forward;
mod gateway;
mod headers;
mod heads;
mod http2;
mod lookups;
mod metrics;
mod node_id;
mod plan;
mod pool;
mod probe;
mod proxy;
mod queue;
mod receipts;
mod record;
mod recorder;
mod reporter;
mod request;
mod route;
mod server;
mod service;
mod shedding;
mod shortage;
mod stall;
mod subject;
mod table;
mod tls;
mod trace;
mod traceparent;
mod transaction;
mod upstream;
mod workers;

pub use access_log::AccessLogMode;
pub use args::{Args, TlsArgs, TlsConfig};
pub use compress::Compress;
pub use config::{Config, ConfigError, Settings};
pub use error::GatewayError;
pub use gateway::Gateway;
pub use recorder::RecorderArgs;
pub use service::{Listeners, run};
pub use table::Changed;
pub use tls::{CertificateError, CertificateFiles, ServerTls, ServerTlsError};
pub use workers::bind;
