//! JSON-RPC as an EVM node answers it. Pure: bytes and a view of the node in, bytes out.
//! Source: JSON-RPC 2.0; Ethereum execution APIs.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::behavior::Behavior;
use crate::chain::{BlockHash, Chain, quantity};
use crate::fault::RpcError;

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
        to_bytes(&replies)
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
        if let Some(result) = self.behavior.results.get(call.method.as_ref()) {
            return Ok(result.clone());
        }
        let chain = self.chain;
        let result = match call.method.as_ref() {
            "eth_chainId" => json!(quantity(chain.id())),
            "net_version" => json!(chain.id().to_string()),
            "web3_clientVersion" => json!(format!("simnode/{}/v{}", self.name, env!("CARGO_PKG_VERSION"))),
            "eth_blockNumber" => json!(quantity(chain.head())),
            "eth_getBlockByNumber" => chain.block(self.height(&call.params, 0)?).unwrap_or_default(),
            "eth_getBlockByHash" => chain.block_by_hash(text(&call.params, 0)?).unwrap_or_default(),
            "eth_getBalance" => self.at_block(&call.params, "0xde0b6b3a7640000")?,
            "eth_getTransactionCount" => self.at_block(&call.params, "0x0")?,
            "eth_call" => self.at_block(&call.params, "0x")?,
            "eth_gasPrice" => json!("0x3b9aca00"),
            "eth_estimateGas" => json!("0x5208"),
            "eth_getLogs" => json!([]),
            "eth_syncing" => chain.sync_status(),
            "net_peerCount" => json!(quantity(chain.peers.into())),
            "net_listening" => json!(true),
            "eth_sendRawTransaction" => {
                json!(BlockHash::of_bytes(text(&call.params, 0)?.as_bytes()).to_hex())
            }
            "eth_getTransactionReceipt" => Value::Null,
            unknown => return Err(RpcError::method_not_found(unknown)),
        };
        Ok(result)
    }

    /// `result`, if the node has the block its second parameter names. The default is the latest one.
    fn at_block(&self, params: &Value, result: &str) -> Result<Value, RpcError> {
        let unnamed = params.get(1).is_none_or(|reference| !reference.is_string());
        if unnamed || self.height(params, 1)? <= self.chain.head() {
            Ok(json!(result))
        } else {
            Err(RpcError::new(-32000, "header not found"))
        }
    }

    fn height(&self, params: &Value, index: usize) -> Result<u64, RpcError> {
        let reference = text(params, index)?;
        self.chain
            .resolve(reference)
            .ok_or_else(|| RpcError::new(-32602, format!("invalid argument {index}: not a block number")))
    }
}

