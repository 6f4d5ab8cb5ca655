//! The recommender: measures upstreams, turns that into weights on a schedule, and says why.
//!
//! It follows recommendations and the resources they name; of several, the one that holds the lease acts. A run opens
//! its record, reads the weights and the measurements, lets `tyrscale-scoring` decide, writes the weights as one
//! change with preconditions, and closes the record.

mod candidates;
mod clock;
mod connection;
mod leader;
mod metrics;
mod prometheus;
mod record;
mod run;
mod scheduler;
mod source;
mod telemetry;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
};

use http::Uri;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientTlsArgs, Credentials, NodeRole,
    follow::{self, FollowError, FollowerConfig},
};
use tyrscale_model::{Kind, View};
use tyrscale_telemetry::{Metrics, Service, TelemetryError};

pub use prometheus::{PrometheusArgs, PrometheusConfigError, PrometheusCredentials};

use crate::{
    connection::Endpoints, metrics::Counts, prometheus::Prometheus, scheduler::Scheduler, source::Source,
    telemetry::Memory,
};

/// The kinds it follows.
const VIEW: &[Kind] = &[
    Kind::Network,
    Kind::Rpc,
    Kind::Upstream,
    Kind::Route,
    Kind::Recommendation,
];

/// What the recommender needs to know.
#[derive(Debug, Clone, clap::Args)]
pub struct RecommenderConfig {
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
        env = "TYRSCALE_RECOMMENDER_NODE_ID",
        value_name = "ID",
        default_value = "recommender"
    )]
    pub node_id: String,
    /// Where this process runs
    #[arg(long, env = "TYRSCALE_RECOMMENDER_ZONE", default_value = "")]
    pub zone: String,
    /// Where measurements come from
    #[command(flatten)]
    pub prometheus: PrometheusArgs,
    /// Directory that keeps the last good configuration; without it a restart waits for the control plane
    #[arg(long, env = "TYRSCALE_RECOMMENDER_DATA_DIR", value_name = "DIRECTORY")]
    pub data_dir: Option<PathBuf>,
}

/// What the recommender listens on.
#[derive(Debug)]
pub struct Listeners {
    /// Liveness, readiness and metrics.
    pub admin: TcpListener,
}

/// Why the recommender could not run.
#[derive(Debug, thiserror::Error)]
pub enum RecommenderError {
    /// It cannot follow the configuration.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The metrics could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Prometheus cannot be asked as configured.
    #[error(transparent)]
    Prometheus(#[from] PrometheusConfigError),
}

/// Follows the configuration, makes the runs that are due and serves the admin endpoints until `shutdown`.
///
/// # Errors
/// [`RecommenderError`], at once, when it cannot work as configured.
pub async fn run(
    config: RecommenderConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), RecommenderError> {
    let stop = shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let credentials = Credentials {
        tls: config.tls.clone().into(),
        token: None,
    };
    let endpoints = Endpoints::new(config.control_plane.clone(), credentials);
    let memory = Arc::new(Mutex::new(Memory::default()));
    let source = match Prometheus::new(&config.prometheus)? {
        Some(prometheus) => Source::Prometheus(Box::new(prometheus)),
        None => Source::Telemetry(Arc::clone(&memory)),
    };
    tracing::info!(source = source.word(), "measurements are taken");
    let candidate = format!("{}/{}", config.node_id, uuid::Uuid::new_v4());
    let (content, followed) = watch::channel(None);
    let (leader, leadership) = watch::channel(None);
    let metrics = Metrics::new(Service::Recommender)?;
    let counts = Counts::register(&metrics, leadership.clone())?;
    let watches = matches!(source, Source::Telemetry(_));
    let node_id = config.node_id.clone();
    let follow = async {
        let ended = follow::follow_with(config.into(), listeners.admin, metrics, content, stop.clone()).await;
        stop.cancel();
        ended
    };
    let scheduler = Scheduler {
        content: followed,
        leadership,
        source,
        memory: Arc::clone(&memory),
        node_id,
        counts,
    };
    let campaign = leader::campaign(endpoints.clone(), candidate, leader, stop.clone());
    let remember = async {
        if watches {
            telemetry::watch(endpoints, Arc::clone(&memory), stop.clone()).await;
        }
    };
    let (ended, (), (), ()) = tokio::join!(follow, scheduler.run(stop.clone()), campaign, remember);
    Ok(ended?)
}

impl From<RecommenderConfig> for FollowerConfig {
    fn from(config: RecommenderConfig) -> Self {
        Self {
            service: Service::Recommender,
            role: NodeRole::Recommender,
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
