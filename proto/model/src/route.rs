//! Routes: where clients connect.

mod circuit_breaker;
mod consistency;
mod cors;
mod health_check;
mod limits;
mod load_balancer;
mod retry;
mod tiers;

use std::time::Duration;

use http::HeaderName;

use crate::{MethodFilter, ResourceKey, RouteId, RouteKey, Violation, ViolationCode, rules::Rules};

pub use circuit_breaker::{CircuitBreaker, FailureShare};
pub use consistency::Consistency;
pub use cors::{AllowedOrigin, Cors};
pub use health_check::{HealthCheck, HealthCheckRequest, HealthCheckType, WrongLogIndexes};
pub use limits::RouteLimits;
pub(crate) use limits::parse_network;
pub use load_balancer::LoadBalancer;
pub use retry::Retry;
pub use tiers::Tiers;

/// Requests for a host and path are balanced over the upstreams that name this route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The id.
    pub id: RouteId,
    /// As given; compared by [`Route::route_key`].
    pub host: String,
    /// As given; compared by [`Route::route_key`].
    pub path: String,
    /// How an upstream is picked.
    pub load_balancer: LoadBalancer,
    /// When an upstream is left alone.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// How upstreams are probed.
    pub health_check: Option<HealthCheck>,
    /// When a request is tried again; absent means the defaults of [`Retry`].
    pub retry: Option<Retry>,
    /// What clients may ask; absent: what the gateway lets them.
    pub limits: Option<Box<RouteLimits>>,
    /// Which methods are served; absent: all.
    pub methods: Option<MethodFilter>,
    /// Which pages in browsers may call; absent: no CORS headers.
    pub cors: Option<Box<Cors>>,
    /// To how many upstreams a transaction goes; 0 and 1 mean one.
    pub broadcast_transactions: u32,
    /// How many upstreams [`LoadBalancer::Concurrent`] asks at once; 0 means
    /// [`Route::DEFAULT_CONCURRENT_REQUESTS`].
    pub concurrent_requests: u32,
    /// How long the share of an upstream that is new or returns grows, milliseconds; 0: it has its own at once.
    pub slow_start_ms: u32,
    /// After how long another upstream is asked beside one that has not begun to answer a read, milliseconds; 0: never.
    pub hedge_delay_ms: u32,
    /// How traffic moves between tiers; absent means the defaults of [`Tiers`].
    pub tiers: Option<Tiers>,
    /// Client headers that go to upstreams and are otherwise held back.
    pub forward_headers: Vec<HeaderName>,
    /// How answers are kept from contradicting each other; absent means the defaults of [`Consistency`].
    pub consistency: Option<Consistency>,
}

impl Route {
    /// The longest host and path, in bytes.
    pub const MAX_TEXT: usize = 1024;
    /// How many upstreams are asked at once when the route does not say.
    pub const DEFAULT_CONCURRENT_REQUESTS: u32 = 2;
    /// The most upstreams that one request goes to at once.
    pub const MAX_AT_ONCE: u32 = 8;
    /// The longest slow start, milliseconds: an hour.
    pub const MAX_SLOW_START_MS: u32 = 3_600_000;
    /// The longest time until another upstream is asked beside the first, milliseconds.
    pub const MAX_HEDGE_DELAY_MS: u32 = 60_000;
    /// The most headers forwarded.
    pub const MAX_FORWARD_HEADERS: usize = 32;

    /// A route with the default of everything else.
    #[must_use]
    pub fn new(
        id: RouteId,
        host: impl Into<String>,
        path: impl Into<String>,
        load_balancer: LoadBalancer,
    ) -> Self {
        Self {
            id,
            host: host.into(),
            path: path.into(),
            load_balancer,
            circuit_breaker: None,
            health_check: None,
            retry: None,
            limits: None,
            methods: None,
            cors: None,
            broadcast_transactions: 0,
            concurrent_requests: 0,
            slow_start_ms: 0,
            hedge_delay_ms: 0,
            tiers: None,
            forward_headers: Vec::new(),
            consistency: None,
        }
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        self.id.key()
    }

    /// What requests are looked up by; unique among routes.
    #[must_use]
    pub fn route_key(&self) -> RouteKey {
        RouteKey::normalize(&self.host, &self.path)
    }

    /// To how many upstreams a transaction goes, at least one.
    #[must_use]
    pub fn broadcast_transactions(&self) -> u32 {
        self.broadcast_transactions.max(1)
    }

    /// How many upstreams [`LoadBalancer::Concurrent`] asks at once, at least two.
    #[must_use]
    pub const fn concurrent_requests(&self) -> u32 {
        match self.concurrent_requests {
            0 => Self::DEFAULT_CONCURRENT_REQUESTS,
            count => count,
        }
    }

    /// How long the share of an upstream that is new or returns grows.
    #[must_use]
    pub fn slow_start(&self) -> Option<Duration> {
        (self.slow_start_ms != 0).then(|| Duration::from_millis(self.slow_start_ms.into()))
    }

    /// After how long another upstream is asked beside one that has not begun to answer a read.
    #[must_use]
    pub fn hedge_delay(&self) -> Option<Duration> {
        (self.hedge_delay_ms != 0).then(|| Duration::from_millis(self.hedge_delay_ms.into()))
    }

    /// The rules the types do not hold already.
    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let no_host = self.route_key().host.as_str().is_empty();
        rules.refuse_if(no_host, "host", ViolationCode::Required, "must be set");
        rules.text("host", &self.host, Self::MAX_TEXT);
        rules.text("path", &self.path, Self::MAX_TEXT);
        let mut found = rules.finish();
        found.extend(self.circuit_breaker.iter().flat_map(CircuitBreaker::violations));
        found.extend(self.health_check.iter().flat_map(HealthCheck::violations));
        found.extend(self.retry.iter().flat_map(Retry::violations));
        found.extend(self.limits.iter().flat_map(|limits| limits.violations()));
        found.extend(self.methods.iter().flat_map(MethodFilter::violations));
        found.extend(self.cors.iter().flat_map(|cors| cors.violations()));
        let mut rules = Rules::default();
        rules.at_most(
            "broadcast_transactions",
            self.broadcast_transactions,
            Self::MAX_AT_ONCE,
        );
        rules.zero_or(
            "concurrent_requests",
            self.concurrent_requests,
            2..=Self::MAX_AT_ONCE,
        );
        rules.at_most("slow_start_ms", self.slow_start_ms, Self::MAX_SLOW_START_MS);
        rules.at_most("hedge_delay_ms", self.hedge_delay_ms, Self::MAX_HEDGE_DELAY_MS);
        rules.refuse_if(
            self.hedge_delay_ms != 0 && self.load_balancer == LoadBalancer::Concurrent,
            "hedge_delay_ms",
            ViolationCode::Invalid,
            "must be 0 with the load balancer concurrent, which asks several at once",
        );
        rules.set_of(
            "forward_headers",
            &self.forward_headers,
            Self::MAX_FORWARD_HEADERS,
        );
        found.extend(rules.finish());
        found.extend(self.tiers.iter().flat_map(Tiers::violations));
        found
    }
}
