//! What happens when an upstream does not answer.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use serde_json::json;
use tyrscale_gateway::Settings;
use tyrscale_model::{LoadBalancer, Resource, Route};
use tyrscale_simnode::{Fault, Garbage, RawResponse, RpcError, SimNode};

use super::harness::{
    HOST_NAME, Harness, bounded, breaker, call_body, eventually, node, route, route_id, settings, upstream,
};

/// A route that asks the upstreams in the order of their numbers.
fn in_order() -> Route {
    Route {
        load_balancer: LoadBalancer::FailoverPriority,
        ..route(1, HOST_NAME)
    }
}

async fn two() -> (SimNode, SimNode, Harness) {
    let (first, second) = (node("first").await, node("second").await);
    let harness = Harness::with_route(settings(), in_order(), &[&first, &second]).await;
    (first, second, harness)
}

fn json_answer(status: u16, body: &'static str) -> Fault {
    Fault::Respond(RawResponse::json(StatusCode::from_u16(status).unwrap(), body))
}

/// Scenarios A1, A2, A3, A34, 21, 23.
#[tokio::test]
async fn a_read_goes_on_to_the_next_upstream_after_any_fault() {
    let statuses = [
        300, 301, 302, 401, 402, 403, 404, 405, 408, 429, 500, 501, 502, 503, 504,
    ];
    let mut faults: Vec<Fault> = statuses
        .map(|status| Fault::status(StatusCode::from_u16(status).unwrap()))
        .into();
    faults.extend(
        [
            Garbage::Html,
            Garbage::Text,
            Garbage::TruncatedJson,
            Garbage::Empty,
        ]
        .map(Fault::Garbage),
    );
    faults.extend([
        Fault::CloseBeforeAnswer,
        Fault::CloseMidBody { after_bytes: 10 },
        json_answer(200, "[]"),
        json_answer(200, r#"{"id":1}"#),
    ]);
    for fault in faults {
        let (first, second, harness) = two().await;
        first.set_fault(fault.clone());
        let answer = harness.client.call("eth_blockNumber").await;
        assert_eq!(
            (answer.status, answer.node()),
            (StatusCode::OK, "second"),
            "{fault:?}"
        );
        assert_eq!((first.hits(), second.hits()), (1, 1), "{fault:?}");
        harness.idle().await;
    }
}

/// Scenario A25.
#[tokio::test]
async fn a_closed_port_sends_the_same_bytes_to_the_next() {
    let (first, second, harness) = two().await;
    first.stop().await;
    let body = Bytes::from_static(b"{\"method\" : \"eth_sendTransaction\", \"id\":1}");
    second.respond_with(|_| Some(RawResponse::json(StatusCode::OK, r#"{"id":1,"result":"0x1"}"#)));
    assert_eq!(harness.client.post(body.clone()).await.node(), "second");
    assert_eq!(second.captured()[0].body, body);
}

/// Scenario 88.
#[tokio::test]
async fn what_may_have_been_carried_out_is_not_sent_twice() {
    let (first, second, harness) = two().await;
    for (fault, status) in [
        (Fault::CloseBeforeAnswer, StatusCode::BAD_GATEWAY),
        (
            Fault::status(StatusCode::INTERNAL_SERVER_ERROR),
            StatusCode::BAD_GATEWAY,
        ),
    ] {
        first.set_fault(fault);
        assert_eq!(harness.client.call("eth_sendTransaction").await.status, status);
    }
    assert_eq!(second.hits(), 0);
    first.set_fault(Fault::CloseBeforeAnswer);
    let raw = harness
        .client
        .post(r#"{"id":1,"method":"eth_sendRawTransaction","params":["0x02"]}"#)
        .await;
    assert_eq!((raw.status, raw.node()), (StatusCode::OK, "second"));
}

/// Compatibility case 139. Scenarios A36, 32.
#[tokio::test]
async fn an_error_of_the_calls_own_is_passed_on_at_once() {
    let (first, second, harness) = two().await;
    for error in [
        RpcError::new(-32000, "insufficient funds"),
        RpcError::new(3, "execution reverted").with_data("0x08c379a0"),
    ] {
        first.set_fault(Fault::RpcError(error.clone()));
        let answer = harness.client.call("eth_call").await;
        assert_eq!((answer.status, answer.node()), (StatusCode::OK, "first"));
        assert_eq!(answer.json()["error"], json!(error));
    }
    assert_eq!((first.hits(), second.hits()), (2, 0));
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
}

/// Compatibility case 140. Scenario A19.
#[tokio::test]
async fn a_certain_error_of_the_client_keeps_its_status_and_is_not_retried() {
    let (first, second, harness) = two().await;
    let body = r#"{"id":1,"error":{"code":-32602,"message":"invalid params"}}"#;
    for status in [400, 413] {
        first.set_fault(json_answer(status, body));
        let answer = harness.client.call("eth_call").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (status, body.as_bytes())
        );
    }
    assert_eq!(second.hits(), 0);
}

/// Compatibility case 140. Scenario A22.
#[tokio::test]
async fn a_refusal_that_all_share_is_passed_on() {
    let body = r#"{"message":"no"}"#;
    for status in [400, 401, 402, 403, 404, 408, 413] {
        let (first, second, harness) = two().await;
        first.set_fault(json_answer(status, body));
        second.set_fault(json_answer(status, body));
        let answer = harness.client.call("eth_call").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (status, body.as_bytes())
        );
    }
    let (first, second, harness) = two().await;
    first.set_fault(json_answer(404, body));
    second.set_fault(json_answer(403, body));
    let unlike = harness.client.call("eth_call").await;
    assert_eq!(
        (unlike.status, unlike.error_code()),
        (StatusCode::BAD_GATEWAY, -32603)
    );
}

/// Compatibility case 164. Scenario 31.
#[tokio::test]
async fn a_method_is_found_where_it_is_served() {
    let (first, second, harness) = two().await;
    first.update_behavior(|it| {
        it.unsupported.insert("eth_getLogs".into());
    });
    assert_eq!(harness.client.call("eth_getLogs").await.node(), "second");
    second.update_behavior(|it| {
        it.unsupported.insert("eth_getLogs".into());
    });
    let nowhere = harness.client.call("eth_getLogs").await;
    assert_eq!((nowhere.status, nowhere.error_code()), (StatusCode::OK, -32601));
    assert!(
        nowhere.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("eth_getLogs")
    );
}

/// Scenario A7.
#[tokio::test]
async fn a_batch_answered_by_one_object_goes_to_the_next_upstream() {
    let (first, second, harness) = two().await;
    let body = r#"[{"id":1,"method":"eth_chainId"},{"id":2,"method":"eth_chainId"}]"#;
    let too_large = r#"{"id":null,"error":{"code":-32005,"message":"batch too large"}}"#;
    first.set_fault(json_answer(200, too_large));
    assert_eq!(harness.client.post(body).await.node(), "second");
    assert_eq!((first.hits(), second.hits()), (1, 1));
    assert!(harness.metric("upstream_failures_total", &[]) == 0.0);
    second.set_fault(json_answer(200, too_large));
    let items = harness.client.post(body).await.json();
    assert_eq!(
        (&items[1]["id"], &items[1]["error"]["message"]),
        (&json!(2), &json!("batch too large"))
    );
}

/// Compatibility case 143. Scenarios C6, 39, 45, O2.
#[tokio::test]
async fn when_all_fail_the_status_tells_how_and_no_address() {
    for (fault, status, code) in [
        (Fault::status(StatusCode::SERVICE_UNAVAILABLE), 502, -32603),
        (Fault::status(StatusCode::TOO_MANY_REQUESTS), 429, -32005),
        (Fault::Garbage(Garbage::Html), 502, -32603),
        (Fault::CloseBeforeAnswer, 502, -32603),
    ] {
        let (first, second, harness) = two().await;
        let ports = [first.addr().port().to_string(), second.addr().port().to_string()];
        first.set_fault(fault.clone());
        second.set_fault(fault.clone());
        let answer = harness.client.call("eth_chainId").await;
        assert_eq!(
            (answer.status.as_u16(), answer.error_code()),
            (status, code),
            "{fault:?}"
        );
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(!ports.iter().any(|port| text.contains(port.as_str())), "{text}");
        let batch = harness.client.post(r#"[{"id":5,"method":"eth_chainId"}]"#).await;
        assert_eq!(
            (batch.status, &batch.json()[0]["id"]),
            (StatusCode::OK, &json!(5))
        );
    }
}

/// Scenarios A15, 90.
#[tokio::test]
async fn silence_is_a_timeout_and_the_next_is_asked() {
    let (first, second) = (node("first").await, node("second").await);
    let impatient = Settings {
        attempt_timeout: std::time::Duration::from_millis(50),
        ..settings()
    };
    let harness = Harness::with_route(impatient, in_order(), &[&first, &second]).await;
    first.set_fault(Fault::Silence);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "second");
    second.set_fault(Fault::Silence);
    let answer = harness.client.call("eth_chainId").await;
    assert_eq!(
        (answer.status, answer.error_code()),
        (StatusCode::GATEWAY_TIMEOUT, -32015)
    );
}

/// Compatibility case 145. Scenario A28.
#[tokio::test]
async fn a_route_without_a_willing_upstream_is_503_at_once() {
    let node = node("n").await;
    let mut harness = Harness::with_route(settings(), route(1, HOST_NAME), &[]).await;
    let nobody = harness.client.call("eth_chainId").await;
    assert_eq!(
        (nobody.status, nobody.error_code()),
        (StatusCode::SERVICE_UNAVAILABLE, -32603)
    );
    harness.put([
        Resource::Rpc(super::harness::rpc(1, &node.url())),
        Resource::Upstream(upstream(1, route_id(1), 0.0)),
    ]);
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(node.hits(), 0);
}

/// Scenario A17.
#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (first, second) = (node("first").await, node("second").await);
    let with_breaker = Route {
        circuit_breaker: Some(breaker(1, 60_000)),
        ..in_order()
    };
    let harness = Harness::with_route(settings(), with_breaker, &[&first, &second]).await;
    first.hold();
    let client = super::harness::Caller::new(harness.addr);
    let request = client
        .request("/eth")
        .body(Full::new(call_body("eth_chainId")))
        .unwrap();
    let asking = tokio::spawn(async move { client.send(request).await });
    bounded(first.wait_for_hits(1)).await;
    asking.abort();
    eventually(async || harness.metric("route_requests_total", &[("status", "499")]) == 1.0).await;
    harness.idle().await;
    assert_eq!(second.hits(), 0);
    assert!(
        harness.metric("upstream_failures_total", &[]) + harness.metric("upstream_successes_total", &[])
            == 0.0
    );
    first.release();
    assert_eq!(harness.client.call("eth_chainId").await.node(), "first");
}
