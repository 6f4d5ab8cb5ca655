//! Connections to upstreams: whether they can be used again, and answers that come early or break off.

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tyrscale_http1::{Client, ClientError, ResponseLimits, Target, request_head};

fn asking() -> (Client<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(1024);
    (Client::new(near, ResponseLimits::default()), far)
}

fn post(length: usize) -> Vec<u8> {
    request_head(&Method::POST, &Target::new("/").unwrap(), "a", [], length).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_used_connection_that_was_closed_or_spoken_to_is_not_fresh() {
    for said in [&b""[..], b"HTTP/1.1 408 Request Timeout\r\n\r\n"] {
        let (mut client, mut far) = asking();
        client.send(post(0), Bytes::new()).await.unwrap();
        far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
            .unwrap();
        client.response_head().await.unwrap();
        assert!(client.is_fresh() && client.is_reusable());
        far.write_all(said).await.unwrap();
        drop(far);
        assert!(!client.is_fresh() && !client.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_any_byte_on_a_used_connection_is_told_apart() {
    for (used, begun) in [(false, false), (true, false), (true, true)] {
        let (mut client, mut far) = asking();
        if used {
            client.send(post(0), Bytes::new()).await.unwrap();
            far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await
                .unwrap();
            client.response_head().await.unwrap();
        }
        client.send(post(0), Bytes::new()).await.unwrap();
        if begun {
            far.write_all(b"H").await.unwrap();
        }
        drop(far);
        assert!(matches!(client.response_head().await, Err(ClientError::Ended)));
        assert_eq!((client.was_used(), client.answer_has_begun()), (used, begun));
        assert!(!client.is_reusable());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_before_the_request_was_taken_is_read() {
    let (mut client, mut far) = asking();
    let interim = b"HTTP/1.1 103 Early Hints\r\n\r\n";
    far.write_all(interim).await.unwrap();
    let answering = async {
        // The interim answer does not stop the body, the answer does.
        far.read_exact(&mut [0; 5_000]).await.unwrap();
        far.write_all(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 2\r\n\r\nno")
            .await
            .unwrap();
    };
    let (sent, ()) = tokio::join!(
        client.send(post(100_000), Bytes::from(vec![b'x'; 100_000])),
        answering
    );
    sent.unwrap();
    assert_eq!(
        client.response_head().await.unwrap().status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    assert_eq!(client.chunk().await.unwrap().unwrap(), "no");
    assert_eq!(client.chunk().await.unwrap(), None);
    assert!(!client.is_reusable());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_an_error_and_stays_one() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let (mut client, mut far) = asking();
        client.send(post(0), Bytes::new()).await.unwrap();
        far.write_all(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n5\r\nhel").as_bytes())
            .await
            .unwrap();
        drop(far);
        client.response_head().await.unwrap();
        assert!(client.chunk().await.unwrap().is_some());
        assert!(matches!(client.chunk().await, Err(ClientError::Ended)));
        assert!(client.chunk().await.is_err() && !client.is_reusable());
    }
}
