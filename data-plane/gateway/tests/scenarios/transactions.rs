//! `eth_sendRawTransaction`: one transaction, however often it is sent.

use serde_json::json;
use tyrscale_simnode::{Fault, RpcError};

use super::harness::{Answer, Harness};
use super::setting::two;

/// The bytes "hello".
const RAW: &str = "0x68656c6c6f";
const SEND: &str = "eth_sendRawTransaction";

async fn send(harness: &Harness) -> Answer {
    harness.ask(SEND, &json!([RAW])).await
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
