//! Batches as upstreams answer them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tyrscale_simnode::{BatchShape, RpcError};

use super::harness::{Harness, node};
use super::setting::two;

/// Calls of which each has a result of its own, so that a wrong pairing shows.
fn distinct(count: usize) -> Value {
    (0..count)
        .map(|number| {
            let params = json!([format!("0x{number:x}"), "latest"]);
            json!({"jsonrpc": "2.0", "id": number, "method": "eth_getBalance", "params": params})
        })
        .collect()
}

/// Scenario C3.
#[tokio::test]
async fn answers_in_another_order_or_number_are_never_paired_wrongly() {
    let node = node("n").await;
    for number in 0..4 {
        let params = json!([format!("0x{number:x}"), "latest"]);
        node.answer("eth_getBalance", params, Ok(json!(number)));
    }
    let harness = Harness::in_front_of(&[&node]).await;
    for (shape, answered) in [
        (BatchShape::InOrder, 4),
        (BatchShape::Reversed, 4),
        (BatchShape::WithStranger, 4),
        (BatchShape::WithoutLast, 3),
        // More answers under an id than calls: which is right cannot be told.
        (BatchShape::OneId, 0),
    ] {
        node.update_behavior(|it| it.batch_shape = shape.clone());
        let answer = harness.client.post(distinct(4).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK);
        let items = answer.json();
        let items = items.as_array().unwrap();
        assert_eq!(items.len(), 4, "{shape:?}");
        for (number, item) in items.iter().enumerate() {
            assert_eq!(item["id"], number, "{shape:?}");
            let right = item["result"] == number || item["error"]["code"] == -32603;
            assert!(right, "{shape:?} {item}");
        }
        let results = items.iter().filter(|item| item["result"].is_number()).count();
        assert_eq!(results, answered, "{shape:?}");
    }
}

/// Scenario 11.
#[tokio::test]
async fn calls_of_one_id_get_an_answer_each_in_their_order() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let body = r#"[{"id":7,"method":"eth_chainId"},{"id":7,"method":"net_version"},{"id":"7","method":"eth_blockNumber"}]"#;
    let items = harness.client.post(body).await.json();
    assert_eq!(
        items,
        json!([
            {"jsonrpc": "2.0", "id": 7, "result": "0x539"},
            {"jsonrpc": "2.0", "id": 7, "result": "1337"},
            {"jsonrpc": "2.0", "id": "7", "result": "0x3e8"},
        ])
    );
}

/// Scenario 11: ids that are used twice, or that are null, cannot mislead, in whatever order the upstream answers.
#[tokio::test]
async fn calls_of_one_id_are_told_apart_whatever_the_order_of_the_answers() {
    let node = node("n").await;
    node.update_behavior(|it| it.batch_shape = BatchShape::Reversed);
    let harness = Harness::in_front_of(&[&node]).await;
    let body = r#"[{"id":7,"method":"eth_chainId"},{"id":7.0,"method":"net_version"},{"id":null,"method":"eth_blockNumber"}]"#;
    let answer = harness.client.post(body).await;
    assert_eq!(
        answer.body,
        concat!(
            r#"[{"jsonrpc":"2.0","id":7,"result":"0x539"},"#,
            r#"{"jsonrpc":"2.0","id":7.0,"result":"1337"},"#,
            r#"{"jsonrpc":"2.0","id":null,"result":"0x3e8"}]"#
        )
    );
    assert_eq!(node.hits(), 1);
}

/// Scenario C3: what one upstream leaves out is asked of another, and nothing else is.
#[tokio::test]
async fn a_call_that_was_left_out_is_asked_elsewhere_if_that_is_safe() {
    let (first, second, harness) = two().await;
    first.update_behavior(|it| it.batch_shape = BatchShape::WithoutLast);
    let items = harness.client.post(distinct(3).to_string()).await.json();
    assert!(
        items
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["result"].is_string())
    );
    assert_eq!((first.hits(), second.hits()), (1, 1));
    assert_eq!(second.captured()[0].rpc_methods, ["eth_getBalance"]);
    let unsafe_last =
        r#"[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_sendTransaction","params":[{}]}]"#;
    let items = harness.client.post(unsafe_last).await.json();
    assert_eq!(
        [&items[0]["result"], &items[1]["error"]["code"]],
        [&json!("0x539"), &json!(-32603)]
    );
    assert_eq!((first.hits(), second.hits()), (2, 1));
}

