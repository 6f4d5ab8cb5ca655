//! `eth_sendRawTransaction`: one transaction, however often it is sent.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_simnode::{Fault, RpcError, SimNode};

use super::harness::{Answer, Harness, bounded, node};
use super::setting::two;

/// The bytes "hello".
pub(crate) const RAW: &str = "0x68656c6c6f";
/// Keccak-256 of them, a published test vector.
pub(crate) const HASH: &str = "0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8";
pub(crate) const SEND: &str = "eth_sendRawTransaction";

pub(crate) async fn send(harness: &Harness) -> Answer {
    harness.ask(SEND, &json!([RAW])).await
}

/// Scenarios 93, J7.
#[tokio::test]
async fn a_transaction_that_is_known_already_is_success_with_its_hash() {
    for (code, message) in [
        (-32000, "already known"),
        (
            -32000,
            "known transaction: 1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8",
        ),
        (-32000, "Known transaction"),
        (-32010, "Transaction with the same hash was already imported."),
        (-32010, "AlreadyKnown"),
        (-32000, "ALREADY_EXISTS: already known"),
        (-32603, "tx already in mempool"),
        (-32000, "transaction already exists"),
        (-32003, "already known"),
    ] {
        let (first, second, harness) = two().await;
        first.set_fault(Fault::RpcError(RpcError::new(code, message)));
        second.set_fault(Fault::RpcError(RpcError::new(code, message)));
        let answer = send(&harness).await;
        assert_eq!(answer.status, StatusCode::OK);
        let told = answer.json();
        assert_eq!(told["result"], HASH, "{message}: {told}");
        assert!(told["error"].is_null() && told["id"] == 1, "{told}");
    }
}

/// Scenario 93 within a batch.
#[tokio::test]
async fn a_known_transaction_in_a_batch_is_success_in_its_place() {
    let node = node("n").await;
    node.answer(SEND, None, Err(RpcError::new(-32000, "already known")));
    let harness = Harness::in_front_of(&[&node]).await;
    let batch = json!([
        {"id": 1, "method": "eth_chainId"},
        {"id": 2, "method": SEND, "params": [RAW]},
    ]);
    let items = harness.client.post(batch.to_string()).await.json();
    assert_eq!(
        (&items[0]["result"], &items[1]["result"]),
        (&json!("0x539"), &json!(HASH))
    );
}

/// Scenario 97: the attempt's outcome is unknown and every other fails, but the transaction is on the chain.
#[tokio::test]
async fn a_transaction_on_the_chain_was_sent_whatever_the_nodes_said() {
    let node = node("n").await;
    node.answer(SEND, None, Err(RpcError::new(-32000, "nonce too low")));
    node.answer(
        "eth_getTransactionByHash",
        json!([HASH]),
        Ok(json!({"hash": HASH, "nonce": "0x1"})),
    );
    let harness = Harness::in_front_of(&[&node]).await;
    assert_eq!(send(&harness).await.json()["result"], HASH);
    node.answer("eth_getTransactionByHash", json!([HASH]), Ok(Value::Null));
    let answer = send(&harness).await.json();
    assert_eq!(answer["error"]["message"], "nonce too low");
}

/// Scenario 97: the look-up has a bound of its own.
#[tokio::test]
async fn a_look_up_that_hangs_does_not_hold_the_answer() {
    let node = node("n").await;
    node.answer(SEND, None, Err(RpcError::new(-32000, "nonce too low")));
    node.set_method_fault("eth_getTransactionByHash", Fault::Silence);
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = tokio::time::timeout(Duration::from_secs(5), send(&harness)).await;
    assert_eq!(
        answer.expect("held by the look-up").json()["error"]["message"],
        "nonce too low"
    );
}

/// Scenario 100.
#[tokio::test]
async fn a_sequencers_limit_on_a_sender_is_told_at_once() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::RpcError(RpcError::new(
        -32005,
        "sender is over rate limit",
    )));
    let answer = send(&harness).await.json();
    assert_eq!(answer["error"]["message"], "sender is over rate limit");
    assert_eq!((first.hits(), second.hits()), (1, 0));
}

/// Errors about the transaction itself are told at once and blame nobody.
#[tokio::test]
async fn what_is_wrong_with_the_transaction_is_told_at_once() {
    for message in [
        "insufficient funds for gas * price + value",
        "replacement transaction underpriced",
        "rlp: expected input list for types.LegacyTx",
        "intrinsic gas too low",
    ] {
        let (first, second, harness) = two().await;
        first.set_fault(Fault::RpcError(RpcError::new(-32000, message)));
        assert_eq!(send(&harness).await.json()["error"]["message"], message);
        assert_eq!(second.hits(), 0, "{message}");
    }
}

/// Scenario 97: the one that took it broke off, and the other does not know it yet.
#[tokio::test]
async fn a_transaction_that_one_node_has_was_sent_though_no_attempt_was_answered() {
    let (first, second, harness) = two().await;
    for node in [&first, &second] {
        node.set_method_fault(SEND, Fault::CloseBeforeAnswer);
    }
    let by_hash = "eth_getTransactionByHash";
    first.answer(by_hash, json!([HASH]), Ok(Value::Null));
    second.answer(by_hash, json!([HASH]), Ok(json!({"hash": HASH})));
    let answer = send(&harness).await;
    assert_eq!(
        (answer.status, &answer.json()["result"]),
        (StatusCode::OK, &json!(HASH))
    );
    assert_eq!((first.hits_of(by_hash), second.hits_of(by_hash)), (1, 1));
    second.answer(by_hash, json!([HASH]), Ok(Value::Null));
    let answer = send(&harness).await;
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
    bounded(harness.idle()).await;
}

/// What is wrong with a transaction is not looked into.
#[tokio::test]
async fn a_transaction_that_is_refused_for_good_is_not_looked_for() {
    let node = node("n").await;
    node.answer(
        SEND,
        None,
        Err(RpcError::new(-32000, "insufficient funds for transfer")),
    );
    let harness = Harness::in_front_of(&[&node]).await;
    send(&harness).await;
    assert_eq!(node.hits(), 1);
}

/// Three look-ups are three requests, whoever fails.
#[tokio::test]
async fn a_transaction_is_looked_for_at_no_more_than_three_upstreams() {
    let mut nodes = Vec::new();
    for name in ["a", "b", "c", "d", "e"] {
        let node = node(name).await;
        node.set_method_fault(SEND, Fault::CloseBeforeAnswer);
        node.set_method_fault("eth_getTransactionByHash", Fault::status(StatusCode::BAD_GATEWAY));
        nodes.push(node);
    }
    let all: Vec<&SimNode> = nodes.iter().collect();
    let harness = Harness::in_front_of(&all).await;
    assert_eq!(send(&harness).await.status, StatusCode::BAD_GATEWAY);
    let asked: u64 = nodes
        .iter()
        .map(|node| node.hits_of("eth_getTransactionByHash"))
        .sum();
    assert_eq!(asked, 3);
}
