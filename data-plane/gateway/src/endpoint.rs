//! One upstream of one route as it runs: its connections, breaker, health, load and counts.
//!
//! An endpoint outlives changes of the configuration that do not change what it is, so that neither a new
//! weight nor a new neighbour makes the gateway forget what it has learnt.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tyrscale_balance::{
    Breaker, BreakerSettings, BreakerState, CircuitOpen, Head, HeadSettings, HealthState, HealthThresholds,
    Permit, Transition,
};
use tyrscale_model::{
    ChainId, CircuitBreaker, HealthCheck, HttpUrl, ProxyAddress, RouteId, UpstreamHeaders, UpstreamId,
    UpstreamProtocol,
};
use tyrscale_telemetry::AtomicHistogram;

use crate::address::Address;
use crate::pool::{Pool, Transport};
use crate::probe::FailureCounts;

/// What makes an endpoint what it is; another one is built when this changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) route_id: RouteId,
    pub(crate) upstream_id: UpstreamId,
    pub(crate) url: HttpUrl,
    pub(crate) proxy: Option<ProxyAddress>,
    pub(crate) protocol: UpstreamProtocol,
    pub(crate) headers: UpstreamHeaders,
    /// The chain of its network, where that is known.
    pub(crate) chain: Option<ChainId>,
    /// `None` when the route has none that is enabled.
    pub(crate) breaker: Option<CircuitBreaker>,
    /// `None` when the route has none that is enabled.
    pub(crate) health: Option<HealthCheck>,
}

impl Spec {
    /// What connections to it depend on.
    fn place(&self) -> (&HttpUrl, Option<&ProxyAddress>, UpstreamProtocol) {
        (&self.url, self.proxy.as_ref(), self.protocol)
    }
}

/// Why an upstream cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("must be a URL that a request can be sent to")]
    Url,
    #[error("must be a proxy that can be dialled")]
    Proxy,
}

/// One upstream of one route, as it runs.
pub(crate) struct Endpoint {
    spec: Spec,
    address: Address,
    pool: Arc<Pool>,
    breaker: Option<Arc<Mutex<Breaker>>>,
    health: Arc<Health>,
    head: Arc<Mutex<Head>>,
    stats: Arc<EndpointStats>,
}

/// What health checks have found.
#[derive(Debug)]
struct Health {
    state: Mutex<HealthState>,
    /// What the state says, for the many who ask.
    is_good: AtomicBool,
    /// Whether it answered for another chain than it should when it was last asked.
    is_on_wrong_chain: AtomicBool,
}

impl Health {
    fn new(policy: Option<&HealthCheck>) -> Self {
        let thresholds = policy.map_or((0, 0), |it| (it.unhealthy_threshold, it.healthy_threshold));
        Self {
            state: Mutex::new(HealthState::new(HealthThresholds::new(
                thresholds.0,
                thresholds.1,
            ))),
            is_good: AtomicBool::new(true),
            is_on_wrong_chain: AtomicBool::new(false),
        }
    }
}

/// Counts since the upstream came to the route.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) rate_limited: AtomicU64,
    /// Probes that did not go well.
    pub(crate) probe_failures: FailureCounts,
    /// Attempts that are not settled yet.
    in_flight: AtomicU32,
    /// Of the attempts answered without a fault.
    pub(crate) latency: AtomicHistogram,
}

