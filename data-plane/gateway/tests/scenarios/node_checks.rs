//! What else nodes are checked for, and what one that fails a check is kept from.

use serde_json::{Value, json};
use tyrscale_model::{HealthCheck, HealthCheckType, Route, WrongLogIndexes};
use tyrscale_simnode::{RpcError, SimNode};

use super::harness::{Harness, bounded, eventually, health, upstream_id};
use super::setting::{in_order, two_behind};

/// Checks come once in twelve intervals.
const INTERVAL_MS: u32 = 5;

async fn checked(check: impl FnOnce(&mut HealthCheck)) -> (SimNode, SimNode, Harness) {
    let mut policy = HealthCheck {
        interval_ms: INTERVAL_MS,
        ..health(HealthCheckType::EthSyncing)
    };
    check(&mut policy);
    two_behind(Route {
        health_check: Some(policy),
        ..in_order()
    })
    .await
}

/// Probes of the first upstream that did not go well for this reason.
fn failures(harness: &Harness, reason: &str) -> f64 {
    let id = upstream_id(1).to_string();
    harness.metric(
        "tyrscale_upstream_probe_failures_total",
        &[("upstream_uuid", &id), ("reason", reason)],
    )
}

async fn serves(harness: &Harness, method: &str) -> String {
    harness.client.call(method).await.node().to_owned()
}

/// Waits for so many more calls of a method, which says that the answers to all but the last have been judged.
async fn asked(node: &SimNode, method: &str, more: u64) {
    bounded(node.wait_for_hits_of(method, node.hits_of(method) + more)).await;
}

fn log(index: &str) -> Value {
    json!({"blockHash": "0xab", "logIndex": index})
}

/// Scenario G14.
#[tokio::test]
async fn a_node_with_few_peers_is_immature_and_one_that_cannot_tell_is_not() {
    let (first, _second, harness) = checked(|check| check.min_peers = 3).await;
    first.set_peers(2);
    eventually(async || serves(&harness, "eth_gasPrice").await == "second").await;
    assert!(failures(&harness, "few_peers") >= 1.0);
    let id = upstream_id(1).to_string();
    assert_eq!(
        harness.metric("tyrscale_upstream_healthy", &[("upstream_uuid", &id)]),
        0.0
    );
    first.set_peers(3);
    eventually(async || serves(&harness, "eth_gasPrice").await == "first").await;
    first.update_behavior(|it| {
        it.unsupported.insert("net_peerCount".into());
    });
    asked(&first, "net_peerCount", 3).await;
    assert_eq!(serves(&harness, "eth_gasPrice").await, "first");
}

/// Scenario G14: immature as it is, it serves where there is nobody else.
#[tokio::test]
async fn nodes_that_all_have_few_peers_are_used() {
    let (first, second, harness) = checked(|check| check.min_peers = 3).await;
    first.set_peers(0);
    second.set_peers(0);
    asked(&first, "net_peerCount", 2).await;
    asked(&second, "net_peerCount", 2).await;
    assert_eq!(serves(&harness, "eth_gasPrice").await, "first");
}

/// Scenarios G8, 146.
#[tokio::test]
async fn a_node_with_wrong_log_indexes_is_out_for_logs_only() {
    let exclude = |check: &mut HealthCheck| check.wrong_log_indexes = Some(WrongLogIndexes::Exclude);
    let (first, _second, harness) = checked(exclude).await;
    first.answer("eth_getLogs", None, Ok(json!([log("0x0"), log("0x0")])));
    eventually(async || serves(&harness, "eth_getLogs").await == "second").await;
    assert!(failures(&harness, "wrong_log_indexes") >= 1.0);
    assert_eq!(serves(&harness, "eth_getTransactionReceipt").await, "second");
    assert_eq!(serves(&harness, "eth_gasPrice").await, "first");
    // A block without logs says nothing.
    first.answer("eth_getLogs", None, Ok(json!([])));
    asked(&first, "eth_getLogs", 3).await;
    assert_eq!(serves(&harness, "eth_getLogs").await, "second");
    first.answer("eth_getLogs", None, Ok(json!([log("0x1"), log("0x0")])));
    eventually(async || serves(&harness, "eth_getLogs").await == "first").await;
}

/// Scenario G8: told of, and used.
#[tokio::test]
async fn a_node_with_wrong_log_indexes_may_only_be_told_of() {
    let warn = |check: &mut HealthCheck| check.wrong_log_indexes = Some(WrongLogIndexes::Warn);
    let (first, _second, harness) = checked(warn).await;
    first.answer("eth_getLogs", None, Ok(json!([log("0x7")])));
    eventually(async || failures(&harness, "wrong_log_indexes") >= 1.0).await;
    assert_eq!(serves(&harness, "eth_getLogs").await, "first");
}

/// Scenarios G9, 146.
#[tokio::test]
async fn calls_go_past_a_node_that_returns_little() {
    let (first, second, harness) = checked(|check| check.min_call_result_bytes = 1000).await;
    let returns = |bytes: usize| Ok(json!(format!("0x{}", "00".repeat(bytes))));
    first.answer("eth_call", None, returns(999));
    second.answer("eth_call", None, returns(1000));
    eventually(async || serves(&harness, "eth_call").await == "second").await;
    assert!(failures(&harness, "small_call_results") >= 1.0);
    assert_eq!(serves(&harness, "eth_gasPrice").await, "first");
    first.answer("eth_call", None, returns(1000));
    eventually(async || serves(&harness, "eth_call").await == "first").await;
    let refusal = RpcError::new(-32000, "response size exceeded");
    first.answer("eth_call", None, Err(refusal));
    eventually(async || failures(&harness, "small_call_results") >= 2.0).await;
    // Where all return little, the first is as good as any.
    second.answer("eth_call", None, returns(10));
    first.answer("eth_call", None, returns(20));
    asked(&second, "eth_call", 3).await;
    assert_eq!(serves(&harness, "eth_call").await, "first");
}
