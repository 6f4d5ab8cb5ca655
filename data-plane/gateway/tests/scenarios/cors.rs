//! Pages in browsers. Source: the Fetch standard, "CORS protocol".

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{Method, StatusCode};
use http_body_util::Full;
use tyrscale_model::{Cors, Route};
use tyrscale_simnode::SimNode;

use super::harness::{Answer, HOST_NAME, Harness, call_body, node, route, settings};

const ALLOWED: &str = "https://app.example";

async fn with_cors() -> (SimNode, Harness) {
    let node = node("n").await;
    let cors = Cors {
        allowed_origins: vec![ALLOWED.parse().unwrap()],
        allowed_headers: vec!["x-api-key".parse().unwrap()],
        max_age_s: 600,
        ..Cors::default()
    };
    let route = Route {
        cors: Some(Box::new(cors)),
        ..route(1, HOST_NAME)
    };
    let harness = Harness::with_route(settings(), route, &[&node]).await;
    (node, harness)
}

async fn preflight(harness: &Harness, origin: &str) -> Answer {
    let request = harness
        .client
        .request("/eth")
        .method(Method::OPTIONS)
        .header(ORIGIN, origin)
        .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(ACCESS_CONTROL_REQUEST_HEADERS, "content-type,x-api-key");
    harness.client.send(request.body(Full::default()).unwrap()).await
}

async fn simple(harness: &Harness, origin: &str) -> Answer {
    let request = harness.client.request("/eth").header(ORIGIN, origin);
    harness
        .client
        .send(request.body(Full::new(call_body("eth_chainId"))).unwrap())
        .await
}

/// Scenarios B17, 17.
#[tokio::test]
async fn a_preflight_of_an_allowed_page_is_granted() {
    let (node, harness) = with_cors().await;
    let answer = preflight(&harness, ALLOWED).await;
    assert!(answer.status.is_success(), "{}", answer.status);
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], ALLOWED);
    let has = |name, part: &str| {
        let value = answer.headers[name].to_str().unwrap().to_ascii_lowercase();
        value.split(',').any(|it| it.trim() == part)
    };
    assert!(has(ACCESS_CONTROL_ALLOW_METHODS, "post"));
    assert!(has(ACCESS_CONTROL_ALLOW_HEADERS, "x-api-key"));
    assert!(has(ACCESS_CONTROL_ALLOW_HEADERS, "content-type"));
    assert_eq!(answer.headers[ACCESS_CONTROL_MAX_AGE], "600");
    assert!(!answer.headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
    assert_eq!(node.hits(), 0);
}

/// Scenario 17.
#[tokio::test]
async fn pages_of_other_origins_get_no_leave() {
    let (_node, harness) = with_cors().await;
    for origin in ["https://evil.example", "https://app.example.evil.example", "null"] {
        for answer in [preflight(&harness, origin).await, simple(&harness, origin).await] {
            assert!(
                !answer.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN),
                "{origin}"
            );
        }
    }
}

/// Scenario 17: the answer itself, good or bad, tells the page's origin and that it depends on it.
#[tokio::test]
async fn answers_to_allowed_pages_can_be_read_errors_included() {
    let (node, harness) = with_cors().await;
    let answer = simple(&harness, ALLOWED).await;
    assert_eq!(answer.headers[ACCESS_CONTROL_ALLOW_ORIGIN], ALLOWED);
    let vary = answer.headers[VARY].to_str().unwrap().to_ascii_lowercase();
    assert!(vary.contains("origin"));
    node.stop().await;
    let failed = simple(&harness, ALLOWED).await;
    assert_eq!(failed.status, StatusCode::BAD_GATEWAY);
    assert_eq!(failed.headers[ACCESS_CONTROL_ALLOW_ORIGIN], ALLOWED);
}