impl Endpoint {
    /// The endpoint of `spec`; `before` is the same upstream's until now, whose counts go on. If both lead to the same
    /// place, so do its connections, and what breaker and health checks have learnt as far as their rules are the same.
    ///
    /// # Errors
    /// [`EndpointError`] when nothing can be sent to it.
    pub(crate) fn new(
        spec: Spec,
        before: Option<&Self>,
        transport: &Transport,
        now: Instant,
    ) -> Result<Self, EndpointError> {
        let same_place = before.filter(|known| known.spec.place() == spec.place());
        let pool = match same_place {
            Some(known) => Arc::clone(&known.pool),
            None => {
                let pool = transport.pool(&spec.url, spec.proxy.as_ref(), spec.protocol);
                Arc::new(pool.ok_or(EndpointError::Proxy)?)
            }
        };
        let same_breaker = same_place.filter(|known| known.spec.breaker == spec.breaker);
        let breaker = match same_breaker {
            Some(known) => known.breaker.clone(),
            None => {
                let policy = spec.breaker.as_ref();
                policy.map(|policy| Arc::new(Mutex::new(Breaker::new(settings(policy), now))))
            }
        };
        let same_health = same_place
            .filter(|known| known.spec.chain == spec.chain)
            .filter(|known| verdict_rule(known.spec.health.as_ref()) == verdict_rule(spec.health.as_ref()));
        Ok(Self {
            address: Address::new(&spec.url, &spec.headers).map_err(|_| EndpointError::Url)?,
            pool,
            breaker,
            health: same_health.map_or_else(
                || Arc::new(Health::new(spec.health.as_ref())),
                |known| Arc::clone(&known.health),
            ),
            head: same_place.map_or_else(
                || Arc::new(Mutex::new(Head::new(HeadSettings::default()))),
                |known| Arc::clone(&known.head),
            ),
            stats: before.map_or_else(Arc::default, |known| Arc::clone(&known.stats)),
            spec,
        })
    }

    pub(crate) const fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn stats(&self) -> &EndpointStats {
        &self.stats
    }

    /// Attempts that are not settled yet.
    pub(crate) fn in_flight(&self) -> u32 {
        self.stats.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.stats.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.health.is_good.load(Ordering::Relaxed)
    }

    /// Counts one probe in the upstream's health.
    pub(crate) fn observe_probe(&self, good: bool) -> Option<Transition> {
        let mut state = self.health.state.lock().unwrap_or_else(PoisonError::into_inner);
        let transition = state.observe(good);
        self.health.is_good.store(state.is_healthy(), Ordering::Relaxed);
        transition
    }

    /// Whether it answers for another chain than that of its network, as far as is known.
    pub(crate) fn is_on_wrong_chain(&self) -> bool {
        self.health.is_on_wrong_chain.load(Ordering::Relaxed)
    }

    /// Notes on which chain it was found. Returns whether that is another finding than before.
    pub(crate) fn set_on_wrong_chain(&self, is_wrong: bool) -> bool {
        self.health.is_on_wrong_chain.swap(is_wrong, Ordering::Relaxed) != is_wrong
    }

