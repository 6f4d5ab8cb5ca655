//! Which upstream takes which share.

use http::StatusCode;
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, SimNode};

use super::harness::{HOST_NAME, Harness, bounded, node, route, settings};

async fn with(load_balancer: LoadBalancer, nodes: &[&SimNode]) -> Harness {
    let route = Route {
        load_balancer,
        ..route(1, HOST_NAME)
    };
    Harness::with_route(settings(), route, nodes).await
}

async fn calls(harness: &Harness, count: usize) {
    for _ in 0..count {
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    }
}

/// Compatibility case 147. Scenario 114.
#[tokio::test]
async fn fractions_of_weights_count() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = with(LoadBalancer::WeightRoundRobin, &[&a, &b]).await;
    harness.set_weight(1, 0.5);
    harness.set_weight(2, 0.5);
    calls(&harness, 20).await;
    assert_eq!((a.hits(), b.hits()), (10, 10));
    harness.set_weight(1, 99.5);
    calls(&harness, 200).await;
    assert_eq!((a.hits(), b.hits()), (209, 11));
}

/// Compatibility case 148.
#[tokio::test]
async fn a_failing_upstream_costs_no_request() {
    let (a, b, c) = (node("a").await, node("b").await, node("c").await);
    a.set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let harness = with(LoadBalancer::WeightRoundRobin, &[&a, &b, &c]).await;
    calls(&harness, 100).await;
    assert_eq!(b.hits() + c.hits(), 100);
}

/// Compatibility cases 150, 151.
#[tokio::test]
async fn least_load_spares_the_slow_one_and_returns_to_it() {
    let (slow, fast) = (node("slow").await, node("fast").await);
    let mut harness = with(LoadBalancer::LeastLoad, &[&slow, &fast]).await;
    slow.hold();
    let client = harness.client.clone();
    let stuck = tokio::spawn(async move { client.call("eth_chainId").await });
    bounded(slow.wait_for_hits(1)).await;
    calls(&harness, 20).await;
    assert_eq!((slow.hits(), fast.hits()), (1, 20));
    slow.release();
    stuck.await.unwrap();
    harness.idle().await;
    harness.set_weight(1, 60.0);
    calls(&harness, 5).await;
    assert!(slow.hits() > 1);
}

/// Compatibility case 152. Scenario O8.
#[tokio::test]
async fn the_highest_priority_takes_everything() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = with(LoadBalancer::FailoverPriority, &[&a, &b]).await;
    harness.set_weight(1, 50.0);
    harness.set_weight(2, 20.0);
    let (before_a, before_b) = (a.hits(), b.hits());
    calls(&harness, 10).await;
    assert_eq!((a.hits() - before_a, b.hits() - before_b), (10, 0));
    harness.set_weight(2, 60.0);
    calls(&harness, 10).await;
    assert_eq!((a.hits() - before_a, b.hits() - before_b), (10, 10));
}
