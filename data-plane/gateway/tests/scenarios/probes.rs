//! Health checks against nodes in all conditions.

use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use tyrscale_model::{HealthCheck, HealthCheckRequest, HealthCheckType, Route};
use tyrscale_simnode::{Fault, RawResponse, SimNode};

use super::harness::{HOST_NAME, Harness, bounded, eventually, health, node, route, settings, upstream_id};
use super::setting::in_order;

fn is_healthy(harness: &Harness) -> bool {
    let id = upstream_id(1).to_string();
    harness.metric("tyrscale_upstream_healthy", &[("upstream_uuid", &id)]) == 1.0
}

async fn checked(check: HealthCheck, nodes: &[&SimNode]) -> Harness {
    let route = Route {
        health_check: Some(check),
        ..in_order()
    };
    Harness::with_route(settings(), route, nodes).await
}

/// Waits for `rounds` whole rounds of probes of `node`.
async fn rounds(node: &SimNode, rounds: u64) {
    // The one under way, and one more so that the last of them is judged.
    bounded(node.wait_for_hits(node.hits() + rounds + 2)).await;
}

/// Scenarios G1, G2.
#[tokio::test]
async fn a_custom_probe_wants_its_status_and_follows_no_redirect() {
    let (probed, elsewhere) = (node("probed").await, node("elsewhere").await);
    let check = HealthCheck {
        request: Some(HealthCheckRequest {
            status_code: 200,
            ..HealthCheckRequest::default()
        }),
        timeout_ms: 60,
        ..health(HealthCheckType::Custom)
    };
    let harness = checked(check, &[&probed]).await;
    let to_elsewhere = HeaderValue::from_str(&elsewhere.url()).unwrap();
    let redirect = RawResponse::new(StatusCode::FOUND, "").with_header(LOCATION, to_elsewhere);
    for fault in [
        Fault::Respond(redirect),
        Fault::status(StatusCode::NOT_FOUND),
        Fault::status(StatusCode::INTERNAL_SERVER_ERROR),
        Fault::CloseBeforeAnswer,
        Fault::Silence,
        Fault::StallMidBody { after_bytes: 1 },
    ] {
        probed.set_fault(fault.clone());
        eventually(async || !is_healthy(&harness)).await;
        probed.set_fault(None);
        eventually(async || is_healthy(&harness)).await;
    }
    assert_eq!(elsewhere.hits(), 0);
    let addr = probed.addr();
    probed.stop().await;
    eventually(async || !is_healthy(&harness)).await;
    let back = tyrscale_simnode::SimNodeConfig {
        listen: addr,
        ..tyrscale_simnode::SimNodeConfig::named("back")
    };
    let _back = SimNode::start(back).await.unwrap();
    eventually(async || is_healthy(&harness)).await;
}

/// Scenario A32.
#[tokio::test]
async fn thresholds_decide_when_an_upstream_leaves_and_returns() {
    let node = node("n").await;
    let check = HealthCheck {
        unhealthy_threshold: 2,
        healthy_threshold: 2,
        ..health(HealthCheckType::EthSyncing)
    };
    let harness = checked(check, &[&node]).await;
    let bad = || Fault::status(StatusCode::INTERNAL_SERVER_ERROR);
    for _ in 0..3 {
        node.fail_next_of("eth_syncing", 1, bad());
        rounds(&node, 2).await;
        assert!(is_healthy(&harness), "left after one bad probe");
    }
    node.fail_next_of("eth_syncing", 2, bad());
    eventually(async || !is_healthy(&harness)).await;
    eventually(async || is_healthy(&harness)).await;
}

/// Scenario G5, as far as the answer is `false`, an object, or an error.
#[tokio::test]
async fn a_node_that_syncs_is_out_and_one_that_errs_is_not_ready() {
    let node = node("n").await;
    let harness = checked(health(HealthCheckType::EthSyncing), &[&node]).await;
    rounds(&node, 1).await;
    assert!(is_healthy(&harness));
    node.set_syncing(true);
    eventually(async || !is_healthy(&harness)).await;
    node.set_syncing(false);
    eventually(async || is_healthy(&harness)).await;
    node.set_fault(Fault::status(StatusCode::BAD_GATEWAY));
    eventually(async || !is_healthy(&harness)).await;
}

/// Scenario 122.
#[tokio::test]
async fn a_gateway_started_before_its_upstreams_serves_once_one_comes() {
    let early = node("early").await;
    let (addr, url) = (early.addr(), early.url());
    early.stop().await;
    let route = Route {
        health_check: Some(health(HealthCheckType::EthBlockNumber)),
        ..route(1, HOST_NAME)
    };
    let harness = Harness::with_urls(settings(), route, &[url]).await;
    eventually(async || !is_healthy(&harness)).await;
    assert!(harness.client.call("eth_chainId").await.status.is_server_error());
    let config = tyrscale_simnode::SimNodeConfig {
        listen: addr,
        ..tyrscale_simnode::SimNodeConfig::named("late")
    };
    let _late = SimNode::start(config).await.unwrap();
    eventually(async || harness.client.call("eth_chainId").await.node() == "late").await;
}

/// Scenario 55: a node that stands still while the others go on is out.
#[tokio::test]
async fn a_node_that_stands_still_is_out_once_the_others_are_ahead() {
    let (frozen, moving) = (node("frozen").await, node("moving").await);
    let harness = checked(health(HealthCheckType::EthBlockNumber), &[&frozen, &moving]).await;
    rounds(&frozen, 1).await;
    assert!(is_healthy(&harness));
    moving.mine(2);
    rounds(&frozen, 2).await;
    assert!(is_healthy(&harness), "within the tolerance");
    moving.mine(1);
    eventually(async || !is_healthy(&harness)).await;
    assert_eq!(harness.client.call("eth_blockNumber").await.node(), "moving");
}

/// Scenario 123 and others: probes are no clients' traffic and hold nobody up.
#[tokio::test]
async fn slow_probes_hold_up_no_request() {
    let node = node("n").await;
    let check = HealthCheck {
        timeout_ms: 60_000,
        ..health(HealthCheckType::EthSyncing)
    };
    node.set_method_fault("eth_syncing", Fault::Silence);
    let harness = checked(check, &[&node]).await;
    bounded(node.wait_for_hits_of("eth_syncing", 1)).await;
    let answer = tokio::time::timeout(Duration::from_secs(2), harness.client.call("eth_chainId")).await;
    assert_eq!(answer.expect("held up by a probe").node(), "n");
}