    /// The upstream reported a block of this height at `now`.
    pub(crate) fn saw_head(&self, height: u64, now: Instant) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.saw(height, now);
    }

    /// The height of its head, if it is known.
    pub(crate) fn head(&self) -> Option<u64> {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        head.height()
    }

    /// Whether it would take a request now.
    pub(crate) fn is_eligible(&self, now: Instant) -> bool {
        self.is_healthy()
            && !self.is_on_wrong_chain()
            && self.breaker().is_none_or(|breaker| breaker.would_admit(now))
    }

    /// The state of its breaker; one without a breaker is closed.
    pub(crate) fn breaker_state(&self, now: Instant) -> BreakerState {
        self.breaker()
            .map_or(BreakerState::Closed, |breaker| breaker.state(now))
    }

    /// Asks its breaker for leave to send one request.
    ///
    /// # Errors
    /// [`CircuitOpen`] when the breaker refuses.
    pub(crate) fn admit(self: &Arc<Self>, now: Instant) -> Result<Admission, CircuitOpen> {
        let permit = match self.breaker() {
            Some(mut breaker) => Some(breaker.try_acquire(now)?),
            None => None,
        };
        Ok(Admission {
            endpoint: Arc::clone(self),
            permit,
        })
    }

    fn breaker(&self) -> Option<MutexGuard<'_, Breaker>> {
        let breaker = self.breaker.as_ref()?;
        Some(breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("upstream", &self.spec.upstream_id)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Leave of an endpoint's breaker to send one request; dropped, it says nothing about the endpoint.
#[derive(Debug)]
pub(crate) struct Admission {
    endpoint: Arc<Endpoint>,
    permit: Option<Permit>,
}

impl Admission {
    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The request went well.
    pub(crate) fn succeeded(mut self, now: Instant) {
        self.settle(|breaker, permit| breaker.on_success(permit, now));
    }

    /// The request failed.
    pub(crate) fn failed(mut self, now: Instant) {
        self.settle(|breaker, permit| breaker.on_failure(permit, now));
    }

    fn settle(&mut self, settle: impl FnOnce(&mut Breaker, Permit) -> Option<BreakerState>) {
        let Some((mut breaker, permit)) = self.endpoint.breaker().zip(self.permit.take()) else {
            return;
        };
        let entered = settle(&mut breaker, permit);
        drop(breaker);
        if let Some(state) = entered {
            let Spec {
                route_id,
                upstream_id,
                ..
            } = &self.endpoint.spec;
            tracing::info!(route.id = %route_id, upstream.id = %upstream_id, ?state, "circuit breaker changed");
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.settle(|breaker, permit| {
            breaker.on_cancel(permit, tokio::time::Instant::now().into_std());
            None
        });
    }
}

/// The part of a health check that its verdict depends on: not how often it asks.
fn verdict_rule(policy: Option<&HealthCheck>) -> Option<HealthCheck> {
    policy.map(|policy| HealthCheck {
        interval_ms: 0,
        timeout_ms: 0,
        ..policy.clone()
    })
}

fn settings(policy: &CircuitBreaker) -> BreakerSettings {
    BreakerSettings::new(
        policy.max_requests,
        policy.max_consecutive_failures,
        Duration::from_millis(policy.interval_ms.into()),
        Duration::from_millis(policy.timeout_ms.into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn spec() -> Spec {
        Spec {
            route_id: "00000000-0000-4000-0001-000000000001".parse().unwrap(),
            upstream_id: "00000000-0000-4000-0002-000000000001".parse().unwrap(),
            url: "http://localhost:1".parse().unwrap(),
            proxy: None,
            protocol: UpstreamProtocol::Auto,
            headers: UpstreamHeaders::default(),
            chain: None,
            breaker: Some(CircuitBreaker {
                enabled: true,
                max_consecutive_failures: 1,
                ..CircuitBreaker::default()
            }),
            health: Some(HealthCheck {
                enabled: true,
                interval_ms: 1000,
                unhealthy_threshold: 1,
                ..HealthCheck::default()
            }),
        }
    }

    #[test]
    fn a_new_policy_forgets_only_what_it_is_about() {
        let transport = Transport::new(&Settings::default()).unwrap();
        let now = Instant::now();
        let known = Arc::new(Endpoint::new(spec(), None, &transport, now).unwrap());
        known.admit(now).unwrap().failed(now);
        known.observe_probe(false);
        known.enter();
        let after = |spec: Spec| {
            let endpoint = Endpoint::new(spec, Some(&known), &transport, now).unwrap();
            (
                endpoint.breaker_state(now),
                endpoint.is_healthy(),
                endpoint.in_flight(),
            )
        };
        let mut slower = spec();
        slower.health.as_mut().unwrap().interval_ms = 5000;
        assert_eq!(after(slower), (BreakerState::Open, false, 1));
        let mut patient = spec();
        patient.breaker.as_mut().unwrap().max_consecutive_failures = 9;
        assert_eq!(after(patient), (BreakerState::Closed, false, 1));
        let mut lenient = spec();
        lenient.health.as_mut().unwrap().unhealthy_threshold = 9;
        assert_eq!(after(lenient), (BreakerState::Open, true, 1));
        let mut elsewhere = spec();
        elsewhere.url = "http://localhost:2".parse().unwrap();
        assert_eq!(after(elsewhere), (BreakerState::Closed, true, 1));
    }
}
