//! Health checks: one task per route probes its upstreams in rounds.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tyrscale_balance::{
    HealthCheckType as Check, ProbeOutcome, Transition, Verdict, judge_heights, judge_probe,
};
use tyrscale_http1::{Field, request_head};
use tyrscale_model::{HealthCheck, HealthCheckRequest, HealthCheckType};

use crate::address::Address;
use crate::endpoint::{Admission, Endpoint};
use crate::headers::JSON;
use crate::pool::{Use, Worker};
use crate::route::Route;

/// Largest answer to a probe, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// The first round comes within this time of the start, so that routes do not probe all at once.
const FIRST_ROUND_WITHIN: Duration = Duration::from_millis(200);

/// The running health check of a route; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Probing {
    check: Arc<RouteCheck>,
    task: AbortHandle,
}

impl Drop for Probing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Probing {
    /// Starts the health check of a route; `None` when it has none, or nothing to check.
    pub(crate) fn start(route: &Route) -> Option<Self> {
        let check = Arc::new(RouteCheck::of(route)?);
        let task = tokio::spawn(Arc::clone(&check).run()).abort_handle();
        Some(Self { check, task })
    }

    /// Whether it checks just what `route` asks for.
    pub(crate) fn is_of(&self, route: &Route) -> bool {
        let endpoints = route.endpoints();
        Some(&self.check.policy) == route.health.as_ref()
            && self.check.endpoints.len() == endpoints.len()
            && self
                .check
                .endpoints
                .iter()
                .zip(endpoints)
                .all(|(checked, asked)| Arc::ptr_eq(checked, asked))
    }
}

/// What is checked, and how.
#[derive(Debug)]
struct RouteCheck {
    policy: HealthCheck,
    check: Check,
    /// Whether probes pass through the circuit breakers.
    combined: bool,
    question: HealthCheckRequest,
    endpoints: Vec<Arc<Endpoint>>,
}

impl RouteCheck {
    fn of(route: &Route) -> Option<Self> {
        let policy = route.health.clone()?;
        let first = route.endpoints().first()?;
        let (check, question) = match policy.check? {
            HealthCheckType::EthBlockNumber => (Check::EthBlockNumber, call("eth_blockNumber")),
            HealthCheckType::EthSyncing => (Check::EthSyncing, call("eth_syncing")),
            HealthCheckType::Custom => (Check::Custom, policy.request.clone()?),
        };
        Some(Self {
            check,
            combined: policy.combined_with_circuit_breaker && first.spec().breaker.is_some(),
            question,
            endpoints: route.endpoints().to_vec(),
            policy,
        })
    }

    async fn run(self: Arc<Self>) {
        let interval = Duration::from_millis(self.policy.interval_ms.into());
        let first = FIRST_ROUND_WITHIN.min(interval).mul_f64(fastrand::f64());
        let mut next = Instant::now() + first;
        loop {
            tokio::time::sleep_until(next).await;
            let began = Instant::now();
            self.round().await;
            next = began + interval.mul_f64(0.9 + 0.2 * fastrand::f64());
        }
    }

    async fn round(&self) {
        let probes = join_all(self.endpoints.iter().map(|endpoint| self.probe(endpoint))).await;
        let heights: Vec<Option<u64>> = probes.iter().map(Probe::height).collect();
        let tolerance = self
            .policy
            .tolerance_blocks
            .unwrap_or(HealthCheck::DEFAULT_TOLERANCE_BLOCKS);
        let level = judge_heights(&heights, tolerance.into());
        for ((endpoint, probe), level) in self.endpoints.iter().zip(probes).zip(level) {
            self.judge(endpoint, probe, level);
        }
    }

    fn judge(&self, endpoint: &Endpoint, probe: Probe, level: bool) {
        let (outcome, admission) = match probe {
            Probe::Refused(open) => (ProbeOutcome::Refused(open), None),
            Probe::Sent(admission, Seen::Failed) => (ProbeOutcome::Failed, admission),
            Probe::Sent(admission, Seen::Height(_)) if !level => (ProbeOutcome::Behind, admission),
            Probe::Sent(admission, Seen::Height(_) | Seen::Good) => (ProbeOutcome::Passed, admission),
        };
        let judgement = judge_probe(self.check, self.combined, outcome);
        let now = Instant::now().into_std();
        match (judgement.breaker, admission) {
            (Some(Verdict::Success), Some(admission)) => admission.succeeded(now),
            (Some(Verdict::Failure), Some(admission)) => admission.failed(now),
            _ => {}
        }
        let transition = judgement.health.and_then(|good| endpoint.observe_probe(good));
        let (route, upstream) = (endpoint.spec().route_id, endpoint.spec().upstream_id);
        match transition {
            Some(Transition::BecameUnhealthy) => {
                tracing::warn!(route.id = %route, upstream.id = %upstream, "upstream became unhealthy");
            }
            Some(Transition::BecameHealthy) => {
                tracing::info!(route.id = %route, upstream.id = %upstream, "upstream became healthy");
            }
            None => {}
        }
    }

