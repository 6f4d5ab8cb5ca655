//! What the generated clients do, call by call, with their field names.

use http::Method;
use serde_json::json;
use tyrscale_model::{PluginType, Policy};

use crate::service::Service;

#[tokio::test]
async fn case_122_the_operations_of_the_generated_clients_work_in_a_row() {
    let plugins = [("auth".parse().unwrap(), PluginType::Middleware)].into();
    let service = Service::with_policy(Policy { plugins }).await;
    let route = network_rpc_and_route(&service).await;
    upstreams(&service, &route).await;
    plugin(&service, &route).await;
    recommendation(&service, &route).await;

    service.delete(&format!("/routes/{route}")).await.is_done();
    assert_eq!(
        service.delete("/networks/eth-mainnet").await.data(),
        json!({"name": "eth-mainnet"})
    );
    for list in ["/networks", "/rpcs", "/routes", "/recommendations"] {
        assert!(service.get(list).await.items().is_empty(), "{list}");
    }
}

async fn network_rpc_and_route(service: &Service) -> String {
    let network = json!({"blockchain": "ethereum", "chain_id": 1, "name": "eth-mainnet"});
    assert_eq!(
        service.post("/networks", network.clone()).await.data(),
        json!({"chain_id": 1})
    );
    let query = "?name=eth-mainnet&chainId=1&blockchain=ethereum";
    assert_eq!(service.get(&format!("/networks{query}")).await.items(), [network]);

    let rpc = json!({
        "chain_id": 1, "collectors": ["eth_block_number", "net_peers"], "network_name": "eth-mainnet",
        "provider": "starton", "type": "private", "url": "https://node.example/rpc",
    });
    let rpc = service.post("/rpcs", rpc).await.uuid();
    let query = format!("?uuid={rpc}&chainId=1&sort_by=provider&sort_ascending=true");
    assert_eq!(
        service.get(&format!("/rpcs{query}")).await.items()[0]["uuid"],
        rpc
    );
    let update = json!({"uuid": rpc, "provider": "infura", "type": "public", "collectors": ["net_peers"]});
    service.put("/rpcs", update).await.is_done();

    let route = json!({
        "host": "eth.example", "path": "/eth", "load_balancer_strategy": "weight-round-robin",
        "circuit_breaker": {
            "enabled": true, "max_requests": 1, "max_consecutive_failures": 3, "interval": 1000,
            "timeout": 1000, "name": "b",
        },
        "health_check": {
            "enabled": true, "type": "custom", "combined_with_circuit_breaker": true, "interval": 1000,
            "timeout": 500, "request": {"method": "GET", "status_code": 200, "headers": {}, "body": ""},
        },
    });
    let route = service.post("/routes", route).await.uuid();
    let query = format!("?uuid={route}&host=eth.example&path=/eth&loadBalancerStrategy=weight-round-robin");
    assert_eq!(service.get(&format!("/routes{query}")).await.items().len(), 1);
    let update = json!({"load_balancer_strategy": "least-load", "circuit_breaker": {"timeout": 5}});
    service.patch(&format!("/routes/{route}"), update).await.is_done();
    route
}

async fn upstreams(service: &Service, route: &str) {
    let rpc = service.get("/rpcs").await.items()[0]["uuid"].clone();
    let path = format!("/routes/{route}/upstreams");
    let body = json!({
        "rpc_uuid": rpc, "weight": 50.5, "fasthttp_settings": {"proxy_host": "localhost:9050"},
    });
    let one = service.put(&path, body).await.uuid();
    let body = json!({"host": "own.example", "port": 8545, "path": "/", "scheme": "http", "weight": 10});
    let two = service.put(&path, body).await.uuid();
    let body = json!({
        "uuid": two, "host": "own.example", "port": 8546, "path": "/", "scheme": "http", "weight": 20,
    });
    assert_eq!(service.put(&path, body).await.uuid(), two);
    assert_eq!(service.get(&path).await.items().len(), 2);
    let answer = service.delete(&format!("{path}/{two}")).await;
    assert_eq!(answer.data(), json!({"uuid": two}));
    assert_eq!(service.get(&path).await.items()[0]["uuid"], one);
    let options = r#"{"cascade_delete_upstream":true}"#;
    let path = format!("/rpcs/{}", rpc.as_str().unwrap());
    service.text(Method::DELETE, &path, options).await.is_done();
}

async fn plugin(service: &Service, route: &str) {
    let names = service.get("/plugins").await.data();
    assert_eq!(names["plugins"]["Middleware"]["names"], json!(["auth"]));
    let body = json!({
        "name": "auth", "description": "d", "type": "Middleware", "config": {"k": "v"}, "priority": 10,
    });
    service
        .post(&format!("/routes/{route}/attach-plugin"), body)
        .await
        .is_done();
    let attached = service.get(&format!("/routes/{route}/plugins")).await.data();
    assert_eq!(attached["Middleware"][0]["config"], json!({"k": "v"}));
    let body = json!({"name": "auth", "type": "Middleware"});
    service
        .post(&format!("/routes/{route}/detach-plugin"), body)
        .await
        .is_done();
}

async fn recommendation(service: &Service, route: &str) {
    let mut body = json!({
        "network_name": "eth-mainnet", "route_uuid": route, "schedule": "*/5 * * * *",
        "strategy": "STRATEGY_AIR_UNDER_THE_CURVE",
    });
    let created = service.post("/recommendations", body.clone()).await.data();
    assert_eq!(created, json!({"route_uuid": route}));
    let query = format!("?route_uuid={route}&network_name=eth-mainnet");
    assert_eq!(
        service.get(&format!("/recommendations{query}")).await.items(),
        [body.clone()]
    );
    body["strategy"] = json!("STRATEGY_HIGHEST_BLOCK");
    service.put("/recommendations", body).await.is_done();
    service
        .delete(&format!("/recommendations/{route}"))
        .await
        .is_done();
}
