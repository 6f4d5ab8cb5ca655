//! Rates and concurrency of upstreams.

use std::num::NonZeroU32;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tyrscale_model::{Resource, Upstream, UpstreamLimits};

use super::harness::{Harness, bounded, node, route_id, settings, upstream};
use super::setting::in_order;

fn with_limits(number: u32, limits: UpstreamLimits) -> Resource {
    Resource::Upstream(Upstream {
        limits: Some(limits),
        ..upstream(number, route_id(1), 1.0)
    })
}

/// Scenarios I13, 79.
#[tokio::test]
async fn an_upstream_never_gets_more_than_its_rate_while_another_is_free() {
    let (first, second) = (node("first").await, node("second").await);
    first.update_behavior(|it| it.rate_limit = NonZeroU32::new(10));
    let mut harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    harness.put([with_limits(
        1,
        UpstreamLimits {
            requests_per_second: 5.0,
            burst: 5,
            ..UpstreamLimits::default()
        },
    )]);
    for _ in 0..100 {
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    }
    assert!(first.hits() >= 5 && first.hits() < 30, "{}", first.hits());
    assert_eq!(first.hits() + second.hits(), 100);
    assert!(harness.metric("status_429_responses_total", &[]) == 0.0);
}

/// Scenario 79: all over their rate.
#[tokio::test]
async fn with_every_upstream_at_its_rate_the_client_is_told_to_wait() {
    let node = node("n").await;
    let mut harness = Harness::with_route(settings(), in_order(), &[&node]).await;
    harness.put([with_limits(
        1,
        UpstreamLimits {
            requests_per_second: 0.01,
            burst: 1,
            ..UpstreamLimits::default()
        },
    )]);
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::TOO_MANY_REQUESTS, -32005)
    );
    assert!(answer.headers.contains_key(RETRY_AFTER));
    assert_eq!(node.hits(), 1);
}

/// Scenario A18.
#[tokio::test]
async fn an_upstream_never_holds_more_requests_than_it_may_and_none_is_lost() {
    let node = node("n").await;
    node.set_latency(Duration::from_millis(50));
    let mut harness = Harness::with_route(settings(), in_order(), &[&node]).await;
    harness.put([with_limits(
        1,
        UpstreamLimits {
            max_concurrent: 2,
            ..UpstreamLimits::default()
        },
    )]);
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let client = harness.client.clone();
            tokio::spawn(async move { client.call("eth_chainId").await.status })
        })
        .collect();
    for call in calls {
        assert_eq!(bounded(call).await.unwrap(), StatusCode::OK);
    }
    assert_eq!(node.load().most_in_flight, 2);
}
