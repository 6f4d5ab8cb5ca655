//! What is known of upstreams, from the configuration and from their answers.

use http::StatusCode;
use serde_json::json;
use tyrscale_model::{HealthCheckType, MethodFilter, Resource, Route, Rpc};
use tyrscale_simnode::{Fault, RpcError};

use super::harness::{Harness, health, node, rpc, settings};
use super::setting::{in_order, two};

fn filter(allow: &[&str], ignore: &[&str]) -> MethodFilter {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    MethodFilter {
        allow: patterns(allow),
        ignore: patterns(ignore),
    }
}

/// Scenario 146: a node is kept from what it does wrong, and from that only.
#[tokio::test]
async fn an_rpc_gets_only_the_methods_it_is_for() {
    let (first, second, mut harness) = two().await;
    harness.put([Resource::Rpc(Rpc {
        methods: Some(filter(&[], &["eth_getLogs"])),
        ..rpc(1, &first.url())
    })]);
    assert_eq!(harness.client.call("eth_getLogs").await.node(), "second");
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    assert_eq!(
        (first.hits_of("eth_getLogs"), second.hits_of("eth_getLogs")),
        (0, 1)
    );
}

fn tells(code: i64, message: &str) -> Fault {
    Fault::RpcError(RpcError::new(code, message))
}

/// Scenario 28: a bill unpaid takes an upstream out for long.
#[tokio::test]
async fn an_upstream_that_wants_to_be_paid_is_not_asked_again() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::status(StatusCode::PAYMENT_REQUIRED));
    for _ in 0..20 {
        assert_eq!(harness.client.call("eth_call").await.node(), "second");
    }
    assert_eq!((first.hits(), second.hits()), (1, 20));
}

/// Scenario A30: during the cool-down an upstream that answered 429 gets nothing.
#[tokio::test]
async fn an_upstream_that_throttles_is_left_alone_for_as_long_as_it_asks() {
    let (first, second, harness) = two().await;
    first.set_fault(Fault::Status {
        status: StatusCode::TOO_MANY_REQUESTS,
        retry_after: Some(30),
    });
    assert_eq!(harness.client.call("eth_call").await.node(), "second");
    first.heal();
    for _ in 0..20 {
        assert_eq!(harness.client.call("eth_call").await.node(), "second");
    }
    assert_eq!((first.hits(), second.hits()), (1, 21));
}

/// What a client writes into its request, or has in its query, is no word of the upstream's that repeats it.
#[tokio::test]
async fn a_client_cannot_have_an_upstream_left_alone_by_words_of_its_own() {
    for text in [
        "too many requests",
        "please upgrade your plan",
        "invalid api key, apikey is on another chain",
    ] {
        let (first, _second, harness) = two().await;
        first.fail_next(1, tells(-32000, &format!("err: unknown tracer {text}")));
        let repeated = harness.ask("eth_call", &json!([{}, text])).await;
        assert_eq!(repeated.node(), "second", "{text}");
        assert_eq!(harness.client.call("eth_chainId").await.node(), "first", "{text}");
        // Built by the code of a tracer, it is in no request.
        first.fail_next(1, tells(-32000, text));
        harness.client.call("debug_traceCall").await;
        assert_eq!(harness.client.call("eth_chainId").await.node(), "first", "{text}");
    }
    let (first, _second, harness) = two().await;
    first.fail_next(1, Fault::status(StatusCode::TOO_MANY_REQUESTS));
    let body = super::harness::call_body("eth_chainId");
    let with_key = harness
        .client
        .request("/eth?apikey=mine")
        .body(body.into())
        .unwrap();
    assert_eq!(harness.client.send(with_key).await.node(), "second");
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    first.fail_next(1, tells(-32000, "too many requests"));
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    assert_eq!(
        harness.client.call("eth_chainId").await.node(),
        "second",
        "its own word"
    );
}

/// Scenario 31: learnt from an answer, for that method alone.
#[tokio::test]
async fn a_method_a_node_does_not_have_is_not_asked_of_it_again() {
    let (first, second, harness) = two().await;
    let missing = tells(-32601, "the method eth_getLogs does not exist/is not available");
    first.set_fault(missing.clone());
    assert_eq!(harness.client.call("eth_getLogs").await.node(), "second");
    first.heal();
    for _ in 0..5 {
        assert_eq!(harness.client.call("eth_getLogs").await.node(), "second");
    }
    assert_eq!(first.hits(), 1);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
    second.set_fault(missing);
    assert_eq!(harness.client.call("eth_getLogs").await.error_code(), -32601);
    let asked = (first.hits(), second.hits());
    let nowhere = harness.client.call("eth_getLogs").await;
    assert_eq!((nowhere.status, nowhere.error_code()), (StatusCode::OK, -32601));
    assert_eq!((first.hits(), second.hits()), asked);
}

/// Scenarios L8, G11, 112.
#[tokio::test]
async fn nobody_is_told_in_numbers_and_bad_health_of_all_is_not_believed() {
    let node = node("n").await;
    let route = Route {
        health_check: Some(health(HealthCheckType::EthSyncing)),
        ..in_order()
    };
    let mut harness = Harness::with_route(settings(), route, &[&node]).await;
    node.set_syncing(true);
    super::harness::eventually(async || harness.metric("tyrscale_upstream_healthy", &[]) == 0.0).await;
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    assert!(harness.metric("tyrscale_fail_open_total", &[]) == 1.0);
    harness.put([Resource::Upstream(tyrscale_model::Upstream {
        cordoned: true,
        ..super::harness::upstream(1, super::harness::route_id(1), 1.0)
    })]);
    let nobody = harness.client.call("eth_chainId").await;
    assert_eq!(nobody.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        nobody.json()["error"]["message"],
        "no upstream available: 1 cordoned"
    );
}
