//! Routes on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_model::Kind;
use tyrscale_proto::v1;

use super::{
    Meta, Resource,
    header::{self, Header},
    is_unset, parse_milliseconds,
    word::{Word, number},
};
use crate::output::Columns;

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
    /// How an upstream is picked.
    #[arg(long)]
    load_balancer: Option<Word<v1::LoadBalancer>>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    circuit_breaker: CircuitBreaker,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    health_check: HealthCheck,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Circuit breaker")]
pub(crate) struct CircuitBreaker {
    /// Whether to stop sending to an upstream that fails.
    #[arg(long = "breaker", id = "breaker", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enabled: Option<bool>,
    /// Trial requests while half-open; 3 when not given.
    #[arg(long = "breaker-max-requests", id = "breaker_max_requests", value_name = "N")]
    max_requests: Option<u32>,
    /// Failures in a row that open it; 3 when not given.
    #[arg(
        long = "breaker-max-consecutive-failures",
        id = "breaker_max_failures",
        value_name = "N"
    )]
    max_consecutive_failures: Option<u32>,
    /// How often the closed state forgets its failures; 2m when not given.
    #[arg(long = "breaker-interval", id = "breaker_interval", value_name = "TIME", value_parser = parse_milliseconds)]
    interval_ms: Option<u32>,
    /// How long it stays open; 1m when not given.
    #[arg(long = "breaker-timeout", id = "breaker_timeout", value_name = "TIME", value_parser = parse_milliseconds)]
    timeout_ms: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Health check")]
pub(crate) struct HealthCheck {
    /// Whether upstreams are probed; --health-check alone says yes.
    #[arg(long = "health-enabled", id = "health_enabled", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enabled: Option<bool>,
    /// What a probe asks.
    #[arg(long = "health-check", id = "health_check_type", value_name = "TYPE")]
    r#type: Option<Word<v1::HealthCheckType>>,
    /// Whether probes count in the circuit breaker.
    #[arg(long = "health-with-breaker", id = "health_with_breaker", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    combined_with_circuit_breaker: Option<bool>,
    /// Time between two probes of an upstream.
    #[arg(long = "health-interval", id = "health_interval", value_name = "TIME", value_parser = parse_milliseconds)]
    interval_ms: Option<u32>,
    /// Time one probe may take.
    #[arg(long = "health-timeout", id = "health_timeout", value_name = "TIME", value_parser = parse_milliseconds)]
    timeout_ms: Option<u32>,
    #[command(flatten)]
    #[serde(skip_serializing_if = "is_unset")]
    request: HealthCheckRequest,
    /// Blocks an upstream may be behind; 2 when not given.
    #[arg(long = "health-tolerance-blocks", id = "health_tolerance", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance_blocks: Option<u32>,
    /// Bad probes in a row to leave; 2 when not given.
    #[arg(
        long = "health-unhealthy-threshold",
        id = "health_unhealthy",
        value_name = "N"
    )]
    unhealthy_threshold: Option<u32>,
    /// Good probes in a row to return; 2 when not given.
    #[arg(long = "health-healthy-threshold", id = "health_healthy", value_name = "N")]
    healthy_threshold: Option<u32>,
}

