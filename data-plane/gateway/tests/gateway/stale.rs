//! Connections that an upstream closes just as a request is sent on them.

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::harness::{HOST_NAME, Harness, bounded, route, settings};

/// An upstream that answers one request on each connection, reads the next one and closes instead of answering,
/// with the number of requests it has read, in all, as the answer's result.
async fn answers_once_per_connection() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let mut seen = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            read_request(&mut stream).await;
            seen += 1;
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"0x{seen}"}}"#);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
            let answer = format!("{head}{}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            read_request(&mut stream).await;
            seen += 1;
        }
    });
    (url, serving)
}

/// To the end of its body, which is one JSON object.
async fn read_request(stream: &mut TcpStream) {
    let mut received = Vec::new();
    while !received.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn what_a_closing_connection_swallowed_is_sent_again_on_another_unless_it_may_do_harm() {
    for (method, status) in [
        ("eth_chainId", StatusCode::OK),
        ("eth_sendTransaction", StatusCode::BAD_GATEWAY),
    ] {
        let (url, serving) = answers_once_per_connection().await;
        let harness = Harness::with_urls(settings(), route(1, HOST_NAME), &[url]).await;
        let first = bounded(harness.client.call("eth_chainId")).await;
        assert_eq!(first.json()["result"], "0x1");
        let second = bounded(harness.client.call(method)).await;
        assert_eq!(second.status, status, "{method}");
        if status == StatusCode::OK {
            // The second on the first connection got no answer, the third was it again.
            assert_eq!(second.json()["result"], "0x3");
        }
        harness.idle().await;
        serving.abort();
    }
}
