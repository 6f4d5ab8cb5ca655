//! One upstream fails, another is good.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_model::{LoadBalancer, Resource, Route};
use tyrscale_simnode::{Fault, Garbage, RpcError, SimNode};

use super::harness::{
    HOST_NAME, Harness, bounded, breaker, eventually, node, route, route_id, rpc, settings, upstream,
    upstream_id,
};
use super::setting::{error, in_order, says, two};

/// Scenario A20.
#[tokio::test]
async fn a_body_too_large_for_one_may_be_taken_by_another() {
    let (first, second, harness) = two().await;
    let too_large = Fault::status(StatusCode::PAYLOAD_TOO_LARGE);
    first.set_fault(too_large.clone());
    assert_eq!(harness.client.call("eth_call").await.node(), "second");
    second.set_fault(too_large);
    let answer = harness.client.call("eth_call").await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
}

/// Scenarios A21, A22: what one refuses and another answers; neither is blamed.
#[tokio::test]
async fn what_one_refuses_without_a_reason_another_may_answer() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::status(StatusCode::BAD_REQUEST));
    assert_eq!(harness.client.call("eth_call").await.node(), "second");
    let body = json!({"error": "no"});
    first.set_fault(says(StatusCode::BAD_REQUEST, &body));
    second.set_fault(says(StatusCode::BAD_REQUEST, &body));
    let answer = harness.client.call("eth_call").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::BAD_REQUEST, body));
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
}

/// Scenario 39.
#[tokio::test]
async fn when_all_fail_differently_the_answer_does_not_depend_on_the_order() {
    let faults = [
        Fault::status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::status(StatusCode::FORBIDDEN),
        Fault::Garbage(Garbage::Html),
        Fault::RpcError(RpcError::method_not_found("eth_call")),
        Fault::CloseBeforeAnswer,
        Fault::status(StatusCode::TOO_MANY_REQUESTS),
    ];
    for (at, one) in faults.iter().enumerate() {
        for other in &faults[at + 1..] {
            let mut told = Vec::new();
            for order in [[one, other], [other, one]] {
                // Nodes of its own, so that nothing learnt of them changes who is asked.
                let (first, second, harness) = two().await;
                first.set_fault(order[0].clone());
                second.set_fault(order[1].clone());
                let answer = harness.client.call("eth_call").await;
                told.push((answer.status, answer.json()["error"].clone()));
            }
            assert_eq!(told[0], told[1], "{one:?} {other:?}");
        }
    }
}

/// Scenario 40: every form of an error is known for one, and `"error": null` beside a result is none.
#[tokio::test]
async fn errors_in_unusual_forms_are_still_errors() {
    let (first, _second, harness) = two().await;
    first.set_fault(says(
        StatusCode::OK,
        &json!({"id": 1, "result": "0x1", "error": null}),
    ));
    assert_eq!(harness.client.call("eth_call").await.json()["result"], "0x1");
    for form in [
        json!("text"),
        json!({}),
        json!({"code": "-32000", "message": "odd"}),
    ] {
        first.set_fault(error(&form));
        let answer = harness.client.call("eth_call").await;
        let told = answer.json();
        assert!(
            answer.node() == "second" || told["error"] == form,
            "neither failed over nor surfaced: {told}"
        );
        assert!(!told["error"].is_null() || told["result"].is_string(), "{told}");
    }
}

/// Scenario O3.
#[tokio::test]
async fn an_error_page_is_never_a_success() {
    let (first, second, harness) = two().await;
    for status in [500, 502, 503, 521] {
        let page = tyrscale_simnode::RawResponse::new(
            StatusCode::from_u16(status).unwrap(),
            "<html><body>error</body></html>",
        );
        first.set_fault(Fault::Respond(page.clone()));
        second.set_fault(Fault::Respond(page));
        let answer = harness.client.call("eth_chainId").await;
        assert!(answer.status.is_server_error(), "{status}");
        assert!(answer.error_code() < 0);
    }
}

