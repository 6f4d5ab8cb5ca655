//! Which methods a route serves.

use http::StatusCode;
use serde_json::json;
use tyrscale_model::{MethodFilter, Route};

use super::harness::{HOST_NAME, Harness, node, route, settings};

fn filter(allow: &[&str], ignore: &[&str]) -> MethodFilter {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    MethodFilter {
        allow: patterns(allow),
        ignore: patterns(ignore),
    }
}

async fn behind(methods: MethodFilter) -> (tyrscale_simnode::SimNode, Harness) {
    let node = node("n").await;
    node.answer("debug_traceTransaction", None, Ok(json!({})));
    let route = Route {
        methods: Some(methods),
        ..route(1, HOST_NAME)
    };
    let harness = Harness::with_route(settings(), route, &[&node]).await;
    (node, harness)
}

/// Scenario 138.
#[tokio::test]
async fn an_exception_to_what_is_ignored_is_served() {
    let (node, harness) = behind(filter(&["debug_traceTransaction"], &["debug_*"])).await;
    assert!(harness.client.call("debug_traceTransaction").await.json()["result"].is_object());
    assert_eq!(harness.client.call("eth_chainId").await.json()["result"], "0x539");
    let refused = harness.client.call("debug_traceBlock").await;
    assert_eq!((refused.status, refused.error_code()), (StatusCode::OK, -32601));
    assert!(
        refused.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("debug_traceBlock")
    );
    assert_eq!(node.hits_of("debug_traceBlock"), 0);
}

/// Scenarios B13, C5.
#[tokio::test]
async fn a_batch_is_answered_around_what_is_not_served() {
    let (node, harness) = behind(filter(&["eth_*"], &[])).await;
    let batch = json!([
        7,
        {"id": 1, "method": "eth_chainId"},
        {"id": 2, "method": "admin_peers"},
        {"id": 3, "method": "eth_blockNumber"},
    ]);
    let answer = harness.client.post(batch.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    assert_eq!(
        [&items[0]["error"]["code"], &items[2]["error"]["code"]],
        [&json!(-32600), &json!(-32601)]
    );
    assert_eq!(
        [&items[1]["result"], &items[3]["result"]],
        [&json!("0x539"), &json!("0x3e8")]
    );
    assert_eq!((&items[2]["id"], node.hits()), (&json!(2), 1));
    assert_eq!(node.captured()[0].rpc_methods, ["eth_chainId", "eth_blockNumber"]);
}

/// A batch of nothing that is served reaches nobody.
#[tokio::test]
async fn a_batch_of_methods_that_are_not_served_is_answered_without_a_hit() {
    let (node, harness) = behind(filter(&["eth_*"], &[])).await;
    let body = r#"[{"id":"a","method":"admin_peers"},{"method":"admin_peers"},{"id":2,"method":"x"}]"#;
    let answer = harness.client.post(body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let items = answer.json();
    assert_eq!(items.as_array().unwrap().len(), 2, "{items}");
    assert_eq!([&items[0]["id"], &items[1]["id"]], [&json!("a"), &json!(2)]);
    assert_eq!(node.hits(), 0);
    let refused = harness.metric("tyrscale_rpc_requests_total", &[("outcome", "refused")]);
    assert_eq!(refused, 3.0);
}

/// Scenario B15.
#[tokio::test]
async fn ten_thousand_unknown_methods_make_no_new_series() {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    harness.client.post(r#"[{"id":1,"method":"eth_nonsense"}]"#).await;
    let series = harness.scrape().lines().count();
    for part in 0..10 {
        let batch: serde_json::Value = (0..1_000)
            .map(|number| json!({"id": number, "method": format!("x{part}_{number}")}))
            .collect();
        harness.client.post(batch.to_string()).await;
    }
    assert_eq!(harness.scrape().lines().count(), series);
    let other = harness.metric("tyrscale_rpc_requests_total", &[("method", "other")]);
    assert_eq!(other, 10_001.0);
}
