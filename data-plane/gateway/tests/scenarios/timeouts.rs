//! Upstreams that take too long, wherever in their answer.

use std::time::Duration;

use http::StatusCode;
use tokio::time::Instant;
use tyrscale_gateway::Settings;
use tyrscale_simnode::{Fault, SimNode};

use super::harness::{Harness, bounded, node, settings};
use super::setting::in_order;

const ATTEMPT: Duration = Duration::from_millis(150);

async fn impatient(request: Duration) -> (SimNode, SimNode, Harness) {
    let (first, second) = (node("first").await, node("second").await);
    let settings = Settings {
        attempt_timeout: ATTEMPT,
        request_timeout: request,
        ..settings()
    };
    let harness = Harness::with_route(settings, in_order(), &[&first, &second]).await;
    (first, second, harness)
}

/// Scenarios 90, 91: before the head, between head and body, and within the body; the socket is closed.
#[tokio::test]
async fn slowness_is_a_timeout_wherever_it_is_and_the_next_upstream_is_asked() {
    let (first, _second, harness) = impatient(Duration::from_secs(5)).await;
    let faults = [
        Fault::Silence,
        Fault::StallMidBody { after_bytes: 0 },
        Fault::StallMidBody { after_bytes: 10 },
        Fault::Trickle {
            every: Duration::from_millis(40),
        },
    ];
    for (asked, fault) in (1..).zip(faults) {
        first.set_fault(fault.clone());
        let began = Instant::now();
        let answer = harness.client.call("eth_chainId").await;
        let took = began.elapsed();
        assert_eq!(
            (answer.status, answer.node()),
            (StatusCode::OK, "second"),
            "{fault:?}"
        );
        assert!(took >= ATTEMPT && took < ATTEMPT * 5, "{fault:?} {took:?}");
        bounded(first.wait_for_load(|load| load.abandoned == asked && load.closed_by_client == asked)).await;
    }
}

/// Scenario A15.
#[tokio::test]
async fn when_all_hang_the_attempts_add_up_and_no_more() {
    let (first, second, harness) = impatient(Duration::from_secs(5)).await;
    first.set_fault(Fault::Silence);
    second.set_fault(Fault::Silence);
    let began = Instant::now();
    let answer = harness.client.call("eth_chainId").await;
    let took = began.elapsed();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(took >= ATTEMPT * 2 && took < ATTEMPT * 6, "{took:?}");
    bounded(first.wait_for_load(|load| load.open == 0)).await;
    bounded(second.wait_for_load(|load| load.open == 0)).await;
}

/// Scenario 90: the request's own time ends it, whatever is left to try.
#[tokio::test]
async fn the_requests_time_ends_it() {
    let limit = Duration::from_millis(200);
    let (first, second, harness) = impatient(limit).await;
    first.set_fault(Fault::Silence);
    second.set_fault(Fault::Silence);
    let began = Instant::now();
    let answer = harness.client.call("eth_chainId").await;
    let took = began.elapsed();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(took >= limit && took < limit * 4, "{took:?}");
}
