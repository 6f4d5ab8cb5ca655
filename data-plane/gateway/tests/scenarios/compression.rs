//! gzip, from clients and from upstreams.

use std::io::Read;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::Full;
use serde_json::{Value, json};
use tyrscale_simnode::GzipAnswers;

use super::harness::{Answer, Harness, call_body, node};
use super::setting::two;

fn gzip(bytes: &[u8]) -> Bytes {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed.into()
}

async fn compressed(harness: &Harness, body: Bytes) -> Answer {
    let request = harness.client.request("/eth").header(CONTENT_ENCODING, "gzip");
    harness.client.send(request.body(Full::new(body)).unwrap()).await
}

/// Scenario A27.
#[tokio::test]
async fn a_compressed_call_reaches_every_upstream_as_plain_json() {
    let (first, second, harness) = two().await;
    for node in [&first, &second] {
        node.update_behavior(|it| it.refuses_gzip = true);
    }
    let answer = compressed(&harness, gzip(&call_body("eth_chainId"))).await;
    assert_eq!((answer.status, answer.node()), (StatusCode::OK, "first"));
    let seen = first.captured().pop().unwrap();
    assert_eq!(seen.body, call_body("eth_chainId"));
    assert!(!seen.headers.contains_key(CONTENT_ENCODING));
    assert_eq!(seen.headers[CONTENT_LENGTH], seen.body.len().to_string());
}

/// Scenario B14: a small body that is large inside is refused like a large one.
#[tokio::test]
async fn a_bomb_is_refused_at_the_limit() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 1_000_000);
    assert_eq!(
        compressed(&harness, bomb).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let broken = compressed(&harness, Bytes::from_static(b"no gzip")).await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    let request = harness.client.request("/eth").header(CONTENT_ENCODING, "x-own");
    let unknown = harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await;
    assert_eq!(unknown.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(node.hits(), 0);
}

/// Scenario 15: header and body agree, once, whatever the upstream does.
#[tokio::test]
async fn what_a_client_gets_is_coded_as_it_says_and_only_if_accepted() {
    let node = node("n").await;
    node.answer("eth_getLogs", None, Ok(json!("a".repeat(5_000))));
    let harness = Harness::in_front_of(&[&node]).await;
    for rule in [GzipAnswers::Never, GzipAnswers::WhenAccepted, GzipAnswers::Always] {
        node.update_behavior(|it| it.gzip_answers = rule);
        for accept in ["gzip", "identity"] {
            let request = harness.client.request("/eth").header(ACCEPT_ENCODING, accept);
            let answer = harness
                .client
                .send(request.body(Full::new(call_body("eth_getLogs"))).unwrap())
                .await;
            if rule == GzipAnswers::Always && answer.status == StatusCode::BAD_GATEWAY {
                // Nobody had asked it to.
                continue;
            }
            let codings: Vec<_> = answer.headers.get_all(CONTENT_ENCODING).iter().collect();
            let body = match codings.as_slice() {
                [] => answer.body.to_vec(),
                [one] => {
                    assert_eq!((*one, accept), (&"gzip".parse().unwrap(), "gzip"));
                    let mut plain = Vec::new();
                    GzDecoder::new(answer.body.as_ref())
                        .read_to_end(&mut plain)
                        .unwrap();
                    plain
                }
                more => panic!("{more:?}"),
            };
            let told: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(told["result"].as_str().unwrap().len(), 5_000);
        }
    }
}
