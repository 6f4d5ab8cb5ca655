//! The control endpoint: `POST /sim/control` changes the node, `GET /sim/state` shows it.
//!
//! A change is a JSON object; each field is one setting, and all hold or none. `null` or `false` takes a fault
//! away. At most one of the fields that decide the answer may be set at once: `status`, `garbage`, `silent`,
//! `close`, `close_after_bytes`, `rpc_error`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::behavior::Behavior;
use crate::chain::{Chain, Now};
use crate::fault::{Fault, FaultKind, RawResponse};
use crate::service::{Shared, now};

/// Longest wait that can be set, in milliseconds.
const MAX_WAIT_MS: u64 = 600_000;

/// Why a change was refused.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("{field}: {rule}")]
struct Refusal {
    /// The field at fault; empty for the body as a whole.
    field: String,
    rule: String,
}

/// Answers requests to the control paths; `None` for any other path.
pub(crate) fn serve(node: &Shared, method: &Method, path: &str, body: &[u8]) -> Option<RawResponse> {
    let response = match (path, method) {
        ("/sim/state", &Method::GET) => json_response(StatusCode::OK, &state_of(node)),
        ("/sim/control", &Method::POST) => match change(node, body) {
            Ok(()) => json_response(StatusCode::OK, &state_of(node)),
            Err(Refusal { field, rule }) => json_response(
                StatusCode::BAD_REQUEST,
                &json!({"error": {"field": field, "rule": rule}}),
            ),
        },
        ("/sim/state", _) => json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"allow": "GET"})),
        ("/sim/control", _) => json_response(StatusCode::METHOD_NOT_ALLOWED, &json!({"allow": "POST"})),
        _ => return None,
    };
    Some(response)
}

fn json_response(status: StatusCode, value: &Value) -> RawResponse {
    RawResponse::json(status, format!("{value}\n"))
}

fn change(node: &Shared, body: &[u8]) -> Result<(), Refusal> {
    let fields: Map<String, Value> = serde_json::from_slice(body)
        .map_err(|error| refuse("", format!("body must be a json object: {error}")))?;
    let heal = fields
        .get("heal")
        .map(|value| flag("heal", value))
        .transpose()?
        .unwrap_or(false);
    let mut state = node.state();
    let behavior = if heal {
        Behavior::default()
    } else {
        state.behavior.clone()
    };
    let mut draft = Draft {
        chain: state.chain.clone(),
        behavior,
        hold: None,
        fault_field: None,
    };
    for (field, value) in fields.iter().filter(|(field, _)| field.as_str() != "heal") {
        draft.set(field, value, &fields, now())?;
    }
    state.chain = draft.chain;
    state.behavior = draft.behavior;
    if heal {
        state.plan.clear();
        state.responder = None;
    }
    drop(state);
    if let Some(held) = draft.hold.or_else(|| heal.then_some(false)) {
        node.held.send_replace(held);
    }
    Ok(())
}

/// A change in the making; it is dropped when a field is refused.
struct Draft {
    chain: Chain,
    behavior: Behavior,
    hold: Option<bool>,
    /// The field that has set the standing fault.
    fault_field: Option<String>,
}

