//! JSON-RPC as an EVM node answers it. Pure: bytes and a view of the node in, bytes out.
//! Source: JSON-RPC 2.0; Ethereum execution APIs.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::behavior::Behavior;
use crate::chain::{BlockHash, Chain, quantity};
use crate::fault::RpcError;

mod shape;

pub use shape::BatchShape;

/// One call of a request, with its id and parameters as the client wrote them.
#[derive(Debug, Deserialize)]
struct Call<'a> {
    /// Absent in a notification; `null` is an id.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(default)]
    params: Value,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Serialize)]
struct Reply<'a> {
    jsonrpc: &'static str,
    /// `None` is written as `null`: the id could not be read.
    id: Option<&'a RawValue>,
    #[serde(flatten)]
    outcome: Outcome,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Result(Value),
    Error(RpcError),
}

impl From<Result<Value, RpcError>> for Outcome {
    fn from(result: Result<Value, RpcError>) -> Self {
        match result {
            Ok(value) => Self::Result(value),
            Err(error) => Self::Error(error),
        }
    }
}

/// What a node needs to answer.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) name: &'a str,
    pub(crate) chain: &'a Chain,
    pub(crate) behavior: &'a Behavior,
}

/// The methods a body calls, in order; empty when it is no JSON-RPC.
pub(crate) fn methods(body: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Named {
        method: String,
    }
    if is_batch(body) {
        let members: Vec<&RawValue> = serde_json::from_slice(body).unwrap_or_default();
        let named = members
            .into_iter()
            .filter_map(|member| serde_json::from_str::<Named>(member.get()).ok());
        named.map(|named| named.method).collect()
    } else {
        serde_json::from_slice::<Named>(body)
            .map(|named| vec![named.method])
            .unwrap_or_default()
    }
}

/// Answers a request body. `error` answers every call when given. The answer is empty when only
/// notifications were sent.
pub(crate) fn answer(body: &[u8], view: &View<'_>, error: Option<&RpcError>) -> Vec<u8> {
    if is_batch(body) {
        return answer_batch(body, view, error);
    }
    match serde_json::from_slice::<&RawValue>(body) {
        Ok(raw) => answer_one(raw, view, error)
            .map(|reply| to_bytes(&reply))
            .unwrap_or_default(),
        Err(_) => to_bytes(&refusal(-32700, "parse error")),
    }
}

fn answer_batch(body: &[u8], view: &View<'_>, error: Option<&RpcError>) -> Vec<u8> {
    let Ok(members) = serde_json::from_slice::<Vec<&RawValue>>(body) else {
        return to_bytes(&refusal(-32700, "parse error"));
    };
    if members.is_empty() {
        return to_bytes(&refusal(-32600, "empty batch"));
    }
    let replies: Vec<_> = members
        .into_iter()
        .filter_map(|member| answer_one(member, view, error))
        .collect();
    if replies.is_empty() {
        Vec::new()
    } else {
        shape::write(replies, &view.behavior.batch_shape)
    }
}

fn answer_one<'a>(raw: &'a RawValue, view: &View<'_>, error: Option<&RpcError>) -> Option<Reply<'a>> {
    let Ok(call) = serde_json::from_str::<Call<'a>>(raw.get()) else {
        return Some(refusal(-32600, "invalid request"));
    };
    let id = call.id?;
    let failure = error.cloned().or_else(|| view.behavior.call_error(&call.method));
    let outcome = failure.map_or_else(|| view.result(&call), Err);
    Some(Reply {
        jsonrpc: "2.0",
        id: Some(id),
        outcome: outcome.into(),
    })
}

fn refusal(code: i64, message: &str) -> Reply<'static> {
    Reply {
        jsonrpc: "2.0",
        id: None,
        outcome: Outcome::Error(RpcError::new(code, message)),
    }
}

fn is_batch(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'[')
}

fn to_bytes(reply: &impl Serialize) -> Vec<u8> {
    // Writing to memory values whose keys are all strings does not fail.
    serde_json::to_vec(reply).unwrap_or_default()
}

