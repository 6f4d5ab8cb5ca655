//! How a route probes its upstreams.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{Violation, ViolationCode, rpc::words};

/// What a health check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HealthCheckType {
    /// `eth_blockNumber`, compared with the highest of the route.
    EthBlockNumber,
    /// `eth_syncing`, which must answer `false`.
    EthSyncing,
    /// A given HTTP request, which must answer a given status.
    Custom,
}

words!(HealthCheckType, "health_check.type", "must be one of [eth_block_number eth_syncing custom]", {
    EthBlockNumber => "eth_block_number",
    EthSyncing => "eth_syncing",
    Custom => "custom",
});

/// What becomes of a node that numbers the logs of a block wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WrongLogIndexes {
    /// It is told of, and used.
    Warn,
    /// It is kept from methods that answer logs, as long as others look better.
    Exclude,
}

words!(WrongLogIndexes, "health_check.wrong_log_indexes", "must be one of [warn exclude]", {
    Warn => "warn",
    Exclude => "exclude",
});

/// The request of a custom health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct HealthCheckRequest {
    /// HTTP method; empty means GET.
    pub method: String,
    /// The status of a healthy answer; 0 means 200.
    pub status_code: u32,
    /// The body sent.
    pub body: String,
    /// Headers sent, by name.
    pub headers: BTreeMap<String, String>,
}

/// Whether a probe may carry this header: those that frame the message or name its target are the client's own.
fn is_header(name: &str, value: &str) -> bool {
    let reserved = [
        http::header::CONTENT_LENGTH,
        http::header::TRANSFER_ENCODING,
        http::header::CONNECTION,
        http::header::HOST,
    ];
    let name = http::HeaderName::from_bytes(name.as_bytes());
    name.is_ok_and(|name| !reserved.contains(&name)) && http::HeaderValue::from_str(value).is_ok()
}

impl HealthCheckRequest {
    fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut rule = |broken: bool, field: &str, code, message: &str| {
            if broken {
                found.push(Violation::new(
                    format!("health_check.request.{field}"),
                    code,
                    message,
                ));
            }
        };
        let bad_status = self.status_code != 0 && !(100..=599).contains(&self.status_code);
        rule(
            bad_status,
            "status_code",
            ViolationCode::OutOfRange,
            "must be 100 to 599",
        );
        let method = http::Method::from_bytes(self.method.as_bytes());
        let bad_method =
            !self.method.is_empty() && !method.is_ok_and(|method| method != http::Method::CONNECT);
        rule(
            bad_method,
            "method",
            ViolationCode::Invalid,
            "must be an HTTP method other than CONNECT",
        );
        rule(
            self.headers.len() > 64,
            "headers",
            ViolationCode::OutOfRange,
            "must have at most 64 items",
        );
        let bad_header = self.headers.iter().any(|(name, value)| !is_header(name, value));
        let header_rule = "must be HTTP header names and values, not those of the connection";
        rule(bad_header, "headers", ViolationCode::Invalid, header_rule);
        rule(
            self.body.len() > 65_536,
            "body",
            ViolationCode::OutOfRange,
            "must have at most 65536 bytes",
        );
        found
    }
}

/// How a route probes its upstreams.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    /// Whether it acts.
    pub enabled: bool,
    /// What is asked; set when enabled.
    pub check: Option<HealthCheckType>,
    /// Probes count in the circuit breaker, and an open breaker is unhealthy without a probe. Has no effect
    /// while the route's breaker is not enabled.
    pub combined_with_circuit_breaker: bool,
    /// Milliseconds between two probes of an upstream; above 0 when enabled.
    pub interval_ms: u32,
    /// Milliseconds one probe may take; above 0 when enabled.
    pub timeout_ms: u32,
    /// The request of the type custom.
    pub request: Option<HealthCheckRequest>,
    /// Blocks an upstream may be behind; absent means [`HealthCheck::DEFAULT_TOLERANCE_BLOCKS`].
    pub tolerance_blocks: Option<u32>,
    /// Bad probes in a row to leave; 0 means [`HealthCheck::DEFAULT_THRESHOLD`].
    pub unhealthy_threshold: u32,
    /// Good probes in a row to return; 0 means [`HealthCheck::DEFAULT_THRESHOLD`].
    pub healthy_threshold: u32,
    /// Failures of clients' requests count as bad probes too.
    pub passive: bool,
    /// Whether the chain id of an upstream's network must be answered; absent means true.
    pub check_chain_id: Option<bool>,
    /// Peers below which an upstream is unhealthy; 0: nobody asks.
    pub min_peers: u32,
    /// Whether the logs of the latest block are looked at, and what for.
    pub wrong_log_indexes: Option<WrongLogIndexes>,
    /// Bytes that an `eth_call` must be able to return; 0: nobody asks.
    pub min_call_result_bytes: u32,
}

impl HealthCheck {
    /// Blocks an upstream may be behind when the route does not say.
    pub const DEFAULT_TOLERANCE_BLOCKS: u32 = 2;
    /// Probes in a row that change the verdict when the route does not say.
    pub const DEFAULT_THRESHOLD: u32 = 2;
    /// The longest interval and timeout, milliseconds: a day.
    pub const MAX_MS: u32 = 86_400_000;
    /// The most that an `eth_call` can be asked to return, bytes.
    pub const MAX_CALL_RESULT_BYTES: u32 = 1_048_576;

    /// Whether an upstream must answer the chain id of its network, where that is known.
    #[must_use]
    pub fn checks_chain_id(&self) -> bool {
        self.check != Some(HealthCheckType::Custom) && self.check_chain_id.unwrap_or(true)
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut rule = |broken: bool, field: &str, code, message: &str| {
            if broken {
                found.push(Violation::new(format!("health_check.{field}"), code, message));
            }
        };
        rule(
            self.enabled && self.check.is_none(),
            "type",
            ViolationCode::Required,
            "must be set",
        );
        for (field, value) in [("interval_ms", self.interval_ms), ("timeout_ms", self.timeout_ms)] {
            rule(
                self.enabled && value == 0,
                field,
                ViolationCode::OutOfRange,
                "must be greater than 0",
            );
            rule(
                value > Self::MAX_MS,
                field,
                ViolationCode::OutOfRange,
                "must be 86400000 or less",
            );
        }
        rule(
            self.min_call_result_bytes > Self::MAX_CALL_RESULT_BYTES,
            "min_call_result_bytes",
            ViolationCode::OutOfRange,
            "must be 1048576 or less",
        );
        let custom = self.check == Some(HealthCheckType::Custom);
        rule(
            custom && self.request.is_none(),
            "request",
            ViolationCode::Required,
            "must be set for the type custom",
        );
        found.extend(self.request.iter().flat_map(HealthCheckRequest::violations));
        found
    }
}
