//! The gateway as a service: it follows the control plane, serves clients, and shows itself to operators.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tyrscale_client::reporting::{self, Heads, ReporterConfig};
use tyrscale_client::{
    ClientError, Consumer, NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update,
    WeightChange, subscription,
};
use tyrscale_model::{Kind, Rejection, Selection, Snapshot, View};
use tyrscale_telemetry::catalogue::{
    CONFIG_UPDATES_TOTAL, CONTROL_PLANE_CONNECTED, GATEWAY_CONFIG_AGE_SECONDS, GATEWAY_WEIGHTS,
    GATEWAY_WEIGHTS_AGE_SECONDS, GATEWAY_WEIGHTS_EXPIRED_TOTAL, GATEWAY_WEIGHTS_REVISION,
};
use tyrscale_telemetry::{AdminState, Check, Metrics, Page, Readiness, TelemetryError, serve_admin};

use crate::config::Config;
use crate::error::GatewayError;
use crate::gateway::Gateway;
use crate::node_id;
use crate::reporter;
use crate::server::Front;
use crate::table::Changed;
use crate::tls::ServerTls;
use crate::workers;

/// The kinds of resources a gateway runs from.
const VIEW: [Kind; 6] = [
    Kind::Network,
    Kind::Secret,
    Kind::Rpc,
    Kind::Upstream,
    Kind::Route,
    Kind::Plugin,
];
/// The directory of the last good configuration, inside the data directory.
const LAST_GOOD: &str = "last-good";

/// The sockets a gateway serves on.
#[derive(Debug)]
pub struct Listeners {
    /// For clients. Each worker after the first joins it with a socket of its own if it is from
    /// [`bind`](crate::bind), else all share it.
    pub data: TcpListener,
    /// For clients with TLS, of the same kind; of use together with [`Config::tls`](crate::Config).
    pub tls: Option<TcpListener>,
    /// For operators.
    pub admin: TcpListener,
}

/// Runs a gateway until `shutdown`, then finishes the requests in flight.
///
/// It serves from the configuration of its last run until the control plane sends another, and goes on serving
/// while the control plane is away.
///
/// # Errors
/// [`GatewayError`] when it cannot start.
pub async fn run(
    config: Config,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let node = identity(&config)?;
    let reporter = reporter_config(&config, &node);
    let gateway = Arc::new(Gateway::new(config.settings)?);
    let mut fronts = vec![Front::plain(listeners.data)];
    let mut following_files = None;
    if let Some((listener, config)) = listeners.tls.zip(config.tls) {
        let tls = Arc::new(ServerTls::new(&config.certificates, config.handshake_timeout)?);
        tls.register(gateway.metrics())?;
        following_files = Some(tls.follow_files());
        fronts.push(Front::tls(listener, tls));
    }
    let (status, following) = watch::channel(SubscriptionStatus::default());
    register(gateway.metrics(), &following)?;
    let subscription = SubscriptionConfig {
        endpoints: config.control_planes,
        tls: config.control_plane_tls,
        node,
        view: View::of(&VIEW),
        last_good: Some(config.data_dir.join(last_good(&config.selection))),
        selection: config.selection,
        weights: true,
        timing: Timing::default(),
        max_message_bytes: 0,
    };
    let follower = Follower(Arc::clone(&gateway));
    // Operators see the gateway until its last request is finished; should one part fail, all stop.
    let stop = shutdown.child_token();
    let drained = CancellationToken::new();
    let admin = serve_admin(
        listeners.admin,
        admin_state(&gateway, following, stop.clone()),
        drained.clone(),
    );
    let serve = async {
        let served = workers::serve(&gateway, fronts, &stop).await;
        stop.cancel();
        drained.cancel();
        served.map_err(GatewayError::Workers)
    };
    let follow = async {
        let followed = subscription::run(subscription, follower, status, stop.clone()).await;
        stop.cancel();
        followed
    };
    let (followed, reported, served, ()) =
        tokio::join!(follow, report(&gateway, reporter, &stop), serve, admin);
    drop(following_files);
    followed?;
    reported?;
    served
}

/// Gives the gateway what the control plane sends.
struct Follower(Arc<Gateway>);

impl Consumer for Follower {
    fn accept(&mut self, update: &Update) -> Result<Vec<String>, Rejection> {
        let changed = match self.0.version() {
            Some(_) => Changed::Keys(&update.changed),
            None => Changed::All,
        };
        self.0.apply(&update.snapshot, changed, View::of(&VIEW))?;
        Ok(warnings(&update.snapshot))
    }

    fn weigh(&mut self, changes: &[WeightChange]) {
        self.0.weigh(changes);
    }
}

/// The directory of the last good content of a selection: what was selected otherwise is not gone on from.
fn last_good(selection: &Selection) -> String {
    match selection.mark() {
        Some(mark) => format!("{LAST_GOOD}-{mark}"),
        None => LAST_GOOD.to_owned(),
    }
}

fn identity(config: &Config) -> Result<NodeIdentity, GatewayError> {
    Ok(NodeIdentity {
        id: node_id::read_or_make(config.node_id.as_deref(), &config.data_dir)?,
        group: config.group.clone(),
        zone: config.zone.clone(),
        role: NodeRole::Gateway,
        labels: config.labels.clone(),
        build: concat!("tyrscale-gateway/", env!("CARGO_PKG_VERSION")).to_owned(),
    })
}