impl View<'_> {
    fn result(&self, call: &Call<'_>) -> Result<Value, RpcError> {
        let canned = &self.behavior.answers;
        if let Some(answer) = canned.iter().find(|it| it.fits(&call.method, &call.params)) {
            return answer.outcome.clone();
        }
        if let Some(result) = self.behavior.results.get(call.method.as_ref()) {
            return Ok(result.clone());
        }
        let chain = self.chain;
        let result = match call.method.as_ref() {
            "eth_chainId" => json!(quantity(chain.id())),
            "net_version" => json!(chain.id().to_string()),
            "web3_clientVersion" => self.client_version(),
            "eth_blockNumber" => json!(quantity(chain.head())),
            "eth_getBlockByNumber" => chain.block(self.height(&call.params, 0)?).unwrap_or_default(),
            "eth_getBlockByHash" => chain.block_by_hash(text(&call.params, 0)?).unwrap_or_default(),
            "eth_getBalance" => self.at_block(&call.params, 1, "0xde0b6b3a7640000")?,
            "eth_getTransactionCount" => self.at_block(&call.params, 1, "0x0")?,
            "eth_call" | "eth_getCode" => self.at_block(&call.params, 1, "0x")?,
            "eth_getStorageAt" => self.at_block(&call.params, 2, &zero_word())?,
            "eth_gasPrice" => json!("0x3b9aca00"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_getLogs" => self.logs(&call.params)?,
            "eth_syncing" => chain.sync_status(),
            "net_peerCount" => json!(quantity(chain.peers.into())),
            "net_listening" => json!(true),
            "eth_sendRawTransaction" => {
                json!(BlockHash::of_bytes(text(&call.params, 0)?.as_bytes()).to_hex())
            }
            "eth_getTransactionReceipt" | "eth_getTransactionByHash" => Value::Null,
            unknown => return Err(RpcError::method_not_found(unknown)),
        };
        Ok(result)
    }

    fn client_version(&self) -> Value {
        let own = || format!("simnode/{}/v{}", self.name, env!("CARGO_PKG_VERSION"));
        json!(self.behavior.client_version.clone().unwrap_or_else(own))
    }

    /// `result`, if the node has the state at the block this parameter names: a tag, a quantity or an object
    /// of EIP-1898. The default is the latest one.
    fn at_block(&self, params: &Value, index: usize, result: &str) -> Result<Value, RpcError> {
        let height = match params.get(index) {
            Some(Value::String(_)) => self.height(params, index)?,
            Some(Value::Object(reference)) if reference.contains_key("blockNumber") => {
                let number = reference.get("blockNumber").and_then(Value::as_str);
                let height = number.and_then(|number| self.chain.resolve(number));
                height.ok_or_else(|| not_a_block(index))?
            }
            _ => return Ok(json!(result)),
        };
        if height > self.chain.head() {
            return Err(RpcError::new(-32000, "header not found"));
        }
        if height < self.chain.lowest_state {
            return Err(self.pruned_state(height));
        }
        Ok(json!(result))
    }

    /// What geth says of state it has pruned.
    fn pruned_state(&self, height: u64) -> RpcError {
        let root = self.chain.hash(height).to_hex();
        let node = root.strip_prefix("0x").unwrap_or(&root).to_owned();
        RpcError::new(
            -32000,
            format!("missing trie node {node} (path ) state {root} is not available"),
        )
    }

    /// No logs; what geth says of a range it has pruned.
    fn logs(&self, params: &Value) -> Result<Value, RpcError> {
        let from = params.get(0).and_then(|filter| filter.get("fromBlock"));
        let from = from
            .and_then(Value::as_str)
            .and_then(|from| self.chain.resolve(from));
        if from.is_some_and(|from| from < self.chain.lowest_block) {
            return Err(RpcError::new(4444, "pruned history unavailable"));
        }
        Ok(json!([]))
    }

    fn height(&self, params: &Value, index: usize) -> Result<u64, RpcError> {
        let reference = text(params, index)?;
        self.chain.resolve(reference).ok_or_else(|| not_a_block(index))
    }
}

fn not_a_block(index: usize) -> RpcError {
    RpcError::new(-32602, format!("invalid argument {index}: not a block number"))
}

fn zero_word() -> String {
    format!("0x{}", "00".repeat(32))
}

fn text(params: &Value, index: usize) -> Result<&str, RpcError> {
    params
        .get(index)
        .and_then(Value::as_str)
        .ok_or_else(|| RpcError::new(-32602, format!("missing value for required argument {index}")))
}

#[cfg(test)]
mod tests;
