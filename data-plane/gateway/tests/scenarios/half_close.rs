//! Clients that close only the side they send on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::harness::{Harness, bounded, node};
use super::raw::post;

/// Scenario 20: an answer that comes within the grace is delivered.
#[tokio::test]
async fn a_client_that_closes_its_sending_side_still_gets_its_answer() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    node.hold();
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = post(r#"{"id":1,"method":"eth_chainId"}"#);
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    bounded(node.wait_for_hits(1)).await;
    node.release();
    let mut received = Vec::new();
    bounded(stream.read_to_end(&mut received)).await.unwrap();
    assert!(received.starts_with(b"HTTP/1.1 200"), "{received:?}");
}

/// Scenario 20: after the grace it counts as gone.
#[tokio::test]
async fn a_client_that_closed_its_sending_side_long_ago_is_gone() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    node.hold();
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let request = post(r#"{"id":1,"method":"eth_chainId"}"#);
    stream.write_all(request.as_bytes()).await.unwrap();
    bounded(node.wait_for_hits(1)).await;
    stream.shutdown().await.unwrap();
    bounded(node.wait_for_load(|load| load.abandoned == 1)).await;
    harness.idle().await;
}