/// Scenario O5.
#[tokio::test]
async fn an_outcome_lands_on_the_upstream_it_was_asked_of_whatever_changes_meanwhile() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = Harness::with_route(settings(), in_order(), &[&a, &b]).await;
    a.hold();
    a.set_fault(Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    let client = harness.client.clone();
    let asking = tokio::spawn(async move { client.call("eth_chainId").await.status });
    bounded(a.wait_for_hits(1)).await;
    let c = node("c").await;
    harness.put([
        Resource::Rpc(rpc(3, &c.url())),
        Resource::Upstream(upstream(3, route_id(1), 50.0)),
        Resource::Upstream(upstream(1, route_id(1), 2.0)),
    ]);
    a.release();
    assert_eq!(bounded(asking).await.unwrap(), StatusCode::OK);
    harness.idle().await;
    let failures = |number| {
        let id = upstream_id(number).to_string();
        harness.metric("upstream_failures_total", &[("upstream_uuid", &id)])
    };
    assert!((failures(1), failures(2), failures(3)) == (1.0, 0.0, 0.0));
}

/// Scenario O8.
#[tokio::test]
async fn a_backup_gets_nothing_while_the_primary_is_good() {
    let (first, second, harness) = two().await;
    for _ in 0..50 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    }
    assert_eq!((first.hits(), second.hits()), (50, 0));
}

/// Scenarios A12, 110: no restart is needed.
#[tokio::test]
async fn an_upstream_that_recovers_is_the_first_choice_again() {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(2, 50)),
        ..in_order()
    };
    let (first, second, harness) = super::setting::two_behind(with_breaker).await;
    first.set_fault(Fault::status(StatusCode::SERVICE_UNAVAILABLE));
    for _ in 0..4 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    }
    assert!(first.hits() < 4 && second.hits() == 4);
    first.heal();
    eventually(async || harness.client.call("eth_chainId").await.node() == "first").await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}

/// Scenario A28.
#[tokio::test]
async fn with_every_breaker_open_nobody_waits() {
    let with_breaker = Route {
        circuit_breaker: Some(breaker(1, 60_000)),
        ..in_order()
    };
    let (first, second, harness) = super::setting::two_behind(with_breaker).await;
    for node in [&first, &second] {
        node.set_fault(Fault::CloseBeforeAnswer);
    }
    harness.client.call("eth_chainId").await;
    let asked = (first.hits(), second.hits());
    for node in [&first, &second] {
        node.set_fault(Fault::Silence);
    }
    let answer = tokio::time::timeout(Duration::from_secs(1), harness.client.call("eth_chainId")).await;
    let answer = answer.expect("waited for an upstream known to be bad");
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.error_code() < 0);
    assert_eq!((first.hits(), second.hits()), asked);
}

/// Scenario A25, and the TLS part of 21.
#[tokio::test]
async fn an_upstream_that_cannot_be_connected_costs_no_answer() {
    let (first, second) = (node("first").await, node("second").await);
    // Speaks no TLS.
    let urls = [first.url().replace("http:", "https:"), second.url()];
    second.answer("eth_sendTransaction", None, Ok(json!("0x1")));
    let harness = Harness::with_urls(settings(), in_order(), &urls).await;
    assert_eq!(harness.client.call("eth_sendTransaction").await.node(), "second");
    assert_eq!((first.hits(), second.hits()), (0, 1));
}

/// Scenario 88.
#[tokio::test]
async fn what_must_not_be_repeated_reaches_one_upstream_once() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::CloseBeforeAnswer);
    for (asked, method) in (1..).zip(["eth_sendTransaction", "eth_newFilter", "eth_getFilterChanges"]) {
        assert_eq!(harness.client.call(method).await.status, StatusCode::BAD_GATEWAY);
        assert_eq!((first.hits(), second.hits()), (asked, 0), "{method}");
    }
}

/// Scenario 114.
#[tokio::test]
async fn shares_follow_the_weights_and_none_goes_to_weight_0() {
    let nodes = [node("a").await, node("b").await, node("c").await];
    let by_weight = Route {
        load_balancer: LoadBalancer::WeightRoundRobin,
        ..route(1, HOST_NAME)
    };
    let mut harness = Harness::with_route(settings(), by_weight, &nodes.each_ref()).await;
    for (number, weight) in [(1, 80.0), (2, 20.0), (3, 0.0)] {
        harness.set_weight(number, weight);
    }
    for _ in 0..500 {
        let answer: Value = harness.client.call("eth_chainId").await.json();
        assert_eq!(answer["result"], "0x539");
    }
    let hits = nodes.each_ref().map(SimNode::hits);
    assert!(
        hits[0].abs_diff(400) <= 1 && hits[1].abs_diff(100) <= 1,
        "{hits:?}"
    );
    assert_eq!(hits[2], 0);
}
