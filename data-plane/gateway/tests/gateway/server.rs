//! Connections of clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tyrscale_gateway::Settings;

use super::harness::{Caller, HOST_NAME, Harness, bounded, eventually, node, route, settings};

async fn connect(harness: &Harness) -> TcpStream {
    bounded(TcpStream::connect(harness.addr)).await.unwrap()
}

/// What arrives until the other side closes.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    bounded(async {
        // A reset is an end, too.
        drop(stream.read_to_end(&mut text).await);
    })
    .await;
    String::from_utf8(text).unwrap()
}

/// Compatibility case 175.
#[tokio::test]
async fn a_thousand_idle_connections_leave_room_for_requests() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(connect(&harness).await);
    }
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) >= 1_000.0).await;
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    drop(idle);
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) < 10.0).await;
}

#[tokio::test]
async fn connections_over_the_cap_wait_for_a_place() {
    let node = node("n").await;
    let one = Settings {
        max_connections: 1,
        ..settings()
    };
    let harness = Harness::with_route(one, route(1, HOST_NAME), &[&node]).await;
    let first = connect(&harness).await;
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) == 1.0).await;
    let client = harness.client.clone();
    let waiting = tokio::spawn(async move { client.call("eth_chainId").await.status });
    drop(first);
    assert_eq!(waiting.await.unwrap(), StatusCode::OK);
}

#[tokio::test]
async fn workers_that_wait_for_connections_take_no_place() {
    let node = node("n").await;
    let one = Settings {
        max_connections: 1,
        workers: NonZeroUsize::new(3).unwrap(),
        ..settings()
    };
    // Each worker has a socket of its own.
    let listener = tyrscale_gateway::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let mut harness = Harness::on(listener, one);
    harness.serve(route(1, HOST_NAME), &[node.url()]);
    // Whichever worker the system hands a connection to.
    for _ in 0..16 {
        let client = Caller::new(harness.addr);
        assert_eq!(client.call("eth_chainId").await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let impatient = Settings {
        header_timeout: Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::start(impatient).await;
    for sent in ["", "P", "PRI * HTTP/2.0\r\n", "POST / HTTP/1.1\r\nhost: a"] {
        let mut stream = connect(&harness).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        assert!(!rest_of(&mut stream).await.starts_with("HTTP/1.1 2"), "{sent}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_and_a_body_that_is_too_slow_are_refused() {
    let node = node("n").await;
    let strict = Settings {
        max_header_bytes: 8 * 1024,
        body_timeout: Duration::from_millis(100),
        ..settings()
    };
    let harness = Harness::with_route(strict, route(1, HOST_NAME), &[&node]).await;
    let mut stream = connect(&harness).await;
    let head = format!(
        "POST /eth HTTP/1.1\r\nhost: a.example\r\nx-large: {}\r\n\r\n",
        "a".repeat(9_000)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest_of(&mut stream).await.starts_with("HTTP/1.1 431"));
    let mut stream = connect(&harness).await;
    stream
        .write_all(b"POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: 50\r\n\r\n{")
        .await
        .unwrap();
    let answer = rest_of(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 408") && answer.contains("-32600"),
        "{answer}"
    );
    assert_eq!(node.hits(), 0);
}

/// Compatibility case 179. Scenarios N9, 121.
#[tokio::test]
async fn a_stopping_gateway_finishes_what_it_holds_and_takes_no_more() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    node.hold();
    let client = harness.client.clone();
    let slow = tokio::spawn(async move { client.call("eth_chainId").await });
    bounded(node.wait_for_hits(1)).await;
    harness.shutdown.cancel();
    eventually(async || TcpStream::connect(harness.addr).await.is_err()).await;
    assert!(!harness.serving.is_finished());
    node.release();
    assert_eq!(slow.await.unwrap().status, StatusCode::OK);
    bounded(harness.serving).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_nobody_has_accepted_yet_is_served_when_the_gateway_stops() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    harness.client.call("eth_chainId").await;
    // Without letting the gateway run: the system takes the connection and the request.
    let mut stream = std::net::TcpStream::connect(harness.addr).unwrap();
    let body = r#"{"id":1,"method":"eth_chainId"}"#;
    let head = format!(
        "POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).unwrap();
    harness.shutdown.cancel();
    stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(stream).unwrap();
    assert!(rest_of(&mut stream).await.starts_with("HTTP/1.1 200"));
    bounded(harness.serving).await.unwrap();
}

#[tokio::test]
async fn draining_ends_with_its_time() {
    let node = node("n").await;
    let hasty = Settings {
        drain_timeout: Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::with_route(hasty, route(1, HOST_NAME), &[&node]).await;
    node.hold();
    let mut stream = connect(&harness).await;
    let body = r#"{"id":1,"method":"eth_chainId"}"#;
    let request = format!(
        "POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    bounded(node.wait_for_hits(1)).await;
    harness.shutdown.cancel();
    bounded(harness.serving).await.unwrap();
    assert_eq!(rest_of(&mut stream).await, "");
}
