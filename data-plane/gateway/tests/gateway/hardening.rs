//! What neither a client nor an upstream can do to the others.

use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tyrscale_gateway::Settings;
use tyrscale_model::{LoadBalancer, Route};
use tyrscale_simnode::{Fault, RawResponse, SimNode};

use super::harness::{
    Answer, HOST_NAME, Harness, bounded, breaker, call_body, eventually, node, route, settings, upstream_id,
};

const KEY: &str = "0123456789abcdef";

/// A gateway in front of `node` at an address full of secrets.
async fn behind_a_key(node: &SimNode) -> Harness {
    let url = format!("http://user:passphrase@{}/v3/{KEY}?token=feedbeef", node.addr());
    Harness::with_urls(settings(), route(1, HOST_NAME), &[url]).await
}

fn tells_a_secret(answer: &Answer) -> bool {
    let text = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
    [KEY, "passphrase", "feedbeef"]
        .iter()
        .any(|secret| text.contains(secret))
}

fn respond(status: StatusCode, body: impl Into<Bytes>) -> Fault {
    Fault::Respond(RawResponse::json(status, body))
}

/// Scenario A3.
#[tokio::test]
async fn a_redirect_is_not_passed_on() {
    let node = node("n").await;
    let harness = behind_a_key(&node).await;
    for status in [300, 301, 302, 303, 304, 307, 308] {
        let location = HeaderValue::from_str(&format!("https://n.example/v3/{KEY}/")).unwrap();
        let redirect =
            RawResponse::new(StatusCode::from_u16(status).unwrap(), "").with_header(LOCATION, location);
        node.set_fault(Fault::Respond(redirect));
        let answer = harness.client.call("eth_chainId").await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (StatusCode::BAD_GATEWAY, -32603),
            "{status}"
        );
        assert!(!tells_a_secret(&answer), "{answer:?}");
    }
}

/// Scenarios N14, 45.
#[tokio::test]
async fn a_refusal_keeps_its_status_and_loses_what_is_no_json_or_tells_a_secret() {
    let node = node("n").await;
    let harness = behind_a_key(&node).await;
    for body in [
        format!("<pre>Cannot POST /v3/{KEY}</pre>"),
        format!(r#"{{"message":"no project {KEY}"}}"#),
        r#"{"message":"token=feedbeef is over"}"#.to_owned(),
        r#"{"message":"user:passphrase"}"#.to_owned(),
        r#""text""#.to_owned(),
        String::new(),
        format!(r#"{{"message":"{}"}}"#, "a".repeat(100_000)),
    ] {
        node.set_fault(respond(StatusCode::NOT_FOUND, body.clone()));
        let answer = harness.client.call("eth_chainId").await;
        assert_eq!(
            (answer.status, answer.error_code(), &answer.json()["id"]),
            (StatusCode::NOT_FOUND, -32603, &json!(1)),
            "{body}"
        );
        assert!(!tells_a_secret(&answer), "{answer:?}");
    }
    let harmless = r#"{"message":"quota"}"#;
    node.set_fault(respond(StatusCode::FORBIDDEN, harmless));
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::FORBIDDEN, harmless.as_bytes())
    );
}

