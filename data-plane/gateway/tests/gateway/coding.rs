//! Compressed bodies, in both directions.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, VARY};
use http_body_util::Full;
use serde_json::json;
use tyrscale_gateway::{Compress, Settings};
use tyrscale_simnode::{Fault, GzipAnswers, RawResponse, SimNode};

use super::harness::{Answer, HOST_NAME, Harness, call_body, node, route, settings};

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gunzip(body: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

async fn post(harness: &Harness, codings: &[&str], body: impl Into<Bytes>) -> Answer {
    let mut request = harness.client.request("/eth");
    for coding in codings {
        request = request.header(CONTENT_ENCODING, *coding);
    }
    harness
        .client
        .send(request.body(Full::new(body.into())).unwrap())
        .await
}

async fn call_accepting(harness: &Harness, accepted: &str, body: Bytes) -> Answer {
    let request = harness.client.request("/eth").header(ACCEPT_ENCODING, accepted);
    harness.client.send(request.body(Full::new(body)).unwrap()).await
}

/// Scenario A27; case 15 of the list.
#[tokio::test]
async fn a_compressed_request_reaches_the_upstream_plain() {
    let node = node("n").await;
    node.update_behavior(|it| it.refuses_gzip = true);
    let harness = Harness::in_front_of(&[&node]).await;
    let plain = call_body("eth_chainId");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
    zlib.write_all(&plain).unwrap();
    for (codings, body) in [
        (&["gzip"][..], gzip(&plain)),
        (&["deflate"], zlib.finish().unwrap()),
        (&["gzip, gzip"], gzip(&gzip(&plain))),
        (&["gzip", "identity"], gzip(&plain)),
    ] {
        assert_eq!(
            post(&harness, codings, body).await.status,
            StatusCode::OK,
            "{codings:?}"
        );
        let captured = node.captured().pop().unwrap();
        assert_eq!(captured.body, plain);
        assert_eq!(captured.headers["content-length"], plain.len().to_string());
        assert!(!captured.headers.contains_key(CONTENT_ENCODING));
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_decoded_is_refused() {
    let node = node("n").await;
    let small = Settings {
        max_body_bytes: 64 * 1024,
        ..settings()
    };
    let harness = Harness::with_route(small, route(1, HOST_NAME), &[&node]).await;
    let bomb = gzip(&vec![b' '; 10 * 1024 * 1024]);
    for (coding, body, status) in [
        ("br", b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("gzip", b"{}".to_vec(), StatusCode::BAD_REQUEST),
        (
            "gzip",
            gzip(&call_body("eth_chainId"))[..20].to_vec(),
            StatusCode::BAD_REQUEST,
        ),
        ("gzip", bomb, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = post(&harness, &[coding], body).await;
        assert_eq!(answer.status, status);
        let told = answer.headers.get(ACCEPT_ENCODING).is_some();
        assert_eq!(told, status == StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(answer.json()["error"]["code"].is_i64());
    }
    assert_eq!(node.hits(), 0);
}

fn compressing(compress: Compress) -> Settings {
    Settings {
        compress,
        ..settings()
    }
}

#[tokio::test]
async fn an_upstream_is_asked_for_gzip_only_when_told_so_and_the_client_takes_it() {
    for (compress, accepted, expected) in [
        (Compress::Off, "gzip", "identity"),
        (Compress::Pass, "gzip", "gzip"),
        (Compress::Pass, "br", "identity"),
        (Compress::Gzip, "br, gzip;q=0.5", "gzip"),
    ] {
        let node = node("n").await;
        let harness = Harness::with_route(compressing(compress), route(1, HOST_NAME), &[&node]).await;
        call_accepting(&harness, accepted, call_body("eth_chainId")).await;
        assert_eq!(
            node.captured()[0].headers[ACCEPT_ENCODING],
            expected,
            "{compress:?}"
        );
    }
}

/// A node whose answer is `body` with these codings said, whatever it is.
async fn answering(codings: &[&'static str], body: Vec<u8>) -> SimNode {
    let node = node("n").await;
    let mut response = RawResponse::json(StatusCode::OK, body);
    for coding in codings {
        response = response.with_header(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    node.set_fault(Fault::Respond(response));
    node
}

#[tokio::test]
async fn gzip_of_an_upstream_is_passed_on_once_or_undone() {
    let plain = r#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#;
    let once = gzip(plain.as_bytes());
    for (codings, sent, passes) in [
        (&["gzip"][..], once.clone(), true),
        // Gzip that is not said to be, and gzip in gzip.
        (&[], once.clone(), false),
        (&["gzip"], gzip(&once), false),
        (&["gzip, gzip"], gzip(&once), false),
    ] {
        let node = answering(codings, sent).await;
        let harness = Harness::in_front_of(&[&node]).await;
        let unaware = harness.client.call("eth_chainId").await;
        assert_eq!(unaware.body, plain, "{codings:?}");
        assert!(!unaware.headers.contains_key(CONTENT_ENCODING));
        let aware = call_accepting(&harness, "gzip", call_body("eth_chainId")).await;
        let said: Vec<_> = aware.headers.get_all(CONTENT_ENCODING).iter().collect();
        if passes {
            assert_eq!(said, ["gzip"]);
            assert_eq!(aware.headers[VARY], "accept-encoding");
            assert_eq!(aware.body, once);
        } else {
            assert!(said.is_empty());
            assert_eq!(aware.body, plain);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_goes_to_another_upstream() {
    let plain = br#"{"jsonrpc":"2.0","id":1,"result":"0x539"}"#;
    for (coding, body) in [
        ("gzip", plain.to_vec()),
        ("br", plain.to_vec()),
        ("gzip", gzip(plain)[..30].to_vec()),
    ] {
        let (bad, good) = (answering(&[coding], body).await, node("good").await);
        let harness = Harness::in_front_of(&[&bad, &good]).await;
        for _ in 0..2 {
            assert_eq!(
                harness.client.call("eth_chainId").await.node(),
                "good",
                "{coding}"
            );
        }
    }
}

#[tokio::test]
async fn a_compressed_batch_is_put_in_order_and_a_compressed_error_is_known() {
    let node = node("n").await;
    node.update_behavior(|it| it.gzip_answers = GzipAnswers::Always);
    let harness = Harness::with_route(compressing(Compress::Pass), route(1, HOST_NAME), &[&node]).await;
    let batch = r#"[{"jsonrpc":"2.0","id":2,"method":"eth_chainId"},{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}]"#;
    let answer = call_accepting(&harness, "gzip", batch.into()).await;
    assert_eq!(
        (answer.json()[0]["id"].as_i64(), answer.json()[1]["id"].as_i64()),
        (Some(2), Some(1))
    );
    let error = br#"{"jsonrpc":"2.0","id":1,"error":{"code":3,"message":"execution reverted","data":"0x"}}"#;
    let reverting = answering(&["gzip"], gzip(error)).await;
    let harness = Harness::in_front_of(&[&reverting]).await;
    assert_eq!(harness.client.call("eth_call").await.error_code(), 3);
    harness.idle().await;
    assert_eq!(harness.metric("upstream_failures_total", &[]), 0.0);
}

fn large() -> String {
    json!({"jsonrpc": "2.0", "id": 1, "result": "ab".repeat(1_000_000)}).to_string()
}

#[tokio::test]
async fn a_large_compressed_answer_streams_as_it_came() {
    let random: String = (0..400_000).map(|_| fastrand::alphanumeric()).collect();
    let plain = json!({"jsonrpc": "2.0", "id": 1, "result": random}).to_string();
    let sent = gzip(plain.as_bytes());
    let node = answering(&["gzip"], sent.clone()).await;
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = call_accepting(&harness, "gzip", call_body("debug_traceTransaction")).await;
    assert!(answer.whole && answer.body == sent);
    assert_eq!(answer.headers["content-length"], sent.len().to_string());
    let unaware = harness.client.call("debug_traceTransaction").await;
    assert!(unaware.whole && unaware.body == plain);
    harness.idle().await;
    assert_eq!(harness.metric("upstream_successes_total", &[]), 2.0);
}

#[tokio::test]
async fn plain_answers_of_some_size_are_compressed_when_told_so() {
    let medium = json!({"jsonrpc": "2.0", "id": 1, "result": "ab".repeat(2_000)}).to_string();
    for body in [medium, large()] {
        let node = answering(&[], body.clone().into_bytes()).await;
        let harness = Harness::with_route(compressing(Compress::Gzip), route(1, HOST_NAME), &[&node]).await;
        let answer = call_accepting(&harness, "gzip", call_body("debug_traceTransaction")).await;
        assert!(answer.whole && answer.body.len() < body.len() / 10);
        assert_eq!(gunzip(&answer.body), body);
        assert_eq!(
            (&answer.headers[CONTENT_ENCODING], &answer.headers[VARY]),
            (
                &HeaderValue::from_static("gzip"),
                &HeaderValue::from_static("accept-encoding")
            )
        );
        let unaware = harness.client.call("debug_traceTransaction").await;
        assert!(unaware.body == body && !unaware.headers.contains_key(CONTENT_ENCODING));
        assert_eq!(unaware.headers[VARY], "accept-encoding");
    }
    let node = node("n").await;
    let harness = Harness::with_route(compressing(Compress::Gzip), route(1, HOST_NAME), &[&node]).await;
    let small = call_accepting(&harness, "gzip", call_body("eth_chainId")).await;
    assert!(!small.headers.contains_key(CONTENT_ENCODING) && small.json()["result"] == "0x539");
}
