//! Whatever is sent, the answer is an envelope and no fault of ours.

use http::Method;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

use crate::service::Service;

const FIELDS: [&str; 28] = [
    "name",
    "chain_id",
    "blockchain",
    "url",
    "type",
    "provider",
    "network_name",
    "collectors",
    "uuid",
    "host",
    "path",
    "load_balancer_strategy",
    "circuit_breaker",
    "health_check",
    "enabled",
    "interval",
    "timeout",
    "request",
    "headers",
    "rpc_uuid",
    "port",
    "scheme",
    "weight",
    "fasthttp_settings",
    "proxy_host",
    "config",
    "priority",
    "schedule",
];

const WORDS: [&str; 20] = [
    "",
    "eth",
    "ethereum",
    "*",
    "http",
    "http://h",
    "https://u:p@h/k?x=1",
    "private",
    "eth_block_number",
    "custom",
    "weight-round-robin",
    "00000000-0000-4000-8000-000000000000",
    "h:1",
    "a b",
    "\u{0}",
    "é",
    "Middleware",
    "auth",
    "@hourly",
    "STRATEGY_CUSTOM",
];

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..200).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(&WORDS[..]).prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ]
}

fn object() -> impl Strategy<Value = Value> {
    let value = scalar().prop_recursive(3, 24, 6, |inner| {
        let members = (proptest::sample::select(&FIELDS[..]), inner.clone());
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
            proptest::collection::vec(members, 0..6).prop_map(object_of),
        ]
    });
    let members = (proptest::sample::select(&FIELDS[..]), value);
    proptest::collection::vec(members, 0..12).prop_map(object_of)
}

fn object_of(members: Vec<(&'static str, Value)>) -> Value {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.collect::<Map<_, _>>())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => object().prop_map(|value| value.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..64),
        1 => "[\\[\\]{}\",:0-9a-z\\\\]{0,40}".prop_map(String::into_bytes),
    ]
}

fn endpoints(route: &str, rpc: &str) -> Vec<(Method, String)> {
    vec![
        (Method::POST, "/networks".to_owned()),
        (Method::POST, "/rpcs".to_owned()),
        (Method::PUT, "/rpcs".to_owned()),
        (Method::DELETE, format!("/rpcs/{rpc}")),
        (Method::POST, "/routes".to_owned()),
        (Method::PATCH, format!("/routes/{route}")),
        (Method::PUT, format!("/routes/{route}/upstreams")),
        (Method::POST, format!("/routes/{route}/upstreams")),
        (Method::POST, format!("/routes/{route}/attach-plugin")),
        (Method::POST, format!("/routes/{route}/detach-plugin")),
        (Method::POST, "/recommendations".to_owned()),
        (Method::PUT, "/recommendations".to_owned()),
    ]
}

#[tokio::test]
async fn no_body_breaks_a_write() {
    let service = Service::start().await;
    service.network().await;
    let rpc = service.rpc("http://node.example").await;
    let route = service.route("a.example", "/").await;
    let mut runner = TestRunner::new(Config::default());
    for (method, path) in endpoints(&route, &rpc) {
        for _ in 0..64 {
            let sent = body().new_tree(&mut runner).unwrap().current();
            let shown = String::from_utf8_lossy(&sent).into_owned();
            // Envelopes are checked by the client.
            let answer = service.text(method.clone(), &path, sent).await;
            let known = [200, 201, 400, 404, 409];
            assert!(
                known.contains(&answer.status),
                "{method} {path} {shown}: {answer:?}"
            );
        }
    }
    for list in ["/networks", "/rpcs", "/routes", "/recommendations"] {
        assert_eq!(service.get(list).await.status, 200);
    }
    assert_eq!(
        service.get(&format!("/routes/{route}/upstreams")).await.status,
        200
    );
}

#[tokio::test]
async fn no_query_or_path_breaks_a_read() {
    let service = Service::start().await;
    let mut runner = TestRunner::new(Config::default());
    let query = "[a-z_]{1,8}=[a-zA-Z0-9%&=+*.-]{0,12}";
    let path = "(/[a-zA-Z0-9%*.-]{0,8}){0,4}";
    for _ in 0..128 {
        let path = path.new_tree(&mut runner).unwrap().current();
        let query = query.new_tree(&mut runner).unwrap().current();
        for target in [
            path,
            format!("/rpcs?{query}"),
            format!("/networks?chain_id={query}"),
        ] {
            let answer = service.get(&target).await;
            assert!(
                [200, 400, 404, 405].contains(&answer.status),
                "{target}: {answer:?}"
            );
        }
    }
}
