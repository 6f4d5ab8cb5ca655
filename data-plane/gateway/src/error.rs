//! Why the gateway stopped, or did not start.

use std::io;
use std::path::PathBuf;

use tyrscale_telemetry::TelemetryError;

use crate::tls::ServerTlsError;

/// Why the gateway stopped, or did not start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The access log cannot be opened, or traces not be sent to the collector's address.
    #[error("the access log or the collector of traces cannot be used")]
    Recorder(#[source] std::io::Error),
    /// TLS towards upstreams cannot be set up.
    #[error("tls to upstreams cannot be set up")]
    Tls(#[from] rustls::Error),
    /// TLS towards clients cannot be set up.
    #[error("tls to clients cannot be set up")]
    ServerTls(#[from] ServerTlsError),
    /// The metrics cannot be set up.
    #[error("metrics cannot be set up")]
    Telemetry(#[from] TelemetryError),
    /// The control plane cannot be followed.
    #[error("control plane cannot be followed")]
    Subscription(#[from] tyrscale_client::ClientError),
    /// The threads that serve clients cannot be started.
    #[error("workers cannot be started")]
    Workers(#[source] io::Error),
    /// The node's id cannot be kept.
    #[error("node id cannot be kept in {path}")]
    NodeId {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
