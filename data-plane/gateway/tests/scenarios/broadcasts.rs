//! Transactions that go to several nodes at once.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tyrscale_model::Route;
use tyrscale_simnode::{Fault, RpcError, SimNode};

use super::harness::{Harness, bounded, node, settings};
use super::raw::post;
use super::setting::{call, in_order};
use super::transactions::{HASH, RAW, SEND, send};

async fn broadcasting() -> ([SimNode; 3], Harness) {
    let nodes = [node("a").await, node("b").await, node("c").await];
    for node in &nodes {
        node.answer(SEND, None, Ok(json!(HASH)));
    }
    let route = Route {
        broadcast_transactions: 3,
        ..in_order()
    };
    let harness = Harness::with_route(settings(), route, &nodes.each_ref()).await;
    (nodes, harness)
}

/// Scenario J1.
#[tokio::test]
async fn a_broadcast_reaches_each_node_once_and_the_first_success_is_told() {
    let (nodes, harness) = broadcasting().await;
    nodes[0].hold();
    nodes[2].hold();
    let answer = send(&harness).await;
    assert_eq!(
        (answer.node(), answer.json()["result"].clone()),
        ("b", json!(HASH))
    );
    nodes[0].release();
    nodes[2].release();
    for node in &nodes {
        bounded(node.wait_for_hits(1)).await;
        bounded(node.wait_for_load(|load| load.in_flight == 0)).await;
        assert_eq!((node.hits(), node.load().abandoned), (1, 0), "{}", node.name());
    }
    harness.idle().await;
}

/// Scenario J3.
#[tokio::test]
async fn a_fast_failure_of_a_broadcast_waits_for_a_slow_success() {
    let (nodes, harness) = broadcasting().await;
    nodes[0].set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    nodes[1].set_latency(Duration::from_millis(50));
    nodes[2].set_fault(Fault::CloseBeforeAnswer);
    assert_eq!(send(&harness).await.node(), "b");
}

/// Scenario J6.
#[tokio::test]
async fn a_broadcast_that_one_knows_and_another_takes_is_success() {
    let (nodes, harness) = broadcasting().await;
    nodes[0].set_fault(Fault::RpcError(RpcError::new(-32000, "already known")));
    nodes[1].set_latency(Duration::from_millis(20));
    assert_eq!(send(&harness).await.json()["result"], HASH);
}

/// Scenario J7.
#[tokio::test]
async fn a_broadcast_that_all_know_is_success() {
    let (nodes, harness) = broadcasting().await;
    for node in &nodes {
        node.set_fault(Fault::RpcError(RpcError::new(-32000, "already known")));
    }
    assert_eq!(send(&harness).await.json()["result"], HASH);
}

/// Scenario J10.
#[tokio::test]
async fn a_broadcast_goes_on_when_its_client_leaves() {
    let (nodes, harness) = broadcasting().await;
    for node in &nodes {
        node.hold();
    }
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = post(&call(SEND, &json!([RAW])));
    stream.write_all(request.as_bytes()).await.unwrap();
    bounded(nodes[0].wait_for_hits(1)).await;
    drop(stream);
    for node in &nodes {
        bounded(node.wait_for_hits(1)).await;
        node.release();
    }
    for node in &nodes {
        bounded(node.wait_for_load(|load| load.in_flight == 0)).await;
        assert_eq!((node.hits(), node.load().abandoned), (1, 0), "{}", node.name());
    }
}

/// Scenario 147.
#[tokio::test]
async fn a_broadcast_that_all_refuse_tells_the_most_of_the_errors() {
    let (nodes, harness) = broadcasting().await;
    nodes[0].set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    nodes[1].set_fault(Fault::RpcError(RpcError::new(
        -32000,
        "insufficient funds for transfer",
    )));
    nodes[2].set_fault(Fault::CloseBeforeAnswer);
    for _ in 0..3 {
        let told = send(&harness).await.json();
        assert_eq!(told["error"]["message"], "insufficient funds for transfer");
    }
}

/// A broadcast whose client has gone is finished before the gateway stops.
#[tokio::test]
async fn a_broadcast_under_way_is_finished_at_the_shutdown() {
    let (nodes, harness) = broadcasting().await;
    for node in &nodes[1..] {
        node.hold();
    }
    assert_eq!(send(&harness).await.json()["result"], HASH);
    for node in &nodes {
        bounded(node.wait_for_hits(1)).await;
    }
    harness.shutdown.cancel();
    let Harness { serving, .. } = harness;
    assert!(!serving.is_finished());
    for node in &nodes {
        node.release();
    }
    bounded(serving).await.unwrap();
    for node in &nodes {
        assert_eq!((node.hits(), node.load().abandoned), (1, 0), "{}", node.name());
    }
}

/// Those who were not asked at once come next, and nobody is asked twice.
#[tokio::test]
async fn a_broadcast_that_fails_goes_on_with_those_who_are_left() {
    let nodes = [node("a").await, node("b").await, node("c").await];
    for node in &nodes[..2] {
        node.set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    }
    nodes[2].answer(SEND, None, Ok(json!(HASH)));
    let route = Route {
        broadcast_transactions: 2,
        ..in_order()
    };
    let harness = Harness::with_route(settings(), route, &nodes.each_ref()).await;
    assert_eq!(send(&harness).await.node(), "c");
    assert_eq!(nodes.each_ref().map(SimNode::hits), [1, 1, 1]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "c");
}
