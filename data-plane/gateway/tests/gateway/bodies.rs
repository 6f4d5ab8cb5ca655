//! Answers of any size and coding.

use http::StatusCode;
use http::header::{CONTENT_ENCODING, HeaderValue};
use http_body_util::Full;
use serde_json::json;
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, RawResponse};

use super::harness::{HOST_NAME, Harness, call_body, node, route, settings};

fn in_order() -> Route {
    Route {
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    }
}

/// An answer far larger than what the gateway holds.
fn large() -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":"{}"}}"#,
        "ab".repeat(1_000_000)
    )
}

#[tokio::test]
async fn a_large_answer_is_streamed_whole_with_its_length() {
    let node = node("n").await;
    let body = large();
    node.set_fault(Fault::Respond(RawResponse::json(StatusCode::OK, body.clone())));
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = harness.client.call("debug_traceTransaction").await;
    assert!(answer.whole && answer.body == body);
    assert_eq!(answer.headers["content-length"], body.len().to_string());
    harness.idle().await;
    assert!(harness.metric("upstream_successes_total", &[]) == 1.0);
}

/// Scenario A34.
#[tokio::test]
async fn an_answer_that_breaks_off_late_breaks_the_clients_connection_too() {
    let (first, second) = (node("first").await, node("second").await);
    first.update_behavior(|it| {
        it.results
            .insert("debug_traceTransaction".into(), json!("ab".repeat(1_000_000)));
        it.fault = Some(Fault::CloseMidBody { after_bytes: 300_000 });
    });
    let harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    let answer = harness.client.call("debug_traceTransaction").await;
    assert!(!answer.whole);
    assert_eq!(answer.node(), "first");
    assert_eq!(second.hits(), 0);
    harness.idle().await;
    assert!(harness.metric("upstream_failures_total", &[]) == 1.0);
}

#[tokio::test]
async fn a_large_error_is_known_for_one() {
    let (first, second) = (node("first").await, node("second").await);
    let body = format!(
        r#"{{"id":1,"error":{{"code":-32601,"message":"no such method","data":"{}"}}}}"#,
        "ab".repeat(100_000)
    );
    first.set_fault(Fault::Respond(RawResponse::json(StatusCode::OK, body)));
    let harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
}

/// Compatibility case 135. Scenario 15.
#[tokio::test]
async fn header_and_body_always_agree_on_the_coding() {
    let (first, second) = (node("first").await, node("second").await);
    let gzip = RawResponse::json(StatusCode::OK, vec![0x1f, 0x8b, 8, 0])
        .with_header(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    first.set_fault(Fault::Respond(gzip));
    let harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    let request = harness
        .client
        .request("/eth")
        .header("accept-encoding", "gzip, br");
    let answer = harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await;
    assert_eq!(answer.json()["result"], "0x539");
    assert!(!answer.headers.contains_key(CONTENT_ENCODING));
    assert_eq!(second.captured()[0].headers["accept-encoding"], "identity");
}

#[tokio::test]
async fn headers_of_the_upstream_pass_and_those_of_its_connection_do_not() {
    let node = node("n").await;
    let response = RawResponse::new(StatusCode::OK, r#"{"id":1,"result":1}"#)
        .with_header(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .with_header(http::header::CONNECTION, HeaderValue::from_static("x-hop"))
        .with_header("x-hop".parse().unwrap(), HeaderValue::from_static("1"));
    node.set_fault(Fault::Respond(response));
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(
        (&answer.headers["cache-control"], answer.json()["result"].as_i64()),
        (&HeaderValue::from_static("no-store"), Some(1))
    );
    assert!(!answer.headers.contains_key("x-hop"));
}
