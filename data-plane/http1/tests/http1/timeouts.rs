//! How long the server waits for what, on paused time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tyrscale_http1::{AnswerError, BodyError, Drain, RequestError, Server, ServerSettings, Timer};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn settings() -> ServerSettings {
    ServerSettings {
        idle_timeout: Duration::from_secs(60),
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(20),
        write_timeout: Duration::from_secs(30),
        half_close_grace: Duration::from_secs(5),
        linger_timeout: Duration::from_secs(2),
        ..ServerSettings::default()
    }
}

fn connected(room: usize) -> (Server<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(room);
    (Server::new(near, Arc::new(settings()), Drain::never()), far)
}

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_refused_when_its_time_is_over() {
    let (mut server, mut client) = connected(1024);
    let began = Instant::now();
    let trickling = async {
        sleep(Duration::from_secs(4)).await;
        for byte in GET {
            if client.write_all(&[*byte]).await.is_err() {
                break;
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let serving = async {
        let error = server.next_request().await.unwrap_err();
        assert!(
            matches!(error, RequestError::TooSlow) && error.status() == Some(StatusCode::REQUEST_TIMEOUT)
        );
        // From the head's first byte, not the connection's.
        assert_eq!(began.elapsed(), Duration::from_secs(14));
        server
            .respond(StatusCode::REQUEST_TIMEOUT, [], Bytes::new())
            .await
            .unwrap();
        assert!(server.next_request().await.unwrap().is_none());
        drop(server);
    };
    tokio::join!(trickling, serving);
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n") && answer.contains("connection: close\r\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_first_request_is_closed_sooner_than_an_idle_one() {
    let (mut server, mut client) = connected(1024);
    let began = Instant::now();
    assert!(server.next_request().await.unwrap().is_none());
    assert_eq!(began.elapsed(), Duration::from_secs(10));
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);

    let (mut server, mut client) = connected(1024);
    client.write_all(GET).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    sleep(Duration::from_secs(100)).await;
    server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
    let answered = Instant::now();
    assert!(server.next_request().await.unwrap().is_none());
    assert_eq!(answered.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn idle_time_begins_anew_with_each_request() {
    let (mut server, mut client) = connected(1024);
    for _ in 0..5 {
        let asking = async {
            sleep(Duration::from_secs(9)).await;
            client.write_all(GET).await.unwrap();
        };
        let (request, ()) = tokio::join!(server.next_request(), asking);
        request.unwrap().unwrap();
        server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
        sleep(Duration::from_secs(50)).await;
    }
    let answered = Instant::now();
    assert!(server.next_request().await.unwrap().is_none());
    assert_eq!(answered.elapsed(), Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn a_body_has_its_own_time() {
    for (framing, part) in [
        ("Content-Length: 5", "he"),
        ("Transfer-Encoding: chunked", "5\r\nhe"),
    ] {
        let (mut server, mut client) = connected(1024);
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{part}");
        client.write_all(head.as_bytes()).await.unwrap();
        server.next_request().await.unwrap().unwrap();
        let began = Instant::now();
        let error = server.read_body(100).await.unwrap_err();
        assert!(matches!(error, BodyError::TooSlow) && error.status() == Some(StatusCode::REQUEST_TIMEOUT));
        assert_eq!(began.elapsed(), Duration::from_secs(20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_given_up_and_one_that_takes_a_little_is_not() {
    let (mut server, mut client) = connected(1024);
    client.write_all(GET).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    let began = Instant::now();
    let taking = async {
        for _ in 0..3 {
            sleep(Duration::from_secs(29)).await;
            client.read_exact(&mut [0; 100]).await.unwrap();
        }
    };
    let body = Bytes::from(vec![b'x'; 10_000]);
    let (sent, ()) = tokio::join!(server.respond(StatusCode::OK, [], body), taking);
    assert!(matches!(sent, Err(AnswerError::TooSlow)));
    assert_eq!(began.elapsed(), Duration::from_secs(3 * 29 + 30));
    assert!(server.next_request().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_its_side_has_a_grace_period() {
    let (mut server, mut client) = connected(1024);
    client.write_all(GET).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    client.shutdown().await.unwrap();
    let began = Instant::now();
    // Asked in vain several times: the grace period goes on.
    for _ in 0..4 {
        assert!(
            tokio::time::timeout(Duration::from_secs(1), server.closed())
                .await
                .is_err()
        );
    }
    server.closed().await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_we_close_is_read_on_for_a_bounded_time() {
    let (mut server, mut client) = connected(64);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    server.next_request().await.unwrap().unwrap();
    let taking = async {
        let mut answer = [0; 64];
        while client.read(&mut answer).await.unwrap() > 0 {}
    };
    let (sent, ()) = tokio::join!(
        async {
            server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
            let answered = Instant::now();
            assert!(server.next_request().await.unwrap().is_none());
            answered.elapsed()
        },
        taking
    );
    assert_eq!(sent, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_timer_keeps_deadlines_that_move_in_either_direction() {
    let mut timer = Timer::new();
    let began = Instant::now();
    for (deadline, work, done) in [
        (60, 20, true),
        (25, 20, false),
        (100, 20, true),
        (50, 60, false),
        (70, 1, true),
    ] {
        let deadline = began + Duration::from_secs(deadline);
        let before = Instant::now();
        let outcome = timer
            .within(deadline, pin!(sleep(Duration::from_secs(work))))
            .await;
        assert_eq!(outcome.is_some(), done);
        let expected = if done {
            before + Duration::from_secs(work)
        } else {
            deadline
        };
        assert_eq!(Instant::now(), expected);
    }
}
