//! How often, and when, a request is tried again.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tyrscale_model::{Resource, Retry, Route, Upstream};
use tyrscale_simnode::{Fault, SimNode};

use super::harness::{HOST_NAME, Harness, node, route, route_id, settings, upstream};
use super::setting::{in_order, two_behind};

fn retry() -> Retry {
    Retry {
        same_upstream_attempts: Some(3),
        backoff_ms: Some(20),
        backoff_max_ms: 40,
        budget_percent: Some(100),
        budget_min_per_second: Some(1_000),
        ..Retry::default()
    }
}

fn with(retry: Retry) -> Route {
    Route {
        retry: Some(retry),
        ..in_order()
    }
}

async fn alone(retry: Retry) -> (SimNode, Harness) {
    let node = node("alone").await;
    let harness = Harness::with_route(settings(), with(retry), &[&node]).await;
    (node, harness)
}

fn failing() -> Fault {
    Fault::status(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Scenarios A10, 43.
#[tokio::test]
async fn an_only_upstream_is_asked_again_after_a_pause() {
    let (node, harness) = alone(retry()).await;
    node.fail_next(1, failing());
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    assert_eq!(node.hits(), 2);
    let hits = node.captured();
    assert!(hits[1].arrived > hits[0].arrived, "at once");
}

/// Scenario 44: pauses start at `backoff_ms`, double, stay below `backoff_max_ms`, and are shortened at random.
#[tokio::test]
async fn pauses_grow_to_their_bound_and_differ() {
    let (node, harness) = alone(retry()).await;
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let before = node.captured().len();
        node.fail_next(3, failing());
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
        let hits = node.captured();
        assert_eq!(hits.len() - before, 4);
        pauses.push(
            hits[before..]
                .windows(2)
                .map(|pair| pair[1].arrived - pair[0].arrived)
                .collect::<Vec<_>>(),
        );
    }
    // Generous above, for a busy machine.
    let slack = Duration::from_millis(40);
    for round in &pauses {
        assert!(round[0] <= Duration::from_millis(20) + slack, "{round:?}");
        assert!(round[2] <= Duration::from_millis(40) + slack, "{round:?}");
    }
    let mean = |at: usize| pauses.iter().map(|round| round[at]).sum::<Duration>() / 10;
    assert!(mean(2) > mean(0), "{pauses:?}");
}

/// Scenario 92.
#[tokio::test]
async fn attempts_of_a_request_are_bounded_over_all_upstreams() {
    let capped = Retry {
        max_attempts: 3,
        ..retry()
    };
    let (first, second, harness) = two_behind(with(capped)).await;
    first.set_fault(failing());
    second.set_fault(failing());
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(first.hits() + second.hits(), 3);
}

/// Scenario 92: when everything fails, retries are a share of the requests.
#[tokio::test]
async fn a_budget_bounds_retries_over_all_requests() {
    let thrifty = Retry {
        same_upstream_attempts: Some(0),
        budget_percent: Some(20),
        budget_min_per_second: Some(0),
        ..retry()
    };
    let (first, second, harness) = two_behind(with(thrifty)).await;
    first.set_fault(failing());
    second.set_fault(failing());
    for _ in 0..100 {
        harness.client.call("eth_chainId").await;
    }
    assert_eq!(first.hits(), 100);
    assert!((10..=25).contains(&second.hits()), "{}", second.hits());
}

/// Scenario 88: attempts left, budget left, and yet no second one.
#[tokio::test]
async fn what_must_not_be_repeated_is_not_even_on_the_same_upstream() {
    let (node, harness) = alone(retry()).await;
    node.set_fault(Fault::CloseBeforeAnswer);
    for (asked, method) in (1..).zip(["eth_sendTransaction", "eth_newFilter"]) {
        assert_eq!(harness.client.call(method).await.status, StatusCode::BAD_GATEWAY);
        assert_eq!(node.hits(), asked, "{method}");
    }
}

/// Scenario 90: the route's own times count.
#[tokio::test]
async fn a_route_has_its_own_time_for_an_attempt_and_a_request() {
    let hasty = Retry {
        attempt_timeout_ms: 100,
        request_timeout_ms: 150,
        same_upstream_attempts: Some(0),
        ..retry()
    };
    let (first, second, harness) = two_behind(with(hasty)).await;
    first.set_fault(Fault::Silence);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    second.set_fault(Fault::Silence);
    let answer = tokio::time::timeout(Duration::from_secs(2), harness.client.call("eth_chainId")).await;
    assert_eq!(answer.unwrap().status, StatusCode::GATEWAY_TIMEOUT);
}

/// Scenario 76 for an upstream: told to wait longer than the request has, the gateway says so at once.
#[tokio::test]
async fn a_wait_asked_for_by_the_only_upstream_is_passed_on() {
    let (node, harness) = alone(retry()).await;
    node.set_fault(Fault::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(60),
    });
    let answer = tokio::time::timeout(Duration::from_secs(2), harness.client.call("eth_chainId")).await;
    let answer = answer.expect("waited for the upstream");
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

/// An upstream that cannot be reached costs the retry budget nothing: a dead node is not noticed however many ask.
#[tokio::test]
async fn a_dead_upstream_uses_up_no_budget() {
    let alive = node("alive").await;
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    let harness = Harness::with_urls(settings(), route(1, HOST_NAME), &[url, alive.url()]).await;
    for _ in 0..200 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "alive");
    }
}

/// With nobody left to ask nothing is retried, and nothing is paid.
#[tokio::test]
async fn a_failure_with_nobody_left_to_ask_uses_up_no_budget() {
    let thrifty = Retry {
        same_upstream_attempts: Some(0),
        budget_percent: Some(10),
        budget_min_per_second: Some(0),
        ..retry()
    };
    let (first, second, mut harness) = two_behind(with(thrifty)).await;
    let second_is_out = |cordoned| {
        Resource::Upstream(Upstream {
            cordoned,
            ..upstream(2, route_id(1), 1.0)
        })
    };
    harness.put([second_is_out(true)]);
    first.set_fault(failing());
    for _ in 0..40 {
        harness.client.call("eth_chainId").await;
    }
    harness.put([second_is_out(false)]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    assert_eq!((first.hits(), second.hits()), (41, 1));
}

/// Scenario 92: without a breaker each third request meets the one that fails, for as long as it does.
#[tokio::test]
async fn one_failing_upstream_of_three_is_hidden_by_default() {
    let nodes = [node("a").await, node("b").await, node("c").await];
    nodes[0].set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    let harness = Harness::with_route(settings(), route(1, HOST_NAME), &nodes.each_ref()).await;
    for nth in 0..600 {
        let answer = harness.client.call("eth_chainId").await;
        assert_eq!(answer.status, StatusCode::OK, "request {nth}");
    }
}
