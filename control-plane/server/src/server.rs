//! The control plane as a function: listeners in, served until told to stop.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{server::NamedService, service::Routes, transport::server::Server};
use tonic_health::server::HealthReporter;
use tonic_reflection::server::Builder;
use tower::Layer as _;
use tyrscale_access::{Port, PortLimits};
use tyrscale_model::Lineage;
use tyrscale_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        self, access_service_server::AccessServiceServer,
        configuration_service_server::ConfigurationServiceServer,
        coordination_service_server::CoordinationServiceServer,
        discovery_service_server::DiscoveryServiceServer, network_service_server::NetworkServiceServer,
        plugin_service_server::PluginServiceServer,
        recommendation_run_service_server::RecommendationRunServiceServer,
        recommendation_service_server::RecommendationServiceServer, route_service_server::RouteServiceServer,
        rpc_service_server::RpcServiceServer, status_service_server::StatusServiceServer,
        telemetry_service_server::TelemetryServiceServer, upstream_service_server::UpstreamServiceServer,
    },
};
use tyrscale_rest::RestState;
use tyrscale_store::{Store, StoreOptions};
use tyrscale_telemetry::{AdminState, Check, Metrics, Readiness, serve_admin};

use crate::{
    access::{Access, AccessLayer, AccessService},
    config::ControlPlaneConfig,
    coordination::{Coordination, Coordinator},
    discovery::{Discovery, Hub},
    error::ControlPlaneError,
    fleet::Fleet,
    grpc::{
        configuration::Configuration, crud::Crud, recommendation::Recommendations, runs::Runs,
        status::FleetStatus,
    },
    metrics,
    rollout::Rollouts,
    runs::RunRecords,
    telemetry::{Telemetry, TelemetryReader},
    weights::{self, Book},
};

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
const GRPC_LIMITS: PortLimits = PortLimits {
    connections: 32 * 1024,
    handshake: Duration::from_secs(10),
    opening: (24, Duration::from_secs(10)),
};
/// The largest message of a subscriber: a refusal with its violations, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The largest report of a node, in bytes.
const MAX_REPORT: usize = 8 * 1024 * 1024;
/// The largest message of any other client: one resource at its limit fits, in bytes.
const MAX_REQUEST: usize = 1024 * 1024;

/// The sockets a control plane serves.
#[derive(Debug)]
pub struct Listeners {
    /// The gRPC services.
    pub grpc: TcpListener,
    /// The REST shim.
    pub rest: TcpListener,
    /// The admin endpoints, if wanted.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Says what is served where.
    fn tell(&self, config: &ControlPlaneConfig, store: &Store) {
        tracing::info!(
            revision = %store.head().snapshot.revision(),
            grpc = self.grpc.local_addr().ok().map(tracing::field::display),
            rest = self.rest.local_addr().ok().map(tracing::field::display),
            tls = config.access.tls_cert.is_some(),
            tokens = config.access.tokens,
            "control plane serves"
        );
    }

    /// Whether it is safe to serve there.
    fn check(&self, config: &ControlPlaneConfig) -> Result<(), ControlPlaneError> {
        for (flag, listener) in [("--grpc-listen", &self.grpc), ("--rest-listen", &self.rest)] {
            if let Ok(address) = listener.local_addr() {
                config.access.check_listener(flag, address)?;
            }
        }
        Ok(())
    }

