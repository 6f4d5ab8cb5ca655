//! Batches as upstreams answer them.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tyrscale_model::{Consistency, Retry, Route};
use tyrscale_simnode::{BatchShape, RpcError};

use super::harness::{Harness, node};
use super::setting::{in_order, two, two_behind};

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

fn failing() -> RpcError {
    RpcError::new(-32603, "internal error")
}

/// `max_attempts` holds for all that is sent for a batch.
#[tokio::test]
async fn what_is_left_of_a_batch_is_asked_elsewhere_only_within_the_attempts() {
    for (attempts, asked) in [(1, 0), (2, 1)] {
        let route = Route {
            retry: Some(Retry {
                max_attempts: attempts,
                ..Retry::default()
            }),
            ..in_order()
        };
        let (first, second, harness) = two_behind(route).await;
        first.answer("eth_getBalance", json!(["0x1", "latest"]), Err(failing()));
        harness.client.post(distinct(3).to_string()).await;
        assert_eq!((first.hits(), second.hits()), (1, asked));
    }
}

/// Sending what is left of a batch elsewhere is a retry, which the budget pays for.
#[tokio::test]
async fn what_is_left_of_a_batch_is_charged_to_the_budget() {
    let route = Route {
        retry: Some(Retry {
            budget_percent: Some(20),
            budget_min_per_second: Some(0),
            ..Retry::default()
        }),
        ..in_order()
    };
    let (first, second, harness) = two_behind(route).await;
    first.answer("eth_getBalance", json!(["0x1", "latest"]), Err(failing()));
    for _ in 0..50 {
        harness.client.post(distinct(3).to_string()).await;
    }
    assert_eq!(first.hits(), 50);
    assert!((5..=15).contains(&second.hits()), "{}", second.hits());
    assert!(harness.metric("tyrscale_retry_budget_exhausted_total", &[]) >= 30.0);
}

/// A limit or a missing method told in a batch is as good as one told to a single call.
#[tokio::test]
async fn errors_inside_a_batch_teach() {
    let (first, second, harness) = two().await;
    let missing = RpcError::new(-32601, "the method eth_gasPrice does not exist/is not available");
    first.answer("eth_gasPrice", None, Err(missing));
    let price = json!({"jsonrpc": "2.0", "id": 9, "method": "eth_gasPrice"});
    harness.client.post(json!([price]).to_string()).await;
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "second");
    assert_eq!(
        first.hits_of("eth_gasPrice"),
        1,
        "asked for what it does not serve"
    );
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    first.answer(
        "eth_getBalance",
        None,
        Err(RpcError::new(-32005, "rate limit exceeded")),
    );
    let asked = first.hits();
    harness.client.post(distinct(2).to_string()).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    assert_eq!(first.hits(), asked + 1);
    assert!(second.hits() >= 3);
}

/// Scenario L1 in a batch.
#[tokio::test]
async fn a_lookup_in_a_batch_that_finds_nothing_is_asked_of_another() {
    let by_hash = "eth_getTransactionByHash";
    let route = Route {
        consistency: Some(Consistency {
            empty_lookups_elsewhere: true,
            ..Consistency::default()
        }),
        ..in_order()
    };
    let (first, second, harness) = two_behind(route).await;
    second.answer(by_hash, json!(["0x1"]), Ok(json!({"hash": "0x1"})));
    second.answer(by_hash, json!(["0x3"]), Err(failing()));
    let look_up =
        |id: u32| json!({"jsonrpc": "2.0", "id": id, "method": by_hash, "params": [format!("{id:#x}")]});
    let chain = json!({"jsonrpc": "2.0", "id": 7, "method": "eth_chainId"});
    let body = json!([look_up(1), chain, look_up(2), look_up(3)]);
    let items = harness.client.post(body.to_string()).await.json();
    let results: Vec<&Value> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["result"])
        .collect();
    assert_eq!(
        results,
        [
            &json!({"hash": "0x1"}),
            &json!("0x539"),
            &Value::Null,
            &Value::Null
        ]
    );
    assert!(
        items[3]["error"].is_null(),
        "nothing found is an answer, an error elsewhere none"
    );
    assert_eq!(
        (first.hits(), second.hits(), second.hits_of("eth_chainId")),
        (1, 1, 0)
    );
}
