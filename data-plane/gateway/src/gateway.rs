//! The gateway as its owner holds it: given configurations, served from.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tyrscale_client::reporting::UpstreamHead;
use tyrscale_model::{Rejection, Snapshot, SoftWeight, UpstreamId, Version, View};
use tyrscale_telemetry::{Metrics, Page, Service};

use crate::answer::{self, Answer};
use crate::config::Settings;
use crate::debug;
use crate::error::GatewayError;
use crate::forward::Broadcasts;
use crate::metrics::{GatewayStats, export};
use crate::pool::{Transport, Worker};
use crate::probe::Probing;
use crate::recorder::Recorder;
use crate::route::SoftWeights;
use crate::server::{self, Front};
use crate::shedding::{ClientConnections, Load};
use crate::table::{Built, Changed, Table};
use crate::tls::ServerTls;
use crate::workers;

/// What the gateway serves from.
pub(crate) type Live = ArcSwap<Running>;

/// A table and the version it was compiled from; none before the first configuration.
#[derive(Debug, Default)]
pub(crate) struct Running {
    pub(crate) table: Table,
    pub(crate) version: Option<Version>,
}

/// The reverse proxy without its control plane: whoever holds it gives it configurations.
pub struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) stats: Arc<GatewayStats>,
    pub(crate) recorder: Arc<Recorder>,
    /// Room for connections of clients.
    pub(crate) slots: Arc<Semaphore>,
    /// The requests in progress.
    pub(crate) load: Arc<Load>,
    pub(crate) client_connections: Arc<ClientConnections>,
    /// Transactions on their way to several upstreams.
    pub(crate) broadcasts: Arc<Broadcasts>,
    live: Arc<Live>,
    transport: Transport,
    metrics: Arc<Metrics>,
    /// Locked for the whole of a change, so that changes come one by one.
    changing: Mutex<Changing>,
}

/// What changes go on from besides the table.
#[derive(Debug, Default)]
struct Changing {
    /// The probes that run.
    probing: Probing,
    /// The recommended weights that hold, also those for upstreams that are not there (yet).
    weights: SoftWeights,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A gateway without routes.
    ///
    /// # Errors
    /// [`GatewayError`] when TLS or the metrics cannot be set up, or the access log not be opened.
    pub fn new(settings: Settings) -> Result<Self, GatewayError> {
        let metrics = Arc::new(Metrics::new(Service::Gateway)?);
        let live = Arc::new(Live::default());
        let stats = Arc::default();
        let load = Arc::new(Load::new(settings.max_requests, settings.max_request_bytes_held));
        export::register(&metrics, &live, &stats, &load)?;
        let recorder = Arc::new(Recorder::new(&settings.recorder).map_err(GatewayError::Recorder)?);
        export::register_recorder(&metrics, &recorder)?;
        Ok(Self {
            transport: Transport::new(&settings)?,
            slots: Arc::new(Semaphore::new(settings.max_connections)),
            load,
            client_connections: Arc::new(ClientConnections::new(settings.max_connections_per_client)),
            broadcasts: Arc::new(Broadcasts::new(&settings)),
            settings,
            stats,
            recorder,
            live,
            metrics,
            changing: Mutex::default(),
        })
    }

    /// Serves from `snapshot` from now on, which differs from the one before by `changed`. Requests under way
    /// finish with the one they began with. Runs inside a tokio runtime, where the health checks go on.
    ///
    /// # Errors
    /// A [`Rejection`] when a resource cannot be served; the gateway goes on with what it has.
    pub fn apply(&self, snapshot: &Snapshot, changed: Changed<'_>, view: View) -> Result<(), Rejection> {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Changing { probing, weights } = &mut *changing;
        let before = self.live.load();
        let Built { table, touched } =
            Table::build(snapshot, &before.table, changed, &self.transport, weights)?;
        let running = Arc::new(Running {
            table,
            version: Some(snapshot.version(view)),
        });
        self.live.store(Arc::clone(&running));
        probing.reconcile(&running.table, &touched);
        tracing::info!(
            revision = %snapshot.revision(),
            routes = running.table.len(),
            touched = touched.len(),
            "configuration applied"
        );
        Ok(())
    }

