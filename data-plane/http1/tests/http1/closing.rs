//! Connections that end, and what becomes of requests and answers meanwhile.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tyrscale_http1::{
    AnswerError, AnswerLength, BodyError, Drain, DrainSignal, Field, RequestError, Rewind, Server,
    ServerSettings,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn serving(drain: Drain) -> (Server<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(64 * 1024);
    (Server::new(near, Arc::new(ServerSettings::default()), drain), far)
}

async fn received(client: &mut DuplexStream) -> String {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Without the line that depends on the clock.
fn undated(answer: &str) -> String {
    answer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("date: "))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_behind_a_tunnel_that_is_refused() {
    let (mut server, mut client) = serving(Drain::never());
    let tunnel = "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
    client
        .write_all(format!("{tunnel}{GET}").as_bytes())
        .await
        .unwrap();
    server.next_request().await.unwrap().unwrap();
    server
        .respond(StatusCode::METHOD_NOT_ALLOWED, [], Bytes::new())
        .await
        .unwrap();
    assert!(matches!(server.next_request().await, Ok(None)));
    drop(server);
    assert!(received(&mut client).await.contains("connection: close"));
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let (mut server, mut client) = serving(Drain::never());
    let second = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client
        .write_all(format!("{GET}{second}{GET}").as_bytes())
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    let mut targets = Vec::new();
    while let Some(head) = server.next_request().await.unwrap() {
        targets.push(head.target.as_str().to_owned());
        let body = server.read_body(10).await.unwrap();
        server.respond(StatusCode::OK, [], body).await.unwrap();
    }
    drop(server);
    assert_eq!(targets, ["/", "/2", "/"]);
    assert_eq!(received(&mut client).await.matches("HTTP/1.1 200 OK").count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_ends_the_connection_unless_it_is_here() {
    let (mut server, mut client) = serving(Drain::never());
    let whole = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let begun = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\nabc";
    client
        .write_all(format!("{whole}{begun}").as_bytes())
        .await
        .unwrap();
    for _ in 0..2 {
        server.next_request().await.unwrap().unwrap();
        server
            .respond(StatusCode::NOT_FOUND, [], Bytes::new())
            .await
            .unwrap();
    }
    assert!(server.next_request().await.unwrap().is_none());
    drop(server);
    let answers = received(&mut client).await;
    assert_eq!(
        (
            answers.matches(" 404 ").count(),
            answers.matches("connection: close").count()
        ),
        (2, 1)
    );
}

#[tokio::test]
async fn an_answer_to_a_refused_body_is_not_lost_to_a_reset() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let serving = tokio::spawn(async move {
        let mut server = Server::new(stream, Arc::new(ServerSettings::default()), Drain::never());
        server.next_request().await.unwrap().unwrap();
        let error = server.read_body(10).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge));
        server
            .respond(error.status().unwrap(), [], Bytes::new())
            .await
            .unwrap();
        assert!(server.next_request().await.unwrap().is_none());
    });
    let body = vec![b'x'; 200_000];
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&body).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    drop(client);
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_is_told_to_continue_and_others_are_not() {
    for (sent, said) in [("", true), ("abc", false)] {
        let (mut server, mut client) = serving(Drain::never());
        let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
        client
            .write_all(format!("{head}{sent}").as_bytes())
            .await
            .unwrap();
        server.next_request().await.unwrap().unwrap();
        let sending = async {
            if said {
                let mut interim = [0; 25];
                client.read_exact(&mut interim).await.unwrap();
                assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
                client.write_all(b"abc").await.unwrap();
            }
        };
        let (body, ()) = tokio::join!(server.read_body(10), sending);
        assert_eq!(body.unwrap(), "abc");
        server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
        drop(server);
        assert!(received(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[tokio::test(start_paused = true)]
async fn answers_say_what_becomes_of_the_connection() {
    for (request, said, goes_on) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None, true),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n",
            Some("close"),
            false,
        ),
        ("GET / HTTP/1.0\r\n\r\n", Some("close"), false),
        (
            "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
            Some("keep-alive"),
            true,
        ),
    ] {
        let (mut server, mut client) = serving(Drain::never());
        client
            .write_all(format!("{request}{GET}").as_bytes())
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        server.next_request().await.unwrap().unwrap();
        let fields = [
            Field::new("connection", b"upgrade"),
            Field::new("content-length", b"7"),
            Field::new("x-a", b"1"),
        ];
        server
            .respond(StatusCode::OK, fields, Bytes::from("hi"))
            .await
            .unwrap();
        assert_eq!(server.next_request().await.unwrap().is_some(), goes_on);
        drop(server);
        let connection = said.map_or(String::new(), |said| format!("connection: {said}\r\n"));
        let expected = format!("HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 2\r\n{connection}\r\nhi");
        assert_eq!(undated(&received(&mut client).await), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_body_has_none() {
    for (method, status, length) in [
        ("HEAD", 200, "content-length: 5\r\n"),
        ("GET", 204, ""),
        ("GET", 304, ""),
    ] {
        for streamed in [false, true] {
            let (mut server, mut client) = serving(Drain::never());
            client
                .write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                .await
                .unwrap();
            server.next_request().await.unwrap().unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            if streamed {
                server.begin(status, [], AnswerLength::Known(5)).unwrap();
                server.send(Bytes::from("hello")).await.unwrap();
                server.finish().await.unwrap();
            } else {
                server.respond(status, [], Bytes::from("hello")).await.unwrap();
            }
            drop(server);
            let line = format!(
                "HTTP/1.1 {} {}\r\n",
                status.as_str(),
                status.canonical_reason().unwrap()
            );
            assert_eq!(
                undated(&received(&mut client).await),
                format!("{line}{length}\r\n")
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_that_would_split_the_answer_is_refused() {
    let (mut server, mut client) = serving(Drain::never());
    client.write_all(GET.as_bytes()).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    for field in [
        Field::new("x", b"a\r\nset-cookie: b"),
        Field::new("x y", b"a"),
        Field::new("", b"a"),
        Field::new("x", b"\0"),
    ] {
        let sent = server.respond(StatusCode::OK, [field], Bytes::new()).await;
        assert!(matches!(sent, Err(AnswerError::Field(_))));
    }
    server.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_that_is_broken_off_is_not_taken_for_whole() {
    for (length, version) in [
        (AnswerLength::Unknown, "1.1"),
        (AnswerLength::Known(10), "1.1"),
        (AnswerLength::Known(10), "1.0"),
    ] {
        let (mut server, mut client) = serving(Drain::never());
        client
            .write_all(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n").as_bytes())
            .await
            .unwrap();
        server.next_request().await.unwrap().unwrap();
        server.begin(StatusCode::OK, [], length).unwrap();
        server.send(Bytes::from("hello")).await.unwrap();
        drop(server.abort());
        let answer = received(&mut client).await;
        assert!(answer.contains("hello") && !answer.ends_with("0\r\n\r\n"));
    }
    let (mut server, mut client) = serving(Drain::never());
    client.write_all(GET.as_bytes()).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    server.begin(StatusCode::OK, [], AnswerLength::Known(3)).unwrap();
    assert!(matches!(
        server.send(Bytes::from("hello")).await,
        Err(AnswerError::Length)
    ));
    assert!(server.next_request().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_client_of_old_reads_an_answer_of_unknown_length_until_the_end() {
    let (mut server, mut client) = serving(Drain::never());
    client
        .write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        .await
        .unwrap();
    server.next_request().await.unwrap().unwrap();
    server.begin(StatusCode::OK, [], AnswerLength::Unknown).unwrap();
    server.send(Bytes::from("hel")).await.unwrap();
    server.send(Bytes::from("lo")).await.unwrap();
    server.finish().await.unwrap();
    assert!(server.next_request().await.unwrap().is_none());
    drop(server);
    let answer = undated(&received(&mut client).await);
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_idle_connections_at_once_and_busy_ones_after_the_answer() {
    let signal = DrainSignal::new();
    let (mut idle, mut idle_client) = serving(signal.watch());
    let (mut busy, mut client) = serving(signal.watch());
    client.write_all(GET.as_bytes()).await.unwrap();
    busy.next_request().await.unwrap().unwrap();
    let mut waiting = std::pin::pin!(idle.next_request());
    std::future::poll_fn(|context| {
        assert!(waiting.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    signal.begin();
    assert!(waiting.await.unwrap().is_none());
    assert_eq!(idle_client.read(&mut [0]).await.unwrap(), 0);
    busy.respond(StatusCode::OK, [], Bytes::new()).await.unwrap();
    assert!(busy.next_request().await.unwrap().is_none());
    drop(busy);
    assert!(received(&mut client).await.contains("connection: close\r\n"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_while_its_request_is_worked_on_is_noticed() {
    let (near, mut far) = duplex(1024);
    let settings = ServerSettings {
        half_close_grace: Duration::ZERO,
        ..ServerSettings::default()
    };
    let mut server = Server::new(near, Arc::new(settings), Drain::never());
    far.write_all(GET.as_bytes()).await.unwrap();
    server.next_request().await.unwrap().unwrap();
    // What it sends meanwhile is kept, and does not count as leaving.
    far.write_all(GET.as_bytes()).await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_secs(1), server.closed())
            .await
            .is_err()
    );
    drop(far);
    server.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_http_2_can_be_handed_over() {
    let (mut server, mut client) = serving(Drain::never());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore";
    client.write_all(preface).await.unwrap();
    assert!(matches!(server.next_request().await, Err(RequestError::Http2)));
    let (io, read) = server.into_parts();
    let mut rewound = Rewind::new(io, read);
    client.write_all(b" and more").await.unwrap();
    client.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    rewound.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore and more");
}
