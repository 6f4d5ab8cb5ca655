//! Primaries and their stand-ins, and upstreams taken out by hand.

use tyrscale_model::{Resource, Route, Tiers, Upstream};
use tyrscale_simnode::Fault;

use super::harness::{HOST_NAME, Harness, breaker, eventually, node, route, route_id, settings, upstream};
use super::setting::in_order;

/// Scenarios 113, O8.
#[tokio::test]
async fn a_fallback_tier_serves_while_no_primary_can_and_gives_back() {
    let (primary, fallback) = (node("primary").await, node("fallback").await);
    let tiered = Route {
        circuit_breaker: Some(breaker(2, 50)),
        tiers: Some(Tiers {
            return_after_ms: Some(0),
            ..Tiers::default()
        }),
        ..route(1, HOST_NAME)
    };
    let mut harness = Harness::with_route(settings(), tiered, &[&primary, &fallback]).await;
    harness.put([Resource::Upstream(Upstream {
        tier: 1_u32.try_into().unwrap(),
        ..upstream(2, route_id(1), 100.0)
    })]);
    for _ in 0..20 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "primary");
    }
    assert_eq!(fallback.hits(), 0);
    primary.set_fault(Fault::CloseBeforeAnswer);
    for _ in 0..20 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "fallback");
    }
    primary.heal();
    eventually(async || harness.client.call("eth_chainId").await.node() == "primary").await;
    let lent = fallback.hits();
    for _ in 0..20 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "primary");
    }
    assert_eq!(fallback.hits(), lent);
}

/// Scenario 116, on one gateway.
#[tokio::test]
async fn a_cordoned_upstream_gets_nothing_until_let_in_again() {
    let (first, second) = (node("first").await, node("second").await);
    let mut harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    let cordoned = |cordoned| {
        Resource::Upstream(Upstream {
            cordoned,
            ..upstream(1, route_id(1), 100.0)
        })
    };
    harness.put([cordoned(true)]);
    for _ in 0..10 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    }
    assert_eq!(first.hits(), 0);
    harness.put([cordoned(false)]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}
