//! One upstream of one route as it runs: its connections, breaker, health, load and counts.
//!
//! An endpoint outlives changes of the configuration that do not change what it is, so that neither a new
//! weight nor a new neighbour makes the gateway forget what it has learnt.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tyrscale_balance::{
    Breaker, BreakerSettings, BreakerState, CircuitOpen, HealthState, HealthThresholds, Permit, Transition,
};
use tyrscale_model::{CircuitBreaker, HealthCheck, HttpUrl, ProxyAddress, RouteId, UpstreamId};
use tyrscale_telemetry::AtomicHistogram;

use crate::address::Address;
use crate::transport::{Transport, UpstreamClient};

/// What makes an endpoint what it is; another one is built when this changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spec {
    pub(crate) route_id: RouteId,
    pub(crate) upstream_id: UpstreamId,
    pub(crate) url: HttpUrl,
    pub(crate) proxy: Option<ProxyAddress>,
    /// `None` when the route has none that is enabled.
    pub(crate) breaker: Option<CircuitBreaker>,
    /// `None` when the route has none that is enabled.
    pub(crate) health: Option<HealthCheck>,
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
    client: UpstreamClient,
    breaker: Option<Mutex<Breaker>>,
    health: Mutex<HealthState>,
    /// What `health` says, for the many who ask.
    healthy: AtomicBool,
    in_flight: AtomicU32,
    stats: Arc<EndpointStats>,
}

/// Counts since the upstream came to the route.
#[derive(Debug, Default)]
pub(crate) struct EndpointStats {
    pub(crate) attempts: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) rate_limited: AtomicU64,
    /// Of the attempts answered without a fault.
    pub(crate) latency: AtomicHistogram,
}

impl Endpoint {
    /// The endpoint of `spec`; `before` is the same upstream's until now, whose counts go on, and whose
    /// connections if they lead to the same place.
    ///
    /// # Errors
    /// [`EndpointError`] when nothing can be sent to it.
    pub(crate) fn new(
        spec: Spec,
        before: Option<&Self>,
        transport: &Transport,
        now: Instant,
    ) -> Result<Self, EndpointError> {
        let same_place = before.filter(|known| known.spec.url == spec.url && known.spec.proxy == spec.proxy);
        let client = match same_place {
            Some(known) => known.client.clone(),
            None => transport
                .client(spec.proxy.as_ref())
                .ok_or(EndpointError::Proxy)?,
        };
        let thresholds = spec.health.as_ref().map_or((0, 0), |health| {
            (health.unhealthy_threshold, health.healthy_threshold)
        });
        Ok(Self {
            address: Address::new(&spec.url).map_err(|_| EndpointError::Url)?,
            client,
            breaker: spec
                .breaker
                .as_ref()
                .map(|policy| Mutex::new(Breaker::new(settings(policy), now))),
            health: Mutex::new(HealthState::new(HealthThresholds::new(
                thresholds.0,
                thresholds.1,
            ))),
            healthy: AtomicBool::new(true),
            in_flight: AtomicU32::new(0),
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

    pub(crate) const fn client(&self) -> &UpstreamClient {
        &self.client
    }

    pub(crate) fn stats(&self) -> &EndpointStats {
        &self.stats
    }

    /// Attempts that are not settled yet.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    /// Counts one probe in the upstream's health.
    pub(crate) fn observe_probe(&self, good: bool) -> Option<Transition> {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let transition = health.observe(good);
        self.healthy.store(health.is_healthy(), Ordering::Relaxed);
        transition
    }

    /// Whether it would take a request now.
    pub(crate) fn is_eligible(&self, now: Instant) -> bool {
        self.is_healthy() && self.breaker().is_none_or(|breaker| breaker.would_admit(now))
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

fn settings(policy: &CircuitBreaker) -> BreakerSettings {
    BreakerSettings::new(
        policy.max_requests,
        policy.max_consecutive_failures,
        Duration::from_millis(policy.interval_ms.into()),
        Duration::from_millis(policy.timeout_ms.into()),
    )
}
