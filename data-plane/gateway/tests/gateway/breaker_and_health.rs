//! Upstreams that are left alone for a while.

use std::collections::BTreeMap;

use http::StatusCode;
use tyrscale_model::{HealthCheck, HealthCheckRequest, HealthCheckType, LoadBalancer, Resource, Route};
use tyrscale_simnode::{Fault, SimNode};

use super::harness::{
    HOST_NAME, Harness, bounded, breaker, eventually, health, node, route, settings, upstream_id,
};

async fn with(
    circuit_breaker: Option<tyrscale_model::CircuitBreaker>,
    health_check: Option<HealthCheck>,
    nodes: &[&SimNode],
) -> Harness {
    let route = Route {
        load_balancer: LoadBalancer::FailoverPriority,
        circuit_breaker,
        health_check,
        ..route(1, HOST_NAME)
    };
    Harness::with_route(settings(), route, nodes).await
}

fn failing() -> Fault {
    Fault::status(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Harness {
    /// Waits until the health of the first upstream is as told.
    async fn first_is(&self, healthy: bool) {
        let id = upstream_id(1).to_string();
        let level = f64::from(u8::from(healthy));
        eventually(async || self.metric("tyrscale_upstream_healthy", &[("upstream_uuid", &id)]) == level)
            .await;
    }
}

/// Compatibility case 154. Scenarios A12, 82.
#[tokio::test]
async fn a_breaker_rests_the_upstream_and_tries_it_again() {
    let (a, b) = (node("a").await, node("b").await);
    let harness = with(Some(breaker(3, 100)), None, &[&a, &b]).await;
    a.set_fault(failing());
    for _ in 0..6 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "b");
    }
    assert_eq!(a.hits(), 3);
    // A failing trial opens it again.
    eventually(async || {
        harness.client.call("eth_chainId").await;
        a.hits() == 4
    })
    .await;
    assert!(
        harness.metric(
            "tyrscale_upstream_breaker_state",
            &[("upstream_uuid", &upstream_id(1).to_string())]
        ) == 2.0
    );
    a.heal();
    eventually(async || harness.client.call("eth_chainId").await.node() == "a").await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "a");
}

/// Compatibility case 155.
#[tokio::test]
async fn a_success_ends_the_row_of_failures() {
    let (a, b) = (node("a").await, node("b").await);
    let harness = with(Some(breaker(3, 60_000)), None, &[&a, &b]).await;
    for fails in [true, true, false, true, true, false] {
        a.set_fault(fails.then(failing));
        assert_eq!(
            harness.client.call("eth_chainId").await.node(),
            if fails { "b" } else { "a" }
        );
    }
}

/// Compatibility case 144. Scenario A28.
#[tokio::test]
async fn with_every_breaker_open_the_answer_is_503() {
    let a = node("a").await;
    let harness = with(Some(breaker(1, 60_000)), None, &[&a]).await;
    a.set_fault(failing());
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::BAD_GATEWAY
    );
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::SERVICE_UNAVAILABLE, -32603)
    );
    assert_eq!(a.hits(), 1);
}

/// Compatibility case 157.
#[tokio::test]
async fn an_upstream_that_lags_is_out_until_it_has_caught_up() {
    let (a, b) = (node("a").await, node("b").await);
    let harness = with(None, Some(health(HealthCheckType::EthBlockNumber)), &[&a, &b]).await;
    a.set_lag(10);
    harness.first_is(false).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "b");
    a.set_lag(2);
    harness.first_is(true).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "a");
    assert!(
        harness.metric("upstream_total_requests", &[]) == 2.0,
        "probes count as no request"
    );
}

/// Compatibility cases 144, 161. Scenario G5.
#[tokio::test]
async fn an_upstream_that_syncs_or_does_not_answer_in_time_is_out() {
    let a = node("a").await;
    let check = HealthCheck {
        timeout_ms: 50,
        ..health(HealthCheckType::EthSyncing)
    };
    let harness = with(None, Some(check), &[&a]).await;
    a.set_syncing(true);
    harness.first_is(false).await;
    // As the only one it is asked all the same.
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    assert!(harness.metric("tyrscale_fail_open_total", &[]) == 1.0);
    a.set_syncing(false);
    harness.first_is(true).await;
    a.hold();
    harness.first_is(false).await;
    a.release();
    harness.first_is(true).await;
}

