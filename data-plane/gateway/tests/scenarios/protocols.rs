//! What is decided about the envelope holds whichever version of HTTP a client speaks.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tyrscale_gateway::Settings;
use tyrscale_simnode::SimNode;

use super::harness::{Answer, Caller, Harness, node, route, settings};

/// The host that both versions name.
const HOST_NAME: &str = "127.0.0.1";

struct Client {
    caller: Caller,
    node: SimNode,
    _harness: Harness,
}

/// A client of each version, with a gateway of its own.
async fn both() -> [Client; 2] {
    let mut clients = Vec::new();
    for caller in [Caller::new, Caller::h2c] {
        let node = node("n").await;
        let small = Settings {
            max_body_bytes: 100_000,
            max_batch: 3,
            ..settings()
        };
        let harness = Harness::with_route(small, route(1, HOST_NAME), &[&node]).await;
        clients.push(Client {
            caller: caller(harness.addr),
            node,
            _harness: harness,
        });
    }
    clients.try_into().ok().unwrap()
}

impl Client {
    async fn send(&self, method: Method, content_type: Option<&'static str>, body: Bytes) -> Answer {
        let mut request = self
            .caller
            .request("/eth")
            .method(method)
            .body(Full::new(body))
            .unwrap();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static(HOST_NAME));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        self.caller.send(request).await
    }

    async fn post(&self, body: impl Into<Bytes>) -> Answer {
        self.send(Method::POST, None, body.into()).await
    }
}

/// Scenarios B1, B2, B4, B10, B14, B18, C4, 2, 4, 7: whose fault it is, under which id, without a hit.
#[tokio::test]
async fn what_is_no_call_is_refused_alike() {
    let deep = format!(r#"{{"id":1,"method":"m","params":{}}}"#, "[".repeat(10_000));
    for client in both().await {
        for (body, status, code, id) in [
            ("no json", 400, -32700, json!(null)),
            ("", 400, -32700, json!(null)),
            (r#"{"id":1,"method":"m"} x"#, 400, -32700, json!(null)),
            (deep.as_str(), 400, -32700, json!(null)),
            (r#"{"id":"a","method":7}"#, 400, -32600, json!("a")),
            (r#"{"id":2}"#, 400, -32600, json!(2)),
            (r#"{"id":3,"jsonrpc":"1.0","method":"m"}"#, 400, -32600, json!(3)),
            (r#"{"id":4,"id":4,"method":"m"}"#, 400, -32600, json!(null)),
            (r#"{"id":5,"method":"\ud800"}"#, 400, -32600, json!(5)),
            ("[]", 400, -32600, json!(null)),
            ("[1,2,3,4]", 413, -32600, json!(null)),
            (&" ".repeat(100_001), 413, -32600, json!(null)),
        ] {
            let answer = client.post(body.to_owned()).await;
            let seen = (
                answer.status.as_u16(),
                answer.error_code(),
                answer.json()["id"].clone(),
            );
            assert_eq!(seen, (status, code, id), "{body:.80}");
        }
        assert_eq!(
            client
                .post(&b"{\"id\":1,\"method\":\"\xff\"}"[..])
                .await
                .error_code(),
            -32700
        );
        assert_eq!(client.node.hits(), 0);
    }
}

/// Scenarios B12, C7, 5, 6, 8, 9, 11.
#[tokio::test]
async fn calls_and_batches_are_answered_alike() {
    let answered = |id: Value| json!({"jsonrpc": "2.0", "id": id, "result": "0x539"});
    for client in both().await {
        for id in [
            json!(1.5),
            json!("\u{e9}"),
            json!(null),
            json!(9_007_199_254_740_993_u64),
        ] {
            for params in [json!(null), json!([]), json!({})] {
                let call = json!({"id": id, "method": "eth_chainId", "params": params});
                let answer = client.post(call.to_string()).await;
                assert_eq!(
                    (answer.status, answer.json()),
                    (StatusCode::OK, answered(id.clone()))
                );
            }
        }
        let answer = client.post(" \n[{\"id\":1,\"method\":\"eth_chainId\"}]\n").await;
        assert_eq!(answer.json(), json!([answered(json!(1))]));
        let mixed = r#"[{"id":1,"method":"eth_chainId"},123,{"id":1,"method":"eth_chainId"}]"#;
        let answer = client.post(mixed).await;
        assert_eq!(answer.status, StatusCode::OK);
        let items = answer.json();
        assert_eq!([&items[0], &items[2]], [&answered(json!(1)), &answered(json!(1))]);
        assert_eq!(
            (&items[1]["error"]["code"], &items[1]["id"]),
            (&json!(-32600), &json!(null))
        );
        let alone = client.post("[123]").await;
        assert_eq!(
            (alone.status, alone.json().as_array().unwrap().len()),
            (StatusCode::OK, 1)
        );
        for nothing in [r#"{"method":"eth_chainId"}"#, r#"[{"method":"eth_chainId"}]"#] {
            let answer = client.post(nothing).await;
            assert_eq!((answer.status, answer.body.len()), (StatusCode::NO_CONTENT, 0));
        }
    }
}

/// Scenarios B16, B17.
#[tokio::test]
async fn content_types_and_http_methods_are_taken_alike() {
    let body = Bytes::from_static(br#"{"id":1,"method":"eth_chainId"}"#);
    for client in both().await {
        for content_type in [
            None,
            Some("application/json; charset=utf-8"),
            Some("APPLICATION/JSON"),
            Some("text/plain"),
        ] {
            let answer = client.send(Method::POST, content_type, body.clone()).await;
            assert_eq!(
                (answer.status, &answer.json()["result"]),
                (StatusCode::OK, &json!("0x539"))
            );
        }
        for (method, status) in [(Method::GET, 400), (Method::OPTIONS, 400), (Method::HEAD, 405)] {
            let answer = client.send(method.clone(), None, Bytes::new()).await;
            assert_eq!(answer.status.as_u16(), status, "{method}");
        }
    }
}
