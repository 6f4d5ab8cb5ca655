//! JSON-RPC and HTTP around it, as clients send them.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, SET_COOKIE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tyrscale_gateway::Settings;
use tyrscale_simnode::{Fault, RawResponse};

use super::harness::{HOST_NAME, Harness, bounded, node, route, settings};
use super::raw::{RawUpstream, exchange, last_post, post};

/// Scenario 5.
#[tokio::test]
async fn params_of_any_legal_form_are_forwarded_as_they_came_and_answered() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    for params in ["", r#","params":null"#, r#","params":[]"#, r#","params":{}"#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"eth_chainId"{params}}}"#);
        let answer = harness.client.post(body.clone()).await;
        assert_eq!(answer.json()["result"], "0x539", "{body}");
        assert_eq!(node.captured().pop().unwrap().body, body);
    }
}

/// Scenarios 9, C7.
#[tokio::test]
async fn a_batch_may_begin_with_white_space() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = harness
        .client
        .post(" \r\n\t[{\"id\":1,\"method\":\"eth_chainId\"}]\n")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!([{"jsonrpc": "2.0", "id": 1, "result": "0x539"}])
    );
}

/// Scenarios 16, O2.
#[tokio::test]
async fn unknown_hosts_and_paths_are_told_in_json() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    for (host, path) in [
        (HOST_NAME, "/"),
        (HOST_NAME, "/eth/1"),
        (HOST_NAME, "/%00"),
        ("b.example", "/eth"),
    ] {
        let answer = harness.client.post_to(host, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{host}{path}");
        assert!(answer.error_code() < 0 && answer.json()["id"] == Value::Null);
    }
    assert_eq!(node.hits(), 0);
}

/// Scenario B14.
#[tokio::test]
async fn a_body_without_end_is_refused_at_the_limit_and_not_read_on() {
    let node = node("n").await;
    let small = Settings {
        max_body_bytes: 100_000,
        ..settings()
    };
    let harness = Harness::with_route(small, route(1, HOST_NAME), &[&node]).await;
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    let (mut read, mut write) = stream.split();
    write
        .write_all(b"POST /eth HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x1_0000], b"\r\n"].concat();
    let endless = async {
        let mut sent = 0_usize;
        // Ends by the gateway's close; the sockets' buffers are all that it takes beyond its limit.
        while write.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
            assert!(sent < 256 * 1024 * 1024, "read on and on");
        }
    };
    let mut text = Vec::new();
    let answer = async { while matches!(read.read_buf(&mut text).await, Ok(1..)) {} };
    bounded(async { tokio::join!(endless, answer) }).await;
    assert!(text.starts_with(b"HTTP/1.1 413"), "{:?}", Bytes::from(text));
    assert_eq!(node.hits(), 0);
}

/// Scenarios 8, B13 as far as the envelope goes: what is wrong in one call of a batch spoils no other, and the
/// upstream sees only what is right.
#[tokio::test]
async fn one_invalid_call_of_a_batch_is_told_in_its_place() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let body = r#"[{"id":1,"method":"eth_chainId"},{"id":2,"method":true},{"id":3,"method":"net_version"}]"#;
    let answer = harness.client.post(body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    assert_eq!(
        [
            &items[0]["result"],
            &items[1]["error"]["code"],
            &items[2]["result"]
        ],
        [&json!("0x539"), &json!(-32600), &json!("1337")]
    );
    assert_eq!(
        (node.hits(), node.captured()[0].rpc_methods.clone()),
        (1, vec!["eth_chainId".to_owned(), "net_version".to_owned()])
    );
}

/// Scenario O1.
#[tokio::test]
async fn a_connection_outlives_batches_refusals_and_errors() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let (bodies, last) = (
        [
            r#"[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_chainId"}]"#,
            "[]",
            "no json",
            r#"{"method":"eth_chainId"}"#,
            r#"[{"id":1,"method":"eth_nonsense"}]"#,
        ],
        r#"{"id":1,"method":"eth_chainId"}"#,
    );
    let requests: String = bodies.iter().map(|body| post(body)).collect();
    let received = exchange(&harness, (requests + &last_post(last)).as_bytes()).await;
    let text = String::from_utf8(received).unwrap();
    let statuses: Vec<&str> = text
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.get(..3))
        .collect();
    assert_eq!(statuses, ["200", "400", "400", "204", "200", "200"], "{text}");
}

/// Scenario O11: every value of a header passes.
#[tokio::test]
async fn headers_with_several_values_keep_them_all() {
    let node = node("n").await;
    let response = RawResponse::json(StatusCode::OK, r#"{"id":1,"result":1}"#)
        .with_header("x-cost".parse().unwrap(), HeaderValue::from_static("1"))
        .with_header("x-cost".parse().unwrap(), HeaderValue::from_static("2"));
    node.set_fault(Fault::Respond(response));
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = harness.client.call("eth_chainId").await;
    let costs: Vec<_> = answer.headers.get_all("x-cost").iter().collect();
    assert_eq!(costs, ["1", "2"]);
    assert_eq!(answer.headers.get_all(CONTENT_TYPE).iter().count(), 1);
    assert!(!answer.headers.contains_key(SET_COOKIE));
}

/// Scenario O11: trailers of an upstream's answer are dropped.
#[tokio::test]
async fn trailers_of_an_answer_are_dropped() {
    let upstream = RawUpstream::start().await;
    upstream.answer(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
         trailer: x-late\r\n\r\n13\r\n{\"id\":1,\"result\":1}\r\n0\r\nx-late: 1\r\n\r\n",
    );
    let harness = Harness::with_urls(settings(), route(1, HOST_NAME), &[upstream.url()]).await;
    let received = exchange(
        &harness,
        last_post(r#"{"id":1,"method":"eth_chainId"}"#).as_bytes(),
    )
    .await;
    let text = String::from_utf8(received).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains(r#"{"id":1,"result":1}"#), "{text}");
    assert!(!text.contains("x-late"), "{text}");
}