/// Scenarios N14, 45.
#[tokio::test]
async fn errors_of_the_request_and_of_the_method_tell_no_secret_either() {
    let node = node("n").await;
    let harness = behind_a_key(&node).await;
    for (status, code, seen) in [
        (400, -32602, 400),
        (413, -32600, 413),
        (200, -32601, 200),
        (400, -32601, 200),
    ] {
        let body = format!(r#"{{"id":1,"error":{{"code":{code},"message":"/v3/{KEY}"}}}}"#);
        node.set_fault(respond(StatusCode::from_u16(status).unwrap(), body));
        let answer = harness.client.call("eth_chainId").await;
        assert_eq!(answer.status.as_u16(), seen);
        assert!(answer.error_code() != 0 && !tells_a_secret(&answer), "{answer:?}");
    }
    let body = format!(r#"{{"id":null,"error":{{"code":-32000,"message":"/v3/{KEY}"}}}}"#);
    node.set_fault(respond(StatusCode::OK, body));
    let answer = harness.client.post(r#"[{"id":1,"method":"eth_chainId"}]"#).await;
    assert!(!tells_a_secret(&answer), "{answer:?}");
}

/// Scenario N14.
/// What a node says about itself may hold where it is reached; what it says about the chain is not searched.
#[tokio::test]
async fn results_about_the_node_tell_no_secret() {
    let node = node("n").await;
    let harness = behind_a_key(&node).await;
    let says = || Ok(json!(format!("https://n.example/v3/{KEY}")));
    for method in ["web3_clientVersion", "admin_nodeInfo", "unheard_of"] {
        node.answer(method, None, says());
        let answer = harness.client.call(method).await;
        assert!(!tells_a_secret(&answer), "{method} {answer:?}");
        assert!(answer.json()["error"].is_object(), "{method} {answer:?}");
        let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": method}]);
        let answer = harness.client.post(batch.to_string()).await;
        assert!(!tells_a_secret(&answer), "{method} {answer:?}");
    }
    assert_eq!(harness.client.call("web3_sha3").await.status, StatusCode::OK);
}

/// An upstream sets nothing in the browsers of the gateway's clients, and is no page.
#[tokio::test]
async fn an_upstream_does_nothing_to_the_gateways_own_origin() {
    let node = node("n").await;
    let mut answer = RawResponse::new(StatusCode::OK, r#"{"jsonrpc":"2.0","id":1,"result":"<script>"}"#);
    let headers = [
        ("content-type", "text/html"),
        ("set-cookie", "a=1"),
        ("clear-site-data", "\"*\""),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("x-kept", "1"),
    ];
    for (name, value) in headers {
        answer = answer.with_header(name.parse().unwrap(), HeaderValue::from_static(value));
    }
    node.set_fault(Fault::Respond(answer));
    let harness = Harness::in_front_of(&[&node]).await;
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(answer.json()["result"], "<script>");
    assert_eq!(answer.headers["x-kept"], "1");
    for (name, _) in &headers[1..5] {
        assert!(!answer.headers.contains_key(*name), "{name}");
    }
}

#[tokio::test]
async fn headers_about_the_upstreams_own_place_stay_behind() {
    let node = node("n").await;
    let harness = behind_a_key(&node).await;
    let value = HeaderValue::from_static("x");
    let response = RawResponse::json(StatusCode::OK, r#"{"id":1,"result":1}"#)
        .with_header(LOCATION, value.clone())
        .with_header(WWW_AUTHENTICATE, value)
        .with_header(
            HeaderName::from_static("x-request"),
            HeaderValue::from_str(&format!("POST /v3/{KEY}")).unwrap(),
        );
    node.set_fault(Fault::Respond(response));
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(answer.json()["result"], 1);
    for name in ["location", "www-authenticate", "x-request"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
}

const HUGE: usize = 64 * 1024 * 1024;

/// A node whose answer to `debug_traceTransaction` does not fit into the buffers of a connection.
async fn huge() -> SimNode {
    let node = node("n").await;
    let body = format!(r#"{{"id":1,"result":"{}"}}"#, "a".repeat(HUGE));
    node.set_method_fault("debug_traceTransaction", respond(StatusCode::OK, body));
    node
}

fn post(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /eth HTTP/1.1\r\nhost: a.example\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A client that has asked for the huge answer and reads only its head.
async fn stalled(harness: &Harness) -> TcpStream {
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    stream
        .write_all(&post(&call_body("debug_traceTransaction")))
        .await
        .unwrap();
    let mut status = [0; 12];
    bounded(stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    stream
}

fn with_breaker(failures: u32, timeout_ms: u32) -> Route {
    Route {
        load_balancer: LoadBalancer::FailoverPriority,
        circuit_breaker: Some(breaker(failures, timeout_ms)),
        ..route(1, HOST_NAME)
    }
}

fn breaker_is(harness: &Harness, state: f64) -> bool {
    let id = upstream_id(1).to_string();
    harness.metric("tyrscale_upstream_breaker_state", &[("upstream_uuid", &id)]) == state
}

#[tokio::test]
async fn a_client_that_stops_reading_does_not_shut_the_upstream_for_others() {
    let node = huge().await;
    let harness = Harness::with_route(settings(), with_breaker(1, 20), &[&node]).await;
    node.fail_next(1, Fault::status(StatusCode::INTERNAL_SERVER_ERROR));
    harness.client.call("eth_chainId").await;
    eventually(async || breaker_is(&harness, 1.0)).await;
    let _stalled = stalled(&harness).await;
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
    assert!(harness.metric("tyrscale_upstream_in_flight", &[]) == 1.0);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_in_time() {
    let node = huge().await;
    let impatient = Settings {
        write_timeout: Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::with_route(impatient, route(1, HOST_NAME), &[&node]).await;
    let stalled = stalled(&harness).await;
    harness.idle().await;
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) == 0.0).await;
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    drop(stalled);
}

#[tokio::test]
async fn a_stalled_stream_of_http2_gives_the_upstream_back() {
    let node = huge().await;
    let impatient = Settings {
        write_timeout: Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::with_route(impatient, route(1, "127.0.0.1"), &[&node]).await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::post(format!("http://{}/eth", harness.addr))
        .body(Full::new(call_body("debug_traceTransaction")))
        .unwrap();
    let response = bounded(client.request(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    harness.idle().await;
    let read = bounded(response.into_body().collect()).await;
    assert!(read.is_err(), "the part is not taken for the whole");
}

#[tokio::test]
async fn a_pause_of_the_client_is_no_silence_of_the_upstream() {
    let node = huge().await;
    let hasty = Settings {
        attempt_timeout: Duration::from_millis(200),
        ..settings()
    };
    let harness = Harness::with_route(hasty, route(1, HOST_NAME), &[&node]).await;
    let mut stalled = stalled(&harness).await;
    node.set_method_fault("eth_chainId", Fault::Silence);
    // Takes as long as the upstream may be silent.
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    while read < HUGE {
        let count = bounded(stalled.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "broke off after {read} bytes");
        read += count;
    }
    harness.idle().await;
    assert!(
        harness.metric("upstream_failures_total", &[]) == 3.0,
        "the silences only: the first, and when it was asked again"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_late_counts_for_the_breaker() {
    let node = node("n").await;
    node.update_behavior(|it| {
        it.results
            .insert("debug_traceTransaction".into(), json!("ab".repeat(1_000_000)));
        it.fault = Some(Fault::CloseMidBody { after_bytes: 300_000 });
    });
    let harness = Harness::with_route(settings(), with_breaker(1, 60_000), &[&node]).await;
    assert!(!harness.client.call("debug_traceTransaction").await.whole);
    harness.idle().await;
    assert!(breaker_is(&harness, 2.0));
}

#[tokio::test]
async fn a_slow_body_takes_nothing_of_the_time_of_the_upstream() {
    let node = node("n").await;
    let tight = Settings {
        request_timeout: Duration::from_millis(500),
        ..settings()
    };
    let harness = Harness::with_route(tight, with_breaker(1, 60_000), &[&node]).await;
    let request = post(&call_body("eth_chainId"));
    let (first, last) = request.split_at(request.len() - 1);
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    stream.write_all(first).await.unwrap();
    node.hold();
    // Takes as long as a request may.
    let other = Harness::with_route(
        Settings {
            request_timeout: Duration::from_millis(500),
            ..settings()
        },
        route(1, HOST_NAME),
        &[&node],
    )
    .await;
    assert_eq!(
        other.client.call("eth_chainId").await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    node.release();
    stream.write_all(last).await.unwrap();
    let mut status = [0; 12];
    bounded(stream.read_exact(&mut status)).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert!(breaker_is(&harness, 0.0));
}

#[tokio::test]
async fn an_attempt_cut_short_by_the_requests_deadline_blames_nobody() {
    let (first, second) = (node("first").await, node("second").await);
    let tight = Settings {
        attempt_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_millis(300),
        ..settings()
    };
    let harness = Harness::with_route(tight, with_breaker(1, 60_000), &[&first, &second]).await;
    first.set_fault(Fault::Silence);
    second.set_fault(Fault::Silence);
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::GATEWAY_TIMEOUT
    );
    assert_eq!((first.hits(), second.hits()), (1, 1));
    harness.idle().await;
    assert!(harness.metric("upstream_failures_total", &[]) == 1.0);
    second.heal();
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
}

#[tokio::test]
async fn a_silent_upstream_is_counted_and_its_breaker_stays_closed() {
    let node = node("n").await;
    let tight = Settings {
        request_timeout: Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::with_route(tight, with_breaker(1, 60_000), &[&node]).await;
    node.set_fault(Fault::Silence);
    harness.client.call("eth_chainId").await;
    harness.idle().await;
    assert!(harness.metric("upstream_failures_total", &[]) == 1.0);
    assert!(breaker_is(&harness, 0.0));
}

/// Scenario A24.
#[tokio::test]
async fn a_batch_answer_too_large_is_told_and_blames_nobody() {
    let (first, second) = (node("first").await, node("second").await);
    let small = Settings {
        max_batch_answer_bytes: 10_000,
        ..settings()
    };
    let harness = Harness::with_route(small, with_breaker(1, 60_000), &[&first, &second]).await;
    first.update_behavior(|it| {
        it.results.insert("eth_getLogs".into(), json!("a".repeat(10_000)));
    });
    let body = r#"[{"id":1,"method":"eth_getLogs"},{"id":2,"method":"eth_chainId"}]"#;
    let answer = harness.client.post(body).await;
    assert_eq!(answer.status, StatusCode::OK);
    for (id, item) in (1..).zip(answer.json().as_array().unwrap()) {
        assert_eq!(
            (&item["id"], &item["error"]["message"]),
            (&json!(id), &json!("answer too large"))
        );
    }
    harness.idle().await;
    assert_eq!((first.hits(), second.hits()), (1, 0));
    assert!(breaker_is(&harness, 0.0) && harness.metric("upstream_failures_total", &[]) == 0.0);
    let single = harness.client.call("eth_getLogs").await;
    assert_eq!((single.status, single.node()), (StatusCode::OK, "first"));
}

#[tokio::test]
async fn the_host_is_named_once() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let body = String::from_utf8(call_body("eth_chainId").to_vec()).unwrap();
    let length = body.len();
    for (head, seen) in [
        ("HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n", "400"),
        ("HTTP/1.1\r\nhost: a.example\r\nhost: a.example\r\n", "400"),
        ("HTTP/1.0\r\nhost: a.example\r\nhost: a.example\r\n", "400"),
        ("HTTP/1.1\r\n", "400"),
        ("HTTP/1.0\r\n", "404"),
        ("HTTP/1.1\r\nhost: a.example\r\n", "200"),
    ] {
        let text = exchange(
            &harness,
            &format!("POST /eth {head}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"),
        )
        .await;
        assert_eq!(text.get(9..12), Some(seen), "{head} {text}");
        let answer: Value = serde_json::from_str(text.rsplit("\r\n").next().unwrap()).unwrap();
        assert_eq!(answer["error"]["code"] == -32600, seen == "400", "{head} {text}");
    }
    assert_eq!(node.hits(), 1);
}

#[tokio::test]
async fn a_body_that_is_not_framed_properly_is_a_bad_request() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let head = "POST /eth HTTP/1.1\r\nhost: a.example\r\ntransfer-encoding: chunked\r\n\r\n";
    let text = exchange(&harness, &format!("{head}zz\r\n{{}}\r\n0\r\n\r\n")).await;
    assert!(
        text.starts_with("HTTP/1.1 400") && text.contains("-32600"),
        "{text}"
    );
    assert_eq!(node.hits(), 0);
}

/// What a client sees until the gateway closes the connection.
async fn exchange(harness: &Harness, request: &str) -> String {
    let mut stream = TcpStream::connect(harness.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = Vec::new();
    bounded(async { drop(stream.read_to_end(&mut text).await) }).await;
    String::from_utf8(text).unwrap()
}
