//! The breaker and the health check of a route: read from bodies, merged into stored ones, shown in lists.

use std::collections::BTreeMap;

use serde::Serialize;
use tyrscale_model::{
    CircuitBreaker, HealthCheck, HealthCheckRequest, HealthCheckType, Violation, ViolationCode,
};
use utoipa::ToSchema;

use crate::{error::ApiError, object::Object};

/// Whether a zero was sent or nothing at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zero {
    /// A zero counts as absent: creation.
    Absent,
    /// A zero is a value: change.
    Value,
}

fn needed<T>(name: &str, value: Option<T>) -> Result<T, Violation> {
    value.ok_or_else(|| Violation::new(name, ViolationCode::Required, "must be set"))
}

/// A circuit breaker. In lists members that are zero are left out.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct BreakerItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    /// Trial requests while half-open.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_requests: Option<u32>,
    /// Failures in a row that open it.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_consecutive_failures: Option<u32>,
    /// Milliseconds after which a closed breaker forgets its failures.
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<u32>,
    /// Milliseconds it stays open.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<u32>,
}

impl BreakerItem {
    pub(crate) fn read(body: &Object, zero: Zero) -> Result<Self, ApiError> {
        let number = |name| {
            let number = body.unsigned(name)?;
            Ok(number.filter(|number| *number != 0 || zero == Zero::Value))
        };
        Ok(Self {
            enabled: body.boolean("enabled")?,
            max_requests: number("max_requests")?,
            max_consecutive_failures: number("max_consecutive_failures")?,
            interval: number("interval")?,
            timeout: number("timeout")?,
        })
    }

    /// Puts what was sent over what is stored; an enabled breaker has all four numbers. What this interface has no
    /// words for stays.
    pub(crate) fn over(&self, stored: Option<CircuitBreaker>) -> Result<CircuitBreaker, Violation> {
        let base = stored.unwrap_or_default();
        let enabled = self.enabled.unwrap_or(base.enabled);
        let merge = |name, sent: Option<u32>, before: u32| {
            let number = sent.or_else(|| stored.map(|_| before));
            match number {
                None if enabled => needed(name, None),
                number => Ok(number.unwrap_or(0)),
            }
        };
        Ok(CircuitBreaker {
            enabled,
            max_requests: merge("max_requests", self.max_requests, base.max_requests)?,
            max_consecutive_failures: merge(
                "max_consecutive_failures",
                self.max_consecutive_failures,
                base.max_consecutive_failures,
            )?,
            interval_ms: merge("interval", self.interval, base.interval_ms)?,
            timeout_ms: merge("timeout", self.timeout, base.timeout_ms)?,
            ..base
        })
    }
}

impl From<CircuitBreaker> for BreakerItem {
    fn from(breaker: CircuitBreaker) -> Self {
        let shown = |number: u32| (number != 0).then_some(number);
        Self {
            enabled: breaker.enabled.then_some(true),
            max_requests: shown(breaker.max_requests),
            max_consecutive_failures: shown(breaker.max_consecutive_failures),
            interval: shown(breaker.interval_ms),
            timeout: shown(breaker.timeout_ms),
        }
    }
}

/// The request of a custom health check.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckRequestItem {
    /// The status of a healthy answer.
    status_code: u32,
    body: String,
    method: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
}

/// A health check in lists: always with its five members.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthCheckItem {
    enabled: bool,
    /// `eth_block_number`, `eth_syncing`, `custom`, or empty.
    #[serde(rename = "type")]
    kind: &'static str,
    combined_with_circuit_breaker: bool,
    /// Milliseconds between two probes.
    interval: u32,
    /// Milliseconds a probe may take.
    timeout: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<CheckRequestItem>,
}

impl From<&HealthCheck> for HealthCheckItem {
    fn from(check: &HealthCheck) -> Self {
        Self {
            enabled: check.enabled,
            kind: check.check.map_or("", HealthCheckType::as_str),
            combined_with_circuit_breaker: check.combined_with_circuit_breaker,
            interval: check.interval_ms,
            timeout: check.timeout_ms,
            request: check.request.as_ref().map(|request| CheckRequestItem {
                status_code: request.status_code,
                body: request.body.clone(),
                method: request.method.clone(),
                headers: request.headers.clone(),
            }),
        }
    }
}

/// What a body says of a custom check's request.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct CheckRequestUpdate {
    status_code: Option<u32>,
    body: Option<String>,
    method: Option<String>,
    headers: Option<BTreeMap<String, String>>,
}

impl CheckRequestUpdate {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            status_code: body.unsigned("status_code")?,
            body: body.text("body")?,
            method: body.text("method")?,
            headers: body.text_map("headers")?,
        })
    }

    fn over(&self, stored: Option<&HealthCheckRequest>) -> HealthCheckRequest {
        let base = stored.cloned().unwrap_or_default();
        HealthCheckRequest {
            method: self.method.clone().unwrap_or(base.method),
            status_code: self.status_code.unwrap_or(base.status_code),
            body: self.body.clone().unwrap_or(base.body),
            headers: self.headers.clone().unwrap_or(base.headers),
        }
    }
}

/// What a body says of a health check; what is absent stays.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct HealthCheckUpdate {
    enabled: Option<bool>,
    /// `eth_block_number`, `eth_syncing` or `custom`; required when enabled.
    #[schema(value_type = Option<String>, rename = "type")]
    check: Option<HealthCheckType>,
    combined_with_circuit_breaker: Option<bool>,
    /// Milliseconds between two probes; required when enabled.
    interval: Option<u32>,
    /// Milliseconds a probe may take; required when enabled.
    timeout: Option<u32>,
    /// Required for the type `custom`.
    request: Option<CheckRequestUpdate>,
}

impl HealthCheckUpdate {
    pub(crate) fn read(body: &Object) -> Result<Self, ApiError> {
        let request = body.object("request")?;
        Ok(Self {
            enabled: body.boolean("enabled")?,
            check: body.parsed("type")?,
            combined_with_circuit_breaker: body.boolean("combined_with_circuit_breaker")?,
            interval: body.unsigned("interval")?,
            timeout: body.unsigned("timeout")?,
            request: request.as_ref().map(CheckRequestUpdate::read).transpose()?,
        })
    }

    /// Puts what was sent over what is stored. What this interface has no words for stays.
    pub(crate) fn over(&self, stored: Option<&HealthCheck>) -> Result<HealthCheck, Violation> {
        // Checks made here ask for no chain id: in the original program a network's was for information only.
        let new = || HealthCheck {
            check_chain_id: Some(false),
            ..HealthCheck::default()
        };
        let base = stored.cloned().unwrap_or_else(new);
        let request = match &self.request {
            Some(sent) => Some(sent.over(base.request.as_ref())),
            None => base.request.clone(),
        };
        let merged = HealthCheck {
            enabled: self.enabled.unwrap_or(base.enabled),
            check: self.check.or(base.check),
            combined_with_circuit_breaker: self
                .combined_with_circuit_breaker
                .unwrap_or(base.combined_with_circuit_breaker),
            interval_ms: self.interval.unwrap_or(base.interval_ms),
            timeout_ms: self.timeout.unwrap_or(base.timeout_ms),
            request,
            ..base
        };
        if merged.enabled {
            needed("type", merged.check)?;
            needed("interval", Some(merged.interval_ms).filter(|ms| *ms != 0))?;
            needed("timeout", Some(merged.timeout_ms).filter(|ms| *ms != 0))?;
        }
        if merged.check == Some(HealthCheckType::Custom) {
            needed("request", merged.request.as_ref())?;
        }
        Ok(merged)
    }
}
