//! Requests and answers between our own two sides.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::io::{DuplexStream, duplex};
use tyrscale_http1::{
    AnswerLength, Client, Drain, Field, ResponseLimits, Server, ServerSettings, Target, request_head,
};

fn connected() -> (Server<DuplexStream>, Client<DuplexStream>) {
    let (near, far) = duplex(64 * 1024);
    let settings = Arc::new(ServerSettings::default());
    (
        Server::new(near, settings, Drain::never()),
        Client::new(far, ResponseLimits::default()),
    )
}

fn post(body: &[u8]) -> Vec<u8> {
    let fields = [Field::new("content-type", b"application/json")];
    let target = Target::new("/eth?x=1").unwrap();
    request_head(&Method::POST, &target, "node.test:8545", fields, body.len()).unwrap()
}

async fn whole(client: &mut Client<DuplexStream>) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(part) = client.chunk().await.unwrap() {
        body.extend_from_slice(&part);
    }
    body
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_one_request_after_the_other() {
    let (mut server, mut client) = connected();
    let serving = async {
        let mut served = 0;
        while let Some(head) = server.next_request().await.unwrap() {
            assert_eq!((&head.method, head.target.as_str()), (&Method::POST, "/eth?x=1"));
            assert_eq!(head.host(), Some("node.test:8545"));
            assert_eq!(head.fields.get("Content-Type"), Some(&b"application/json"[..]));
            let body = server.read_body(1024).await.unwrap();
            server
                .respond(StatusCode::OK, head.fields.end_to_end(), body)
                .await
                .unwrap();
            served += 1;
        }
        served
    };
    let asking = async {
        for body in [&b"first"[..], b"", b"third"] {
            client
                .send(post(body), Bytes::copy_from_slice(body))
                .await
                .unwrap();
            let head = client.response_head().await.unwrap();
            assert_eq!(head.status, StatusCode::OK);
            assert!(head.fields.get("date").is_some());
            assert_eq!(whole(&mut client).await, body);
            assert!(client.is_reusable() && client.is_fresh() && client.was_used());
        }
        drop(client);
    };
    let (served, ()) = tokio::join!(serving, asking);
    assert_eq!(served, 3);
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_arrives_whole_and_the_connection_goes_on() {
    let (mut server, mut client) = connected();
    let serving = async {
        for length in [AnswerLength::Unknown, AnswerLength::Known(300_000)] {
            server.next_request().await.unwrap().unwrap();
            server.begin(StatusCode::OK, [], length).unwrap();
            for _ in 0..3 {
                server.send(Bytes::from(vec![b'x'; 100_000])).await.unwrap();
            }
            server.finish().await.unwrap();
        }
        server
    };
    let asking = async {
        for remaining in [None, Some(300_000)] {
            client.send(post(b""), Bytes::new()).await.unwrap();
            client.response_head().await.unwrap();
            assert_eq!(client.remaining(), remaining);
            assert_eq!(whole(&mut client).await.len(), 300_000);
            assert!(client.is_reusable());
        }
    };
    tokio::join!(serving, asking);
}

#[test]
fn a_connection_that_waits_takes_little_memory() {
    let (mut server, _client) = connected();
    let waiting = size_of_val(&server.next_request());
    let connection = size_of::<Server<tokio::net::TcpStream>>();
    // Besides these there is the timer, and what the runtime keeps for a task and a socket.
    assert!(waiting + connection < 1_024, "{waiting} + {connection} bytes");
}
