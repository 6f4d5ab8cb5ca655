//! The exporter: follows networks and rpcs.
//!
//! Today it subscribes to them, says what it follows on its admin endpoints and keeps the last good content on
//! disk. It does not measure anything yet.

use std::path::PathBuf;

use http::Uri;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientTlsArgs, NodeRole,
    follow::{self, FollowError, FollowerConfig},
};
use tyrscale_model::{Kind, View};
use tyrscale_telemetry::Service;

/// The kinds it follows.
const VIEW: &[Kind] = &[Kind::Network, Kind::Rpc];

/// What the exporter needs to know.
#[derive(Debug, Clone, clap::Args)]
pub struct ExporterConfig {
    /// Control planes as http://host:port or https://host:port, tried in turn
    #[arg(
        long,
        env = "TYRSCALE_CONTROL_PLANE",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8889"
    )]
    pub control_plane: Vec<Uri>,
    /// TLS towards the control plane
    #[command(flatten)]
    pub tls: ClientTlsArgs,
    /// Name of this process; no other node may have it
    #[arg(
        long,
        env = "TYRSCALE_EXPORTER_NODE_ID",
        value_name = "ID",
        default_value = "exporter"
    )]
    pub node_id: String,
    /// Where this process runs
    #[arg(long, env = "TYRSCALE_EXPORTER_ZONE", default_value = "")]
    pub zone: String,
    /// Directory that keeps the last good configuration; without it a restart waits for the control plane
    #[arg(long, env = "TYRSCALE_EXPORTER_DATA_DIR", value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

/// What the exporter listens on.
#[derive(Debug)]
pub struct Listeners {
    /// Liveness, readiness and metrics.
    pub admin: TcpListener,
}

/// Why the exporter could not run.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// It cannot follow the configuration.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Follows the configuration and serves the admin endpoints until `shutdown`.
///
/// # Errors
/// [`ExporterError`], at once, when it cannot work as configured.
pub async fn run(
    config: ExporterConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ExporterError> {
    Ok(follow::follow(config.into(), listeners.admin, shutdown).await?)
}

impl From<ExporterConfig> for FollowerConfig {
    fn from(config: ExporterConfig) -> Self {
        Self {
            service: Service::Exporter,
            role: NodeRole::Exporter,
            view: View::of(VIEW),
            control_plane: config.control_plane,
            tls: config.tls.into(),
            node_id: config.node_id,
            zone: config.zone,
            build: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            data_dir: config.data_dir,
        }
    }
}