impl Draft {
    fn set(
        &mut self,
        field: &str,
        value: &Value,
        fields: &Map<String, Value>,
        now: Now,
    ) -> Result<(), Refusal> {
        match field {
            "height" => self.chain.set_height(whole(field, value, 0, u64::MAX)?, now),
            "mine" => self.chain.mine(whole(field, value, 0, u64::MAX)?, now),
            "reorg" => self.chain.reorg(whole(field, value, 0, u64::MAX)?),
            "lag" => self.chain.lag = whole(field, value, 0, u64::MAX)?,
            "peers" => self.chain.peers = small(field, value, 0)?,
            "frozen" => self.chain.frozen = flag(field, value)?,
            "syncing" => self.chain.syncing = flag(field, value)?,
            "hold" => self.hold = Some(flag(field, value)?),
            "latency_ms" => self.behavior.latency = wait(field, value)?,
            "body_delay_ms" => self.behavior.body_delay = wait(field, value)?,
            "error_rate" => self.behavior.error_rate = share(field, value)?,
            "rate_limit" => {
                let limit = optional(value, |value| small(field, value, 1))?;
                self.behavior.rate_limit = limit.and_then(NonZeroU32::new);
            }
            "health_status" => self.behavior.health_status = status(field, value)?,
            "unsupported" => {
                self.behavior.unsupported = parsed(field, value, "must be a list of method names")?;
            }
            "results" => {
                self.behavior.results = parsed(field, value, "must be an object of results by method")?;
            }
            "rpc_errors" => self.set_method_errors(field, value)?,
            "retry_after_s" => {
                small(field, value, 0)?;
                if !fields.contains_key("status") {
                    return Err(refuse(field, "needs status"));
                }
            }
            _ => return self.set_fault(field, value, fields),
        }
        Ok(())
    }

    fn set_fault(&mut self, field: &str, value: &Value, fields: &Map<String, Value>) -> Result<(), Refusal> {
        let (kind, fault) = match field {
            "status" => {
                let retry_after = fields
                    .get("retry_after_s")
                    .map(|value| small("retry_after_s", value, 0))
                    .transpose()?;
                let fault = optional(value, |value| status(field, value))?
                    .map(|status| Fault::Status { status, retry_after });
                (FaultKind::Status, fault)
            }
            "garbage" => {
                let rule = "must be html, text, truncated-json or empty";
                let fault = optional(value, |value| parsed(field, value, rule))?.map(Fault::Garbage);
                (FaultKind::Garbage, fault)
            }
            "silent" => (FaultKind::Silence, flag(field, value)?.then_some(Fault::Silence)),
            "close" => (
                FaultKind::CloseBeforeAnswer,
                flag(field, value)?.then_some(Fault::CloseBeforeAnswer),
            ),
            "close_after_bytes" => {
                let fault = optional(value, |value| {
                    parsed(field, value, "must be a whole number of bytes")
                })?
                .map(|after_bytes| Fault::CloseMidBody { after_bytes });
                (FaultKind::CloseMidBody, fault)
            }
            "rpc_error" => {
                let rule = "must be an object with code, message and optionally data";
                let fault = optional(value, |value| parsed(field, value, rule))?.map(Fault::RpcError);
                (FaultKind::RpcError, fault)
            }
            _ => return Err(refuse(field, "is no setting of a simulated node")),
        };
        self.put_fault(field, kind, fault)
    }

    /// Puts a fault in place, or takes one of this kind away.
    fn put_fault(&mut self, field: &str, kind: FaultKind, fault: Option<Fault>) -> Result<(), Refusal> {
        let Some(fault) = fault else {
            if self
                .behavior
                .fault
                .as_ref()
                .is_some_and(|standing| standing.kind() == kind)
            {
                self.behavior.fault = None;
            }
            return Ok(());
        };
        if let Some(other) = self.fault_field.replace(field.to_owned()) {
            return Err(refuse(field, format!("cannot be combined with {other}")));
        }
        self.behavior.fault = Some(fault);
        Ok(())
    }

    fn set_method_errors(&mut self, field: &str, value: &Value) -> Result<(), Refusal> {
        let rule = "must be an object of errors by method, each with code, message and optionally data";
        let errors: BTreeMap<String, _> = parsed(field, value, rule)?;
        self.behavior
            .method_faults
            .retain(|_, fault| fault.kind() != FaultKind::RpcError);
        let faults = errors
            .into_iter()
            .map(|(method, error)| (method, Fault::RpcError(error)));
        self.behavior.method_faults.extend(faults);
        Ok(())
    }
}

