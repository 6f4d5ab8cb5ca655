//! The exporter: measures the rpcs.
//!
//! It follows networks and rpcs, shares the rpcs with other exporters through the control plane ([`membership`]), asks
//! each of its own what its collectors want to know, and tells: as metrics, and in reports to the control plane
//! ([`reporting`]).
//!
//! What is asked and how answers are read (`question`), when (`agenda`) and how state is searched for (`archive`) are
//! decided without I/O; a task for each target (`round`) does it and writes it down (`sheet`).

mod agenda;
mod archive;
mod asker;
mod engine;
mod metrics;
mod question;
mod report;
mod round;
mod sheet;
mod target;

use std::{path::PathBuf, sync::Arc, time::Duration};

use http::Uri;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    ClientError, ClientTlsArgs, NodeRole, Timing,
    follow::{self, FollowError, FollowerConfig},
    membership::{self, MemberConfig},
    reporting::{self, Heads, ReporterConfig},
};
use tyrscale_model::{Kind, View};
use tyrscale_telemetry::{Metrics, Service, TelemetryError};

use self::{
    agenda::Pace,
    asker::{Asker, TlsUnusable},
    engine::Engine,
    round::Bench,
    sheet::Board,
};

/// The kinds it follows.
const VIEW: &[Kind] = &[Kind::Network, Kind::Secret, Kind::Rpc];

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
    /// Milliseconds between two measurements of an rpc; 100 to 3600000
    #[arg(long, env = "TYRSCALE_EXPORTER_INTERVAL_MS", default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(100..=3_600_000))]
    pub interval_ms: u64,
    /// Milliseconds that a call may take; 10 to 60000
    #[arg(long, env = "TYRSCALE_EXPORTER_TIMEOUT_MS", default_value_t = 5_000,
        value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub timeout_ms: u64,
    /// Most calls of one rpc in a minute; 2 to 6000
    #[arg(long, env = "TYRSCALE_EXPORTER_CALLS_PER_MINUTE", default_value_t = 60,
        value_parser = clap::value_parser!(u32).range(2..=6_000))]
    pub calls_per_minute: u32,
    /// Most rpcs that are asked at the same moment; as many quarters for slow and dead ones; 1 to 10000
    #[arg(long, env = "TYRSCALE_EXPORTER_CONCURRENCY", default_value_t = 256,
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub concurrency: u16,
    /// Milliseconds of silence after which the others take this one for dead and its rpcs over; 1000 to 300000
    #[arg(long, env = "TYRSCALE_EXPORTER_MEMBERSHIP_TIMEOUT_MS", default_value_t = 10_000,
        value_parser = clap::value_parser!(u64).range(1_000..=300_000))]
    pub membership_timeout_ms: u64,
    /// How many rpcs this one takes, against the others' capacity; 1 to 100
    #[arg(long, env = "TYRSCALE_EXPORTER_CAPACITY", default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub capacity: u32,
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
    /// It cannot report, or be a member.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The metrics could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// It cannot ask.
    #[error(transparent)]
    Tls(#[from] TlsUnusable),
}

/// Measures its share of the rpcs and serves the admin endpoints until `shutdown`; then says that it leaves, so that
/// others take its share over at once. Nothing that is measured is kept: a restart measures anew.
///
/// # Errors
/// [`ExporterError`], at once, when it cannot work as configured.
pub async fn run(
    config: ExporterConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ExporterError> {
    let board = Arc::new(Board::default());
    let (heads_sender, heads) = watch::channel(Heads::default());
    let metrics = Metrics::new(Service::Exporter)?;
    metrics::register(&metrics, &board, heads)?;
    let asker = Asker::new(Duration::from_millis(config.timeout_ms))?;
    let engine = Engine::new(config.bench(asker), Arc::clone(&board));
    let patience = Duration::from_millis(config.membership_timeout_ms);
    let (content_sender, content) = watch::channel(None);
    let (share_sender, share) = watch::channel(None);
    let stop = shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let (reporter, member) = (config.reporter(), config.member());
    let follower = follow::follow_with(
        config.into(),
        listeners.admin,
        metrics,
        content_sender,
        stop.clone(),
    );
    let follow = async {
        let ended = follower.await;
        stop.cancel();
        ended
    };
    let measure = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = engine.follow(content, share, patience) => {}
        }
    };
    let make = |room| report::report(&board, room);
    let (followed, reported, joined, ()) = tokio::join!(
        follow,
        reporting::run(reporter, make, heads_sender, stop.clone()),
        membership::run(member, share_sender, stop.clone()),
        measure,
    );
    followed?;
    reported?;
    Ok(joined?)
}

impl ExporterConfig {
    fn bench(&self, asker: Asker) -> Bench {
        let pace = Pace {
            interval: Duration::from_millis(self.interval_ms),
            calls_per_minute: self.calls_per_minute,
        };
        Bench::new(asker, pace, self.concurrency.into())
    }

    fn reporter(&self) -> ReporterConfig {
        ReporterConfig {
            endpoints: self.control_plane.clone(),
            tls: self.tls.clone().into(),
            node_id: self.node_id.clone(),
            role: NodeRole::Exporter,
            timing: Timing::default(),
        }
    }

    fn member(&self) -> MemberConfig {
        MemberConfig {
            endpoints: self.control_plane.clone(),
            tls: self.tls.clone().into(),
            member_id: self.node_id.clone(),
            ttl: Duration::from_millis(self.membership_timeout_ms),
            capacity: self.capacity,
            timing: Timing::default(),
        }
    }
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
