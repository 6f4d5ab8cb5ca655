//! What probes make of nodes that are on another chain, cannot say, or want to be left alone.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use serde_json::json;
use tyrscale_model::{HealthCheck, HealthCheckType, Resource, Route};
use tyrscale_simnode::{Fault, RawResponse, RpcError, SimNode};

use super::harness::{
    HOST_NAME, Harness, bounded, eventually, health, node, route, route_id, rpc, settings, upstream,
    upstream_id,
};
use super::setting::{in_order, two_behind};

fn checked(check: HealthCheck) -> Route {
    Route {
        health_check: Some(check),
        ..in_order()
    }
}

fn is_healthy(harness: &Harness, number: u32) -> bool {
    let id = upstream_id(number).to_string();
    harness.metric("tyrscale_upstream_healthy", &[("upstream_uuid", &id)]) == 1.0
}

/// Probes of the first upstream that did not go well for this reason.
fn failures(harness: &Harness, reason: &str) -> f64 {
    let id = upstream_id(1).to_string();
    harness.metric(
        "tyrscale_upstream_probe_failures_total",
        &[("upstream_uuid", &id), ("reason", reason)],
    )
}

async fn probed(node: &SimNode, more: u64) {
    bounded(node.wait_for_hits(node.hits() + more)).await;
}

/// Scenarios G6, 59.
#[tokio::test]
async fn a_node_on_another_chain_is_never_used() {
    let (first, second) = (node("first").await, node("second").await);
    first.set_chain_id(5);
    let route = checked(health(HealthCheckType::EthBlockNumber));
    let harness = Harness::with_route(settings(), route, &[&first, &second]).await;
    eventually(async || !is_healthy(&harness, 1)).await;
    let asked = first.hits_of("eth_gasPrice");
    for _ in 0..10 {
        assert_eq!(harness.client.call("eth_gasPrice").await.node(), "second");
    }
    assert_eq!(first.hits_of("eth_gasPrice"), asked);
    assert!(is_healthy(&harness, 2));
}

/// Scenario 59.
#[tokio::test]
async fn a_node_that_changes_its_chain_is_removed() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthBlockNumber))).await;
    probed(&first, 4).await;
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "first");
    first.set_chain_id(5);
    eventually(async || !is_healthy(&harness, 1)).await;
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "second");
}

/// Scenario G6: on its own chain a node answers whatever id that is, and where no network is known nobody asks.
#[tokio::test]
async fn the_chain_is_not_asked_for_when_told_not_to() {
    let check = HealthCheck {
        check_chain_id: Some(false),
        ..health(HealthCheckType::EthBlockNumber)
    };
    let (first, _second, harness) = two_behind(checked(check)).await;
    first.set_chain_id(5);
    probed(&first, 6).await;
    assert!(is_healthy(&harness, 1));
    assert_eq!(first.hits_of("eth_chainId"), 0);
}

/// Scenario G7: a suspicious height on the right chain is accepted in the end, on a wrong one removed.
#[tokio::test]
async fn a_jump_in_height_is_settled_by_the_chain_id() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthBlockNumber))).await;
    probed(&first, 4).await;
    first.set_chain_id(5);
    first.set_height(20_000_000);
    eventually(async || !is_healthy(&harness, 1)).await;
    assert!(is_healthy(&harness, 2), "the others are not behind");
}

/// Scenario G5: a node that cannot say whether it syncs does not sync.
#[tokio::test]
async fn a_node_without_eth_syncing_is_ready() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthSyncing))).await;
    first.update_behavior(|it| {
        it.unsupported.insert("eth_syncing".into());
    });
    probed(&first, 6).await;
    assert!(is_healthy(&harness, 1));
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "first");
}

/// One probe for an rpc, however many routes use it.
#[tokio::test]
async fn routes_that_ask_the_same_of_an_rpc_share_its_probe() {
    let node = node("n").await;
    let check = HealthCheck {
        interval_ms: 100,
        ..health(HealthCheckType::EthSyncing)
    };
    let mut harness = Harness::with_route(
        settings(),
        Route {
            health_check: Some(check.clone()),
            ..route(1, HOST_NAME)
        },
        &[&node],
    )
    .await;
    for number in 2..=6 {
        let host = format!("{number}.example");
        let mut at_the_same = upstream(number, route_id(number), 1.0);
        at_the_same.target = upstream(1, route_id(1), 1.0).target;
        harness.put([
            Resource::Rpc(rpc(1, &node.url())),
            Resource::Route(Route {
                health_check: Some(check.clone()),
                ..route(number, &host)
            }),
            Resource::Upstream(at_the_same),
        ]);
    }
    let began = tokio::time::Instant::now();
    let before = node.hits_of("eth_syncing");
    bounded(node.wait_for_hits_of("eth_syncing", before + 5)).await;
    // Six routes probing for themselves would be there within one interval.
    assert!(began.elapsed().as_millis() >= 250, "{:?}", began.elapsed());
}

/// Scenario G6: back on its chain, a node takes traffic again.
#[tokio::test]
async fn a_node_back_on_its_chain_returns() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthBlockNumber))).await;
    first.set_chain_id(5);
    eventually(async || !is_healthy(&harness, 1)).await;
    let id = upstream_id(1).to_string();
    let on_wrong_chain = || harness.metric("tyrscale_upstream_wrong_chain", &[("upstream_uuid", &id)]);
    assert_eq!(on_wrong_chain(), 1.0);
    assert!(failures(&harness, "wrong_chain") >= 1.0);
    first.set_chain_id(1337);
    eventually(async || is_healthy(&harness, 1)).await;
    assert_eq!(on_wrong_chain(), 0.0);
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "first");
}

