//! Breakers that open by the share of failures.

use http::StatusCode;
use serde_json::json;
use tyrscale_model::{CircuitBreaker, Route};
use tyrscale_simnode::{Fault, RpcError};

use super::harness::{breaker, eventually, upstream_id};
use super::setting::{in_order, two_behind};

/// Opens when a quarter of at least twenty requests failed; failures in a row do not matter.
fn by_share() -> Route {
    Route {
        circuit_breaker: Some(CircuitBreaker {
            failure_percent: 25,
            failure_min_samples: 20,
            max_requests: 2,
            ..breaker(1_000, 60)
        }),
        ..in_order()
    }
}

/// Scenarios A8, 82.
#[tokio::test]
async fn an_upstream_whose_share_of_failures_is_too_high_gets_nothing_and_then_trials() {
    let (first, second, harness) = two_behind(by_share()).await;
    for number in 0..40 {
        let fails = number % 4 == 0;
        first.set_fault(fails.then(|| Fault::status(StatusCode::INTERNAL_SERVER_ERROR)));
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
        if first.hits() < number {
            break;
        }
    }
    first.set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    assert!((20..=21).contains(&first.hits()), "{}", first.hits());
    assert!(second.hits() >= 5);
    // A trial fails: open again; then trials succeed: closed.
    let asked = first.hits();
    eventually(async || {
        harness.client.call("eth_chainId").await;
        first.hits() > asked
    })
    .await;
    first.heal();
    let id = upstream_id(1).to_string();
    eventually(async || {
        harness.client.call("eth_chainId").await;
        harness.metric("tyrscale_upstream_breaker_state", &[("upstream_uuid", &id)]) == 0.0
    })
    .await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}

/// Scenario 82: what is no failure of the upstream does not count.
#[tokio::test]
async fn reverts_and_wrong_parameters_open_no_breaker() {
    let (first, second, harness) = two_behind(by_share()).await;
    for error in [
        RpcError::new(3, "execution reverted"),
        RpcError::new(-32000, "insufficient funds for gas * price + value"),
    ] {
        first.set_fault(Fault::RpcError(error));
        for _ in 0..30 {
            harness.ask("eth_call", &json!([{}, "latest"])).await;
        }
    }
    assert_eq!((first.hits(), second.hits()), (60, 0));
    first.heal();
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}
