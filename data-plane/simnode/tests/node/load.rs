//! What the node tells of its connections and of requests under way.

use std::time::Duration;

use serde_json::json;
use tyrscale_simnode::Fault;

use super::caller::{bounded, node_and_caller};

#[tokio::test]
async fn requests_under_way_are_counted_with_the_most_at_once() {
    let (node, caller) = node_and_caller().await;
    node.hold();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.result("eth_chainId", json!([])).await })
        })
        .collect();
    bounded(node.wait_for_load(|load| load.in_flight == 3)).await;
    node.release();
    for call in calls {
        assert_eq!(bounded(call).await.unwrap(), "0x539");
    }
    bounded(node.wait_for_load(|load| load.in_flight == 0)).await;
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    let load = node.load();
    assert_eq!(
        (load.most_in_flight, load.abandoned, load.accepted, load.open),
        (3, 0, 3, 3)
    );
}

#[tokio::test]
async fn a_client_that_leaves_is_seen_to_before_and_within_the_body() {
    let (node, caller) = node_and_caller().await;
    for (left, fault) in (1..).zip([
        Fault::Silence,
        Fault::StallMidBody { after_bytes: 0 },
        Fault::StallMidBody { after_bytes: 10 },
    ]) {
        node.fail_next(1, fault);
        let caller = caller.clone();
        let call = tokio::spawn(async move { caller.call("eth_chainId", json!([])).await.is_ok() });
        bounded(node.wait_for_load(|load| load.in_flight == 1)).await;
        call.abort();
        bounded(node.wait_for_load(|load| load.abandoned == left && load.closed_by_client == left)).await;
    }
}

#[tokio::test]
async fn a_connection_the_node_closed_was_not_closed_by_the_client() {
    let (node, caller) = node_and_caller().await;
    for fault in [Fault::CloseBeforeAnswer, Fault::CloseMidBody { after_bytes: 3 }] {
        node.fail_next(1, fault);
        caller.call("eth_chainId", json!([])).await.ok();
    }
    bounded(node.wait_for_load(|load| load.accepted == 2 && load.open == 0)).await;
    let load = node.load();
    assert_eq!((load.closed_by_client, load.abandoned), (0, 0));
}

#[tokio::test]
async fn bodies_come_late_or_byte_by_byte() {
    let (node, caller) = node_and_caller().await;
    node.fail_next(
        1,
        Fault::Trickle {
            every: Duration::from_micros(100),
        },
    );
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    node.update_behavior(|it| {
        it.body_start_delay = Duration::from_millis(10);
        it.latency_jitter = Duration::from_millis(1);
    });
    let began = std::time::Instant::now();
    assert_eq!(caller.result("eth_chainId", json!([])).await, "0x539");
    assert!(began.elapsed() >= Duration::from_millis(10));
    bounded(node.wait_for_load(|load| load.in_flight == 0)).await;
    assert_eq!(node.load().abandoned, 0);
}
