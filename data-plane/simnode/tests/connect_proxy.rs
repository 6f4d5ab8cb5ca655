//! The proxy over real sockets, with the tunnel written by hand.
#![cfg(test)]

use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tyrscale_simnode::{ConnectProxy, ConnectRequest, SimNode, SimNodeConfig};

/// Sends `text` and reads until `end` has come or the other side closes.
async fn exchange(stream: &mut TcpStream, text: &str, end: &str) -> String {
    let exchange = async {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !String::from_utf8_lossy(&received).contains(end) {
            if stream.read_buf(&mut received).await.unwrap() == 0 {
                break;
            }
        }
        String::from_utf8(received).unwrap()
    };
    tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .expect("no answer in ten seconds")
}

fn connect(target: &str, headers: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{headers}\r\n")
}

#[tokio::test]
async fn tunnels_bytes_and_records_the_request() {
    let node = SimNode::start(SimNodeConfig::named("a")).await.unwrap();
    let proxy = ConnectProxy::start().await.unwrap();
    let target = node.addr().to_string();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let head = exchange(
        &mut stream,
        &connect(&target, "proxy-authorization: Basic dTpw\r\n"),
        "\r\n\r\n",
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let body = r#"{"id":1,"method":"eth_chainId"}"#;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(&mut stream, &request, "}").await;
    assert!(answer.ends_with(r#""result":"0x539"}"#), "{answer}");
    let recorded = ConnectRequest {
        target,
        proxy_authorization: Some(HeaderValue::from_static("Basic dTpw")),
        authorization: None,
    };
    assert_eq!(proxy.requests(), [recorded]);
    proxy.stop().await;
    assert_eq!(exchange(&mut stream, "", "never").await, "");
}

#[tokio::test]
async fn refuses_those_without_the_password() {
    let proxy = ConnectProxy::start_with_authorization(HeaderValue::from_static("Basic dTpw"))
        .await
        .unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let refused = exchange(&mut stream, &connect("127.0.0.1:1", ""), "\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 407"), "{refused}");
    assert_eq!(proxy.requests().len(), 1);
}

#[tokio::test]
async fn unreachable_targets_and_other_methods_get_their_status() {
    let proxy = ConnectProxy::start().await.unwrap();
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let unreachable = exchange(&mut stream, &connect("127.0.0.1:1", ""), "\r\n\r\n").await;
    assert!(unreachable.starts_with("HTTP/1.1 502"), "{unreachable}");
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let other = exchange(&mut stream, "GET / HTTP/1.1\r\nhost: a\r\n\r\n", "\r\n\r\n").await;
    assert!(other.starts_with("HTTP/1.1 405"), "{other}");
}
