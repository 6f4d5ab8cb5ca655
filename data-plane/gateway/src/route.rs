//! One route as it runs: its endpoints, and whose turn it is.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderName;
use tokio::time::Instant;
use tyrscale_balance::{Member, RetryBudget, Selector, SelectorSettings};
use tyrscale_client::reporting::UpstreamHead;
use tyrscale_model::{
    ChainId, Consistency, EffectiveWeight, HealthCheck, HttpUrl, Network, OperatorWeight, ProxyAddress,
    Resource, RouteId, RouteKey, Rpc, Snapshot, Target, Upstream, UpstreamHeaders, UpstreamId, Violation,
    ViolationCode,
};

use crate::admission::Admission;
use crate::cors::CorsPolicy;
use crate::endpoint::{Endpoint, EndpointError, Spec};
use crate::heads::{Heads, Trust};
use crate::metrics::RouteStats;
use crate::pool::Transport;
use crate::queue::Queue;

mod choose;
mod rules;
mod shares;

pub(crate) use choose::{Marks, Need, Next};
pub(crate) use rules::{Rules, Several};
pub(crate) use shares::{Share, Shares, SoftWeights};

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
    pub(crate) rules: Rules,
    /// For the retries of all its requests.
    pub(crate) budget: Arc<RetryBudget>,
    /// Who waits for one of its upstreams.
    pub(crate) queue: Arc<Queue>,
    endpoints: Vec<Arc<Endpoint>>,
    /// Which of them take requests at all: those that are neither cordoned nor drained by an operator.
    in_use: Vec<bool>,
    /// What the operator says of each one's part.
    shares: Vec<Share>,
    selection: SelectorSettings,
    /// What counts of it; recommended weights change it while the route stays as it is.
    turns: ArcSwap<Shares>,
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
        weights: &SoftWeights,
    ) -> Result<Self, Vec<Violation>> {
        let now = Instant::now().into_std();
        let queue = before.map_or_else(Arc::default, |before| Arc::clone(&before.queue));
        let (mut endpoints, mut shares) = (Vec::new(), Vec::new());
        let mut violations = Vec::new();
        for upstream in snapshot.upstreams_of(model.id) {
            match compile_endpoint(model, upstream, snapshot, before, transport, &queue) {
                Ok(endpoint) => {
                    endpoints.push(endpoint);
                    shares.push(Share::of(upstream, snapshot));
                }
                Err(violation) => violations.push(violation.of(upstream.key())),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        let in_use = shares.iter().map(Share::is_in_use).collect();
        let selection = rules::selection(model);
        let effective = shares::effective(&shares, weights);
        let members = shares::members(&shares, &effective);
        let selector = match before {
            Some(before) => {
                let position = |endpoint: &Arc<Endpoint>| before.position(endpoint.spec().upstream_id);
                let carried: Vec<_> = endpoints.iter().map(position).collect();
                let turns = before.turns.load();
                turns.selector.rebuilt(selection, &members, &carried, now)
            }
            None => Selector::new(selection, &members, now),
        };
        let rules = Rules::of(model);
        let (share, per_second) = rules.budget();
        let same_budget = before.filter(|before| before.rules.budget() == (share, per_second));
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
            budget: same_budget.map_or_else(
                || Arc::new(RetryBudget::new(share, per_second, now)),
                |before| Arc::clone(&before.budget),
            ),
            rules,
            queue,
            endpoints,
            in_use,
            shares,
            selection,
            turns: ArcSwap::from_pointee(Shares { selector, effective }),
        })
    }

    /// Its endpoints, in the order of their ids.
    pub(crate) fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Which of them take requests at all, in the same order.
    pub(crate) fn in_use(&self) -> &[bool] {
        &self.in_use
    }

    /// How far the heights that its upstreams tell are believed.
    pub(crate) fn trust(&self) -> Trust {
        let tolerance = self.health.as_ref().and_then(|policy| policy.tolerance_blocks);
        Trust {
            max_jump: self.consistency.max_height_jump(),
            tolerance: tolerance.unwrap_or(HealthCheck::DEFAULT_TOLERANCE_BLOCKS).into(),
            upstreams: self.in_use.iter().filter(|in_use| **in_use).count(),
        }
    }

    /// Takes recommended weights over; whose turn it is goes on.
    pub(crate) fn weigh(&self, weights: &SoftWeights, now: Instant) {
        let effective = shares::effective(&self.shares, weights);
        let turns = self.turns.load();
        if turns.effective == effective {
            return;
        }
        let members: Vec<Member> = shares::members(&self.shares, &effective);
        let carried: Vec<_> = (0..members.len()).map(Some).collect();
        let selector = turns
            .selector
            .rebuilt(self.selection, &members, &carried, now.into_std());
        self.turns.store(Arc::new(Shares { selector, effective }));
    }

    /// Takes in how high an exporter saw the rpc behind an upstream to be, if that is newer than what is known and as
    /// believable as its own word.
    pub(crate) fn hear(&self, head: &UpstreamHead, now: Instant) {
        let position = self.position(head.upstream);
        let Some(endpoint) = position.and_then(|position| self.endpoints.get(position)) else {
            return;
        };
        let age = now.saturating_duration_since(head.seen);
        let known = endpoint.head_with_age(now.into_std());
        let is_newer = known.is_none_or(|(_, known)| age < known);
        if is_newer && self.heads.believes(head.height, self.trust()) {
            endpoint.saw_head(head.height, head.seen.into_std());
        }
    }

    /// Each endpoint's weight by its operator and the one that counts.
    pub(crate) fn weights(&self) -> Vec<(OperatorWeight, EffectiveWeight)> {
        let turns = self.turns.load();
        let weights = self.shares.iter().zip(&turns.effective);
        weights
            .map(|(share, effective)| (share.operator, *effective))
            .collect()
    }

    fn position(&self, upstream: UpstreamId) -> Option<usize> {
        self.endpoints
            .iter()
            .position(|endpoint| endpoint.spec().upstream_id == upstream)
    }
}

