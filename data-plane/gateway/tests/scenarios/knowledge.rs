//! What is known of upstreams, from the configuration and from their answers.

use http::StatusCode;
use serde_json::json;
use tyrscale_model::{HealthCheckType, MethodFilter, Resource, Route, Rpc};
use tyrscale_simnode::{Fault, RpcError};

use super::harness::{Harness, bounded, health, node, rpc, settings};
use super::setting::{in_order, two, two_behind};

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

/// Scenarios L12, L13, L15.
#[tokio::test]
async fn state_that_a_node_has_pruned_is_no_longer_asked_of_it() {
    let route = Route {
        health_check: Some(health(HealthCheckType::EthBlockNumber)),
        ..in_order()
    };
    let (first, _second, harness) = two_behind(route).await;
    first.set_lowest_state(900);
    bounded(first.wait_for_hits(4)).await;
    let at = |block: u64| json!([{}, format!("{block:#x}")]);
    assert_eq!(harness.ask("eth_call", &at(850)).await.node(), "second");
    let asked = first.hits_of("eth_call");
    for block in [850, 849, 100, 1] {
        assert_eq!(
            harness.ask("eth_call", &at(block)).await.node(),
            "second",
            "{block}"
        );
    }
    assert_eq!(
        first.hits_of("eth_call"),
        asked,
        "asked for what it does not have"
    );
    first.answer("eth_call", at(960), Err(RpcError::new(3, "execution reverted")));
    assert_eq!(harness.ask("eth_call", &at(960)).await.error_code(), 3);
    assert_eq!(
        harness.ask("eth_call", &at(955)).await.node(),
        "first",
        "a revert is no bound"
    );
    let block = json!(["0x352", false]);
    assert_eq!(harness.ask("eth_getBlockByNumber", &block).await.node(), "first");
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
