//! Which route takes a request, and what of it reaches the upstream.

use bytes::Bytes;
use http::StatusCode;
use http::header::HOST;
use http_body_util::Full;
use tyrscale_gateway::Settings;
use tyrscale_simnode::SimNode;

use super::harness::{Caller, HOST_NAME, Harness, call_body, node, route, settings};

/// Compatibility case 125.
#[tokio::test]
async fn the_port_and_case_of_the_host_do_not_matter() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    for host in ["a.example", "a.example:9999", "A.Example"] {
        assert_eq!(harness.client.post_to(host, "/eth").await.node(), "n", "{host}");
    }
    let unknown = harness.client.post_to("b.example", "/eth").await;
    assert_eq!(
        (unknown.status, unknown.error_code()),
        (StatusCode::NOT_FOUND, -32001)
    );
}

/// Compatibility case 127.
#[tokio::test]
async fn spellings_of_one_path_are_one_path() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    for path in ["/eth/", "//eth", "/eth//", "/a/../eth", "/%65th"] {
        assert_eq!(
            harness.client.post_to(HOST_NAME, path).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    for path in ["/eth/sub", "/ETH", "/"] {
        assert_eq!(
            harness.client.post_to(HOST_NAME, path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

/// Compatibility case 128.
#[tokio::test]
async fn only_a_trusted_peer_names_the_host_for_its_client() {
    let node = node("n").await;
    let trusting = Settings {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..settings()
    };
    for (settings, status) in [(trusting, StatusCode::OK), (settings(), StatusCode::NOT_FOUND)] {
        let harness = Harness::with_route(settings, route(1, HOST_NAME), &[&node]).await;
        let mut request = harness
            .client
            .request("/eth")
            .header("x-forwarded-host", HOST_NAME);
        request
            .headers_mut()
            .unwrap()
            .insert(HOST, "gateway.internal".parse().unwrap());
        let answer = harness
            .client
            .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
            .await;
        assert_eq!(answer.status, status);
    }
}

async fn behind(node: &SimNode, path_and_query: &str, user_info: &str) -> Harness {
    let url = format!("http://{user_info}{}{path_and_query}", node.addr());
    Harness::with_urls(settings(), route(1, HOST_NAME), &[url]).await
}

/// Compatibility cases 130, 131.
#[tokio::test]
async fn the_upstream_sees_its_own_path_port_host_and_both_queries() {
    let node = node("n").await;
    for (path, asked, seen) in [
        ("/rpc", "/eth?x=1", "/rpc?x=1"),
        ("/rpc?apikey=1", "/eth?x=2", "/rpc?apikey=1&x=2"),
        ("", "/eth", "/"),
    ] {
        let harness = behind(&node, path, "").await;
        harness.client.post_to(HOST_NAME, asked).await;
        let request = node.captured().pop().unwrap();
        assert_eq!(
            (request.method.as_str(), request.uri.to_string().as_str()),
            ("POST", seen)
        );
        assert_eq!(request.headers[HOST], node.addr().to_string());
    }
}

/// Compatibility case 99.
#[tokio::test]
async fn the_upstream_gets_its_own_credentials_and_not_the_clients() {
    let node = node("n").await;
    let harness = behind(&node, "/rpc", "user:p%40ss@").await;
    let request = harness
        .client
        .request("/eth")
        .header("authorization", "Bearer t")
        .header("cookie", "s=1");
    harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await;
    let seen = node.captured().pop().unwrap();
    assert_eq!(seen.headers["authorization"], "Basic dXNlcjpwQHNz");
    assert!(!seen.headers.contains_key("cookie"));
}

/// Compatibility cases 132, 133.
#[tokio::test]
async fn custom_headers_pass_and_those_of_the_connection_do_not() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let request = harness
        .client
        .request("/eth")
        .header("x-custom", "v")
        .header("keep-alive", "timeout=5")
        .header("x-session", "1")
        .header("connection", "keep-alive, x-session")
        .header("x-forwarded-for", "6.6.6.6");
    harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await;
    let seen = &node.captured()[0].headers;
    assert_eq!(
        (&seen["x-custom"], &seen["x-forwarded-for"]),
        (&"v".parse().unwrap(), &"127.0.0.1".parse().unwrap())
    );
    for name in ["keep-alive", "x-session", "connection", "user-agent"] {
        assert!(!seen.contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn the_upstream_sees_the_clients_bytes_and_reuses_its_connection() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let body = Bytes::from_static(b" {\"id\" : 1.0 ,\"method\":\"eth_chainId\",\"more\":[1, 2]}\n");
    for _ in 0..5 {
        assert_eq!(harness.client.post(body.clone()).await.status, StatusCode::OK);
    }
    assert!(node.captured().iter().all(|request| request.body == body));
    assert_eq!(node.connections(), 1);
}

#[tokio::test]
async fn http2_clients_are_served_on_the_same_port_by_their_authority() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), route(1, "127.0.0.1"), &[&node]).await;
    let client = Caller::h2c(harness.addr);
    let calls = (0..8).map(|_| client.post(call_body("eth_chainId")));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!((answer.status, answer.node()), (StatusCode::OK, "n"));
    }
}