    /// Listens where the configuration says.
    ///
    /// # Errors
    /// [`ControlPlaneError::Listen`] naming the address.
    pub async fn bind(config: &ControlPlaneConfig) -> Result<Self, ControlPlaneError> {
        let bind = async |address| {
            let listener = TcpListener::bind(address).await;
            listener.map_err(|source| ControlPlaneError::Listen { address, source })
        };
        Ok(Self {
            grpc: bind(config.grpc_listen).await?,
            rest: bind(config.rest_listen).await?,
            admin: match config.admin_listen {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
        })
    }
}

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
    let store = open_store(&config, options).await?;
    let stop = shutdown.child_token();
    let _stop_on_drop = stop.clone().drop_guard();
    let served = match Access::open(&config.access, &config.data_dir, &store).await {
        Ok(access) => {
            let served = Box::pin(serve(
                &config,
                listeners,
                (&store, &access),
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

#[cfg(feature = "etcd")]
async fn open_store(config: &ControlPlaneConfig, options: StoreOptions) -> Result<Store, ControlPlaneError> {
    match config.etcd.open(options.clone()).await? {
        Some(store) => {
            // What is not in etcd lies there; sled's store would have made it.
            let directory = config.data_dir.clone();
            let made = std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
                .recursive(true)
                .create(&directory);
            made.map_err(|source| ControlPlaneError::DataDirectory { directory, source })?;
            Ok(store)
        }
        None => Ok(Store::open(&config.data_dir, options).await?),
    }
}

#[cfg(not(feature = "etcd"))]
async fn open_store(config: &ControlPlaneConfig, options: StoreOptions) -> Result<Store, ControlPlaneError> {
    Ok(Store::open(&config.data_dir, options).await?)
}

async fn serve(
    config: &ControlPlaneConfig,
    listeners: Listeners,
    (store, access): (&Store, &Access),
    plugins: std::collections::BTreeMap<tyrscale_model::Name, tyrscale_model::PluginType>,
    stop: CancellationToken,
) -> Result<(), ControlPlaneError> {
    let fleet = Fleet::new(&uuid::Uuid::new_v4().to_string());
    let streams = TaskTracker::new();
    let (rollouts, delivering) =
        Rollouts::start(store.clone(), fleet.clone(), config.rollout.clone(), stop.clone()).await?;
    let lineage = Lineage(*uuid::Uuid::new_v4().as_bytes());
    let book = Book::new(lineage, config.guards(), tokio::time::Instant::now());
    let (metrics, counts) = metrics::set_up(store, &fleet, &book)?;
    let (telemetry, coordination) = of_nodes(config, store, &metrics)?;
    let hub = Hub::new(
        (store.clone(), book.clone(), fleet.clone(), rollouts.clone()),
        counts,
        config.timing(),
        (config.take_over, config.snapshot_room),
        stop.clone(),
    )
    .guarded(access.guard.clone());
    let discovery = Discovery::new(Arc::new(hub), streams.clone());
    let (health, health_service) = tonic_health::server::health_reporter();
    let mut routes = Routes::new(health_service);
    add_reflection(&mut routes)?;
    let status = FleetStatus::new(
        (fleet, store.clone()),
        rollouts.clone(),
        book.clone(),
        stop.clone(),
    );
    let configuration = Configuration::new(store.clone(), rollouts, stop.clone());
    let recommendations = Recommendations::new(store.clone(), book.clone());
    add_services(&mut routes, store, configuration, status, recommendations);
    let discovery = DiscoveryServiceServer::new(discovery).max_decoding_message_size(MAX_ANSWER);
    let tokens = AccessServiceServer::new(access.service(&streams, &stop));
    let mut routes = routes
        .add_service(discovery)
        .add_service(runs_of(store, &book).await?)
        .add_service(tokens.max_decoding_message_size(MAX_ANSWER));
    add_node_services(&mut routes, telemetry, &coordination, &streams, &stop);
    let layer = AccessLayer::new(access.guard.clone());
    let shim = RestState::new(store.clone(), plugins).guarded(access.guard.clone());
    let rest = tyrscale_transcode::router(layer.layer(routes.clone()))?
        .fallback_service(tyrscale_rest::router(shim));
    listeners.tell(config, store);
    let grpc = Port::new(listeners.grpc, access.grpc_tls.clone(), GRPC_LIMITS);
    let port = tyrscale_rest::port(listeners.rest, access.rest_tls.clone());
    let admin = serve_admin_endpoints(listeners.admin, metrics, store.clone(), stop.clone());
    let outcome = tokio::try_join!(
        serve_grpc(grpc, (routes, layer), stop.clone()),
        infallible(serve_rest(port, rest, stop.clone())),
        infallible(admin),
        infallible(Box::pin(delivering)),
        infallible(report_health(health, store.clone(), stop.clone())),
        infallible(until(&stop, coordination.keep())),
        infallible(weights::keep(book, store.clone(), stop.clone())),
    );
    stop.cancel();
    end_streams(&streams).await;
    outcome.map(|_| ())
}

async fn end_streams(streams: &TaskTracker) {
    streams.close();
    if timeout(DRAIN_TIMEOUT, streams.wait()).await.is_err() {
        tracing::warn!(streams = streams.len(), "streams did not end in time");
    }
}

/// What recommenders did.
async fn runs_of(
    store: &Store,
    book: &Book,
) -> Result<RecommendationRunServiceServer<Runs<Recommendations>>, ControlPlaneError> {
    let recommendations = Recommendations::new(store.clone(), book.clone());
    let runs = Runs::new(RunRecords::open(store).await?, recommendations);
    Ok(RecommendationRunServiceServer::new(runs).max_decoding_message_size(MAX_REQUEST))
}

async fn infallible(future: impl Future<Output = ()>) -> Result<(), ControlPlaneError> {
    future.await;
    Ok(())
}

/// What nodes report, and how they share work.
fn of_nodes(
    config: &ControlPlaneConfig,
    store: &Store,
    metrics: &Metrics,
) -> Result<(Telemetry, Coordination), ControlPlaneError> {
    let telemetry = Telemetry::new(store.clone(), config.telemetry_interval());
    let coordination = Coordination::open(store.clone(), &config.data_dir)?;
    metrics::observe_nodes(metrics, &telemetry, &coordination)?;
    Ok((telemetry, coordination))
}

/// Ends with `work`, or at once with `stop`.
async fn until(stop: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

fn add_reflection(routes: &mut Routes) -> Result<(), ControlPlaneError> {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let added = std::mem::take(routes)
        .add_service(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?);
    *routes = added;
    Ok(())
}

fn add_services(
    routes: &mut Routes,
    store: &Store,
    configuration: Configuration,
    status: FleetStatus,
    recommendations: Recommendations,
) {
    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service).max_decoding_message_size(MAX_REQUEST)
        };
    }
    *routes = std::mem::take(routes)
        .add_service(limited!(
            NetworkServiceServer,
            Crud::<v1::Network>::new(store.clone())
        ))
        .add_service(limited!(RpcServiceServer, Crud::<v1::Rpc>::new(store.clone())))
        .add_service(limited!(
            RouteServiceServer,
            Crud::<v1::Route>::new(store.clone())
        ))
        .add_service(limited!(
            UpstreamServiceServer,
            Crud::<v1::Upstream>::new(store.clone())
        ))
        .add_service(limited!(RecommendationServiceServer, recommendations))
        .add_service(limited!(
            PluginServiceServer,
            Crud::<v1::PluginAttachment>::new(store.clone())
        ))
        .add_service(limited!(ConfigurationServiceServer, configuration))
        .add_service(limited!(StatusServiceServer, status));
}

/// What nodes do besides following: they report and share work.
fn add_node_services(
    routes: &mut Routes,
    telemetry: Telemetry,
    coordination: &Coordination,
    streams: &TaskTracker,
    stop: &CancellationToken,
) {
    let reports = TelemetryReader::new(telemetry, streams.clone(), stop.clone());
    let members = Coordinator::new(coordination.clone(), streams.clone(), stop.clone());
    *routes = std::mem::take(routes)
        .add_service(TelemetryServiceServer::new(reports).max_decoding_message_size(MAX_REPORT))
        .add_service(CoordinationServiceServer::new(members).max_decoding_message_size(MAX_ANSWER));
}

/// Ends with `served`, or a bounded time after `stop`.
async fn drained<T>(served: impl Future<Output = T>, stop: CancellationToken, server: &str) -> Option<T> {
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
    store: Store,
    stop: CancellationToken,
) {
    let Some(listener) = listener else { return };
    let ready = move || {
        let ready = store.is_ready();
        let detail = match &ready {
            Ok(()) => format!("revision {}", store.head().snapshot.revision()),
            Err(error) => error.to_string(),
        };
        Readiness {
            checks: vec![Check {
                name: "store",
                ready: ready.is_ok(),
                detail,
            }],
        }
    };
    serve_admin(listener, AdminState::new(metrics, ready), stop).await;
}

/// Keeps the standard health service true to the store until the service stops.
async fn report_health(health: HealthReporter, store: Store, stop: CancellationToken) {
    loop {
        set_serving(&health, store.is_ready().is_ok()).await;
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(HEALTH_INTERVAL) => {}
        }
    }
    set_serving(&health, false).await;
}

async fn set_serving(health: &HealthReporter, serving: bool) {
    let status = if serving {
        tonic_health::ServingStatus::Serving
    } else {
        tonic_health::ServingStatus::NotServing
    };
    let services = [
        "",
        <NetworkServiceServer<Crud<v1::Network>> as NamedService>::NAME,
        <RpcServiceServer<Crud<v1::Rpc>> as NamedService>::NAME,
        <RouteServiceServer<Crud<v1::Route>> as NamedService>::NAME,
        <UpstreamServiceServer<Crud<v1::Upstream>> as NamedService>::NAME,
        <RecommendationServiceServer<Recommendations> as NamedService>::NAME,
        <RecommendationRunServiceServer<Runs<Recommendations>> as NamedService>::NAME,
        <PluginServiceServer<Crud<v1::PluginAttachment>> as NamedService>::NAME,
        <ConfigurationServiceServer<Configuration> as NamedService>::NAME,
        <StatusServiceServer<FleetStatus> as NamedService>::NAME,
        <DiscoveryServiceServer<Discovery> as NamedService>::NAME,
        <AccessServiceServer<AccessService> as NamedService>::NAME,
        <TelemetryServiceServer<TelemetryReader> as NamedService>::NAME,
        <CoordinationServiceServer<Coordinator> as NamedService>::NAME,
    ];
    for service in services {
        health.set_service_status(service, status).await;
    }
}
