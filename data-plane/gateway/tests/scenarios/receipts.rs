//! All receipts of a block from nodes that differ in the method for it.

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_model::{ReceiptsMethod, Resource, Route, RouteLimits, Upstream};
use tyrscale_simnode::{RpcError, SimNode};

use super::harness::{Harness, node, route_id, settings, upstream};
use super::setting::{in_order, two};

const METHOD: &str = "consensus_getReceipts";
const DIALECTS: [ReceiptsMethod; 4] = [
    ReceiptsMethod::EthGetBlockReceipts,
    ReceiptsMethod::DebugGetRawReceipts,
    ReceiptsMethod::AlchemyGetTransactionReceipts,
    ReceiptsMethod::ParityGetBlockReceipts,
];

/// A node of each dialect, in order; each knows its own method alone.
async fn four() -> (Vec<SimNode>, Harness) {
    let mut nodes = Vec::new();
    for dialect in DIALECTS {
        let node = node(dialect.as_str()).await;
        let receipts = json!([{"from": dialect.as_str()}]);
        let result = match dialect {
            ReceiptsMethod::AlchemyGetTransactionReceipts => json!({"receipts": receipts}),
            _ => receipts,
        };
        node.answer(dialect.as_str(), None, Ok(result));
        nodes.push(node);
    }
    let all: Vec<&SimNode> = nodes.iter().collect();
    let mut harness = Harness::with_route(settings(), in_order(), &all).await;
    for (number, dialect) in (1..).zip(DIALECTS) {
        harness.put([speaks(number, dialect)]);
    }
    (nodes, harness)
}

fn speaks(number: u32, dialect: ReceiptsMethod) -> Resource {
    // The lower the number, the earlier it is asked.
    let weight = 100.0 - f64::from(number);
    Resource::Upstream(Upstream {
        receipts_method: Some(dialect),
        ..upstream(number, route_id(1), weight)
    })
}

fn params_of(node: &SimNode, method: &str) -> Value {
    let captured = node.captured();
    let body: Value = serde_json::from_slice(&captured.last().unwrap().body).unwrap();
    assert_eq!(body["method"], method);
    body["params"].clone()
}

/// Scenario E18.
#[tokio::test]
async fn receipts_are_asked_of_each_node_in_its_own_way() {
    let (nodes, harness) = four().await;
    let hash = format!("0x{}", "ab".repeat(32));
    for (node, dialect) in nodes.iter().zip(DIALECTS) {
        let name = dialect.as_str();
        let answer = harness.ask(METHOD, &json!([{"blockHash": hash}])).await;
        assert_eq!(
            answer.json(),
            json!({"jsonrpc": "2.0", "id": 1, "result": {"method": name, "result": [{"from": name}]}})
        );
        let expected = match dialect {
            ReceiptsMethod::AlchemyGetTransactionReceipts => json!([{"blockHash": hash}]),
            _ => json!([hash]),
        };
        assert_eq!(params_of(node, name), expected);
        // The next one is asked when this one fails.
        node.answer(name, None, Err(RpcError::new(-32603, "internal error")));
    }
    let answer = harness.ask(METHOD, &json!(["0x10"])).await;
    assert_eq!(answer.json()["error"]["code"], -32603);
}

/// Scenario E18: receipts of a large block come whole.
#[tokio::test]
async fn receipts_of_any_size_are_told_by_their_method() {
    let (nodes, harness) = four().await;
    let receipt = json!({"logsBloom": "00".repeat(256)});
    let receipts: Vec<&Value> = vec![&receipt; 1000];
    nodes[0].answer("eth_getBlockReceipts", None, Ok(json!(receipts)));
    let answer = harness.ask(METHOD, &json!(["latest"])).await.json();
    assert_eq!(answer["result"]["method"], "eth_getBlockReceipts");
    assert_eq!(answer["result"]["result"].as_array().unwrap().len(), 1000);
}

/// Scenario E18: an unsupported target is 400.
#[tokio::test]
async fn receipts_that_nobody_gives_are_refused() {
    let (first, second, mut harness) = two().await;
    let before = first.hits() + second.hits();
    let answer = harness.ask(METHOD, &json!(["0x10"])).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.json()["error"]["message"],
        "consensus_getReceipts needs an upstream with a receipts_method"
    );
    harness.put([speaks(2, ReceiptsMethod::EthGetBlockReceipts)]);
    for params in [json!([]), json!([1]), json!(["0x1", "0x2"])] {
        let answer = harness.ask(METHOD, &params).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{params}");
        assert_eq!(answer.json()["error"]["code"], -32602);
    }
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": ["0x10"]});
    let answer = harness.client.post(json!([call]).to_string()).await;
    assert_eq!(
        answer.json()[0]["error"]["message"],
        "consensus_getReceipts cannot be part of a batch"
    );
    assert_eq!(first.hits() + second.hits(), before, "nobody is asked");
    second.answer("eth_getBlockReceipts", None, Ok(json!([])));
    let answer = harness.ask(METHOD, &json!(["0x10"])).await;
    assert_eq!(answer.node(), "second", "the first is never asked");
    assert_eq!(first.hits_of("eth_getBlockReceipts"), 0);
    second.answer("eth_getBlockReceipts", None, Ok(Value::Null));
    let answer = harness.ask(METHOD, &json!(["0x999999"])).await;
    assert_eq!(answer.json()["result"], Value::Null);
}

/// Scenario I5: refused as it is, such a call of a batch counts towards the rate.
#[tokio::test]
async fn receipts_asked_for_in_a_batch_count_towards_the_rate() {
    let node = node("n").await;
    let limited = Route {
        limits: Some(Box::new(RouteLimits {
            requests_per_second: 0.001,
            burst: 1,
            ..RouteLimits::default()
        })),
        ..in_order()
    };
    let mut harness = Harness::with_route(settings(), limited, &[&node]).await;
    harness.put([speaks(1, ReceiptsMethod::EthGetBlockReceipts)]);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": ["0x10"]});
    let answer = harness.client.post(json!([call, call]).to_string()).await.json();
    let messages = [0, 1].map(|nth: usize| answer[nth]["error"]["message"].clone());
    assert_eq!(messages[0], "consensus_getReceipts cannot be part of a batch");
    assert_ne!(messages[1], messages[0], "{answer}");
}