/// Scenario G7: while a node does not say which chain it is on, a suspicious height moves nothing.
#[tokio::test]
async fn a_jump_in_height_without_a_chain_id_is_passed_over() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthBlockNumber))).await;
    probed(&first, 4).await;
    first.set_method_fault(
        "eth_chainId",
        Fault::RpcError(RpcError::new(-32603, "internal error")),
    );
    first.set_height(20_000_000);
    eventually(async || failures(&harness, "ahead") >= 3.0).await;
    assert!(is_healthy(&harness, 1) && is_healthy(&harness, 2));
}

/// Scenario G5: what is neither yes nor no leaves things as they are.
#[tokio::test]
async fn a_node_that_errs_about_syncing_stays_what_it_was() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthSyncing))).await;
    let errs = || Fault::RpcError(RpcError::new(-32603, "internal error"));
    first.set_method_fault("eth_syncing", errs());
    eventually(async || failures(&harness, "rpc_error") >= 3.0).await;
    assert!(is_healthy(&harness, 1));
    first.heal();
    first.set_syncing(true);
    eventually(async || !is_healthy(&harness, 1)).await;
    first.set_method_fault("eth_syncing", errs());
    let before = failures(&harness, "rpc_error");
    eventually(async || failures(&harness, "rpc_error") >= before + 3.0).await;
    assert!(!is_healthy(&harness, 1));
}

/// A node that asks to be left alone is, and is not taken for dead.
#[tokio::test]
async fn probes_that_are_refused_for_their_number_become_rarer() {
    let (first, second, harness) = two_behind(checked(health(HealthCheckType::EthSyncing))).await;
    let refusal = RawResponse::new(StatusCode::TOO_MANY_REQUESTS, "slow down")
        .with_header(RETRY_AFTER, HeaderValue::from_static("60"));
    probed(&first, 3).await;
    first.set_fault(Fault::Respond(refusal));
    eventually(async || failures(&harness, "rate_limited") >= 1.0).await;
    let asked = first.hits_of("eth_syncing");
    probed(&second, 10).await;
    assert_eq!(first.hits_of("eth_syncing"), asked);
    assert!(is_healthy(&harness, 1));
}

/// What cannot be a height is a failure with a reason.
#[tokio::test]
async fn garbage_in_the_place_of_a_height_is_a_failure() {
    let (first, _second, harness) = two_behind(checked(health(HealthCheckType::EthBlockNumber))).await;
    for (result, reason) in [
        (json!("0xffffffffffffffff"), "bad_result"),
        (json!("-0x1"), "bad_result"),
        (json!(12), "bad_result"),
        (json!(null), "bad_result"),
    ] {
        let before = failures(&harness, reason);
        first.answer("eth_blockNumber", None, Ok(result));
        eventually(async || failures(&harness, reason) > before && !is_healthy(&harness, 1)).await;
        assert!(is_healthy(&harness, 2), "the others are not behind");
        first.heal();
        eventually(async || is_healthy(&harness, 1)).await;
    }
    first.set_fault(Fault::Respond(RawResponse::new(StatusCode::OK, "<html>")));
    eventually(async || failures(&harness, "not_json_rpc") >= 1.0).await;
}

/// Probes of what is gone end at once.
#[tokio::test]
async fn an_upstream_that_is_gone_is_not_probed() {
    let (first, second, mut harness) = two_behind(checked(health(HealthCheckType::EthSyncing))).await;
    probed(&first, 3).await;
    harness.delete(upstream(1, route_id(1), 1.0).key());
    let asked = first.hits();
    probed(&second, 10).await;
    // One may have been under way.
    assert!(first.hits() <= asked + 1);
}
/// Scenarios G11, 112.
#[tokio::test]
async fn when_all_look_bad_requests_are_tried_all_the_same() {
    let (first, second, harness) = two_behind(checked(health(HealthCheckType::EthSyncing))).await;
    for node in [&first, &second] {
        let broken = Fault::status(StatusCode::BAD_GATEWAY);
        node.set_method_fault("eth_syncing", broken);
    }
    eventually(async || !is_healthy(&harness, 1) && !is_healthy(&harness, 2)).await;
    let answer = harness.client.call("eth_gasPrice").await;
    assert_eq!(
        (answer.status, &answer.json()["result"]),
        (StatusCode::OK, &"0x3b9aca00".into())
    );
    // One that returns gets all.
    second.heal();
    eventually(async || is_healthy(&harness, 2)).await;
    for _ in 0..5 {
        assert_eq!(harness.client.call("eth_gasPrice").await.node(), "second");
    }
}

/// Scenario 110: failures of clients' requests count, and only probes bring it back.
#[tokio::test]
async fn traffic_that_fails_takes_an_upstream_out_between_two_probes() {
    let check = HealthCheck {
        passive: true,
        unhealthy_threshold: 3,
        interval_ms: 60_000,
        ..health(HealthCheckType::EthSyncing)
    };
    let (first, second, harness) = two_behind(checked(check)).await;
    bounded(first.wait_for_hits(1)).await;
    first.set_method_fault("eth_gasPrice", Fault::status(StatusCode::BAD_GATEWAY));
    for _ in 0..10 {
        assert_eq!(harness.client.call("eth_gasPrice").await.node(), "second");
    }
    assert!(!is_healthy(&harness, 1));
    assert_eq!(
        (first.hits_of("eth_gasPrice"), second.hits_of("eth_gasPrice")),
        (3, 10)
    );
}
