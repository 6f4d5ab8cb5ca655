//! `eth_sendRawTransaction`: one transaction, however often it is sent.

use http::StatusCode;
use serde_json::json;
use tyrscale_simnode::{Fault, RpcError};

use super::harness::{Answer, Harness};
use super::setting::two;

/// The bytes "hello".
const RAW: &str = "0x68656c6c6f";
/// Keccak-256 of them, a published test vector.
const HASH: &str = "0x1c8aff950685c2ed4bc3174f3472287b56d9517b9c948127319a09a7a36deac8";
const SEND: &str = "eth_sendRawTransaction";

async fn send(harness: &Harness) -> Answer {
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