    async fn probe(&self, endpoint: &Arc<Endpoint>) -> Probe {
        let admission = if self.combined {
            match endpoint.admit(Instant::now().into_std()) {
                Ok(admission) => Some(admission),
                Err(open) => return Probe::Refused(open),
            }
        } else {
            None
        };
        let limit = Duration::from_millis(self.policy.timeout_ms.into());
        let seen = tokio::time::timeout(limit, self.look(endpoint)).await;
        Probe::Sent(admission, seen.ok().flatten().unwrap_or(Seen::Failed))
    }

    async fn look(&self, endpoint: &Endpoint) -> Option<Seen> {
        let head = self.head(endpoint.address())?;
        let body = Bytes::from(self.question.body.clone());
        let exchanged = endpoint
            .pool()
            .exchange(Worker::PROBES, Use::IdleOrNew, || head.clone(), &body);
        let (answer, mut connection) = exchanged.await.ok()?;
        // Read in any case, so that the connection can be used again.
        let mut body = Vec::new();
        while let Some(part) = connection.part().await.ok()? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER {
                return None;
            }
        }
        endpoint.pool().put(Worker::PROBES, connection);
        let status = answer.status;
        match self.check {
            Check::Custom => {
                let wanted = match self.question.status_code {
                    0 => 200,
                    code => code,
                };
                (u32::from(status.as_u16()) == wanted).then_some(Seen::Good)
            }
            Check::EthBlockNumber | Check::EthSyncing if status != StatusCode::OK => None,
            Check::EthBlockNumber => height(&result(&body)?).map(Seen::Height),
            Check::EthSyncing => (result(&body)? == Value::Bool(false)).then_some(Seen::Good),
        }
    }

    /// The head of the request. What the policy says of a header goes before what the gateway says.
    fn head(&self, address: &Address) -> Option<Vec<u8>> {
        let question = &self.question;
        let method = match question.method.as_str() {
            "" => Method::GET,
            method => Method::from_bytes(method.as_bytes()).ok()?,
        };
        let given = question.headers.iter();
        let given = given.map(|(name, value)| Field::new(name, value.as_bytes()));
        let host = given.clone().find(|field| field.is("host"));
        let host = match host {
            Some(field) => std::str::from_utf8(field.value()).ok()?,
            None => address.host(),
        };
        let own = [
            Field::new("accept-encoding", b"identity"),
            Field::new("content-type", JSON.as_bytes()),
        ];
        let own = own.into_iter().chain(address.fields()).filter(|own| {
            let is_given = |field: Field<'_>| own.name().eq_ignore_ascii_case(field.name());
            !given.clone().any(is_given)
        });
        let target = address.target(None).ok()?;
        let length = question.body.len();
        request_head(&method, &target, host, own.chain(given.clone()), length).ok()
    }
}

/// What became of one probe.
#[derive(Debug)]
enum Probe {
    /// The breaker gave no leave.
    Refused(tyrscale_balance::CircuitOpen),
    /// With the breaker's leave, when probes need it.
    Sent(Option<Admission>, Seen),
}

impl Probe {
    const fn height(&self) -> Option<u64> {
        match self {
            Self::Sent(_, Seen::Height(height)) => Some(*height),
            Self::Sent(_, Seen::Failed | Seen::Good) | Self::Refused(_) => None,
        }
    }
}

/// What a probe saw.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Failed,
    Good,
    Height(u64),
}

fn call(method: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        method: "POST".to_owned(),
        body: format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#),
        ..HealthCheckRequest::default()
    }
}

/// The result of an answer without an error.
fn result(body: &[u8]) -> Option<Value> {
    let mut answer: Value = serde_json::from_slice(body).ok()?;
    let is_error = answer.get("error").is_some_and(|error| !error.is_null());
    if is_error {
        None
    } else {
        Some(answer.get_mut("result")?.take())
    }
}

/// Reads a height in blocks. Source: Ethereum JSON-RPC, "Hex encoding".
fn height(result: &Value) -> Option<u64> {
    u64::from_str_radix(result.as_str()?.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_height_is_a_hex_quantity() {
        assert_eq!(height(&json!("0x3e8")), Some(1000));
        for bad in [json!("3e8"), json!(1000), json!("0x"), json!("0xzz"), json!(null)] {
            assert_eq!(height(&bad), None, "{bad}");
        }
    }

    #[test]
    fn an_error_has_no_result() {
        assert_eq!(result(br#"{"result":false,"error":null}"#), Some(json!(false)));
        for bad in [
            r#"{"result":"0x1","error":{}}"#,
            "{}",
            "no",
            r#"{"error":{"code":1}}"#,
        ] {
            assert_eq!(result(bad.as_bytes()), None, "{bad}");
        }
    }
}