#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HealthCheckRequest {
    /// HTTP method of a custom probe.
    #[arg(long = "health-method", id = "health_method", value_name = "METHOD")]
    method: Option<String>,
    /// Status of a healthy answer to a custom probe.
    #[arg(long = "health-status", id = "health_status", value_name = "STATUS")]
    status_code: Option<u32>,
    /// Body of a custom probe.
    #[arg(long = "health-body", id = "health_body", value_name = "TEXT")]
    body: Option<String>,
    /// Header of a custom probe, "Name: value"; may be repeated.
    #[arg(long = "health-header", id = "health_header", value_name = "HEADER")]
    #[serde(with = "header", skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
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
        if self.health_check.r#type.is_some() {
            self.health_check.enabled.get_or_insert(true);
        }
    }

    fn into_message(self) -> v1::Route {
        v1::Route {
            id: self.id.unwrap_or_default(),
            host: self.host.unwrap_or_default(),
            path: self.path.unwrap_or_default(),
            load_balancer: number(self.load_balancer),
            circuit_breaker: (!is_unset(&self.circuit_breaker)).then(|| self.circuit_breaker.into_message()),
            health_check: (!is_unset(&self.health_check)).then(|| self.health_check.into_message()),
            meta: Meta::into_message(self.meta),
            ..v1::Route::default()
        }
    }

    fn from_message(message: v1::Route) -> Self {
        Self {
            id: Some(message.id),
            host: Some(message.host),
            path: Some(message.path),
            load_balancer: Word::from_number(message.load_balancer),
            circuit_breaker: message
                .circuit_breaker
                .map(CircuitBreaker::from_message)
                .unwrap_or_default(),
            health_check: message
                .health_check
                .map(HealthCheck::from_message)
                .unwrap_or_default(),
            meta: Meta::from_message(message.meta),
        }
    }

    fn wrap(message: v1::Route) -> v1::resource::Resource {
        v1::resource::Resource::Route(message)
    }
}

impl CircuitBreaker {
    fn into_message(self) -> v1::CircuitBreaker {
        v1::CircuitBreaker {
            enabled: self.enabled.unwrap_or_default(),
            max_requests: self.max_requests.unwrap_or_default(),
            max_consecutive_failures: self.max_consecutive_failures.unwrap_or_default(),
            interval_ms: self.interval_ms.unwrap_or_default(),
            timeout_ms: self.timeout_ms.unwrap_or_default(),
            ..v1::CircuitBreaker::default()
        }
    }

    fn from_message(message: v1::CircuitBreaker) -> Self {
        Self {
            enabled: Some(message.enabled),
            max_requests: Some(message.max_requests),
            max_consecutive_failures: Some(message.max_consecutive_failures),
            interval_ms: Some(message.interval_ms),
            timeout_ms: Some(message.timeout_ms),
        }
    }
}

impl HealthCheck {
    fn into_message(self) -> v1::HealthCheck {
        v1::HealthCheck {
            enabled: self.enabled.unwrap_or_default(),
            r#type: number(self.r#type),
            combined_with_circuit_breaker: self.combined_with_circuit_breaker.unwrap_or_default(),
            interval_ms: self.interval_ms.unwrap_or_default(),
            timeout_ms: self.timeout_ms.unwrap_or_default(),
            request: (!is_unset(&self.request)).then(|| self.request.into_message()),
            tolerance_blocks: self.tolerance_blocks,
            unhealthy_threshold: self.unhealthy_threshold.unwrap_or_default(),
            healthy_threshold: self.healthy_threshold.unwrap_or_default(),
            ..v1::HealthCheck::default()
        }
    }

    fn from_message(message: v1::HealthCheck) -> Self {
        Self {
            enabled: Some(message.enabled),
            r#type: Word::from_number(message.r#type),
            combined_with_circuit_breaker: Some(message.combined_with_circuit_breaker),
            interval_ms: Some(message.interval_ms),
            timeout_ms: Some(message.timeout_ms),
            request: message
                .request
                .map(HealthCheckRequest::from_message)
                .unwrap_or_default(),
            tolerance_blocks: message.tolerance_blocks,
            unhealthy_threshold: Some(message.unhealthy_threshold),
            healthy_threshold: Some(message.healthy_threshold),
        }
    }
}

impl HealthCheckRequest {
    fn into_message(self) -> v1::HealthCheckRequest {
        v1::HealthCheckRequest {
            method: self.method.unwrap_or_default(),
            status_code: self.status_code.unwrap_or_default(),
            body: self.body.unwrap_or_default(),
            headers: self
                .headers
                .into_iter()
                .map(|Header(name, value)| (name, value))
                .collect(),
        }
    }

    fn from_message(message: v1::HealthCheckRequest) -> Self {
        Self {
            method: Some(message.method),
            status_code: Some(message.status_code),
            body: Some(message.body),
            headers: message
                .headers
                .into_iter()
                .map(|(name, value)| Header(name, value))
                .collect(),
        }
    }
}
