//! What a node is asked beside its health, and what is wrong with an answer: how many peers it has, how it numbers
//! logs, how much a call may return. An answer that says nothing of that changes nothing, but for peers: a node that does not
//! tell of them is not judged by them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tyrscale_jsonrpc::response::inspect;
use tyrscale_jsonrpc::{Answer, Expect};
use tyrscale_model::HealthCheck;

use super::failure::Failure;
use super::prober::Observation;
use super::question::{NotSeen, Question, Seen, quantity};
use crate::endpoint::{Endpoint, Finding};

/// An address without a contract, which gets a contract for the one call.
const CALLED: &str = "0x00000000000000000000000000000000f1a7b17e";
/// What may surround a result, in bytes.
pub(super) const AROUND: usize = 64 * 1024;
/// Largest answer with the logs of a block, in bytes.
pub(super) const MAX_LOGS: usize = 4 * 1024 * 1024;

/// One check, and what it finds out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) question: Question,
    finding: Finding,
    /// For [`Finding::FewPeers`].
    min_peers: u64,
}

impl Check {
    /// The checks that a route asks for.
    pub(super) fn all_of(policy: &HealthCheck) -> Vec<Self> {
        let check = |question, finding| Self {
            question,
            finding,
            min_peers: policy.min_peers.into(),
        };
        let peers = (policy.min_peers > 0).then(|| check(Question::PeerCount, Finding::FewPeers));
        let logs = policy
            .wrong_log_indexes
            .map(|_| check(Question::LogIndexes, Finding::WrongLogIndexes));
        let bytes = policy.min_call_result_bytes;
        let call = (bytes > 0).then(|| check(Question::CallResult(bytes), Finding::SmallCallResults));
        [peers, logs, call].into_iter().flatten().collect()
    }

    /// Takes in what was seen of an upstream.
    pub(super) fn settle(&self, endpoint: &Endpoint, observation: &Observation) {
        if let Ok(Seen::Nothing(failure)) | Err(failure) = observation.seen {
            endpoint.stats().probe_failures.add(failure);
        }
        let Some(verdict) = self.judge(observation.seen) else {
            return;
        };
        if verdict == Err(Failure::FewPeers) {
            endpoint.stats().probe_failures.add(Failure::FewPeers);
        }
        if !endpoint.note(self.finding, verdict.is_err()) {
            return;
        }
        let (route, upstream) = (endpoint.spec().route_id, endpoint.spec().upstream_id);
        let finding = self.finding.name();
        if verdict.is_err() {
            tracing::warn!(route.id = %route, upstream.id = %upstream, finding, "check of an upstream failed");
        } else {
            tracing::info!(route.id = %route, upstream.id = %upstream, finding, "check of an upstream passes again");
        }
    }

    /// Whether something is wrong, and why; `None`: what was seen does not say.
    pub(super) fn judge(&self, seen: Result<Seen, Failure>) -> Option<Result<(), Failure>> {
        match (seen, self.finding) {
            (Ok(Seen::Number(peers)), Finding::FewPeers) if peers < self.min_peers => {
                Some(Err(Failure::FewPeers))
            }
            // One that does not tell of its peers is not judged by them.
            (Ok(Seen::Nothing(_)), Finding::FewPeers) => Some(Ok(())),
            (Ok(Seen::Number(_) | Seen::Good), _) => Some(Ok(())),
            (Err(why @ Failure::WrongLogIndexes), Finding::WrongLogIndexes)
            | (Err(why @ Failure::SmallCallResults), Finding::SmallCallResults) => Some(Err(why)),
            (Ok(Seen::Nothing(_) | Seen::Silent) | Err(_), _) => None,
        }
    }
}

/// How many peers a node says that it has. Source: Execution APIs, `net_peerCount`; some nodes answer a plain number.
pub(super) fn peer_count(result: Result<Value, NotSeen>) -> Result<Seen, NotSeen> {
    let Some(result) = told(result)? else {
        return Ok(Seen::Nothing(Failure::RpcError));
    };
    let count = quantity(&result).or_else(|| result.as_u64());
    count.map(Seen::Number).ok_or_else(|| Failure::BadResult.into())
}

/// Whether the logs of each block are numbered from 0 without gaps. Source: Execution APIs, `logIndex` of a log: its
/// place in the block.
pub(super) fn log_indexes(result: Result<Value, NotSeen>) -> Result<Seen, NotSeen> {
    let Some(result) = told(result)? else {
        return Ok(Seen::Nothing(Failure::RpcError));
    };
    let logs = result.as_array().ok_or(Failure::BadResult)?;
    let mut blocks: BTreeMap<Option<&str>, Vec<Option<u64>>> = BTreeMap::new();
    for log in logs {
        let block = log.get("blockHash").and_then(Value::as_str);
        let index = log.get("logIndex").and_then(quantity);
        blocks.entry(block).or_default().push(index);
    }
    if blocks.is_empty() {
        return Ok(Seen::Silent);
    }
    let are_numbered = blocks.into_values().all(|mut indexes| {
        indexes.sort_unstable();
        (0..).map(Some).zip(indexes).all(|(place, index)| place == index)
    });
    if are_numbered {
        Ok(Seen::Good)
    } else {
        Err(Failure::WrongLogIndexes.into())
    }
}

