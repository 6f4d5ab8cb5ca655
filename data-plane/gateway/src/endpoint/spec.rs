//! What an upstream of a route is.

use tyrscale_model::{
    ChainId, CircuitBreaker, HealthCheck, HttpUrl, MethodFilter, ProxyAddress, ReceiptsMethod, RouteId,
    UpstreamHeaders, UpstreamId, UpstreamLimits, UpstreamProtocol,
};

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
    /// What it may be asked.
    pub(crate) limits: Option<UpstreamLimits>,
    /// The methods it is for; `None`: all.
    pub(crate) methods: Option<MethodFilter>,
    /// By which method it gives all receipts of a block; `None`: it is not asked for them.
    pub(crate) receipts_method: Option<ReceiptsMethod>,
    /// `None` when the route has none that is enabled.
    pub(crate) breaker: Option<CircuitBreaker>,
    /// `None` when the route has none that is enabled.
    pub(crate) health: Option<HealthCheck>,
}

impl Spec {
    /// What connections to it depend on.
    pub(super) fn place(&self) -> (&HttpUrl, Option<&ProxyAddress>, UpstreamProtocol) {
        (&self.url, self.proxy.as_ref(), self.protocol)
    }

    /// The part of its health check that the verdict depends on: not how often it asks.
    pub(super) fn verdict_rule(&self) -> Option<HealthCheck> {
        self.health.as_ref().map(|policy| HealthCheck {
            interval_ms: 0,
            timeout_ms: 0,
            ..policy.clone()
        })
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
