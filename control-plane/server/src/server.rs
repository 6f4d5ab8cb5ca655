//! The control plane as a function: listeners in, served until told to stop.

mod listeners;
mod loading;
mod services;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{service::Routes, transport::server::Server};
use tonic_health::server::HealthReporter;
use tower::Layer as _;
use tyrscale_access::{Port, PortLimits};
use tyrscale_model::Lineage;
use tyrscale_proto::v1::{
    access_service_server::AccessServiceServer, discovery_service_server::DiscoveryServiceServer,
};
use tyrscale_rest::RestState;
use tyrscale_store::{Store, StoreError, StoreOptions};
use tyrscale_telemetry::{AdminState, Check, Metrics, Readiness, serve_admin};

use self::services::{MAX_ANSWER, add_node_services, add_reflection, add_services, runs_of, set_serving};
use crate::{
    access::{Access, AccessLayer},
    backups,
    config::ControlPlaneConfig,
    coordination::Coordination,
    discovery::{Discovery, Hub},
    error::ControlPlaneError,
    fleet::Fleet,
    grpc::{configuration::Configuration, recommendation::Recommendations, status::FleetStatus},
    leader::Leader,
    metrics,
    opening::Opened,
    peers::Peers,
    refusing::{Refusal, refuse},
    rollout::Rollouts,
    secrets::Vault,
    telemetry::Telemetry,
    weights::{self, Book},
};

pub use self::listeners::Listeners;

/// How often the health service looks at the store.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// How long requests under way may take once the service stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests a connection may have under way.
const MAX_REQUESTS: usize = 256;
/// Streams a connection may have open.
const MAX_STREAMS: u32 = 1024;
const MAX_HEADERS: u32 = 16 * 1024;
/// Streams of a connection that its client or an error has reset and that are not cleared away yet.
const MAX_RESETS: usize = 64;
/// What strangers may hold open. A connection that has sent HTTP/2's preface is bounded by keep-alive.
pub(crate) const GRPC_LIMITS: PortLimits = PortLimits {
    connections: 32 * 1024,
    handshake: Duration::from_secs(10),
    opening: (24, Duration::from_secs(10)),
};

/// Runs a control plane until `shutdown`; then ends the discovery streams, finishes the requests under way
/// within ten seconds, and closes the store. Dropping the future ends the streams and cuts requests off; what
/// was committed is durable either way.
///
/// # Errors
/// [`ControlPlaneError`] when it cannot start or a server fails.
pub async fn run(
    config: ControlPlaneConfig,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), ControlPlaneError> {
    config.validate()?;
    listeners.check(&config)?;
    let options = StoreOptions {
        retention: config.retention(),
        ..StoreOptions::default()
    };
    let plugins = options.policy.plugins.clone();
    let stop = shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let opened = Box::pin(loading::open(&config, options, &listeners, &stop)).await?;
    let store = match opened {
        Opened::Whole(store) | Opened::Backup(store) => store,
        Opened::Nothing(reason) => {
            return Box::pin(refuse(&config, listeners, Refusal::Recovery(reason), stop)).await;
        }
    };
    let served = match open_doors(&config, &store).await {
        Ok((access, vault)) => {
            let served = Box::pin(serve(
                &config,
                listeners,
                (&store, &vault, &access),
                plugins,
                stop.clone(),
            ))
            .await;
            stop.cancel();
            access.close().await;
            served
        }
        Err(error) => Err(error),
    };
    store.close().await;
    tracing::info!("control plane stopped");
    served
}

/// Who may call, and the keys of secrets.
async fn open_doors(
    config: &ControlPlaneConfig,
    store: &Store,
) -> Result<(Access, Vault), ControlPlaneError> {
    let vault = Vault::open(store, config.secrets.source(&config.data_dir)?).await?;
    let access = Access::open(&config.access, &config.data_dir, store).await?;
    Ok((access, vault))
}

