//! One route as it runs: its endpoints, and whose turn it is.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderName;
use smallvec::SmallVec;
use tokio::time::Instant;
use tyrscale_balance::{Candidate, Picker, Strategy};
use tyrscale_model::{
    ChainId, Consistency, HealthCheck, HttpUrl, LoadBalancer, Network, Resource, RouteId, RouteKey, Snapshot,
    Target, Upstream, UpstreamId, Violation, ViolationCode,
};

use crate::admission::Admission;
use crate::attempt::Attempt;
use crate::cors::CorsPolicy;
use crate::endpoint::{Endpoint, EndpointError, Spec};
use crate::heads::Heads;
use crate::metrics::RouteStats;
use crate::pool::Transport;

/// As many upstreams as most routes have at most.
const USUAL: usize = 8;

/// Which endpoints of a route a request has been at.
#[derive(Debug)]
pub(crate) struct Tried(SmallVec<[bool; USUAL]>);

impl Tried {
    /// None of so many.
    pub(crate) fn new(endpoints: usize) -> Self {
        Self(SmallVec::from_elem(false, endpoints))
    }
}

/// One route, compiled from the configuration.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) id: RouteId,
    pub(crate) key: Arc<RouteKey>,
    /// How its upstreams are probed; `None` when they are not.
    pub(crate) health: Option<HealthCheck>,
    pub(crate) consistency: Consistency,
    /// What its block tags stand for.
    pub(crate) heads: Arc<Heads>,
    pub(crate) stats: Arc<RouteStats>,
    /// Which pages in browsers may call it; `None` when nothing is said about that.
    pub(crate) cors: Option<CorsPolicy>,
    /// Headers of clients that its upstreams get, though they are held back elsewhere.
    pub(crate) forward_headers: Vec<HeaderName>,
    /// What clients may ask.
    pub(crate) admission: Admission,
    endpoints: Vec<Arc<Endpoint>>,
    picker: Mutex<Picker>,
}

