//! Changes of the configuration while requests go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http::StatusCode;
use tyrscale_model::{LoadBalancer, Resource, Route};
use tyrscale_simnode::Fault;

use super::harness::{
    Caller, HOST_NAME, Harness, breaker, node, route, route_id, rpc, settings, upstream, upstream_id,
};

/// Scenario N5; C107.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_load_fail_no_request() {
    let (a, b, c) = (node("a").await, node("b").await, node("c").await);
    let mut harness = Harness::with_route(settings(), route(1, HOST_NAME), &[&a, &b]).await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (client, stop, served) = (Caller::new(harness.addr), Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.call("eth_chainId").await;
                    assert_eq!(
                        (answer.status, answer.json()["result"].as_str()),
                        (StatusCode::OK, Some("0x539"))
                    );
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for turn in 0_u32..40 {
        let before = served.load(Ordering::Relaxed);
        harness.set_weight(1, f64::from(1 + turn % 5));
        harness.put([
            Resource::Rpc(rpc(3, &c.url())),
            Resource::Upstream(upstream(3, route_id(1), 1.0)),
        ]);
        let of_c = c.hits();
        super::harness::eventually(async || c.hits() > of_c).await;
        harness.put([Resource::Route(route(2, "other.example"))]);
        let load_balancer = [LoadBalancer::LeastLoad, LoadBalancer::WeightRoundRobin][turn as usize % 2];
        let circuit_breaker = Some(breaker(3 + turn % 2, 1_000));
        harness.put([Resource::Route(Route {
            load_balancer,
            circuit_breaker,
            ..route(1, HOST_NAME)
        })]);
        harness.delete(upstream_id(3).key());
        harness.delete(route_id(2).key());
        super::harness::eventually(async || served.load(Ordering::Relaxed) > before + 4).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in load {
        client.await.unwrap();
    }
    harness.idle().await;
}

#[tokio::test]
async fn a_breaker_remembers_across_changes_that_are_not_its_own() {
    let (a, b) = (node("a").await, node("b").await);
    let route = Route {
        circuit_breaker: Some(breaker(1, 60_000)),
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    };
    let mut harness = Harness::with_route(settings(), route, &[&a, &b]).await;
    a.fail_next(1, Fault::CloseBeforeAnswer);
    harness.client.call("eth_chainId").await;
    let connections = b.connections();
    harness.set_weight(1, 50.0);
    harness.put([
        Resource::Rpc(rpc(3, "http://127.0.0.1:1/")),
        Resource::Upstream(upstream(3, route_id(1), 0.5)),
    ]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "b");
    assert_eq!((a.hits(), b.connections()), (1, connections));
}

#[tokio::test]
async fn a_new_url_of_an_rpc_moves_its_upstreams() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = Harness::in_front_of(&[&a]).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "a");
    harness.put([Resource::Rpc(rpc(1, &b.url()))]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "b");
}

#[tokio::test]
async fn routes_may_swap_their_hosts_and_upstreams_may_go() {
    let (a, b) = (node("a").await, node("b").await);
    let mut harness = Harness::in_front_of(&[&a]).await;
    harness.put([
        Resource::Route(route(2, "b.example")),
        Resource::Rpc(rpc(2, &b.url())),
        Resource::Upstream(upstream(2, route_id(2), 1.0)),
    ]);
    harness.put([
        Resource::Route(route(1, "b.example")),
        Resource::Route(route(2, HOST_NAME)),
    ]);
    assert_eq!(harness.client.post_to("b.example", "/eth").await.node(), "a");
    assert_eq!(harness.client.post_to(HOST_NAME, "/eth").await.node(), "b");
    harness.delete(upstream_id(2).key());
    assert_eq!(
        harness.client.post_to(HOST_NAME, "/eth").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert!(!harness.scrape().contains(&upstream_id(2).to_string()));
}