async fn serve(
    config: &ControlPlaneConfig,
    listeners: Listeners,
    (store, vault, access): (&Store, &Vault, &Access),
    plugins: std::collections::BTreeMap<tyrscale_model::Name, tyrscale_model::PluginType>,
    stop: CancellationToken,
) -> Result<(), ControlPlaneError> {
    let fleet = Fleet::new(&uuid::Uuid::new_v4().to_string());
    let streams = TaskTracker::new();
    let telemetry = Telemetry::new(store.clone(), config.telemetry_interval());
    let of_gateways = (fleet.clone(), telemetry.clone());
    let leader = leader_of(store);
    let policy = config.rollout.clone();
    let (rollouts, delivering) =
        Rollouts::start(store.clone(), of_gateways, leader.clone(), policy, stop.clone()).await?;
    let book = book_of(store, config).await?;
    let coordination = Coordination::open(store.clone()).await?;
    let of_nodes = (fleet.clone(), telemetry.clone());
    let peers = Peers::new(store, of_nodes, coordination.clone(), leader.clone());
    let reported = (&telemetry, &coordination);
    let (metrics, counts) = metrics::set_up(store, (&fleet, reported), &rollouts, &book)?;
    let backing_up = backups::keep(&config.backups, &config.data_dir, store, &metrics, &stop)?;
    let (stored, pushed) = (
        (store.clone(), vault.clone()),
        (book.clone(), fleet.clone(), rollouts.clone()),
    );
    let (timing, bounds) = (config.timing(), (config.take_over, config.snapshot_room));
    let hub = Hub::new(stored.clone(), pushed, counts, timing, bounds, stop.clone());
    let discovery = Discovery::new(Arc::new(hub.guarded(access.guard.clone())), streams.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service);
    add_reflection(&mut routes)?;
    let configuration = Configuration::new(stored.clone(), fleet.clone(), stop.clone());
    let status = FleetStatus::new((fleet, store.clone()), rollouts, book.clone(), stop.clone());
    let recommendations = Recommendations::new(stored.clone(), book.clone(), coordination.clone());
    add_services(&mut routes, &stored, configuration, status, recommendations);
    let discovery = DiscoveryServiceServer::new(discovery).max_decoding_message_size(MAX_ANSWER);
    let tokens = AccessServiceServer::new(access.service(&streams, &stop));
    let mut routes = routes
        .add_service(discovery)
        .add_service(runs_of(stored, &book, &coordination, &access.guard).await?)
        .add_service(tokens.max_decoding_message_size(MAX_ANSWER));
    add_node_services(&mut routes, reported, &access.guard, &streams, &stop);
    let layer = AccessLayer::new(access.guard.clone());
    let shim = RestState::new(store.clone(), plugins).guarded(access.guard.clone());
    let rest = tyrscale_transcode::router(layer.layer(routes.clone()))?
        .fallback_service(tyrscale_rest::router(shim));
    listeners.tell(config, store);
    let grpc = Port::new(listeners.grpc, access.grpc_tls.clone(), GRPC_LIMITS);
    let port = tyrscale_rest::port(listeners.rest, access.rest_tls.clone());
    let looked_at = (store.clone(), vault.clone());
    let admin = serve_admin_endpoints(listeners.admin, metrics, looked_at, stop.clone());
    let outcome = tokio::try_join!(
        serve_grpc(grpc, (routes, layer), stop.clone()),
        infallible(serve_rest(port, rest, stop.clone())),
        infallible(admin),
        infallible(Box::pin(delivering)),
        infallible(report_health(health, store.clone(), stop.clone())),
        infallible(backing_up),
        infallible(until(&stop, coordination.keep())),
        infallible(weights::keep(book, store.clone(), leader, stop.clone())),
        infallible(peers.keep(&stop)),
    );
    end_streams(&streams, &stop).await;
    outcome.map(|_| ())
}

async fn end_streams(streams: &TaskTracker, stop: &CancellationToken) {
    stop.cancel();
    streams.close();
    if timeout(DRAIN_TIMEOUT, streams.wait()).await.is_err() {
        tracing::warn!(streams = streams.len(), "streams did not end in time");
    }
}

async fn infallible(future: impl Future<Output = ()>) -> Result<(), ControlPlaneError> {
    future.await;
    Ok(())
}

/// Alone over its store it leads; else that is to be found out.
fn leader_of(store: &Store) -> Leader {
    if store.is_shared() {
        Leader::candidate()
    } else {
        Leader::alone()
    }
}

async fn book_of(store: &Store, config: &ControlPlaneConfig) -> Result<Book, StoreError> {
    let lineage = Lineage(*uuid::Uuid::new_v4().as_bytes());
    let now = tokio::time::Instant::now();
    if store.is_shared() {
        Book::shared(store, lineage, config.guards(), now).await
    } else {
        Ok(Book::new(lineage, config.guards(), now))
    }
}

/// Ends with `work`, or at once with `stop`.
async fn until(stop: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Ends with `served`, or a bounded time after `stop`.
pub(crate) async fn drained<T>(
    served: impl Future<Output = T>,
    stop: CancellationToken,
    server: &str,
) -> Option<T> {
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        outcome = served => Some(outcome),
        () = overdue => {
            tracing::warn!(server, "requests under way were cut off");
            None
        }
    }
}

async fn serve_grpc(
    port: Port,
    (routes, layer): (Routes, AccessLayer),
    stop: CancellationToken,
) -> Result<(), ControlPlaneError> {
    let incoming = port.connections(stop.clone());
    let served = Server::builder()
        .layer(layer)
        .http2_keepalive_interval(Some(KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEP_ALIVE_TIMEOUT))
        .http2_max_header_list_size(MAX_HEADERS)
        .max_concurrent_streams(MAX_STREAMS)
        .concurrency_limit_per_connection(MAX_REQUESTS)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    drained(served, stop, "grpc").await.transpose()?;
    Ok(())
}

async fn serve_rest(port: Port, router: axum::Router, stop: CancellationToken) {
    drained(tyrscale_rest::serve(port, router, stop.clone()), stop, "rest").await;
}

async fn serve_admin_endpoints(
    listener: Option<TcpListener>,
    metrics: Arc<Metrics>,
    (store, vault): (Store, Vault),
    stop: CancellationToken,
) {
    let Some(listener) = listener else { return };
    let ready = move || {
        let ready = store.is_ready();
        let detail = match &ready {
            Ok(()) => format!("revision {}", store.head().snapshot.revision()),
            Err(error) => error.to_string(),
        };
        let mut checks = vec![Check {
            name: "store",
            ready: ready.is_ok(),
            detail,
        }];
        checks.extend(vault.locked().map(|reason| Check {
            name: "secrets",
            ready: false,
            detail: reason.to_owned(),
        }));
        Readiness { checks }
    };
    serve_admin(listener, AdminState::new(metrics, ready), stop).await;
}

/// Keeps the standard health service true to the store until the service stops: everything serves while the store takes
/// writes, and subscribers are served all the time.
async fn report_health(health: HealthReporter, store: Store, stop: CancellationToken) {
    health.set_serving::<DiscoveryServiceServer<Discovery>>().await;
    loop {
        let is_ready = store.is_ready().is_ok();
        if !is_ready {
            store.try_again();
        }
        set_serving(&health, is_ready).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
    set_serving(&health, false).await;
    health
        .set_not_serving::<DiscoveryServiceServer<Discovery>>()
        .await;
}