impl Route {
    /// Compiles a route; `before` is the same route until now, whose endpoints and turns go on.
    ///
    /// # Errors
    /// Every upstream that cannot be sent to.
    pub(crate) fn compile(
        model: &tyrscale_model::Route,
        snapshot: &Snapshot,
        before: Option<&Self>,
        transport: &Transport,
    ) -> Result<Self, Vec<Violation>> {
        let mut endpoints = Vec::new();
        let mut weights = Vec::new();
        let mut violations = Vec::new();
        for upstream in snapshot.upstreams_of(model.id) {
            match compile_endpoint(model, upstream, snapshot, before, transport) {
                Ok(endpoint) => {
                    endpoints.push(endpoint);
                    weights.push(upstream.weight.get());
                }
                Err(violation) => violations.push(violation.of(upstream.key())),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        let strategy = strategy(model.load_balancer);
        let picker = match before {
            Some(before) => {
                let carried: Vec<_> = endpoints
                    .iter()
                    .map(|endpoint| before.position(endpoint.spec().upstream_id))
                    .collect();
                let picker = before.picker.lock().unwrap_or_else(PoisonError::into_inner);
                picker.rebuilt(strategy, &weights, &carried)
            }
            None => Picker::new(strategy, &weights),
        };
        Ok(Self {
            id: model.id,
            key: Arc::new(model.route_key()),
            health: enabled_health(model),
            consistency: model.consistency.unwrap_or_default(),
            admission: Admission::compile(
                model,
                before.map(|before| &before.admission),
                Instant::now().into_std(),
            ),
            heads: before.map_or_else(Arc::default, |before| Arc::clone(&before.heads)),
            stats: before.map_or_else(Arc::default, |before| Arc::clone(&before.stats)),
            cors: model.cors.as_deref().map(CorsPolicy::new),
            forward_headers: model.forward_headers.clone(),
            endpoints,
            picker: Mutex::new(picker),
        })
    }

    /// Its endpoints, in the order of their ids.
    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Picks an endpoint that takes the request and has not been tried, and begins an attempt at it; `None` when
    /// nobody is left.
    pub(crate) fn begin(&self, tried: &mut Tried, started: Instant) -> Option<Attempt> {
        let now = started.into_std();
        let mut candidates: SmallVec<[Candidate; USUAL]> = self
            .endpoints
            .iter()
            .zip(&tried.0)
            .map(|(endpoint, tried)| Candidate {
                in_flight: endpoint.in_flight(),
                eligible: !tried && endpoint.is_eligible(now),
                latency: None,
            })
            .collect();
        let picker = self.picker.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let position = picker.pick(&candidates, fastrand::u64(..))?;
            // Another request may have taken the breaker's last trial since it was asked.
            if let Ok(admission) = self.endpoints.get(position)?.admit(now) {
                *tried.0.get_mut(position)? = true;
                return Some(Attempt::begin(admission, started));
            }
            candidates.get_mut(position)?.eligible = false;
        }
    }

    fn position(&self, upstream: UpstreamId) -> Option<usize> {
        self.endpoints
            .iter()
            .position(|endpoint| endpoint.spec().upstream_id == upstream)
    }
}

fn compile_endpoint(
    model: &tyrscale_model::Route,
    upstream: &Upstream,
    snapshot: &Snapshot,
    before: Option<&Route>,
    transport: &Transport,
) -> Result<Arc<Endpoint>, Violation> {
    let invalid =
        |field, error: EndpointError| Violation::new(field, ViolationCode::Invalid, error.to_string());
    let spec = Spec {
        route_id: model.id,
        upstream_id: upstream.id,
        url: url(upstream, snapshot)?,
        proxy: upstream.proxy.clone(),
        protocol: upstream.protocol,
        headers: upstream.headers.clone(),
        chain: chain(upstream, snapshot),
        breaker: model.circuit_breaker.filter(|breaker| breaker.enabled),
        health: enabled_health(model),
    };
    let known = before.and_then(|route| route.endpoints.get(route.position(upstream.id)?));
    if let Some(same) = known.filter(|endpoint| *endpoint.spec() == spec) {
        return Ok(Arc::clone(same));
    }
    Endpoint::new(spec, known.map(Arc::as_ref), transport, Instant::now().into_std())
        .map(Arc::new)
        .map_err(|error| match error {
            EndpointError::Url => invalid("url", error),
            EndpointError::Proxy => invalid("proxy_host", error),
        })
}

fn url(upstream: &Upstream, snapshot: &Snapshot) -> Result<HttpUrl, Violation> {
    match &upstream.target {
        Target::Rpc(id) => snapshot.rpc(*id).map(|rpc| rpc.url.clone()).ok_or_else(|| {
            Violation::new("rpc_id", ViolationCode::ReferenceNotFound, "names no rpc").against(id.key())
        }),
        Target::Address(address) => address
            .url()
            .ok_or_else(|| Violation::new("address", ViolationCode::Invalid, "must make a URL")),
    }
}

/// The chain that an upstream is to be on.
fn chain(upstream: &Upstream, snapshot: &Snapshot) -> Option<ChainId> {
    let Target::Rpc(id) = &upstream.target else {
        return None;
    };
    let network = Network::key_of(&snapshot.rpc(*id)?.network);
    match &snapshot.get(&network)?.resource {
        Resource::Network(network) => Some(network.chain_id),
        _ => None,
    }
}

fn enabled_health(model: &tyrscale_model::Route) -> Option<HealthCheck> {
    model.health_check.clone().filter(|health| health.enabled)
}

const fn strategy(load_balancer: LoadBalancer) -> Strategy {
    match load_balancer {
        LoadBalancer::WeightRoundRobin => Strategy::WeightRoundRobin,
        LoadBalancer::LeastLoad | LoadBalancer::Concurrent | LoadBalancer::P2cPeakEwma => Strategy::LeastLoad,
        LoadBalancer::FailoverPriority => Strategy::FailoverPriority,
    }
}
