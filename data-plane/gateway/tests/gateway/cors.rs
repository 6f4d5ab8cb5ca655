//! Pages of other origins.

use http::header::{HeaderValue, VARY};
use http::{Method, StatusCode};
use http_body_util::Full;
use tyrscale_model::{Cors, Route};
use tyrscale_simnode::{Fault, RawResponse};

use super::harness::{Answer, HOST_NAME, Harness, call_body, node, route, settings};

const PAGE: &str = "https://app.example";
const ALLOW_ORIGIN: &str = "access-control-allow-origin";

fn open_to_pages() -> Route {
    Route {
        cors: Some(Box::new(Cors {
            allowed_origins: vec![PAGE.parse().unwrap(), "https://*.example.org".parse().unwrap()],
            max_age_s: 600,
            ..Cors::default()
        })),
        ..route(1, HOST_NAME)
    }
}

async fn preflight(harness: &Harness, origin: &str) -> Answer {
    let request = harness
        .client
        .request("/eth")
        .method(Method::OPTIONS)
        .header("origin", origin)
        .header("access-control-request-method", "POST");
    harness.client.send(request.body(Full::default()).unwrap()).await
}

async fn call(harness: &Harness, origin: &str, body: &'static str) -> Answer {
    let request = harness.client.request("/eth").header("origin", origin);
    harness
        .client
        .send(request.body(Full::new(body.into())).unwrap())
        .await
}

/// Scenario B17; case 17 of the list.
#[tokio::test]
async fn a_preflight_is_answered_by_the_gateway() {
    let node = node("n").await;
    let harness = Harness::with_route(settings(), open_to_pages(), &[&node]).await;
    for origin in [PAGE, "https://a.example.org"] {
        let answer = preflight(&harness, origin).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(answer.headers[ALLOW_ORIGIN], origin);
        assert_eq!(answer.headers["access-control-allow-methods"], "POST");
        assert_eq!(answer.headers["access-control-allow-headers"], "content-type");
        assert_eq!(answer.headers["access-control-max-age"], "600");
    }
    let refused = preflight(&harness, "https://evil.example").await;
    assert_eq!(refused.status, StatusCode::NO_CONTENT);
    assert!(!refused.headers.contains_key(ALLOW_ORIGIN));
    assert_eq!(refused.headers[VARY], "origin");
    assert_eq!(node.hits(), 0);
}

#[tokio::test]
async fn answers_and_errors_say_who_may_read_them() {
    let node = node("n").await;
    let body = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    // What the upstream says about it does not count.
    let open = RawResponse::json(StatusCode::OK, body)
        .with_header(ALLOW_ORIGIN.parse().unwrap(), HeaderValue::from_static("*"));
    node.set_fault(Fault::Respond(open));
    let harness = Harness::with_route(settings(), open_to_pages(), &[&node]).await;
    let good = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}"#;
    for (body, status) in [(good, StatusCode::OK), ("no JSON", StatusCode::BAD_REQUEST)] {
        let answer = call(&harness, PAGE, body).await;
        assert_eq!(
            (answer.status, &answer.headers[ALLOW_ORIGIN]),
            (status, &PAGE.parse().unwrap())
        );
        assert_eq!(answer.headers[VARY], "origin");
        let foreign = call(&harness, "https://evil.example", body).await;
        assert_eq!(foreign.status, status);
        assert!(!foreign.headers.contains_key(ALLOW_ORIGIN));
    }
}

#[tokio::test]
async fn without_a_policy_nothing_is_said_about_pages() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    assert_eq!(preflight(&harness, PAGE).await.status, StatusCode::BAD_REQUEST);
    let request = harness.client.request("/eth").header("origin", PAGE);
    let answer = harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key(ALLOW_ORIGIN) && !answer.headers.contains_key(VARY));
}
