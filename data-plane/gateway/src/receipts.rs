//! `consensus_getReceipts`: all receipts of a block, by whichever method a node has for that. The upstream is asked by
//! its own, and the client learns which that was: `{"method": …, "result": …}`. Source: proxyd, "consensus_getReceipts".

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tyrscale_jsonrpc::{Call, RawId};
use tyrscale_model::ReceiptsMethod;

/// As clients call it.
pub(crate) const METHOD: &str = "consensus_getReceipts";

/// Digits of a hash with its `0x`.
const HASH_LENGTH: usize = 66;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipts {
    /// The JSON text of the call's id.
    id: String,
    block: Block,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Block {
    /// A number or a tag.
    Number(String),
    Hash(String),
}

/// That the parameters name no block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("takes one parameter: a block's number, tag or hash, or an object with blockNumber or blockHash")]
pub(crate) struct NoBlock;

impl Receipts {
    /// Reads a call, whose parameters may be others than it came with.
    ///
    /// # Errors
    /// [`NoBlock`] when it names none.
    pub(crate) fn read(call: &Call<'_>, params: Option<&str>) -> Result<Self, NoBlock> {
        let params = params.or(call.params).ok_or(NoBlock)?;
        let [block]: [Value; 1] = serde_json::from_str(params).map_err(|_| NoBlock)?;
        Ok(Self {
            id: call.id.map_or("null", RawId::as_str).to_owned(),
            block: Block::read(&block).ok_or(NoBlock)?,
        })
    }

    /// The call as a node takes it that gives them by `method`.
    pub(crate) fn call(&self, method: ReceiptsMethod) -> Bytes {
        let block = match (method, &self.block) {
            (ReceiptsMethod::AlchemyGetTransactionReceipts, Block::Number(number)) => {
                json!({"blockNumber": number})
            }
            (ReceiptsMethod::AlchemyGetTransactionReceipts, Block::Hash(hash)) => json!({"blockHash": hash}),
            (_, Block::Number(block) | Block::Hash(block)) => json!(block),
        };
        let (id, method) = (&self.id, method.as_str());
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{block}]}}"#).into()
    }

    /// An answer to that call as the client gets it; `None` for one that has no receipts, which stays as it is.
    pub(crate) fn told(&self, method: ReceiptsMethod, body: &[u8]) -> Option<Bytes> {
        let mut answer: Fields<'_> = serde_json::from_slice(body).ok()?;
        let result = answer.remove("result")?.get();
        // Alchemy puts them into an object.
        let within = serde_json::from_str::<Fields<'_>>(result).ok();
        let within = within.and_then(|mut within| within.remove("receipts"));
        let receipts = within.map_or(result, RawValue::get);
        if receipts == "null" {
            return None;
        }
        let (id, method) = (&self.id, method.as_str());
        Some(
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"method":"{method}","result":{receipts}}}}}"#)
                .into(),
        )
    }
}

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl Block {
    fn read(block: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        match block {
            Value::String(hash) if hash.len() == HASH_LENGTH => Some(Self::Hash(hash.clone())),
            Value::String(number) => Some(Self::Number(number.clone())),
            Value::Object(fields) => match (fields.get("blockHash"), fields.get("blockNumber")) {
                (Some(hash), None) => text(hash).map(Self::Hash),
                (None, Some(number)) => text(number).map(Self::Number),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_jsonrpc::request::parse;
    use tyrscale_jsonrpc::{Limits, Packet};

    use super::*;

    fn read(params: &str) -> Result<Receipts, NoBlock> {
        let body = format!(r#"{{"id":"a","method":"{METHOD}","params":{params}}}"#);
        match parse(body.as_bytes(), &Limits::default()) {
            Ok(Packet::Single(call)) => Receipts::read(&call, None),
            _ => panic!("no call: {body}"),
        }
    }

    #[test]
    fn each_node_is_asked_in_its_own_way() {
        let hash = format!("0x{}", "ab".repeat(32));
        let asked = |params: &str, method: ReceiptsMethod| {
            let call: Value = serde_json::from_slice(&read(params).unwrap().call(method)).unwrap();
            assert_eq!((&call["id"], &call["jsonrpc"]), (&json!("a"), &json!("2.0")));
            (
                call["method"].as_str().unwrap().to_owned(),
                call["params"].clone(),
            )
        };
        let plain = [
            (ReceiptsMethod::EthGetBlockReceipts, "eth_getBlockReceipts"),
            (ReceiptsMethod::DebugGetRawReceipts, "debug_getRawReceipts"),
            (ReceiptsMethod::ParityGetBlockReceipts, "parity_getBlockReceipts"),
        ];
        for (method, name) in plain {
            assert_eq!(asked(r#"["0x10"]"#, method), (name.to_owned(), json!(["0x10"])));
            let by_hash = json!([{"blockHash": hash}]).to_string();
            assert_eq!(asked(&by_hash, method), (name.to_owned(), json!([hash])));
        }
        let alchemy = ReceiptsMethod::AlchemyGetTransactionReceipts;
        let name = "alchemy_getTransactionReceipts".to_owned();
        assert_eq!(
            asked(r#"["latest"]"#, alchemy),
            (name.clone(), json!([{"blockNumber": "latest"}]))
        );
        assert_eq!(
            asked(&json!([hash]).to_string(), alchemy),
            (name, json!([{"blockHash": hash}]))
        );
    }

    #[test]
    fn what_names_no_block_is_refused() {
        for params in [
            "[]",
            "[1]",
            "{}",
            "[null]",
            r#"["0x1","0x2"]"#,
            r#"[{"blockHash":"0x1","blockNumber":"0x1"}]"#,
            r#"[{"blockNumber":1}]"#,
        ] {
            assert_eq!(read(params), Err(NoBlock), "{params}");
        }
    }

    #[test]
    fn the_client_learns_by_which_method_the_receipts_came() {
        let receipts = read(r#"["0x10"]"#).unwrap();
        let told = |method, body: &str| {
            let told = receipts.told(method, body.as_bytes())?;
            Some(serde_json::from_slice::<Value>(&told).unwrap())
        };
        let method = ReceiptsMethod::EthGetBlockReceipts;
        let expected = |method: &str| json!({"jsonrpc": "2.0", "id": "a", "result": {"method": method, "result": [{"status": "0x1"}]}});
        let plain = r#"{"jsonrpc":"2.0","id":"a","result":[{"status":"0x1"}]}"#;
        assert_eq!(told(method, plain), Some(expected("eth_getBlockReceipts")));
        let method = ReceiptsMethod::AlchemyGetTransactionReceipts;
        let within = r#"{"jsonrpc":"2.0","id":"a","result":{"receipts":[{"status":"0x1"}]}}"#;
        assert_eq!(
            told(method, within),
            Some(expected("alchemy_getTransactionReceipts"))
        );
        for nothing in [r#"{"id":"a","result":null}"#, r#"{"id":"a","error":{"code":1}}"#] {
            assert_eq!(told(method, nothing), None, "{nothing}");
        }
    }
}
