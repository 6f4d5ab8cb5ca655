//! What a scrape shows.

use http::{Method, StatusCode};
use http_body_util::Full;
use tyrscale_gateway::Settings;
use tyrscale_simnode::Fault;

use super::harness::{HOST_NAME, Harness, node, route, route_id, settings, upstream_id};

/// Compatibility case 173.
#[tokio::test]
async fn the_inherited_families_count_with_labels_that_say_what_they_mean() {
    let (a, b) = (node("a").await, node("b").await);
    let urls = [format!("http://user:pass@{}/?apikey=secret", a.addr()), b.url()];
    let harness = Harness::with_urls(settings(), route(1, HOST_NAME), &urls).await;
    a.fail_next(1, Fault::status(StatusCode::TOO_MANY_REQUESTS));
    for _ in 0..4 {
        assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    }
    let (route, upstream, origin) = (route_id(1).to_string(), upstream_id(1).to_string(), a.url());
    let labels = [
        ("route_uuid", route.as_str()),
        ("route_url", "a.example/eth"),
        ("upstream_uuid", upstream.as_str()),
        ("upstream_url", origin.as_str()),
    ];
    assert!(harness.metric("upstream_total_requests", &labels) == a.hits() as f64);
    assert!(harness.metric("upstream_failures_total", &labels) == 1.0);
    assert!(harness.metric("status_429_responses_total", &labels) == 1.0);
    assert!(harness.metric("upstream_successes_total", &[]) == 4.0);
    assert!(harness.metric("upstream_duration_seconds_count", &[]) == 4.0);
    let answered = [
        ("route_uuid", route.as_str()),
        ("method", "POST"),
        ("status", "200"),
        ("host", HOST_NAME),
        ("scheme", "http"),
    ];
    assert!(harness.metric("route_requests_total", &answered) == 4.0);
    assert!(harness.metric("route_http_request_duration_seconds_count", &answered) == 4.0);
    assert!(
        harness.metric(
            "tyrscale_rpc_requests_total",
            &[("method", "eth_chainId"), ("outcome", "result")]
        ) == 4.0
    );
    let scrape = harness.scrape();
    assert!(!scrape.contains("secret") && !scrape.contains("pass"), "{scrape}");
}

/// Compatibility case 174. Scenario B15.
#[tokio::test]
async fn clients_cannot_multiply_the_series() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    harness.client.call("eth_nonsense").await;
    harness.client.post_to("unknown.example", "/eth").await;
    harness.client.post("no json").await;
    let before = harness.scrape().lines().count();
    for number in 0..100 {
        harness
            .client
            .post_to(&format!("h{number}.example"), "/eth")
            .await;
        harness.client.call(&format!("eth_nonsense{number}")).await;
    }
    assert_eq!(harness.scrape().lines().count(), before);
    assert!(harness.metric("tyrscale_unrouted_requests_total", &[]) == 101.0);
}

/// Scenario C10.
#[tokio::test]
async fn every_call_of_a_batch_counts_with_its_own_outcome() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let body = r#"[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_getBlockByNumber"},7]"#;
    harness.client.post(body).await;
    for (method, outcome) in [
        ("eth_chainId", "result"),
        ("eth_getBlockByNumber", "error"),
        ("other", "invalid"),
    ] {
        let counted = harness.metric(
            "tyrscale_rpc_requests_total",
            &[("method", method), ("outcome", outcome)],
        );
        assert!(counted == 1.0, "{method} {outcome}");
    }
}

#[tokio::test]
async fn metrics_answer_on_the_data_port_only_when_asked_to() {
    for (metrics_on_data_port, status) in [(true, StatusCode::OK), (false, StatusCode::NOT_FOUND)] {
        let harness = Harness::start(Settings {
            metrics_on_data_port,
            ..settings()
        })
        .await;
        let request = harness
            .client
            .request("/metrics")
            .method(Method::GET)
            .body(Full::default())
            .unwrap();
        assert_eq!(harness.client.send(request).await.status, status);
    }
}