fn reporter_config(config: &Config, node: &NodeIdentity) -> ReporterConfig {
    ReporterConfig {
        endpoints: config.control_planes.clone(),
        tls: config.control_plane_tls.clone(),
        node_id: node.id.clone(),
        role: NodeRole::Gateway,
        timing: Timing::default(),
    }
}

/// Reports to the control plane until `stop`.
async fn report(
    gateway: &Arc<Gateway>,
    config: ReporterConfig,
    stop: &CancellationToken,
) -> Result<(), ClientError> {
    let reported = Arc::clone(gateway);
    let make = move |room| reporter::report(&reported, room);
    let (told, mut heads) = watch::channel(Heads::default());
    let hear = async {
        while heads.changed().await.is_ok() {
            let heads = heads.borrow_and_update().clone();
            gateway.hear(&heads.upstreams);
        }
    };
    let (reported, ()) = tokio::join!(reporting::run(config, make, told, stop.clone()), hear);
    reported
}

/// What the configuration asks for that this gateway does not do.
fn warnings(snapshot: &Snapshot) -> Vec<String> {
    let plugins = snapshot.of_kind(Kind::Plugin).count();
    if plugins == 0 {
        return Vec::new();
    }
    vec![format!(
        "{plugins} attached plugins are not run: this gateway has none loaded"
    )]
}

fn register(
    metrics: &Metrics,
    following: &watch::Receiver<SubscriptionStatus>,
) -> Result<(), TelemetryError> {
    let connected = following.clone();
    metrics.observe_gauge(&CONTROL_PLANE_CONNECTED, move |observer| {
        observer.observe(connected.borrow().connected.into(), []);
    })?;
    let updates = following.clone();
    metrics.observe_counter(&CONFIG_UPDATES_TOTAL, move |observer| {
        let (applied, refused) = {
            let status = updates.borrow();
            (status.updates_applied, status.updates_refused)
        };
        observer.observe(applied, ["applied"]);
        observer.observe(refused, ["refused"]);
    })?;
    register_weights(metrics, following)?;
    let confirmed = following.clone();
    metrics.observe_gauge(&GATEWAY_CONFIG_AGE_SECONDS, move |observer| {
        let current_at = confirmed.borrow().current_at;
        if let Some(current_at) = current_at {
            observer.observe((Instant::now() - current_at).as_secs_f64(), []);
        }
    })
}

fn register_weights(
    metrics: &Metrics,
    following: &watch::Receiver<SubscriptionStatus>,
) -> Result<(), TelemetryError> {
    let of = following.clone();
    metrics.observe_gauge(&GATEWAY_WEIGHTS_REVISION, move |observer| {
        let running = of.borrow().weights.running;
        if let Some(version) = running {
            #[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
            observer.observe(version.revision.0 as f64, []);
        }
    })?;
    let of = following.clone();
    metrics.observe_gauge(&GATEWAY_WEIGHTS_AGE_SECONDS, move |observer| {
        let taken_at = of.borrow().weights.taken_at;
        if let Some(taken_at) = taken_at {
            observer.observe((Instant::now() - taken_at).as_secs_f64(), []);
        }
    })?;
    let of = following.clone();
    metrics.observe_gauge(&GATEWAY_WEIGHTS, move |observer| {
        let live = of.borrow().weights.live;
        observer.observe(u32::try_from(live).unwrap_or(u32::MAX).into(), []);
    })?;
    let of = following.clone();
    metrics.observe_counter(&GATEWAY_WEIGHTS_EXPIRED_TOTAL, move |observer| {
        let expired = of.borrow().weights.expired;
        observer.observe(expired, []);
    })
}

fn admin_state(
    gateway: &Arc<Gateway>,
    following: watch::Receiver<SubscriptionStatus>,
    stop: CancellationToken,
) -> AdminState {
    let ready = Arc::clone(gateway);
    let shown = Arc::clone(gateway);
    AdminState::new(Arc::clone(gateway.metrics()), move || {
        readiness(&ready, stop.is_cancelled())
    })
    .with_pages(move |path| {
        if path == "/debug/config" {
            return Some(config_page(&shown, &following.borrow()));
        }
        shown.debug_page(path)
    })
}

fn readiness(gateway: &Gateway, stopping: bool) -> Readiness {
    let version = gateway.version();
    let detail = match version {
        Some(version) => format!("serving revision {}", version.revision),
        None => "no configuration yet".to_owned(),
    };
    let config = Check {
        name: "config",
        ready: version.is_some(),
        detail,
    };
    let accepting = Check {
        name: "accepting",
        ready: !stopping,
        detail: if stopping {
            "finishing requests in flight"
        } else {
            "taking requests"
        }
        .to_owned(),
    };
    Readiness {
        checks: vec![config, accepting],
    }
}

fn config_page(gateway: &Gateway, status: &SubscriptionStatus) -> Page {
    let version = gateway.version().map(|version| {
        json!({
            "lineage": version.lineage.to_string(),
            "revision": version.revision.0,
            "digest": version.digest.to_string(),
        })
    });
    let refusal = status
        .last_refusal
        .as_ref()
        .map(|refusal| refusal.rejection.to_string());
    let page = json!({
        "version": version,
        "routes": gateway.route_count(),
        "control_plane_connected": status.connected,
        "persisted": status.persisted,
        "weights": {
            "revision": status.weights.running.map(|running| running.revision.0),
            "live": status.weights.live,
            "expired": status.weights.expired,
        },
        "last_refusal": refusal,
    });
    Page::json(StatusCode::OK, page.to_string())
}
