//! JSON-RPC as clients send it: ids, notifications, batches, and what is none.

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tyrscale_gateway::Settings;
use tyrscale_simnode::{RawResponse, SimNode};

use super::harness::{HOST_NAME, Harness, call_body, node, route, settings};

async fn setup() -> (SimNode, Harness) {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    (node, harness)
}

/// Compatibility case 136. Scenarios B1, 2.
#[tokio::test]
async fn what_is_no_json_is_a_parse_error_without_a_hit() {
    let (node, harness) = setup().await;
    for body in ["", "no json", "{", r#"{"id":1,"method":"m"} x"#] {
        let answer = harness.client.post(body).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (StatusCode::BAD_REQUEST, -32700),
            "{body}"
        );
        assert_eq!(answer.json()["id"], Value::Null);
    }
    assert_eq!(node.hits(), 0);
}

/// Scenarios B2, B4, 4.
#[tokio::test]
async fn what_is_json_but_no_call_is_an_invalid_request_under_its_id() {
    let (node, harness) = setup().await;
    for body in [
        r#"{"id":7}"#,
        r#"{"id":7,"method":3}"#,
        r#"{"jsonrpc":"1.0","id":7,"method":"eth_chainId"}"#,
        r#"{"id":7,"method":"eth_chainId","params":"x"}"#,
    ] {
        let answer = harness.client.post(body).await;
        assert_eq!(
            (answer.status, answer.error_code()),
            (StatusCode::BAD_REQUEST, -32600),
            "{body}"
        );
        assert_eq!(answer.json()["id"], 7, "{body}");
    }
    assert_eq!(node.hits(), 0);
}

#[tokio::test]
async fn an_id_that_breaks_json_readers_is_refused_and_spoils_only_its_own_call() {
    let (node, harness) = setup().await;
    let answer = harness
        .client
        .post(r#"{"id":1e400,"method":"eth_chainId"}"#)
        .await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::BAD_REQUEST, -32600)
    );
    assert_eq!(node.hits(), 0);
    let batch = r#"[{"id":1e400,"method":"eth_chainId"},{"id":1,"method":"eth_chainId"}]"#;
    let items = harness.client.post(batch).await.json();
    assert_eq!(
        (&items[0]["error"]["code"], &items[1]["result"]),
        (&json!(-32600), &json!("0x539"))
    );
}

/// Compatibility case 137.
#[tokio::test]
async fn ids_of_any_form_are_echoed_byte_for_byte() {
    let (_node, harness) = setup().await;
    for id in [r#""a\u0062""#, "null", "9007199254740993", "1.0", "0"] {
        let body = format!(r#"{{"id":{id},"method":"eth_chainId","params":{{}}}}"#);
        let answer = harness.client.post(body).await;
        assert_eq!(
            answer.body,
            format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"0x539"}}"#)
        );
        assert_eq!(answer.headers["content-length"], answer.body.len().to_string());
    }
}

/// Scenario 6.
#[tokio::test]
async fn notifications_are_forwarded_and_answered_with_nothing() {
    let (node, harness) = setup().await;
    for body in [r#"{"method":"eth_chainId"}"#, r#"[{"method":"eth_chainId"}]"#] {
        let answer = harness.client.post(body).await;
        assert_eq!(
            (answer.status, answer.body.len()),
            (StatusCode::NO_CONTENT, 0),
            "{body}"
        );
    }
    assert_eq!(node.hits(), 2);
}

/// Scenario B18.
#[tokio::test]
async fn hostile_bodies_are_refused_and_the_gateway_lives() {
    let (node, harness) = setup().await;
    let deep = format!(
        r#"{{"id":1,"method":"m","params":{}{}}}"#,
        "[".repeat(10_000),
        "]".repeat(10_000)
    );
    let bodies: [&[u8]; 4] = [
        deep.as_bytes(),
        br#"{"id":1,"id":2,"method":"eth_chainId"}"#,
        b"{\"id\":1,\"method\":\"\xff\"}",
        br#"{"id":1,"method":"\ud800"}"#,
    ];
    for body in bodies {
        assert_eq!(
            harness.client.post(body.to_vec()).await.status,
            StatusCode::BAD_REQUEST
        );
    }
    assert_eq!(node.hits(), 0);
    assert_eq!(harness.client.call("eth_chainId").await.status, StatusCode::OK);
}

