//! What errors of upstreams do to a request: which go elsewhere, which are passed on, and in what form.

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, RawResponse, RpcError, SimNode};

use super::harness::{HOST_NAME, Harness, node, route, settings};

const RAW: &str = r#"{"jsonrpc":"2.0","id":1.0,"method":"eth_sendRawTransaction","params":["0x02"]}"#;
/// Keccak-256 of the byte 2.
const HASH: &str = "0xf2ee15ea639b73fa3db9b34a245bdfa015c260c598b211bf05a1ecc4b3e3b4f2";

async fn two() -> (SimNode, SimNode, Harness) {
    let (first, second) = (node("first").await, node("second").await);
    let in_order = Route {
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    };
    let harness = Harness::with_route(settings(), in_order, &[&first, &second]).await;
    (first, second, harness)
}

fn says(code: i64, message: &str) -> Fault {
    Fault::RpcError(RpcError::new(code, message))
}

/// Scenario A35.
#[tokio::test]
async fn what_one_upstream_lacks_is_asked_of_the_next() {
    for message in [
        "missing trie node 5a",
        "header not found",
        "rate limit exceeded",
        "query returned more than 10000 results",
        "nobody has ever seen this text",
    ] {
        let (first, second, harness) = two().await;
        first.set_fault(says(-32000, message));
        let answer = harness.client.call("eth_call").await;
        assert_eq!(
            (answer.status, answer.node()),
            (StatusCode::OK, "second"),
            "{message}"
        );
        assert_eq!((first.hits(), second.hits()), (1, 1), "{message}");
    }
}

/// Scenario A36.
#[tokio::test]
async fn a_revert_is_final_and_its_bytes_are_where_libraries_look() {
    let (first, second, harness) = two().await;
    let reverted = RpcError::new(-32015, "VM execution error.").with_data("Reverted 0x4e487b71");
    first.set_fault(Fault::RpcError(reverted));
    let answer = harness.client.call("eth_call").await;
    assert_eq!(answer.status, StatusCode::OK);
    let error = json!({"code": -32015, "message": "VM execution error.", "data": "0x4e487b71"});
    assert_eq!(answer.json()["error"], error);
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

#[tokio::test]
async fn when_all_fail_the_most_telling_error_keeps_its_words() {
    let (first, second, harness) = two().await;
    let range = "query returned more than 10000 results";
    for faults in [
        [says(-32000, range), says(-32000, "header not found")],
        [says(-32000, "header not found"), says(-32000, range)],
    ] {
        let [one, other] = faults;
        first.set_fault(one);
        second.set_fault(other);
        let answer = harness.client.call("eth_getLogs").await;
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["error"]["code"], &told["error"]["message"]),
            (StatusCode::OK, &json!(-32012), &json!(range))
        );
    }
    first.set_fault(says(-32000, "header not found"));
    second.set_fault(says(-32000, "missing trie node"));
    assert_eq!(harness.client.call("eth_call").await.error_code(), -32014);
}

/// Scenario J7.
#[tokio::test]
async fn a_transaction_that_is_known_already_is_a_success_with_its_hash() {
    let (first, second, harness) = two().await;
    first.set_fault(says(-32000, "already known"));
    let answer = harness.client.post(RAW).await;
    let expected = format!(r#"{{"jsonrpc":"2.0","id":1.0,"result":"{HASH}"}}"#);
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, expected.as_bytes())
    );
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

#[tokio::test]
async fn an_answer_to_another_call_is_not_passed_on() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::Respond(RawResponse::json(
        StatusCode::OK,
        r#"{"jsonrpc":"2.0","id":"another","result":"0x1"}"#,
    )));
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(answer.node(), "second");
    assert_ne!(answer.json()["id"], Value::from("another"));
    assert_eq!((first.hits(), second.hits()), (1, 1));
}