    /// Goes on with recommended weights that are new or, without a number, hold no more. Routes, their endpoints and
    /// requests under way stay as they are.
    pub fn weigh(&self, changes: &[(UpstreamId, Option<SoftWeight>)]) {
        let mut changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        for (upstream, soft) in changes {
            match soft {
                Some(soft) => changing.weights.insert(*upstream, *soft),
                None => changing.weights.remove(upstream),
            };
        }
        let running = self.live.load();
        let now = Instant::now();
        let routes = changes
            .iter()
            .filter_map(|(upstream, _)| running.table.route_of(*upstream));
        let routes: BTreeMap<_, _> = routes.map(|route| (route.id, route)).collect();
        for route in routes.values() {
            route.weigh(&changing.weights, now);
        }
        tracing::debug!(weights = changes.len(), routes = routes.len(), "weights changed");
    }

    /// Takes in how high exporters see the rpcs behind upstreams, where that is newer than what was seen from here. So
    /// what a node lacks is learnt also on a route whose upstreams are not probed for their heights.
    pub fn hear(&self, heads: &[UpstreamHead]) {
        let running = self.live.load();
        let now = Instant::now();
        for head in heads {
            if let Some(route) = running.table.route_of(head.upstream) {
                route.hear(head, now);
            }
        }
    }

    /// The version it serves from.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.live.load().version
    }

    /// How many routes it serves.
    #[must_use]
    pub fn route_count(&self) -> usize {
        self.live.load().table.len()
    }

    /// Its metrics.
    #[must_use]
    pub const fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Serves clients on the caller's runtime until `shutdown`, then until the requests in flight have finished, at
    /// most for the drain timeout.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        server::serve(Arc::clone(self), Worker::new(0), Front::plain(listener), shutdown).await;
    }

    /// As [`Gateway::serve`], with TLS.
    pub async fn serve_tls(
        self: &Arc<Self>,
        listener: TcpListener,
        tls: Arc<ServerTls>,
        shutdown: CancellationToken,
    ) {
        server::serve(
            Arc::clone(self),
            Worker::new(0),
            Front::tls(listener, tls),
            shutdown,
        )
        .await;
    }

    /// Serves clients on threads of their own, as many as the settings say, until `shutdown`, then as
    /// [`Gateway::serve`], with TLS when it is given. The listener is one of [`crate::bind`].
    ///
    /// # Errors
    /// [`GatewayError::Workers`] when a socket or a thread cannot be made.
    pub async fn serve_on(
        self: &Arc<Self>,
        listener: TcpListener,
        tls: Option<Arc<ServerTls>>,
        shutdown: CancellationToken,
    ) -> Result<(), GatewayError> {
        let fronts = vec![Front { listener, tls }];
        let served = workers::serve(self, fronts, &shutdown).await;
        served.map_err(GatewayError::Workers)
    }

    /// A page that shows it from inside, for operators: `/debug/routes`, `/debug/upstreams`, `/debug/traces`, and
    /// one route or trace by its id behind a further slash. `None` for other paths.
    #[must_use]
    pub fn debug_page(&self, path: &str) -> Option<Page> {
        debug::page(path, &self.running().table, self.recorder.traces())
    }

    pub(crate) fn running(&self) -> Guard<Arc<Running>> {
        self.live.load()
    }

    /// The metrics as an answer on the data port.
    pub(crate) async fn scrape(&self) -> Answer {
        let metrics = Arc::clone(&self.metrics);
        match tokio::task::spawn_blocking(move || metrics.render()).await {
            Ok(Ok((content_type, body))) => answer::page(content_type, body),
            Ok(Err(error)) => answer::page_failed(&error),
            Err(error) => answer::page_failed(&error),
        }
    }
}