fn text(params: &Value, index: usize) -> Result<&str, RpcError> {
    params
        .get(index)
        .and_then(Value::as_str)
        .ok_or_else(|| RpcError::new(-32602, format!("missing value for required argument {index}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::chain::Now;

    fn answer_of(body: &str) -> String {
        answer_with(body, &Behavior::default())
    }

    fn answer_with(body: &str, behavior: &Behavior) -> String {
        let now = Now {
            instant: Instant::now(),
            unix_ms: 1_700_000_000_000,
        };
        let chain = Chain::new(1337, 1000, Some(Duration::from_secs(2)), now);
        let view = View {
            name: "a",
            chain: &chain,
            behavior,
        };
        String::from_utf8(answer(body.as_bytes(), &view, None)).unwrap()
    }

    fn call(method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        serde_json::from_str(&answer_of(&body)).unwrap()
    }

    #[test]
    fn ids_come_back_byte_for_byte() {
        for id in [
            "1",
            "1.0",
            "1e3",
            "null",
            r#""a\u0062""#,
            "123456789012345678901234567890",
        ] {
            let reply = answer_of(&format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_chainId"}}"#
            ));
            assert_eq!(
                reply,
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x539"}}"#)
            );
        }
    }

    #[test]
    fn every_method_of_a_node_has_a_believable_result() {
        assert_eq!(call("net_version", &json!([]))["result"], "1337");
        assert_eq!(call("eth_blockNumber", &json!([]))["result"], "0x3e8");
        assert_eq!(
            call("eth_getBlockByNumber", &json!(["latest", false]))["result"]["number"],
            "0x3e8"
        );
        assert_eq!(
            call("eth_getBlockByNumber", &json!(["0x3e9", false]))["result"],
            Value::Null
        );
        assert_eq!(
            call("eth_getBalance", &json!(["0x00", "latest"]))["result"],
            "0xde0b6b3a7640000"
        );
        assert_eq!(call("eth_call", &json!([{}]))["result"], "0x");
        assert_eq!(call("eth_syncing", &json!([]))["result"], false);
        assert_eq!(call("net_peerCount", &json!([]))["result"], "0x19");
        assert_eq!(call("eth_getLogs", &json!([{}]))["result"], json!([]));
        assert_eq!(
            call("eth_getTransactionReceipt", &json!(["0x00"]))["result"],
            Value::Null
        );
        let sent = call("eth_sendRawTransaction", &json!(["0x02f8"]));
        assert_eq!(sent["result"].as_str().unwrap().len(), 66);
        assert_eq!(sent, call("eth_sendRawTransaction", &json!(["0x02f8"])));
    }

    #[test]
    fn null_results_are_written() {
        let reply = answer_of(r#"{"id":1,"method":"eth_getTransactionReceipt","params":["0x00"]}"#);
        assert_eq!(reply, r#"{"jsonrpc":"2.0","id":1,"result":null}"#);
    }

    #[test]
    fn state_above_the_head_is_missing() {
        assert_eq!(
            call("eth_call", &json!([{}, "0x3e9"]))["error"]["message"],
            "header not found"
        );
        assert_eq!(call("eth_call", &json!([{}, "ninety"]))["error"]["code"], -32602);
        assert_eq!(call("eth_getBlockByNumber", &json!([]))["error"]["code"], -32602);
    }

    #[test]
    fn unknown_methods_and_broken_requests_get_their_codes() {
        assert_eq!(call("eth_nonsense", &json!([]))["error"]["code"], -32601);
        for (body, code) in [
            ("{", -32700),
            ("[", -32700),
            ("[]", -32600),
            ("{}", -32600),
            ("7", -32600),
        ] {
            let reply: Value = serde_json::from_str(&answer_of(body)).unwrap();
            assert_eq!(reply["error"]["code"], code, "{body}");
            assert_eq!(reply["id"], Value::Null);
        }
    }

    #[test]
    fn batches_keep_their_order_and_leave_notifications_out() {
        let reply = answer_of(
            r#" [{"id":"b","method":"eth_chainId"},{"method":"eth_chainId"},3,{"id":2,"method":"net_listening"}]"#,
        );
        let members: Vec<Value> = serde_json::from_str(&reply).unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!((&members[0]["id"], &members[2]["id"]), (&json!("b"), &json!(2)));
        assert_eq!(members[1]["error"]["code"], -32600);
        assert_eq!(answer_of(r#"{"method":"eth_chainId"}"#), "");
        assert_eq!(answer_of(r#"[{"method":"eth_chainId"}]"#), "");
    }

    #[test]
    fn given_results_and_unsupported_methods_replace_the_nodes_own() {
        let mut behavior = Behavior::default();
        behavior.results.insert("eth_call".into(), json!("0x2a"));
        behavior.unsupported.insert("eth_getLogs".into());
        let reply = answer_with(
            r#"[{"id":1,"method":"eth_call"},{"id":2,"method":"eth_getLogs"},{"id":3,"method":"eth_chainId"}]"#,
            &behavior,
        );
        let members: Vec<Value> = serde_json::from_str(&reply).unwrap();
        assert_eq!(members[0]["result"], "0x2a");
        assert_eq!(members[1]["error"]["code"], -32601);
        assert_eq!(members[2]["result"], "0x539");
    }

    #[test]
    fn methods_of_a_body_are_listed() {
        assert_eq!(methods(br#"{"id":1,"method":"eth_call"}"#), ["eth_call"]);
        assert_eq!(methods(br#"[{"method":"a"},3,{"method":"b"}]"#), ["a", "b"]);
        assert!(methods(b"GET").is_empty());
    }
}
