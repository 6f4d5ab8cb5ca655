//! Reads that go to several upstreams at once.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, RpcError, SimNode};

use super::harness::{HOST_NAME, Harness, bounded, breaker, node, route, settings};
use super::raw::post;
use super::setting::call;

/// Two at once.
async fn at_once(nodes: &[&SimNode]) -> Harness {
    let concurrent = Route {
        load_balancer: LoadBalancer::Concurrent,
        concurrent_requests: 2,
        circuit_breaker: Some(breaker(1, 60_000)),
        ..route(1, HOST_NAME)
    };
    Harness::with_route(settings(), concurrent, nodes).await
}

/// The losers are neither successes nor failures.
#[tokio::test]
async fn the_first_good_answer_wins_and_the_loser_is_cancelled() {
    let (slow, fast) = (node("slow").await, node("fast").await);
    slow.set_fault(Fault::Silence);
    let harness = at_once(&[&slow, &fast]).await;
    for asked in 1..=5 {
        let answer = tokio::time::timeout(Duration::from_secs(2), harness.client.call("eth_chainId")).await;
        assert_eq!(answer.unwrap().node(), "fast");
        bounded(slow.wait_for_load(|load| load.abandoned == asked)).await;
    }
    harness.idle().await;
    assert_eq!((slow.hits(), fast.hits()), (5, 5));
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    assert!(harness.metric("upstream_successes_total", &[]) == 5.0);
}

#[tokio::test]
async fn a_racer_that_fails_lets_the_others_go_on() {
    let (broken, slow) = (node("broken").await, node("slow").await);
    broken.set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    slow.set_latency(Duration::from_millis(50));
    let harness = at_once(&[&broken, &slow]).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "slow");
    assert_eq!((broken.hits(), slow.hits()), (1, 1));
}

#[tokio::test]
async fn when_all_racers_fail_those_who_are_left_are_asked() {
    let nodes = [node("a").await, node("b").await, node("c").await];
    let harness = at_once(&nodes.each_ref()).await;
    nodes[0].set_fault(Fault::CloseBeforeAnswer);
    nodes[1].set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    for _ in 0..5 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "c");
    }
    nodes[2].set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    let before: u64 = nodes.iter().map(SimNode::hits).sum();
    let answer = harness.client.call("eth_chainId").await;
    assert!(answer.status.is_server_error());
    assert!(nodes.iter().map(SimNode::hits).sum::<u64>() <= before + 3);
}

#[tokio::test]
async fn a_revert_is_an_answer() {
    let (reverting, slow) = (node("reverting").await, node("slow").await);
    let reverted = RpcError::new(3, "execution reverted").with_data(json!("0x"));
    reverting.set_fault(Fault::RpcError(reverted));
    slow.set_fault(Fault::Silence);
    let harness = at_once(&[&reverting, &slow]).await;
    let answer = harness.ask("eth_call", &json!([{}, "latest"])).await;
    assert_eq!(answer.json()["error"]["code"], 3);
    bounded(slow.wait_for_load(|load| load.in_flight == 0)).await;
    harness.idle().await;
}

#[tokio::test]
async fn the_clients_leaving_cancels_all() {
    let nodes = [node("a").await, node("b").await];
    let harness = at_once(&nodes.each_ref()).await;
    for node in &nodes {
        node.set_fault(Fault::Silence);
    }
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = post(&call("eth_chainId", &json!([])));
    stream.write_all(request.as_bytes()).await.unwrap();
    for node in &nodes {
        bounded(node.wait_for_hits(1)).await;
    }
    drop(stream);
    for node in &nodes {
        bounded(node.wait_for_load(|load| load.abandoned == 1)).await;
    }
    harness.idle().await;
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
}

/// Scenario 89.
#[tokio::test]
async fn a_single_upstream_is_asked_once_however_many_at_once() {
    let only = node("only").await;
    let harness = at_once(&[&only]).await;
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    assert_eq!(only.hits(), 1);
}

/// Scenario 88.
#[tokio::test]
async fn what_must_not_be_repeated_is_not_asked_of_several() {
    let (a, b) = (node("a").await, node("b").await);
    let harness = at_once(&[&a, &b]).await;
    for method in ["eth_sendTransaction", "eth_newFilter"] {
        for node in [&a, &b] {
            node.answer(method, None, Ok("0x1".into()));
        }
        assert_eq!(harness.client.call(method).await.json()["result"], "0x1");
        assert_eq!(a.hits_of(method) + b.hits_of(method), 1, "{method}");
    }
}