/// Scenarios B14, C4.
#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let node = node("n").await;
    let small = Settings {
        max_body_bytes: 1_000,
        max_batch: 2,
        ..settings()
    };
    let harness = Harness::with_route(small, route(1, HOST_NAME), &[&node]).await;
    let answer = harness.client.post(vec![b' '; 1_001]).await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::PAYLOAD_TOO_LARGE, -32600)
    );
    let answer = harness.client.post("[1,2,3]").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::PAYLOAD_TOO_LARGE, -32600)
    );
    assert_eq!(node.hits(), 0);
}

/// Scenario B16.
#[tokio::test]
async fn any_content_type_is_accepted_and_sent_on_as_json() {
    let (node, harness) = setup().await;
    for content_type in [Some("Application/JSON; charset=UTF-8"), Some("text/plain"), None] {
        let mut request = harness
            .client
            .request("/eth")
            .body(Full::new(call_body("eth_chainId")))
            .unwrap();
        if let Some(content_type) = content_type {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        assert_eq!(harness.client.send(request).await.status, StatusCode::OK);
        assert_eq!(
            node.captured().pop().unwrap().headers[CONTENT_TYPE],
            "application/json"
        );
    }
}

/// Scenario B17.
#[tokio::test]
async fn a_method_without_body_is_400_and_one_that_cannot_have_an_answer_405() {
    let (node, harness) = setup().await;
    for (method, status) in [
        (Method::GET, StatusCode::BAD_REQUEST),
        (Method::OPTIONS, StatusCode::BAD_REQUEST),
        (Method::HEAD, StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = harness
            .client
            .request("/eth")
            .method(method)
            .body(Full::default())
            .unwrap();
        assert_eq!(harness.client.send(request).await.status, status);
    }
    let put = harness
        .client
        .request("/eth")
        .method(Method::PUT)
        .body(Full::new(call_body("eth_chainId")));
    harness.client.send(put.unwrap()).await;
    assert_eq!(node.captured()[0].method, Method::POST, "JSON-RPC is posted");
    assert_eq!(node.hits(), 1);
}

/// Scenarios B10, B12, C7, 7.
#[tokio::test]
async fn an_empty_batch_is_one_error_and_a_batch_of_one_is_an_array() {
    let (node, harness) = setup().await;
    let empty = harness.client.post("[]").await;
    assert_eq!(
        (empty.status, empty.error_code()),
        (StatusCode::BAD_REQUEST, -32600)
    );
    let one = harness.client.post("[123]").await;
    assert_eq!(
        (one.status, &one.json()[0]["error"]["code"]),
        (StatusCode::OK, &json!(-32600))
    );
    assert_eq!(node.hits(), 0);
    let one = harness
        .client
        .post(r#"[{"id":"x","method":"eth_chainId"}]"#)
        .await;
    assert_eq!(
        one.json(),
        json!([{"jsonrpc": "2.0", "id": "x", "result": "0x539"}])
    );
}

/// Scenarios B13, 8.
#[tokio::test]
async fn bad_calls_of_a_batch_are_answered_in_their_place() {
    let (node, harness) = setup().await;
    let body = r#"[7,{"id":1,"method":"eth_chainId"},{"id":2},{"method":"net_version"},{"id":1.0,"method":"net_version"}]"#;
    let answer = harness.client.post(body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    let told: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (&item["id"], &item["error"]["code"]))
        .collect();
    let null = &Value::Null;
    let refused = &json!(-32600);
    assert_eq!(
        told,
        [
            (null, refused),
            (&json!(1), null),
            (&json!(2), refused),
            (&json!(1.0), null)
        ]
    );
    assert_eq!(
        (&items[1]["result"], &items[3]["result"]),
        (&json!("0x539"), &json!("1337"))
    );
    assert_eq!(node.hits(), 1);
}

/// Scenario C3.
#[tokio::test]
async fn answers_of_a_batch_are_put_in_order_and_missing_ones_are_errors() {
    let (node, harness) = setup().await;
    node.respond_with(|_| {
        let body = r#"[{"id":3,"result":"c"},{"id":1,"result":"a"},{"id":9,"result":"z"}]"#;
        Some(RawResponse::json(StatusCode::OK, body))
    });
    let body = r#"[{"id":1,"method":"eth_a"},{"id":2,"method":"eth_b"},{"id":3,"method":"eth_c"}]"#;
    let items = harness.client.post(body).await.json();
    assert_eq!(
        (&items[0]["result"], &items[2]["result"]),
        (&json!("a"), &json!("c"))
    );
    assert_eq!(
        (&items[1]["id"], &items[1]["error"]["code"]),
        (&json!(2), &json!(-32603))
    );
    assert_eq!(items.as_array().unwrap().len(), 3);
}
