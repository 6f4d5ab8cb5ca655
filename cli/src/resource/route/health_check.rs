//! Health checks on the command line.

use serde::{Deserialize, Serialize};
use tyrscale_proto::v1;

use crate::resource::{
    header::{self, Header},
    is_unset, parse_milliseconds,
    word::{Word, number},
};

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
    /// Whether failures of clients' requests count as bad probes too.
    #[arg(long = "health-passive", id = "health_passive", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    passive: Option<bool>,
    /// Whether the chain id of the network must be answered; true when not given.
    #[arg(long = "health-check-chain-id", id = "health_check_chain_id", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[serde(skip_serializing_if = "Option::is_none")]
    check_chain_id: Option<bool>,
    /// Peers below which an upstream is unhealthy; nobody asks when not given.
    #[arg(long = "health-min-peers", id = "health_min_peers", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_peers: Option<u32>,
    /// What becomes of a node that numbers the logs of a block wrongly; nobody looks when not given.
    #[arg(
        long = "health-wrong-log-indexes",
        id = "health_wrong_log_indexes",
        value_name = "WORD"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong_log_indexes: Option<Word<v1::WrongLogIndexes>>,
    /// Bytes that an eth_call must be able to return; nobody asks when not given.
    #[arg(
        long = "health-min-call-result-bytes",
        id = "health_min_call_result_bytes",
        value_name = "BYTES"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    min_call_result_bytes: Option<u32>,
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

impl HealthCheck {
    /// Sets what the flags given imply: a type switches probes on.
    pub(super) fn complete_flags(&mut self) {
        if self.r#type.is_some() {
            self.enabled.get_or_insert(true);
        }
    }

    pub(super) fn into_message(self) -> v1::HealthCheck {
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
            passive: self.passive.unwrap_or_default(),
            check_chain_id: self.check_chain_id,
            min_peers: self.min_peers.unwrap_or_default(),
            wrong_log_indexes: number(self.wrong_log_indexes),
            min_call_result_bytes: self.min_call_result_bytes.unwrap_or_default(),
        }
    }

    pub(super) fn from_message(message: v1::HealthCheck) -> Self {
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
            passive: Some(message.passive),
            check_chain_id: message.check_chain_id,
            min_peers: (message.min_peers > 0).then_some(message.min_peers),
            wrong_log_indexes: Word::from_number(message.wrong_log_indexes),
            min_call_result_bytes: (message.min_call_result_bytes > 0)
                .then_some(message.min_call_result_bytes),
        }
    }
}

impl HealthCheckRequest {
    fn into_message(self) -> v1::HealthCheckRequest {
        v1::HealthCheckRequest {
            method: self.method.unwrap_or_default(),
            status_code: self.status_code.unwrap_or_default(),
            body: self.body.unwrap_or_default(),
            headers: header::to_map(self.headers),
        }
    }

    fn from_message(message: v1::HealthCheckRequest) -> Self {
        Self {
            method: Some(message.method),
            status_code: Some(message.status_code),
            body: Some(message.body),
            headers: header::from_map(message.headers),
        }
    }
}