/// The parameters of a call of a contract that returns so many zeros: `PUSH4 bytes, PUSH1 0, RETURN`, put where there is
/// none by a state override, as geth, Erigon, Nethermind, Reth and Besu have them.
pub(super) fn call_params(bytes: u32) -> String {
    let code = format!("0x63{bytes:08x}6000f3");
    json!([{"to": CALLED, "data": "0x"}, "latest", {CALLED: {"code": code}}]).to_string()
}

/// Whether a call has returned so many bytes. One that a node cannot make at all says nothing.
pub(super) fn call_result(result: Result<Value, NotSeen>, bytes: u32, body: &[u8]) -> Result<Seen, NotSeen> {
    match result {
        Ok(result) => {
            let digits = result.as_str().and_then(|text| text.strip_prefix("0x"));
            match digits.map(|digits| digits.len() / 2) {
                Some(length) if length >= bytes as usize => Ok(Seen::Good),
                // Without the override the address has no code, and returns nothing.
                Some(0) => Ok(Seen::Silent),
                Some(_) => Err(Failure::SmallCallResults.into()),
                None => Err(Failure::BadResult.into()),
            }
        }
        Err(why) if why.failure == Failure::RpcError => match inspect(body, Expect::Single) {
            Answer::Error(error) if matches!(error.code, Some(-32601 | -32602)) => {
                Ok(Seen::Nothing(Failure::RpcError))
            }
            _ => Err(Failure::SmallCallResults.into()),
        },
        Err(why) => Err(why),
    }
}

/// The result; `None` when the node has none, which says nothing about what was asked.
fn told(result: Result<Value, NotSeen>) -> Result<Option<Value>, NotSeen> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(why) if why.failure == Failure::RpcError => Ok(None),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logs(indexes: &[(&str, &str)]) -> Result<Seen, NotSeen> {
        let logs = indexes.iter();
        let logs: Vec<Value> = logs
            .map(|(block, index)| json!({"blockHash": block, "logIndex": index}))
            .collect();
        log_indexes(Ok(json!(logs)))
    }

    #[test]
    fn logs_are_numbered_within_their_block() {
        assert_eq!(logs(&[]), Ok(Seen::Silent));
        assert_eq!(logs(&[("a", "0x1"), ("a", "0x0"), ("b", "0x0")]), Ok(Seen::Good));
        for wrong in [
            &[("a", "0x1")][..],
            &[("a", "0x0"), ("a", "0x0")],
            &[("a", "0x0"), ("a", "0x2")],
            &[("a", "0x0"), ("a", "1")],
        ] {
            assert_eq!(logs(wrong), Err(Failure::WrongLogIndexes.into()), "{wrong:?}");
        }
        assert_eq!(log_indexes(Ok(json!({}))), Err(Failure::BadResult.into()));
        let refused = log_indexes(Err(Failure::RpcError.into()));
        assert_eq!(refused, Ok(Seen::Nothing(Failure::RpcError)));
    }

    #[test]
    fn a_call_must_return_all_that_was_asked_for() {
        let returned = |bytes: usize| call_result(Ok(json!(format!("0x{}", "00".repeat(bytes)))), 32, b"");
        assert_eq!(returned(32), Ok(Seen::Good));
        assert_eq!(returned(31), Err(Failure::SmallCallResults.into()));
        assert_eq!(returned(0), Ok(Seen::Silent), "a node without overrides");
        let refused = |code: i64| {
            let body = json!({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": "no"}});
            call_result(Err(Failure::RpcError.into()), 32, body.to_string().as_bytes())
        };
        assert_eq!(refused(-32000), Err(Failure::SmallCallResults.into()));
        assert_eq!(refused(-32602), Ok(Seen::Nothing(Failure::RpcError)));
    }

    #[test]
    fn what_says_nothing_changes_nothing() {
        let policy = HealthCheck {
            min_peers: 3,
            min_call_result_bytes: 32,
            ..HealthCheck::default()
        };
        let checks = Check::all_of(&policy);
        let [peers, call] = checks.as_slice() else {
            panic!("{checks:?}");
        };
        assert_eq!(peers.judge(Ok(Seen::Number(2))), Some(Err(Failure::FewPeers)));
        assert_eq!(peers.judge(Ok(Seen::Number(3))), Some(Ok(())));
        let no_method = Ok(Seen::Nothing(Failure::RpcError));
        assert_eq!(
            (peers.judge(no_method), call.judge(no_method)),
            (Some(Ok(())), None)
        );
        for seen in [Err(Failure::Timeout), Err(Failure::Lost)] {
            assert_eq!((peers.judge(seen), call.judge(seen)), (None, None));
        }
    }

    #[test]
    fn the_contract_returns_as_many_bytes_as_are_asked_for() {
        assert!(call_params(65_536).contains(r#""code":"0x63000100006000f3""#));
    }
}
