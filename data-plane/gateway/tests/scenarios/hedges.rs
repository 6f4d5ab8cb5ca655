//! Reads that a second upstream is asked for when the first takes long.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::Instant;
use tyrscale_model::{Resource, Retry, Route, Upstream};
use tyrscale_simnode::{Fault, RpcError, SimNode};

use super::harness::{Harness, bounded, breaker, node, route_id, settings, upstream};
use super::setting::in_order;

const DELAY: Duration = Duration::from_millis(100);

/// In order, hedged after [`DELAY`].
fn hedged() -> Route {
    Route {
        hedge_delay_ms: 100,
        circuit_breaker: Some(breaker(1, 60_000)),
        ..in_order()
    }
}

/// The same, with a budget of so many hedges and retries a second.
fn poor(per_second: u32) -> Route {
    Route {
        retry: Some(Retry {
            budget_percent: Some(0),
            budget_min_per_second: Some(per_second),
            ..Retry::default()
        }),
        ..hedged()
    }
}

async fn two_hedged() -> (SimNode, SimNode, Harness) {
    let (first, second) = (node("first").await, node("second").await);
    let harness = Harness::with_route(settings(), hedged(), &[&first, &second]).await;
    (first, second, harness)
}

/// Scenario 84.
#[tokio::test]
async fn one_that_takes_long_is_overtaken_and_not_blamed() {
    let (first, second, harness) = two_hedged().await;
    first.set_fault(Fault::Silence);
    for asked in 1..=3 {
        let began = Instant::now();
        let answer = bounded(harness.client.call("eth_chainId")).await;
        assert_eq!(answer.node(), "second");
        assert!(began.elapsed() >= DELAY, "{:?}", began.elapsed());
        bounded(first.wait_for_load(|load| load.abandoned == asked)).await;
    }
    harness.idle().await;
    assert_eq!((first.hits(), second.hits()), (3, 3));
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    assert!(harness.metric("tyrscale_hedges_total", &[]) == 3.0);
}

/// Scenario 84: who answers in time is not hedged, nor is who answers first though hedged overtaken.
#[tokio::test]
async fn one_that_answers_is_taken() {
    let (first, second, harness) = two_hedged().await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    assert_eq!(second.hits(), 0);
    first.set_latency(2 * DELAY);
    second.set_fault(Fault::Silence);
    assert_eq!(bounded(harness.client.call("eth_chainId")).await.node(), "first");
    bounded(second.wait_for_load(|load| load.abandoned == 1)).await;
}

/// Scenario 85.
#[tokio::test]
async fn one_that_fails_is_followed_at_once() {
    let (first, second) = (node("first").await, node("second").await);
    let late = Route {
        hedge_delay_ms: 60_000,
        ..hedged()
    };
    let harness = Harness::with_route(settings(), late, &[&first, &second]).await;
    first.set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    assert_eq!(bounded(harness.client.call("eth_chainId")).await.node(), "second");
    assert!(harness.metric("tyrscale_hedges_total", &[]) == 0.0);
}

/// Scenario 87.
#[tokio::test]
async fn a_revert_of_the_first_is_an_answer_though_another_is_asked() {
    let (first, second, harness) = two_hedged().await;
    let reverted = RpcError::new(3, "execution reverted").with_data(json!("0x"));
    first.set_fault(Fault::RpcError(reverted));
    first.set_latency(2 * DELAY);
    second.set_fault(Fault::Silence);
    let answer = bounded(harness.ask("eth_call", &json!([{}, "latest"]))).await;
    assert_eq!(answer.json()["error"]["code"], 3);
    assert_eq!(second.hits(), 1);
}

/// Scenario 88.
#[tokio::test]
async fn what_is_no_read_is_not_hedged() {
    let (first, second, harness) = two_hedged().await;
    first.set_latency(2 * DELAY);
    for method in ["eth_sendTransaction", "eth_newFilter"] {
        first.answer(method, None, Ok(json!("0x1")));
        let _answer = harness.ask(method, &json!([{}])).await;
        assert_eq!(
            (first.hits_of(method), second.hits_of(method)),
            (1, 0),
            "{method}"
        );
    }
}

/// Scenarios 89, 92.
#[tokio::test]
async fn hedges_are_bounded_by_upstreams_and_budget() {
    let only = node("only").await;
    only.set_latency(2 * DELAY);
    let harness = Harness::with_route(settings(), hedged(), &[&only]).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "only");
    assert_eq!(only.hits(), 1);
    let (first, second) = (node("first").await, node("second").await);
    first.set_latency(2 * DELAY);
    let harness = Harness::with_route(settings(), poor(0), &[&first, &second]).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    assert_eq!(second.hits(), 0);
}

/// Scenario 92: where nobody can be asked beside it, nothing is paid.
#[tokio::test]
async fn a_hedge_that_cannot_be_made_costs_nothing() {
    let (first, second) = (node("first").await, node("second").await);
    first.set_latency(2 * DELAY);
    let mut harness = Harness::with_route(settings(), poor(1), &[&first, &second]).await;
    let cordoned = |cordoned| {
        Resource::Upstream(Upstream {
            cordoned,
            ..upstream(2, route_id(1), 1.0)
        })
    };
    harness.put([cordoned(true)]);
    let slow = (0..20).map(|_| harness.client.call("eth_chainId"));
    for answer in futures_util::future::join_all(slow).await {
        assert_eq!(answer.node(), "first");
    }
    harness.put([cordoned(false)]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
}
