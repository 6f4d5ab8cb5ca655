//! Routes on the command line.

mod circuit_breaker;
mod health_check;
mod traffic;

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{
    Meta, Resource, is_unset,
    methods::Methods,
    parse_milliseconds,
    part::{Field, Texts},
    word::{Word, number},
};
use crate::output::Columns;
use circuit_breaker::CircuitBreaker;
use health_check::HealthCheck;
use traffic::{Consistency, Cors, Limits, Retry, Tiers};

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Route {
    /// A lower-case UUID; made by the control plane when not given.
    #[arg(long = "id", id = "own_id", value_name = "UUID")]
    id: Option<String>,
    /// The host clients ask for; case and port do not count.
    #[arg(long)]
    host: Option<String>,
    /// The path clients ask for; "/" when not given.
    #[arg(long)]
    path: Option<String>,
    /// How an upstream is picked; p2c-peak-ewma when not given.
    #[arg(long)]
    load_balancer: Option<Word<v1::LoadBalancer>>,
    /// How many upstreams the load balancer concurrent asks at once; 2 when not given.
    #[arg(long, value_name = "N")]
    concurrent_requests: Option<u32>,
    /// To how many upstreams a transaction goes; one when not given.
    #[arg(long, value_name = "N")]
    broadcast_transactions: Option<u32>,
    /// How long the share of an upstream that is new or returns grows.
    #[arg(long = "slow-start", id = "slow_start", value_name = "TIME", value_parser = parse_milliseconds)]
    slow_start_ms: Option<u32>,
    /// After how long another upstream is asked beside one that has not answered a read; never when not given.
    #[arg(long = "hedge-delay", id = "hedge_delay", value_name = "TIME", value_parser = parse_milliseconds)]
    #[serde(skip_serializing_if = "Option::is_none")]
    hedge_delay_ms: Option<u32>,
    /// Client headers that go to upstreams and are otherwise held back, "authorization,cookie".
    #[arg(long, value_name = "LIST")]
    #[serde(skip_serializing_if = "Option::is_none")]
    forward_headers: Option<Texts>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    circuit_breaker: CircuitBreaker,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    health_check: HealthCheck,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    retry: Retry,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    limits: Limits,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    methods: Methods,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    cors: Cors,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    tiers: Tiers,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    consistency: Consistency,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

impl Resource for Route {
    type Message = v1::Route;
    const KIND: Kind = Kind::Route;
    const ID: &'static str = "id";
    const COLUMNS: Columns = &[
        "id",
        "host",
        "path",
        "load_balancer",
        "circuit_breaker.enabled",
        "health_check.type",
    ];
    const REST_FIELDS: &'static [(&'static str, &'static str)] = &[
        ("id", "uuid"),
        ("host", "host"),
        ("path", "path"),
        ("load_balancer", "load_balancer_strategy"),
        ("circuit_breaker.enabled", "circuit_breaker.enabled"),
        ("circuit_breaker.max_requests", "circuit_breaker.max_requests"),
        (
            "circuit_breaker.max_consecutive_failures",
            "circuit_breaker.max_consecutive_failures",
        ),
        ("circuit_breaker.interval_ms", "circuit_breaker.interval"),
        ("circuit_breaker.timeout_ms", "circuit_breaker.timeout"),
        ("health_check.enabled", "health_check.enabled"),
        ("health_check.type", "health_check.type"),
        (
            "health_check.combined_with_circuit_breaker",
            "health_check.combined_with_circuit_breaker",
        ),
        ("health_check.interval_ms", "health_check.interval"),
        ("health_check.timeout_ms", "health_check.timeout"),
        ("health_check.request", "health_check.request"),
    ];

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn meta_mut(&mut self) -> &mut Option<Meta> {
        &mut self.meta
    }

    fn complete_flags(&mut self) {
        self.health_check.complete_flags();
    }

    fn into_message(self) -> v1::Route {
        v1::Route {
            id: self.id.unwrap_or_default(),
            host: self.host.unwrap_or_default(),
            path: self.path.unwrap_or_default(),
            load_balancer: number(self.load_balancer),
            circuit_breaker: self.circuit_breaker.into_message(),
            health_check: (!is_unset(&self.health_check)).then(|| self.health_check.into_message()),
            retry: self.retry.into_message(),
            limits: self.limits.into_message(),
            methods: self.methods.into_message(),
            cors: self.cors.into_message(),
            broadcast_transactions: self.broadcast_transactions.unwrap_or_default(),
            concurrent_requests: self.concurrent_requests.unwrap_or_default(),
            slow_start_ms: self.slow_start_ms.unwrap_or_default(),
            hedge_delay_ms: self.hedge_delay_ms.unwrap_or_default(),
            tiers: self.tiers.into_message(),
            forward_headers: Texts::write(self.forward_headers),
            consistency: self.consistency.into_message(),
            meta: Meta::into_message(self.meta),
        }
    }

    fn from_message(message: v1::Route) -> Self {
        Self {
            id: Some(message.id),
            host: Some(message.host),
            path: Some(message.path),
            load_balancer: Word::from_number(message.load_balancer),
            concurrent_requests: Some(message.concurrent_requests),
            broadcast_transactions: Some(message.broadcast_transactions),
            slow_start_ms: Some(message.slow_start_ms),
            hedge_delay_ms: (message.hedge_delay_ms > 0).then_some(message.hedge_delay_ms),
            forward_headers: Texts::read(message.forward_headers),
            circuit_breaker: CircuitBreaker::from_message(message.circuit_breaker),
            health_check: message
                .health_check
                .map(HealthCheck::from_message)
                .unwrap_or_default(),
            retry: Retry::from_message(message.retry),
            limits: Limits::from_message(message.limits),
            methods: Methods::from_message(message.methods),
            cors: Cors::from_message(message.cors),
            tiers: Tiers::from_message(message.tiers),
            consistency: Consistency::from_message(message.consistency),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Route) -> v1::resource::Resource {
        v1::resource::Resource::Route(message)
    }
}
