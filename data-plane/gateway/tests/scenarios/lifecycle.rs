//! Configuration that changes, and the gateway's own beginning and end.

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use tyrscale_model::{Resource, View};
use tyrscale_simnode::Fault;

use super::harness::{Harness, bounded, eventually, node, route_id, rpc, upstream};
use super::setting::two;

/// Scenario N1: connections to upstreams that a change does not touch stay.
#[tokio::test]
async fn a_change_of_one_upstream_leaves_the_connections_to_others() {
    let (first, second, mut harness) = two().await;
    for _ in 0..3 {
        harness.client.call("eth_chainId").await;
    }
    let other = node("other").await;
    harness.put([Resource::Rpc(rpc(2, &other.url()))]);
    harness.put([
        Resource::Rpc(rpc(3, &second.url())),
        Resource::Upstream(upstream(3, route_id(1), 0.5)),
    ]);
    for _ in 0..3 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    }
    assert_eq!((first.connections(), first.load().open), (1, 1));
}

/// Scenario N2: the same resources again change nothing.
#[tokio::test]
async fn the_same_configuration_again_is_no_change() {
    let (first, _second, mut harness) = two().await;
    harness.client.call("eth_chainId").await;
    let version = harness.snapshot().version(View::ALL);
    harness.put([Resource::Upstream(upstream(1, route_id(1), 1.0))]);
    assert_eq!(harness.snapshot().version(View::ALL), version);
    harness.client.call("eth_chainId").await;
    assert_eq!(first.connections(), 1);
}

/// Scenarios N9, 121: what is in flight ends well, and nothing else is taken.
#[tokio::test]
async fn a_gateway_told_to_stop_finishes_what_it_holds() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    node.hold();
    let asking: Vec<_> = (0..5)
        .map(|_| {
            let client = harness.client.clone();
            tokio::spawn(async move { client.call("eth_chainId").await })
        })
        .collect();
    bounded(node.wait_for_hits(5)).await;
    harness.shutdown.cancel();
    eventually(async || tokio::net::TcpStream::connect(harness.addr).await.is_err()).await;
    node.release();
    for call in asking {
        let answer = bounded(call).await.unwrap();
        assert_eq!(
            (answer.status, answer.json()["result"].clone()),
            (StatusCode::OK, json!("0x539"))
        );
    }
    bounded(harness.serving).await.unwrap();
}

/// Scenario 80 in small: upstreams that hang hold up neither scrapes nor other routes.
#[tokio::test]
async fn requests_that_hang_hold_up_nothing_else() {
    let (stuck, good) = (node("stuck").await, node("good").await);
    let mut harness = Harness::in_front_of(&[&stuck]).await;
    harness.put([Resource::Route(super::harness::route(2, "b.example"))]);
    harness.put([
        Resource::Rpc(rpc(2, &good.url())),
        Resource::Upstream(upstream(2, route_id(2), 1.0)),
    ]);
    stuck.set_fault(Fault::Silence);
    let hanging: Vec<_> = (0..200)
        .map(|_| {
            let client = harness.client.clone();
            tokio::spawn(async move { client.call("eth_chainId").await.status })
        })
        .collect();
    bounded(stuck.wait_for_hits(200)).await;
    let began = Instant::now();
    assert!(harness.metric("tyrscale_upstream_in_flight", &[]) == 200.0);
    assert_eq!(harness.client.post_to("b.example", "/eth").await.node(), "good");
    assert!(began.elapsed().as_secs() < 2);
    for call in hanging {
        call.abort();
    }
    harness.idle().await;
}