/// Compatibility case 160. Scenario G1.
#[tokio::test]
async fn a_custom_check_sends_its_request_and_wants_its_status() {
    let a = node("a").await;
    let check = HealthCheck {
        request: Some(HealthCheckRequest {
            headers: BTreeMap::from([("X-K".to_owned(), "v".to_owned())]),
            ..HealthCheckRequest::default()
        }),
        ..health(HealthCheckType::Custom)
    };
    let route = Route {
        health_check: Some(check),
        ..route(1, HOST_NAME)
    };
    let url = format!("{}/status", a.url());
    let harness = Harness::with_urls(settings(), route, &[url]).await;
    bounded(a.wait_for_hits(1)).await;
    let probe = &a.captured()[0];
    assert_eq!(
        (probe.method.as_str(), probe.uri.path(), &probe.headers["x-k"]),
        ("GET", "/status", &"v".parse().unwrap())
    );
    a.update_behavior(|it| it.health_status = StatusCode::NO_CONTENT);
    harness.first_is(false).await;
}

/// Compatibility case 163.
#[tokio::test]
async fn combined_checks_open_the_breaker_without_a_clients_request() {
    let (a, b) = (node("a").await, node("b").await);
    let check = HealthCheck {
        combined_with_circuit_breaker: true,
        ..health(HealthCheckType::EthSyncing)
    };
    let harness = with(Some(breaker(2, 60_000)), Some(check), &[&a, &b]).await;
    a.set_fault(failing());
    let id = upstream_id(1).to_string();
    eventually(async || harness.metric("tyrscale_upstream_breaker_state", &[("upstream_uuid", &id)]) == 2.0)
        .await;
    assert_eq!(harness.client.call("eth_gasPrice").await.node(), "b");
    assert_eq!(a.hits_of("eth_gasPrice"), 0);
}

/// Compatibility case 172.
#[tokio::test]
async fn probes_stop_with_their_upstream_and_their_route() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = with(None, Some(health(HealthCheckType::EthSyncing)), &[&a, &b]).await;
    bounded(a.wait_for_hits(2)).await;
    harness.delete(upstream_id(1).key());
    let (at_delete, of_b) = (a.hits(), b.hits());
    bounded(b.wait_for_hits(of_b + 5)).await;
    assert!(a.hits() <= at_delete + 1, "at most the probe under way");
    harness.delete(super::harness::route_id(1).key());
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::NOT_FOUND
    );
    let of_b = b.hits();
    harness.put([Resource::Route(Route {
        health_check: Some(health(HealthCheckType::EthSyncing)),
        ..route(2, "b.example")
    })]);
    harness.put([
        Resource::Rpc(super::harness::rpc(3, &format!("{}/other", a.url()))),
        Resource::Upstream(super::harness::upstream(3, super::harness::route_id(2), 1.0)),
    ]);
    bounded(a.wait_for_hits(at_delete + 6)).await;
    assert!(b.hits() <= of_b + 1);
}

/// Scenario 112: where nobody else is left, a good probe counts for more than a breaker that opened before it.
#[tokio::test]
async fn a_node_that_probes_find_good_again_is_used_though_its_breaker_is_open() {
    let a = node("a").await;
    let check = health(HealthCheckType::EthSyncing);
    let harness = with(Some(breaker(1, 60_000)), Some(check), &[&a]).await;
    a.set_fault(failing());
    harness.first_is(false).await;
    eventually(async || harness.client.call("eth_chainId").await.status == StatusCode::SERVICE_UNAVAILABLE)
        .await;
    a.heal();
    eventually(async || harness.client.call("eth_chainId").await.status == StatusCode::OK).await;
    let id = upstream_id(1).to_string();
    let state = harness.metric("tyrscale_upstream_breaker_state", &[("upstream_uuid", &id)]);
    assert_eq!(state, 2.0, "its own trials close it");
}
