//! Headers on their way to upstreams and back.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderValue};
use http_body_util::Full;
use tyrscale_model::{LoadBalancer, Resource, Route, Upstream, wire};
use tyrscale_proto::v1;
use tyrscale_simnode::{Fault, RawResponse, SimNode};

use super::harness::{Answer, HOST_NAME, Harness, call_body, node, route, route_id, settings, upstream};

async fn call_with(harness: &Harness, headers: &[(&'static str, &str)]) -> Answer {
    let mut request = harness.client.request("/eth");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(call_body("eth_chainId"))).unwrap();
    harness.client.send(request).await
}

fn seen(node: &SimNode) -> HeaderMap {
    node.captured().pop().unwrap().headers.clone()
}

fn values<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h HeaderValue> {
    headers.get_all(name).iter().collect()
}

/// Scenario O11.
#[tokio::test]
async fn several_values_of_one_header_survive_both_ways() {
    let node = node("n").await;
    let answer = RawResponse::json(http::StatusCode::OK, r#"{"jsonrpc":"2.0","id":1,"result":1}"#)
        .with_header("x-multi".parse().unwrap(), HeaderValue::from_static("one"))
        .with_header("x-multi".parse().unwrap(), HeaderValue::from_static("two"));
    node.set_fault(Fault::Respond(answer));
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = call_with(&harness, &[("x-many", "a"), ("x-many", "b, c")]).await;
    assert_eq!(values(&seen(&node), "x-many"), ["a", "b, c"]);
    assert_eq!(values(&answer.headers, "x-multi"), ["one", "two"]);
}

#[tokio::test]
async fn the_upstream_learns_how_the_client_asked() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    call_with(
        &harness,
        &[("x-forwarded-proto", "https"), ("x-forwarded-host", "spoofed")],
    )
    .await;
    let headers = seen(&node);
    assert_eq!(values(&headers, "x-forwarded-host"), [HOST_NAME]);
    assert_eq!(values(&headers, "x-forwarded-port"), ["80"]);
    assert_eq!(values(&headers, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&headers, "x-forwarded-for"), ["127.0.0.1"]);
    let trusting = tyrscale_gateway::Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..settings()
    };
    let harness = Harness::with_route(trusting, route(1, HOST_NAME), &[&node]).await;
    call_with(
        &harness,
        &[("x-forwarded-proto", "https"), ("x-forwarded-for", "10.1.1.1")],
    )
    .await;
    let headers = seen(&node);
    assert_eq!(values(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&headers, "x-forwarded-for"), ["10.1.1.1, 127.0.0.1"]);
}

#[tokio::test]
async fn credentials_pass_where_the_route_says_so() {
    let node = node("n").await;
    let sent = [("authorization", "Bearer t"), ("cookie", "s=1")];
    for (forwarded, expected) in [
        (vec![], (false, false)),
        (vec![AUTHORIZATION], (true, false)),
        (vec![AUTHORIZATION, COOKIE], (true, true)),
    ] {
        let route = Route {
            forward_headers: forwarded,
            ..route(1, HOST_NAME)
        };
        let harness = Harness::with_route(settings(), route, &[&node]).await;
        call_with(&harness, &sent).await;
        let headers = seen(&node);
        assert_eq!(
            (headers.contains_key(AUTHORIZATION), headers.contains_key(COOKIE)),
            expected
        );
    }
}

/// The upstream 1 with these headers set on every request.
fn with_headers(headers: &[(&str, &str)]) -> Upstream {
    let plain = Resource::Upstream(upstream(1, route_id(1), 1.0));
    let Some(v1::resource::Resource::Upstream(mut message)) =
        wire::resource_to_wire(&plain, wire::Exposure::Full).resource
    else {
        panic!("no upstream");
    };
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    message.headers = headers.collect();
    wire::upstream_from_wire(&message).unwrap()
}

#[tokio::test]
async fn headers_of_the_upstream_go_before_the_clients_and_are_told_to_nobody() {
    let node = node("n").await;
    let mut harness = Harness::in_front_of(&[&node]).await;
    harness.put([Resource::Upstream(with_headers(&[
        ("x-api-key", "s3cret-key"),
        ("authorization", "Bearer own"),
    ]))]);
    let sent = [
        ("x-api-key", "theirs"),
        ("authorization", "Bearer theirs"),
        ("x-kept", "1"),
    ];
    assert_eq!(call_with(&harness, &sent).await.node(), "n");
    let headers = seen(&node);
    assert_eq!(values(&headers, "x-api-key"), ["s3cret-key"]);
    assert_eq!(values(&headers, "authorization"), ["Bearer own"]);
    assert_eq!(values(&headers, "x-kept"), ["1"]);
    let telling = RawResponse::json(
        http::StatusCode::FORBIDDEN,
        r#"{"error":"key s3cret-key is not known"}"#,
    )
    .with_header("x-echo".parse().unwrap(), HeaderValue::from_static("s3cret-key"));
    node.set_fault(Fault::Respond(telling));
    let answer = harness.client.call("eth_chainId").await;
    assert!(!answer.headers.contains_key("x-echo"));
    assert!(!String::from_utf8_lossy(&answer.body).contains("s3cret"));
}

/// With another key a node may answer otherwise: what it did with the old one is forgotten.
#[tokio::test]
async fn with_another_key_an_upstream_begins_anew() {
    let (first, second) = (node("first").await, node("second").await);
    let in_order = Route {
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    };
    let mut harness = Harness::with_route(settings(), in_order, &[&first, &second]).await;
    first.fail_next(1, Fault::status(http::StatusCode::PAYMENT_REQUIRED));
    for _ in 0..2 {
        assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    }
    harness.put([Resource::Upstream(with_headers(&[("x-api-key", "another-key")]))]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}
