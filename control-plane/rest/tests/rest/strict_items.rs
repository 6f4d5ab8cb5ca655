//! The generated Go client refuses members it does not know, in five kinds of items, at any depth.

use serde_json::{Value, json};
use tyrscale_model::{PluginType, Policy};

use crate::service::{Service, address, route, with};

fn assert_only(value: &Value, required: &[&str], allowed: &[&str]) {
    let members = value.as_object().unwrap();
    for name in members.keys() {
        assert!(allowed.contains(&name.as_str()), "{name} in {value}");
    }
    for name in required {
        assert!(members.contains_key(*name), "{name} is missing in {value}");
    }
}

async fn filled() -> (Service, String) {
    let plugins = [("auth".parse().unwrap(), PluginType::Middleware)].into();
    let service = Service::with_policy(Policy { plugins }).await;
    service.network().await;
    let rpc = service.rpc("https://user:pass@node.example/v1?key=1").await;
    let body = json!({
        "host": "a.example", "path": "/eth", "load_balancer_strategy": "failover-priority",
        "circuit_breaker": {
            "enabled": true, "max_requests": 1, "max_consecutive_failures": 3, "interval": 1, "timeout": 1,
            "name": "dropped",
        },
        "health_check": {
            "enabled": true, "type": "custom", "interval": 1, "timeout": 1,
            "combined_with_circuit_breaker": true,
            "request": {"method": "GET", "status_code": 200, "headers": {"X": "y"}, "body": ""},
        },
    });
    let id = service.post("/routes", body).await.uuid();
    service.route("b.example", "").await;
    let disabled = with(route("c.example", ""), "circuit_breaker", json!({}));
    service
        .post("/routes", with(disabled, "health_check", json!({})))
        .await
        .uuid();
    service.upstream(&id, &rpc).await;
    let proxied = with(
        address("u.example"),
        "fasthttp_settings",
        json!({"proxy_host": "u:p@proxy:1"}),
    );
    service
        .put(&format!("/routes/{id}/upstreams"), proxied)
        .await
        .uuid();
    let plugin = json!({"name": "auth", "type": "Middleware", "config": {}, "priority": 1});
    service
        .post(&format!("/routes/{id}/attach-plugin"), plugin)
        .await
        .is_done();
    (service, id)
}

#[tokio::test]
async fn items_have_no_member_that_strict_clients_refuse() {
    let (service, route) = filled().await;
    for item in service.get("/networks").await.items() {
        let all = ["blockchain", "chain_id", "name"];
        assert_only(&item, &all, &all);
    }
    for item in service.get("/rpcs").await.items() {
        let required = ["network_name", "provider", "type", "url"];
        let allowed = [
            "network_name",
            "provider",
            "type",
            "url",
            "uuid",
            "chain_id",
            "collectors",
        ];
        assert_only(&item, &required, &allowed);
    }
    let upstreams = service.upstreams_of(&route).await;
    assert_eq!(upstreams.len(), 2);
    for item in upstreams {
        let allowed = [
            "uuid",
            "rpc_uuid",
            "host",
            "port",
            "path",
            "scheme",
            "weight",
            "fasthttp_settings",
        ];
        assert_only(&item, &["weight"], &allowed);
        if let Some(settings) = item.get("fasthttp_settings") {
            assert_only(settings, &[], &["proxy_host"]);
        }
    }
    let plugins = service.get(&format!("/routes/{route}/plugins")).await.data();
    assert_only(
        &plugins,
        &["Middleware"],
        &["Middleware", "RequestInterceptor", "ResponseInterceptor"],
    );
    for item in plugins["Middleware"].as_array().unwrap() {
        assert_only(
            item,
            &["name", "priority"],
            &["name", "description", "priority", "config"],
        );
    }
}

#[tokio::test]
async fn routes_are_strict_at_every_depth() {
    let (service, _) = filled().await;
    let routes = service.get("/routes").await.items();
    assert_eq!(routes.len(), 3);
    for item in routes {
        let allowed = [
            "uuid",
            "host",
            "path",
            "load_balancer_strategy",
            "circuit_breaker",
            "health_check",
        ];
        assert_only(
            &item,
            &["uuid", "host", "path", "load_balancer_strategy"],
            &allowed,
        );
        let breaker = [
            "enabled",
            "max_requests",
            "max_consecutive_failures",
            "interval",
            "timeout",
        ];
        if let Some(value) = item.get("circuit_breaker") {
            assert_only(value, &[], &breaker);
        }
        if let Some(value) = item.get("health_check") {
            let five = [
                "enabled",
                "type",
                "combined_with_circuit_breaker",
                "interval",
                "timeout",
            ];
            let six = [five.as_slice(), &["request"]].concat();
            assert_only(value, &five, &six);
            if let Some(request) = value.get("request") {
                let three = ["status_code", "body", "method"];
                assert_only(request, &three, &[three.as_slice(), &["headers"]].concat());
            }
        }
    }
}
