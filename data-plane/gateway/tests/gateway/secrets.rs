//! Secrets in URLs and headers: upstreams get their values, nobody else does.

use http::{HeaderValue, StatusCode};
use tyrscale_model::{Resource, Secret, wire};
use tyrscale_proto::v1;
use tyrscale_simnode::{ConnectProxy, Fault, RawResponse};

use super::harness::{HOST_NAME, Harness, health, node, route, route_id, rpc, settings, upstream};

/// A secret as a gateway has it; another value is sealed in another way.
fn secret(name: &str, value: &str) -> Resource {
    Resource::Secret(Secret {
        name: name.parse().unwrap(),
        sealed: value.bytes().map(|byte| byte ^ 0x55).collect::<Vec<_>>().into(),
        fingerprint: String::new(),
        value: Some(value.parse().unwrap()),
    })
}

/// The rpc 1 at `url` with these headers.
fn rpc_with(url: &str, headers: &[(&str, &str)]) -> Resource {
    let plain = Resource::Rpc(rpc(1, url));
    let Some(v1::resource::Resource::Rpc(mut message)) =
        wire::resource_to_wire(&plain, wire::Exposure::Full).resource
    else {
        panic!("no rpc");
    };
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    message.headers = headers.collect();
    wire::rpc_from_wire(&message).map(Resource::Rpc).unwrap()
}

#[tokio::test]
async fn an_upstream_gets_the_values_its_rpc_refers_to_and_new_ones_at_once() {
    let node = node("n").await;
    let mut harness = Harness::start(settings()).await;
    let checked = tyrscale_model::Route {
        health_check: Some(health(tyrscale_model::HealthCheckType::EthBlockNumber)),
        ..route(1, HOST_NAME)
    };
    harness.put([
        secret("path", "canary-path-1"),
        secret("key", "canary/key+1"),
        Resource::Route(checked),
        rpc_with(
            &format!("{}/v2/${{secret:path}}?k=${{secret:key}}", node.url()),
            &[("authorization", "Bearer ${secret:key}"), ("x-plain", "1")],
        ),
        Resource::Upstream(upstream(1, route_id(1), 1.0)),
    ]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    // Probes are requests like any other.
    for request in node.captured() {
        assert_eq!(request.uri.to_string(), "/v2/canary-path-1?k=canary%2Fkey%2B1");
        assert_eq!(request.headers["authorization"], "Bearer canary/key+1");
        assert_eq!(request.headers["x-plain"], "1");
    }
    harness.put([secret("key", "canary-key-2")]);
    let before = node.captured().len();
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    let after = node.captured().split_off(before);
    assert!(
        after
            .iter()
            .any(|request| request.headers["authorization"] == "Bearer canary-key-2")
    );

    let telling = RawResponse::json(
        StatusCode::FORBIDDEN,
        r#"{"error":"key canary-key-2 of canary-path-1 ended"}"#,
    )
    .with_header(
        "x-echo".parse().unwrap(),
        HeaderValue::from_static("canary-key-2"),
    );
    node.set_fault(Fault::Respond(telling));
    let answer = harness.client.call("eth_chainId").await;
    assert!(!answer.headers.contains_key("x-echo"));
    let mut shown = vec![
        String::from_utf8_lossy(&answer.body).into_owned(),
        harness.scrape(),
    ];
    shown.push(format!("{:?}", harness.snapshot()));
    for page in ["/debug/routes", "/debug/upstreams", "/debug/traces"] {
        shown.push(format!("{:?}", harness.gateway.debug_page(page)));
    }
    for text in shown {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn an_upstreams_own_header_is_sent_instead_of_its_rpcs() {
    let node = node("n").await;
    let mut harness = Harness::start(settings()).await;
    let plain = Resource::Upstream(upstream(1, route_id(1), 1.0));
    let Some(v1::resource::Resource::Upstream(mut own)) =
        wire::resource_to_wire(&plain, wire::Exposure::Full).resource
    else {
        panic!("no upstream");
    };
    own.headers.insert("x-key".to_owned(), "${secret:own}".to_owned());
    harness.put([
        secret("own", "of-the-upstream"),
        Resource::Route(route(1, HOST_NAME)),
        rpc_with(&node.url(), &[("x-key", "of-the-rpc"), ("x-other", "2")]),
        Resource::Upstream(wire::upstream_from_wire(&own).unwrap()),
    ]);
    harness.client.call("eth_chainId").await;
    let request = node.captured().pop().unwrap();
    assert_eq!(request.headers["x-key"], "of-the-upstream");
    assert_eq!(request.headers["x-other"], "2");
}

#[tokio::test]
async fn an_rpc_is_reached_through_its_proxy_with_the_values_its_credentials_refer_to() {
    let node = node("n").await;
    let proxy = ConnectProxy::start_with_authorization(HeaderValue::from_static("Basic dXNlcjpwYXNz"))
        .await
        .unwrap();
    let mut harness = Harness::start(settings()).await;
    let proxied = |user: &str| {
        let address = format!("{user}:${{secret:pass}}@{}", proxy.addr());
        Resource::Rpc(tyrscale_model::Rpc {
            egress_proxy: Some(address.parse().unwrap()),
            ..rpc(1, &node.url())
        })
    };
    harness.put([
        secret("user", "user"),
        secret("pass", "pass"),
        Resource::Route(route(1, HOST_NAME)),
        proxied("${secret:user}"),
        Resource::Upstream(upstream(1, route_id(1), 1.0)),
    ]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    assert_eq!(proxy.requests()[0].target, node.addr().to_string());
    harness.put([secret("pass", "wrong")]);
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::BAD_GATEWAY
    );
    // Its own proxy goes before that of its rpc.
    let open = ConnectProxy::start().await.unwrap();
    harness.put([Resource::Upstream(tyrscale_model::Upstream {
        proxy: Some(open.addr().to_string().parse().unwrap()),
        ..upstream(1, route_id(1), 1.0)
    })]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    assert_eq!(open.requests().len(), 1);
}