fn state_of(node: &Shared) -> Value {
    let state = node.state();
    let (chain, behavior) = (&state.chain, &state.behavior);
    let method_faults: BTreeMap<_, _> = behavior
        .method_faults
        .iter()
        .map(|(method, fault)| (method, fault_of(fault)))
        .collect();
    json!({
        "name": node.name,
        "chain_id": chain.id(),
        "height": chain.height(),
        "head": chain.head(),
        "head_hash": chain.hash(chain.head()).to_hex(),
        "lag": chain.lag,
        "frozen": chain.frozen,
        "syncing": chain.syncing,
        "peers": chain.peers,
        "hold": *node.held.borrow(),
        "latency_ms": behavior.latency.as_millis(),
        "body_delay_ms": behavior.body_delay.as_millis(),
        "error_rate": behavior.error_rate,
        "rate_limit": behavior.rate_limit,
        "health_status": behavior.health_status.as_u16(),
        "unsupported": behavior.unsupported,
        "results": behavior.results,
        "method_faults": method_faults,
        "fault": behavior.fault.as_ref().map(fault_of),
        "scripted_faults": state.plan.scripted(),
        "hits": node.traffic.hits(),
        "hits_by_method": node.traffic.by_method(),
        "connections": node.meter.read().accepted,
    })
}

fn fault_of(fault: &Fault) -> Value {
    let mut shown = match fault {
        Fault::Status { status, retry_after } => {
            json!({"status": status.as_u16(), "retry_after_s": retry_after})
        }
        Fault::Garbage(garbage) => json!({"garbage": garbage}),
        Fault::CloseMidBody { after_bytes } => json!({"close_after_bytes": after_bytes}),
        Fault::StallMidBody { after_bytes } => json!({"stall_after_bytes": after_bytes}),
        Fault::Trickle { every } => json!({"every_ms": every.as_millis()}),
        Fault::RpcError(error) => json!({"rpc_error": error}),
        Fault::Respond(response) => json!({"status": response.status.as_u16()}),
        Fault::Silence | Fault::CloseBeforeAnswer => json!({}),
    };
    if let Value::Object(fields) = &mut shown {
        fields.insert("kind".to_owned(), json!(fault.kind()));
    }
    shown
}

fn refuse(field: &str, rule: impl Into<String>) -> Refusal {
    Refusal {
        field: field.to_owned(),
        rule: rule.into(),
    }
}

fn optional<T>(
    value: &Value,
    parse: impl FnOnce(&Value) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    if value.is_null() {
        Ok(None)
    } else {
        parse(value).map(Some)
    }
}

fn flag(field: &str, value: &Value) -> Result<bool, Refusal> {
    match value {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(refuse(field, "must be true or false")),
    }
}

fn whole(field: &str, value: &Value, least: u64, most: u64) -> Result<u64, Refusal> {
    let number = value.as_u64().filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| refuse(field, format!("must be a whole number from {least} to {most}")))
}

fn small(field: &str, value: &Value, least: u32) -> Result<u32, Refusal> {
    let number = whole(field, value, least.into(), u32::MAX.into())?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn wait(field: &str, value: &Value) -> Result<Duration, Refusal> {
    whole(field, value, 0, MAX_WAIT_MS).map(Duration::from_millis)
}

fn share(field: &str, value: &Value) -> Result<f64, Refusal> {
    let share = value.as_f64().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| refuse(field, "must be a number from 0 to 1"))
}

fn status(field: &str, value: &Value) -> Result<StatusCode, Refusal> {
    // Below 200 are interim answers, which end nothing.
    let code = whole(field, value, 200, 599)?;
    let code = u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok());
    code.ok_or_else(|| refuse(field, "must be an http status"))
}

fn parsed<T: DeserializeOwned>(field: &str, value: &Value, rule: &str) -> Result<T, Refusal> {
    T::deserialize(value).map_err(|_| refuse(field, rule))
}

#[cfg(test)]
mod tests;