/// Scenario A35 inside a batch: errors that another upstream may not have are asked of it, in a smaller batch.
#[tokio::test]
async fn a_call_of_a_batch_that_failed_is_asked_elsewhere_and_the_others_are_not() {
    let (first, second, harness) = two().await;
    let missing = RpcError::new(-32000, "missing trie node");
    first.answer("eth_getBalance", json!(["0x1", "latest"]), Err(missing.clone()));
    let items = harness.client.post(distinct(3).to_string()).await.json();
    assert!(
        items
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["result"].is_string())
    );
    assert_eq!((first.hits(), second.hits_of("eth_getBalance")), (1, 1));
    second.answer("eth_getBalance", json!(["0x1", "latest"]), Err(missing));
    let items = harness.client.post(distinct(3).to_string()).await.json();
    assert_eq!(items[1]["error"]["message"], "missing trie node");
    assert_eq!(items[1]["error"]["code"], -32014);
    assert!(items[0]["result"].is_string() && items[2]["result"].is_string());
}

/// Scenario A36 inside a batch.
#[tokio::test]
async fn a_revert_inside_a_batch_is_final() {
    let (first, second, harness) = two().await;
    let reverted = RpcError::new(3, "execution reverted");
    first.answer("eth_getBalance", json!(["0x1", "latest"]), Err(reverted));
    let items = harness.client.post(distinct(2).to_string()).await.json();
    assert_eq!(items[1]["error"]["code"], 3);
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

/// Scenarios C9, 10.
#[tokio::test]
async fn a_batch_takes_as_long_as_its_slowest_call_and_loses_none() {
    let node = node("n").await;
    node.update_behavior(|it| {
        it.method_latency
            .insert("eth_call".into(), Duration::from_millis(100));
    });
    let harness = Harness::in_front_of(&[&node]).await;
    let calls: Value = (0..100)
        .map(|id| {
            let method = if id == 50 { "eth_call" } else { "eth_chainId" };
            json!({"id": id, "method": method, "params": [{}]})
        })
        .collect();
    let began = Instant::now();
    let items = harness.client.post(calls.to_string()).await.json();
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(100) && took < Duration::from_millis(600),
        "{took:?}"
    );
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 100);
    assert!(items.iter().all(|item| item["result"].is_string()));
    assert_eq!(node.hits(), 1);
}

/// Scenarios A7, 137: one error for a batch blames the batch, not the upstream.
#[tokio::test]
async fn a_batch_refused_as_one_goes_elsewhere_once_and_blames_nobody() {
    let (first, second, harness) = two().await;
    let too_large = RpcError::new(-32000, "batch too large");
    first.update_behavior(|it| it.batch_shape = BatchShape::OneError(too_large));
    for asked in 1..=5 {
        let items = harness.client.post(distinct(2).to_string()).await.json();
        assert_eq!(items[1]["result"], "0xde0b6b3a7640000");
        assert_eq!((first.hits(), second.hits()), (asked, asked));
    }
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}

/// Scenario C6.
#[tokio::test]
async fn a_batch_that_nobody_answers_is_one_error_for_each_id() {
    let (first, second, harness) = two().await;
    let gone = tyrscale_simnode::Fault::CloseBeforeAnswer;
    first.set_fault(gone.clone());
    second.set_fault(gone);
    let answer = harness
        .client
        .post(r#"[{"id":"a","method":"eth_chainId"},{"id":9,"method":"eth_chainId"}]"#)
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    assert_eq!((&items[0]["id"], &items[1]["id"]), (&json!("a"), &json!(9)));
    assert!(
        items
            .as_array()
            .unwrap()
            .iter()
            .all(|item| item["error"]["code"].is_i64())
    );
}