impl Route {
    /// Whether one of its upstreams gives all receipts of a block.
    pub(crate) fn gives_receipts(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.spec().receipts_method.is_some())
    }
}

fn compile_endpoint(
    model: &tyrscale_model::Route,
    upstream: &Upstream,
    snapshot: &Snapshot,
    before: Option<&Route>,
    transport: &Transport,
    queue: &Arc<Queue>,
) -> Result<Arc<Endpoint>, Violation> {
    let invalid =
        |field, error: EndpointError| Violation::new(field, ViolationCode::Invalid, error.to_string());
    let spec = Spec {
        route_id: model.id,
        upstream_id: upstream.id,
        url: url(upstream, snapshot)?.filled(snapshot)?,
        proxy: proxy(upstream, snapshot)?,
        protocol: upstream.protocol,
        headers: headers(upstream, snapshot)?,
        chain: chain(upstream, snapshot),
        limits: upstream.limits,
        methods: rpc(upstream, snapshot).and_then(|rpc| rpc.methods.clone()),
        receipts_method: upstream.receipts_method,
        breaker: model.circuit_breaker.filter(|breaker| breaker.enabled),
        health: enabled_health(model),
    };
    let known = before.and_then(|route| route.endpoints.get(route.position(upstream.id)?));
    if let Some(same) = known.filter(|endpoint| *endpoint.spec() == spec) {
        return Ok(Arc::clone(same));
    }
    let now = Instant::now().into_std();
    let endpoint =
        Endpoint::new(spec, known.map(Arc::as_ref), transport, queue, now).map_err(|error| match error {
            EndpointError::Url => invalid("url", error),
            EndpointError::Proxy => invalid("proxy_host", error),
        })?;
    if known.is_none() && before.is_some() {
        endpoint.begin_slowly(now);
    }
    Ok(Arc::new(endpoint))
}

fn rpc<'s>(upstream: &Upstream, snapshot: &'s Snapshot) -> Option<&'s Rpc> {
    match &upstream.target {
        Target::Rpc(id) => snapshot.rpc(*id),
        Target::Address(_) => None,
    }
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

/// Its own proxy, or that of its rpc.
fn proxy(upstream: &Upstream, snapshot: &Snapshot) -> Result<Option<ProxyAddress>, Violation> {
    if let Some(own) = &upstream.proxy {
        return own.filled("proxy_host", snapshot).map(Some);
    }
    let of_rpc = rpc(upstream, snapshot).and_then(|rpc| rpc.egress_proxy.as_ref());
    of_rpc
        .map(|proxy| proxy.filled("rpc.egress_proxy", snapshot))
        .transpose()
}

/// Its own headers and those of its rpc.
fn headers(upstream: &Upstream, snapshot: &Snapshot) -> Result<UpstreamHeaders, Violation> {
    match rpc(upstream, snapshot) {
        Some(rpc) => upstream.headers.over(&rpc.headers).filled(snapshot),
        None => upstream.headers.filled(snapshot),
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
