//! A service that follows a part of the configuration: what exporter and recommender have in common.

use std::path::PathBuf;

use http::Uri;
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Kind, Selection, Snapshot, View};
use tyrscale_telemetry::{
    AdminState, Check, Metrics, Readiness, Service, TelemetryError, catalogue, serve_admin,
};

use crate::{
    ClientError, ClientTls, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update,
    subscription,
};

/// The largest message asked for, in bytes.
const MAX_MESSAGE: u32 = 1 << 20;
/// Where in the data directory the last good content is kept.
pub(crate) const LAST_GOOD: &str = "config";

/// A service that follows.
#[derive(Debug, Clone)]
pub struct FollowerConfig {
    /// Whose metrics it exports.
    pub service: Service,
    /// What it does, as the control plane shows it.
    pub role: NodeRole,
    /// The kinds it follows.
    pub view: View,
    /// `http://host:port` or `https://host:port` of control planes, tried in turn.
    pub control_plane: Vec<Uri>,
    /// For control planes at `https`.
    pub tls: ClientTls,
    /// One per running process.
    pub node_id: String,
    /// Where it runs; may be empty.
    pub zone: String,
    /// Program and version.
    pub build: String,
    /// Keeps the last good content below it, so that a restart needs no control plane.
    pub data_dir: Option<PathBuf>,
}

/// Why a service could not follow.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The subscription cannot work as configured.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The metrics could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

/// Follows the configuration and serves the admin endpoints on `admin` until `shutdown`: metrics tell what is
/// followed, and it is ready once it has a content, from disk or from the control plane.
///
/// # Errors
/// [`FollowError`], at once.
pub async fn follow(
    config: FollowerConfig,
    admin: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), FollowError> {
    let metrics = Metrics::new(config.service)?;
    let (content, _) = watch::channel(None);
    follow_with(config, admin, metrics, content, shutdown).await
}

/// As [`follow`], and tells `content` what it follows. The metrics are the service's, with its own already in.
///
/// # Errors
/// [`FollowError`], at once.
pub async fn follow_with(
    config: FollowerConfig,
    admin: TcpListener,
    metrics: Metrics,
    content: watch::Sender<Option<Snapshot>>,
    shutdown: CancellationToken,
) -> Result<(), FollowError> {
    let (status_sender, status) = watch::channel(SubscriptionStatus::default());
    register(&metrics, &status, content.subscribe())?;
    let admin_state = AdminState::new(metrics.into(), move || readiness_of(&status.borrow()));
    let consumer = move |update: &Update| {
        content.send_replace(Some(update.snapshot.clone()));
        Ok(Vec::new())
    };
    let stop = shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let subscription = async {
        let ended = subscription::run(config.into(), consumer, status_sender, stop.clone()).await;
        stop.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(subscription, serve_admin(admin, admin_state, stop.clone()));
    Ok(ended?)
}

impl From<FollowerConfig> for SubscriptionConfig {
    fn from(config: FollowerConfig) -> Self {
        Self {
            endpoints: config.control_plane,
            tls: config.tls,
            node: NodeIdentity {
                id: config.node_id,
                group: String::new(),
                zone: config.zone,
                role: config.role,
                labels: Default::default(),
                build: config.build,
            },
            view: config.view,
            selection: Selection::default(),
            weights: false,
            last_good: config.data_dir.map(|directory| directory.join(LAST_GOOD)),
            timing: Timing::default(),
            max_message_bytes: MAX_MESSAGE,
        }
    }
}

fn readiness_of(status: &SubscriptionStatus) -> Readiness {
    let check = Check {
        name: "config",
        ready: status.running.is_some(),
        detail: status.running.map_or_else(
            || "no configuration yet".to_owned(),
            |running| format!("revision {}", running.revision),
        ),
    };
    Readiness { checks: vec![check] }
}

fn register(
    metrics: &Metrics,
    status: &watch::Receiver<SubscriptionStatus>,
    content: watch::Receiver<Option<Snapshot>>,
) -> Result<(), TelemetryError> {
    let of = status.clone();
    metrics.observe_gauge(&catalogue::CONTROL_PLANE_CONNECTED, move |gauge| {
        gauge.observe(f64::from(u8::from(of.borrow().connected)), []);
    })?;
    let of = status.clone();
    metrics.observe_counter(&catalogue::CONFIG_UPDATES_TOTAL, move |counter| {
        let status = of.borrow();
        counter.observe(status.updates_applied, ["applied"]);
        counter.observe(status.updates_refused, ["refused"]);
    })?;
    let of = status.clone();
    metrics.observe_gauge(&catalogue::SUBSCRIBER_CONFIG_REVISION, move |gauge| {
        let revision = of.borrow().running.map_or(0, |running| running.revision.0);
        gauge.observe(revision as f64, []);
    })?;
    metrics.observe_gauge(&catalogue::SUBSCRIBER_RESOURCES, move |gauge| {
        let content = content.borrow().clone();
        for kind in Kind::ALL {
            let count = content
                .as_ref()
                .map_or(0, |content| content.of_kind(kind).count());
            gauge.observe(count as f64, [kind.as_str()]);
        }
    })
}
