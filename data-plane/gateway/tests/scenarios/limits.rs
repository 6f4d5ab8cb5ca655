//! What clients may ask of a route, and how often.

use http::StatusCode;
use http::header::RETRY_AFTER;
use http_body_util::Full;
use serde_json::{Value, json};
use tyrscale_gateway::Settings;
use tyrscale_model::{Resource, Route, RouteLimits};
use tyrscale_simnode::SimNode;

use super::harness::{Answer, HOST_NAME, Harness, call_body, eventually, node, route, settings};

fn limited(limits: RouteLimits) -> Route {
    Route {
        limits: Some(Box::new(limits)),
        ..route(1, HOST_NAME)
    }
}

/// Two calls at once, and hardly more for the length of a test.
fn two_calls() -> RouteLimits {
    RouteLimits {
        requests_per_second: 0.01,
        burst: 2,
        message: "slow down".to_owned(),
        ..RouteLimits::default()
    }
}

async fn behind(limits: RouteLimits) -> (SimNode, Harness) {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), limited(limits), &[&node]).await;
    (node, harness)
}

async fn call_with(harness: &Harness, name: &'static str, value: &str) -> Answer {
    let request = harness.client.request("/eth").header(name, value);
    harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await
}

/// Scenarios I1, 76.
#[tokio::test]
async fn a_call_over_the_routes_rate_is_429_with_the_operators_words() {
    let (node, harness) = behind(two_calls()).await;
    for _ in 0..2 {
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    }
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.error_code(), -32005);
    assert_eq!(answer.json()["error"]["message"], "slow down");
    assert_eq!(answer.json()["id"], 1);
    let seconds: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=100).contains(&seconds), "{seconds}");
    assert_eq!(node.hits(), 2);
}

/// Scenario I6.
#[tokio::test]
async fn a_rate_fills_up_again() {
    let (_node, harness) = behind(RouteLimits {
        requests_per_second: 20.0,
        burst: 1,
        ..RouteLimits::default()
    })
    .await;
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    eventually(async || harness.client.call("eth_chainId").await.status == StatusCode::TOO_MANY_REQUESTS)
        .await;
    eventually(async || harness.client.call("eth_chainId").await.status == StatusCode::OK).await;
}

/// Scenario I2.
#[tokio::test]
async fn exempt_networks_are_not_limited() {
    let (node, harness) = behind(RouteLimits {
        exempt_networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..two_calls()
    })
    .await;
    for _ in 0..10 {
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    }
    assert_eq!(node.hits(), 10);
}

/// Scenario I3.
#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart_and_others_cannot_pretend() {
    let node = node("n").await;
    let each_one = || {
        limited(RouteLimits {
            client_requests_per_second: 0.01,
            client_burst: 1,
            ..RouteLimits::default()
        })
    };
    let trusting = Settings {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..settings()
    };
    let harness = Harness::with_route(trusting, each_one(), &[&node]).await;
    let mut statuses = Vec::new();
    for client in ["192.0.2.1", "192.0.2.2", "192.0.2.1"] {
        statuses.push(
            call_with(&harness, "x-forwarded-for", client)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [200, 200, 429]);
    let harness = Harness::with_route(settings(), each_one(), &[&node]).await;
    statuses.clear();
    for client in ["192.0.2.1", "192.0.2.2"] {
        statuses.push(
            call_with(&harness, "x-forwarded-for", client)
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [200, 429]);
}

/// Scenario I3: keys tell clients apart where a route says so.
#[tokio::test]
async fn clients_are_told_apart_by_the_routes_key_header() {
    let (_node, harness) = behind(RouteLimits {
        client_requests_per_second: 0.01,
        client_burst: 1,
        client_key_header: Some("x-api-key".parse().unwrap()),
        ..RouteLimits::default()
    })
    .await;
    let mut statuses = Vec::new();
    for key in ["one", "two", "one"] {
        statuses.push(call_with(&harness, "x-api-key", key).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429]);
}

/// Scenarios I5, I8.
#[tokio::test]
async fn elements_of_a_batch_over_the_rate_carry_the_error_and_the_others_are_answered() {
    let (node, harness) = behind(two_calls()).await;
    let batch: Value = (0..4)
        .map(|id| json!({"id": id, "method": "eth_chainId"}))
        .collect();
    let answer = harness.client.post(batch.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    for (id, item) in items.as_array().unwrap().iter().enumerate() {
        assert_eq!(item["id"], id);
        assert_eq!(item["result"] == "0x539", id < 2, "{item}");
        assert_eq!(item["error"]["code"] == -32005, id >= 2, "{item}");
    }
    assert_eq!(node.hits_of("eth_chainId"), 2);
}

/// Scenario C4.
#[tokio::test]
async fn a_route_may_take_shorter_batches_and_bodies_than_the_gateway() {
    let (node, harness) = behind(RouteLimits {
        max_batch: 2,
        max_body_bytes: 200,
        ..RouteLimits::default()
    })
    .await;
    for body in ["[1,2,3]".to_owned(), " ".repeat(201)] {
        let answer = harness.client.post(body).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (StatusCode::PAYLOAD_TOO_LARGE, -32600)
        );
    }
    assert_eq!(node.hits(), 0);
}

/// Scenario I1: what is counted of it, and that a change of something else gives no fresh burst.
#[tokio::test]
async fn limited_calls_are_counted_by_scope_and_stay_limited_through_a_reload() {
    let (node, mut harness) = behind(two_calls()).await;
    for _ in 0..3 {
        harness.client.call("eth_chainId").await;
    }
    harness.set_weight(1, 2.0);
    let route = Route {
        broadcast_transactions: 1,
        ..limited(two_calls())
    };
    harness.put([Resource::Route(route)]);
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(node.hits(), 2);
    let count = |scope| harness.metric("tyrscale_limited_calls_total", &[("scope", scope)]);
    assert_eq!([count("route"), count("client")], [2.0, 0.0]);
    let calls = [("method", "eth_chainId"), ("outcome", "limited")];
    assert_eq!(harness.metric("tyrscale_rpc_requests_total", &calls), 2.0);
}

/// A notification gets no answer, neither when it is taken nor when it is above the rate.
#[tokio::test]
async fn notifications_count_and_are_dropped_above_the_rate() {
    let (node, harness) = behind(two_calls()).await;
    for _ in 0..4 {
        let answer = harness.client.post(r#"{"method":"eth_chainId"}"#).await;
        assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
    }
    assert_eq!(node.hits(), 2);
}
