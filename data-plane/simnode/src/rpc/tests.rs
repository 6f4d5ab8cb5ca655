use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::canned::CannedAnswer;
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

#[test]
fn answers_are_chosen_by_method_and_parameters() {
    let mut behavior = Behavior::default();
    behavior.answers.push(CannedAnswer {
        method: "eth_call".into(),
        params: Some(json!([{"to": "0x1"}, "latest"])),
        outcome: Err(RpcError::new(3, "execution reverted")),
    });
    behavior.answers.push(CannedAnswer {
        method: "eth_call".into(),
        params: None,
        outcome: Ok(json!("0x2a")),
    });
    let reply = answer_with(
        r#"[{"id":1,"method":"eth_call","params":[{"to":"0x1"},"latest"]},{"id":2,"method":"eth_call"}]"#,
        &behavior,
    );
    let members: Vec<Value> = serde_json::from_str(&reply).unwrap();
    assert_eq!(members[0]["error"]["code"], 3);
    assert_eq!(members[1]["result"], "0x2a");
}

#[test]
fn batches_take_the_shape_they_are_told() {
    let shaped = |batch_shape| {
        let behavior = Behavior {
            batch_shape,
            ..Behavior::default()
        };
        let body = r#"[{"id":1,"method":"eth_chainId"},{"id":"b","method":"net_version"}]"#;
        let reply: Value = serde_json::from_str(&answer_with(body, &behavior)).unwrap();
        reply
            .as_array()
            .map(|items| items.iter().map(|item| item["id"].clone()).collect::<Vec<_>>())
    };
    let (one, b) = (json!(1), json!("b"));
    assert_eq!(shaped(BatchShape::Reversed).unwrap(), [b.clone(), one.clone()]);
    assert_eq!(shaped(BatchShape::WithoutLast).unwrap(), [json!(1)]);
    assert_eq!(
        shaped(BatchShape::WithStranger).unwrap(),
        [one.clone(), b.clone(), json!("stranger")]
    );
    assert_eq!(shaped(BatchShape::OneId).unwrap(), [one.clone(), one]);
    assert_eq!(shaped(BatchShape::StringIds).unwrap(), [json!("1"), b]);
    assert_eq!(
        shaped(BatchShape::OneError(RpcError::new(-32005, "too large"))),
        None
    );
}

#[test]
fn what_is_pruned_is_told_as_geth_tells_it() {
    let now = Now {
        instant: Instant::now(),
        unix_ms: 1_700_000_000_000,
    };
    let mut chain = Chain::new(1337, 1000, None, now);
    (chain.lowest_state, chain.lowest_block) = (900, 500);
    let behavior = Behavior::default();
    let view = View {
        name: "a",
        chain: &chain,
        behavior: &behavior,
    };
    for (method, params, told) in [
        ("eth_call", json!([{}, "0x383"]), "missing trie node"),
        (
            "eth_getCode",
            json!(["0x0", {"blockNumber": "0x1"}]),
            "missing trie node",
        ),
        (
            "eth_getStorageAt",
            json!(["0x0", "0x0", "0x1"]),
            "missing trie node",
        ),
        (
            "eth_getLogs",
            json!([{"fromBlock": "0x1"}]),
            "pruned history unavailable",
        ),
    ] {
        let body = json!({"id": 1, "method": method, "params": params}).to_string();
        let reply = String::from_utf8(answer(body.as_bytes(), &view, None)).unwrap();
        assert!(reply.contains(told), "{reply}");
    }
    let body = r#"{"id":1,"method":"eth_call","params":[{},"0x384"]}"#;
    assert!(answer(body.as_bytes(), &view, None).ends_with(br#""result":"0x"}"#));
}
