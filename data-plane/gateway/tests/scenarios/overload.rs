//! More than the gateway may take on: refused at once, and what is under way gets done.

use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tyrscale_gateway::Settings;

use super::harness::{Answer, Caller, HOST_NAME, Harness, bounded, eventually, node, route, settings};
use super::raw::{exchange, last_post};

fn assert_overloaded(answer: &Answer) {
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::SERVICE_UNAVAILABLE, -32603)
    );
    assert_eq!(answer.headers[RETRY_AFTER], "1");
    assert_eq!(answer.json()["id"], Value::Null);
}

/// Scenario 80, scaled down; over both versions of HTTP.
#[tokio::test]
async fn requests_beyond_the_limit_are_told_at_once_and_the_others_are_served() {
    let node = node("n").await;
    let ten = Settings {
        max_requests: 10,
        ..settings()
    };
    let harness = Harness::with_route(ten, route(1, "127.0.0.1"), &[&node]).await;
    node.hold();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let client = Caller::h2c(harness.addr);
        calls.spawn(async move { client.call("eth_chainId").await });
    }
    let began = Instant::now();
    for _ in 0..90 {
        assert_overloaded(&bounded(calls.join_next()).await.unwrap().unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(harness.metric("tyrscale_gateway_requests", &[]), 10.0);
    assert_eq!(
        harness.metric("tyrscale_shed_total", &[("reason", "requests")]),
        90.0
    );
    assert_eq!(harness.metric("route_requests_total", &[("status", "503")]), 90.0);
    node.release();
    while let Some(answer) = bounded(calls.join_next()).await {
        assert_eq!(answer.unwrap().status, StatusCode::OK);
    }
    eventually(async || harness.metric("tyrscale_gateway_requests", &[]) == 0.0).await;
    assert_eq!(harness.metric("tyrscale_gateway_request_bytes", &[]), 0.0);
    assert_eq!(node.hits(), 10);
}

async fn small() -> (tyrscale_simnode::SimNode, Harness) {
    let node = node("n").await;
    let small = Settings {
        max_body_bytes: 1_000,
        max_request_bytes_held: 1_500,
        ..settings()
    };
    let harness = Harness::with_route(small, route(1, HOST_NAME), &[&node]).await;
    (node, harness)
}

fn body(bytes: usize) -> String {
    let call = r#"{"id":1,"method":"eth_chainId"}"#;
    format!("{call}{}", " ".repeat(bytes - call.len()))
}

#[tokio::test]
async fn bytes_beyond_the_limit_are_refused_before_they_are_sent() {
    let (node, harness) = small().await;
    node.hold();
    let client = harness.client.clone();
    let first = tokio::spawn(async move { client.post(body(900)).await });
    bounded(node.wait_for_hits(1)).await;
    assert_eq!(harness.metric("tyrscale_gateway_request_bytes", &[]), 900.0);
    // The body never comes, and is not waited for.
    let head = b"POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: 700\r\nconnection: close\r\n\r\n";
    let text = String::from_utf8(exchange(&harness, head).await).unwrap();
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    let reason = [("reason", "request_bytes")];
    assert_eq!(harness.metric("tyrscale_shed_total", &reason), 1.0);
    let client = harness.client.clone();
    let fits = tokio::spawn(async move { client.post(body(600)).await });
    bounded(node.wait_for_hits(2)).await;
    node.release();
    for call in [first, fits] {
        assert_eq!(bounded(call).await.unwrap().status, StatusCode::OK);
    }
    eventually(async || harness.metric("tyrscale_gateway_request_bytes", &[]) == 0.0).await;
}

/// Bodies that are announced and do not come keep nobody out.
#[tokio::test]
async fn announced_bodies_leave_room_for_those_that_come() {
    let node = node("n").await;
    let roomy = Settings {
        max_body_bytes: 1_000_000,
        max_request_bytes_held: 2_000_000,
        ..settings()
    };
    let harness = Harness::with_route(roomy, route(1, HOST_NAME), &[&node]).await;
    let mut silent = Vec::new();
    for framing in ["transfer-encoding: chunked", "content-length: 900000"].repeat(30) {
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        let head = format!("POST /eth HTTP/1.1\r\nhost: a.example\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        silent.push(stream);
    }
    eventually(async || harness.metric("tyrscale_gateway_requests", &[]) == 60.0).await;
    assert_eq!(harness.client.post(body(500_000)).await.status, StatusCode::OK);
    assert_eq!(harness.metric("tyrscale_shed_total", &[]), 0.0);
    // What comes counts, and is refused when there is no room for it.
    let part = vec![b' '; 800_000];
    silent[1].write_all(&part).await.unwrap();
    eventually(async || harness.metric("tyrscale_gateway_request_bytes", &[]) > 1_700_000.0).await;
    silent[3].write_all(&part).await.unwrap_or_default();
    eventually(async || harness.metric("tyrscale_shed_total", &[("reason", "request_bytes")]) == 1.0).await;
    drop(silent);
    eventually(async || harness.metric("tyrscale_gateway_request_bytes", &[]) == 0.0).await;
}

#[tokio::test]
async fn a_body_of_unknown_length_counts_as_the_largest_until_it_is_read() {
    let (node, harness) = small().await;
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let head =
        "POST /eth HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let held = |bytes: f64| {
        let harness = &harness;
        async move { eventually(async || harness.metric("tyrscale_gateway_request_bytes", &[]) == bytes).await }
    };
    held(1_000.0).await;
    assert_overloaded(&harness.client.post(body(600)).await);
    node.hold();
    let chunk = format!("{:x}\r\n{}\r\n0\r\n\r\n", 100, body(100));
    stream.write_all(chunk.as_bytes()).await.unwrap();
    held(100.0).await;
    node.release();
    assert_eq!(harness.client.post(body(600)).await.status, StatusCode::OK);
    let mut text = String::new();
    bounded(stream.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    held(0.0).await;
}

/// A client that leaves gives back what it held.
#[tokio::test]
async fn a_client_that_leaves_makes_room() {
    let node = node("n").await;
    let one = Settings {
        max_requests: 1,
        ..settings()
    };
    let harness = Harness::with_route(one, route(1, HOST_NAME), &[&node]).await;
    node.hold();
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = last_post(&body(100));
    stream.write_all(request.as_bytes()).await.unwrap();
    bounded(node.wait_for_hits(1)).await;
    assert_overloaded(&harness.client.call("eth_chainId").await);
    drop(stream);
    eventually(async || harness.metric("tyrscale_gateway_requests", &[]) == 0.0).await;
    node.release();
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
}

fn two_connections() -> Settings {
    Settings {
        max_connections_per_client: 2,
        ..settings()
    }
}

/// Whether a call over a connection of its own is answered; it stays open.
async fn is_served(stream: &mut TcpStream) -> bool {
    let call = super::raw::post(r#"{"id":1,"method":"eth_chainId"}"#);
    let mut first = [0; 12];
    bounded(async {
        stream.write_all(call.as_bytes()).await.is_ok() && stream.read_exact(&mut first).await.is_ok()
    })
    .await
}

#[tokio::test]
async fn a_client_has_so_many_connections_and_no_more() {
    let node = node("n").await;
    let harness = Harness::with_route(two_connections(), route(1, HOST_NAME), &[&node]).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        assert!(is_served(&mut stream).await);
        open.push(stream);
    }
    let mut third = TcpStream::connect(harness.addr).await.unwrap();
    assert!(!is_served(&mut third).await);
    let reason = [("reason", "client_connections")];
    assert_eq!(harness.metric("tyrscale_shed_total", &reason), 1.0);
    open.pop();
    eventually(async || {
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        is_served(&mut stream).await
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_may_connect_for_many() {
    let node = node("n").await;
    let trusting = Settings {
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..two_connections()
    };
    let harness = Harness::with_route(trusting, route(1, HOST_NAME), &[&node]).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        let mut stream = TcpStream::connect(harness.addr).await.unwrap();
        assert!(is_served(&mut stream).await);
        open.push(stream);
    }
}
