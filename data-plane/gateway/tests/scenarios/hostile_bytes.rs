//! Properties over random bytes from both sides. A failing case is named by its seed.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use futures_util::stream::{self, StreamExt};
use serde_json::Value;
use tyrscale_gateway::Settings;
use tyrscale_simnode::{Fault, RawResponse};

use super::harness::{HOST_NAME, Harness, node, route, settings};
use super::raw::{RawUpstream, exchange, post};
use super::setting::two;

const CASES: u64 = 300;

/// Does to good bytes what broken or wicked programs do to them: bytes changed, cut out, doubled, put in.
fn spoil(good: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..rng.usize(0..6) {
        let at = rng.usize(0..=bytes.len());
        let end = (at + rng.usize(0..24)).min(bytes.len());
        match rng.u8(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            3 => bytes.splice(at..at, [rng.u8(..)]).for_each(drop),
            4 => {
                let tokens: [&[u8]; 8] = [
                    b"\r\n",
                    b"\0",
                    b"\"",
                    b"}",
                    b"[",
                    b"content-length: 7\r\n",
                    b"transfer-encoding: chunked\r\n",
                    b"99999999999999999999",
                ];
                bytes
                    .splice(at..at, tokens[rng.usize(0..8)].iter().copied())
                    .for_each(drop);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.u8(0..8);
                }
            }
        }
    }
    bytes
}

fn requests() -> Vec<String> {
    let single = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let batch = r#"[{"id":1,"method":"eth_chainId"},{"id":"b","method":"eth_call","params":[{},"0x1"]},7]"#;
    vec![
        post(single),
        post(batch),
        post(single) + &post(batch),
        format!(
            "POST /eth HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{single}\r\n0\r\n\r\n",
            single.len()
        ),
        "GET /eth HTTP/1.1\r\nhost: a.example\r\nexpect: 100-continue\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0".to_owned(),
    ]
}

/// Takes one answer off the front of what the gateway said.
fn take_answer(text: &[u8]) -> Option<&[u8]> {
    let end = text.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let (head, rest) = text.split_at(end);
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let status: u16 = head
        .strip_prefix("http/1.1 ")
        .or_else(|| head.strip_prefix("http/1.0 "))?
        .get(..3)?
        .parse()
        .ok()?;
    if status == 100 {
        return Some(rest);
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())
        .unwrap_or(0);
    let (body, rest) = rest.split_at_checked(length)?;
    let is_json = head.contains("content-type: application/json");
    (!is_json || serde_json::from_slice::<Value>(body).is_ok()).then_some(rest)
}

fn is_well_formed(mut said: &[u8]) -> bool {
    while !said.is_empty() {
        let Some(rest) = take_answer(said) else {
            return false;
        };
        said = rest;
    }
    true
}

/// Whatever a client sends: no panic, and either well-formed answers or a closed connection.
#[tokio::test]
async fn any_bytes_of_a_client_get_well_formed_answers_or_a_close() {
    let node = node("n").await;
    let hasty = Settings {
        header_timeout: Duration::from_millis(100),
        body_timeout: Duration::from_millis(100),
        ..settings()
    };
    let harness = Harness::with_route(hasty, route(1, HOST_NAME), &[&node]).await;
    let requests = requests();
    let cases = stream::iter(0..CASES).map(async |seed| {
        let mut rng = Rng::with_seed(seed);
        let good = &requests[rng.usize(0..requests.len())];
        let sent = spoil(good.as_bytes(), &mut rng);
        let said = exchange(&harness, &sent).await;
        let is_http2 = sent.starts_with(b"PRI * HTTP/2.0");
        assert!(
            is_http2 || is_well_formed(&said),
            "seed {seed}: {:?} got {:?}",
            Bytes::from(sent),
            Bytes::from(said)
        );
    });
    cases.buffer_unordered(32).for_each(|()| async {}).await;
    assert_eq!(harness.client.call("eth_chainId").await.json()["result"], "0x539");
    harness.idle().await;
}

/// Whatever an upstream answers: the client gets JSON that answers its request, or a broken connection.
#[tokio::test]
async fn any_bytes_of_an_upstream_become_an_answer_to_the_request() {
    let upstream = RawUpstream::start().await;
    let hasty = Settings {
        attempt_timeout: Duration::from_millis(500),
        ..settings()
    };
    let harness = Harness::with_urls(hasty, route(1, HOST_NAME), &[upstream.url()]).await;
    let good = [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\"0x1\"}",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n13\r\n{\"id\":1,\"result\":1}\r\n0\r\n\r\n",
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 46\r\n\r\n{\"id\":1,\"error\":{\"code\":-32602,\"message\":\"no\"}}",
        "HTTP/1.0 503 Unavailable\r\n\r\n<html>",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
    ];
    for seed in 0..CASES {
        let mut rng = Rng::with_seed(seed);
        let answer = spoil(good[rng.usize(0..good.len())].as_bytes(), &mut rng);
        upstream.answer(answer.clone());
        let asked = upstream.asked();
        let told = harness.client.call("eth_chainId").await;
        assert!(upstream.asked() >= asked, "seed {seed}");
        if !told.whole {
            continue;
        }
        let body: Option<Value> = serde_json::from_slice(&told.body).ok();
        assert!(
            body.is_some_and(|body| body.is_object()),
            "seed {seed}: {:?} became {told:?}",
            Bytes::from(answer)
        );
    }
    harness.idle().await;
    let outcomes =
        harness.metric("upstream_successes_total", &[]) + harness.metric("upstream_failures_total", &[]);
    assert!(outcomes <= harness.metric("upstream_total_requests", &[]));
}

/// Whatever comes out of the attempts: each upstream is asked as often as it is counted, and all is given back.
#[tokio::test]
async fn every_attempt_is_counted_once_and_given_back() {
    let (first, second, harness) = two().await;
    let mut rng = Rng::with_seed(7);
    for _ in 0..CASES {
        for node in [&first, &second] {
            node.set_fault(match rng.u8(0..8) {
                0 => Some(Fault::CloseBeforeAnswer),
                1 => Some(Fault::CloseMidBody {
                    after_bytes: rng.usize(0..80),
                }),
                2 => Some(Fault::status(http::StatusCode::BAD_GATEWAY)),
                3 => Some(Fault::status(http::StatusCode::FORBIDDEN)),
                4 => Some(Fault::Respond(RawResponse::new(http::StatusCode::OK, "[]"))),
                _ => None,
            });
        }
        let method = ["eth_chainId", "eth_sendTransaction", "eth_nonsense"][rng.usize(0..3)];
        let answer = harness.client.call(method).await;
        assert!(
            !answer.whole || serde_json::from_slice::<Value>(&answer.body).is_ok(),
            "{answer:?}"
        );
    }
    harness.idle().await;
    let hits = first.hits() + second.hits();
    let counted = harness.metric("upstream_total_requests", &[]);
    assert!(
        counted == f64::from(u32::try_from(hits).unwrap()),
        "{counted} counted, {hits} seen"
    );
}
