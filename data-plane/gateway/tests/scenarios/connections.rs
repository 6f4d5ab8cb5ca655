//! Clients that leave, and connections that are given back.

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tyrscale_model::Route;
use tyrscale_simnode::Fault;

use super::harness::{Harness, bounded, breaker, eventually, node};
use super::raw::post;
use super::setting::{call, in_order, two_behind};

/// Scenario A17.
#[tokio::test]
async fn a_client_that_closes_cancels_the_upstreams_request_and_blames_nobody() {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(1, 60_000)),
        ..in_order()
    };
    let (first, second, harness) = two_behind(with_breaker).await;
    first.hold();
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = post(&call("eth_call", &json!([{}])));
    stream.write_all(request.as_bytes()).await.unwrap();
    bounded(first.wait_for_hits(1)).await;
    drop(stream);
    bounded(first.wait_for_load(|load| load.abandoned == 1 && load.closed_by_client == 1)).await;
    eventually(async || harness.metric("route_requests_total", &[("status", "499")]) == 1.0).await;
    harness.idle().await;
    assert_eq!(second.hits(), 0);
    first.release();
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}

/// Scenario 20, scaled down.
#[tokio::test]
async fn clients_that_keep_leaving_leak_nothing() {
    let node = node("n").await;
    node.set_method_fault("eth_call", Fault::Silence);
    let harness = Harness::in_front_of(&[&node]).await;
    let request = post(&call("eth_call", &json!([{}])));
    for round in 1..=100 {
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        bounded(node.wait_for_hits(round)).await;
    }
    bounded(node.wait_for_load(|load| load.in_flight == 0 && load.open == 0)).await;
    harness.idle().await;
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) == 0.0).await;
    assert_eq!(node.load().abandoned, 100);
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
}

/// Scenario 82 with a client that leaves: the trial of a breaker is given back.
#[tokio::test]
async fn a_client_that_leaves_during_a_trial_does_not_keep_the_upstream_shut() {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(1, 20)),
        ..in_order()
    };
    let (first, _second, harness) = two_behind(with_breaker).await;
    first.fail_next(1, Fault::CloseBeforeAnswer);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    first.hold();
    let request = post(&call("eth_chainId", &json!([])));
    let mut trial = None;
    eventually(async || {
        // Until the breaker lets one through, the second answers at once.
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let answered = async {
            let mut first_byte = [0];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut first_byte).await
        };
        tokio::select! {
            _ = answered => false,
            () = first.wait_for_load(|load| load.in_flight == 1) => {
                trial = Some(stream);
                true
            }
        }
    })
    .await;
    drop(trial);
    bounded(first.wait_for_load(|load| load.abandoned == 1)).await;
    first.release();
    eventually(async || harness.client.call("eth_chainId").await.node() == "first").await;
}

/// Requests one after the other share a connection to the upstream, whatever the upstream says.
#[tokio::test]
async fn an_upstreams_connection_serves_many_requests() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    for method in ["eth_chainId", "eth_nonsense", "eth_getLogs"] {
        for _ in 0..10 {
            harness.client.call(method).await;
        }
    }
    // What it has said that it does not serve it is not asked again.
    assert!(node.hits() > 20);
    assert_eq!(node.connections(), 1);
}
