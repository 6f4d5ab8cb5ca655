use http::Method;
use serde_json::{Value, json};
use tyrscale_model::{PluginType, Policy};

use crate::service::{Answer, Service, UNKNOWN, with, without};

async fn with_plugins() -> (Service, String) {
    let plugins = [
        ("auth", PluginType::Middleware),
        ("billing", PluginType::Middleware),
        ("header", PluginType::ResponseInterceptor),
    ];
    let plugins = plugins.map(|(name, plugin_type)| (name.parse().unwrap(), plugin_type));
    let service = Service::with_policy(Policy {
        plugins: plugins.into(),
    })
    .await;
    let route = service.route("a.example", "/").await;
    (service, route)
}

fn auth() -> Value {
    json!({"name": "auth", "type": "Middleware", "config": {"b": 1, "a": [1.50]}, "priority": 7})
}

async fn attach(service: &Service, route: &str, body: Value) -> Answer {
    service
        .post(&format!("/routes/{route}/attach-plugin"), body)
        .await
}

async fn attached(service: &Service, route: &str) -> Value {
    service.get(&format!("/routes/{route}/plugins")).await.data()
}

#[tokio::test]
async fn case_103_loaded_plugins_are_listed_by_type() {
    let service = Service::start().await;
    assert_eq!(
        service.get("/plugins").await.body,
        r#"{"status":200,"code":0,"message":"Success","data":{}}"#
    );
    let (service, _) = with_plugins().await;
    let expected = json!({"plugins": {
        "Middleware": {"names": ["auth", "billing"]}, "ResponseInterceptor": {"names": ["header"]},
    }});
    assert_eq!(service.get("/plugins").await.data(), expected);
}

#[tokio::test]
async fn case_104_a_route_without_plugins_lists_none() {
    let (service, route) = with_plugins().await;
    for route in [route.as_str(), UNKNOWN, "zz"] {
        assert_eq!(attached(&service, route).await, json!({}));
    }
}

#[tokio::test]
async fn case_105_a_bad_attachment_is_refused() {
    let (service, route) = with_plugins().await;
    for field in ["name", "type", "config", "priority"] {
        for body in [without(auth(), field), with(auth(), field, json!(null))] {
            let answer = attach(&service, &route, body).await;
            answer.is_refused(400);
            assert_eq!(
                answer.message(),
                format!("Invalid input parameters: {field} is a required field")
            );
        }
    }
    for (priority, detail) in [
        (0, "priority is a required field"),
        (1001, "priority must be 1,000 or less"),
        (-1, "priority must be greater than 0"),
    ] {
        let answer = attach(&service, &route, with(auth(), "priority", json!(priority))).await;
        assert_eq!(answer.message(), format!("Invalid input parameters: {detail}"));
    }
    let path = format!("/routes/{route}/attach-plugin");
    let answer = service.text(Method::POST, &path, "{bad").await;
    answer.is_refused(400);
    assert_eq!(
        answer.message(),
        "Invalid input parameters: failed to parse request"
    );
    assert_eq!(attached(&service, &route).await, json!({}));
}

#[tokio::test]
async fn case_106_unknown_plugins_and_routes_are_not_found() {
    let (service, route) = with_plugins().await;
    for (name, plugin_type) in [("other", "Middleware"), ("auth", "ResponseInterceptor")] {
        let body = with(with(auth(), "name", json!(name)), "type", json!(plugin_type));
        let answer = attach(&service, &route, body).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: plugin not found");
    }
    for route in [UNKNOWN, "zz"] {
        let answer = attach(&service, route, auth()).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: route not found");
        attach(&service, route, json!({})).await.is_refused(400);
    }
    let service = Service::start().await;
    let route = service.route("a.example", "/").await;
    attach(&service, &route, auth()).await.is_refused(404);
}

#[tokio::test]
async fn case_107_an_unknown_type_is_refused() {
    let (service, route) = with_plugins().await;
    attach(&service, &route, with(auth(), "type", json!("Other")))
        .await
        .is_refused(400);
}

#[tokio::test]
async fn case_108_attached_plugins_are_listed_as_sent() {
    let (service, route) = with_plugins().await;
    attach(&service, &route, auth()).await.is_done();
    let header = json!({
        "name": "header", "type": "ResponseInterceptor", "config": "any", "priority": 1000,
        "description": "adds a header",
    });
    attach(&service, &route, header).await.is_done();
    let expected = json!({
        "Middleware": [{"name": "auth", "description": "", "priority": 7, "config": {"b": 1, "a": [1.50]}}],
        "ResponseInterceptor": [
            {"name": "header", "description": "adds a header", "priority": 1000, "config": "any"}
        ],
    });
    assert_eq!(attached(&service, &route).await, expected);
}

#[tokio::test]
async fn case_109_attaching_again_replaces() {
    let (service, route) = with_plugins().await;
    attach(&service, &route, auth()).await.is_done();
    attach(&service, &route, with(auth(), "config", json!({})))
        .await
        .is_done();
    let list = attached(&service, &route).await;
    assert_eq!(list["Middleware"].as_array().unwrap().len(), 1);
    assert_eq!(list["Middleware"][0]["config"], json!({}));
    service.delete(&format!("/routes/{route}")).await.is_done();
    assert_eq!(attached(&service, &route).await, json!({}));
}

#[tokio::test]
async fn case_110_a_plugin_is_detached_once() {
    let (service, route) = with_plugins().await;
    attach(&service, &route, auth()).await.is_done();
    let path = format!("/routes/{route}/detach-plugin");
    let body = json!({"name": "auth", "type": "Middleware"});
    for field in ["name", "type"] {
        service
            .post(&path, without(body.clone(), field))
            .await
            .is_refused(400);
    }
    service.post(&path, body.clone()).await.is_done();
    assert_eq!(attached(&service, &route).await, json!({}));
    let again = service.post(&path, body.clone()).await;
    again.is_refused(404);
    assert_eq!(again.message(), "Resource Not found: plugin not found");
    service
        .post("/routes/zz/detach-plugin", body)
        .await
        .is_refused(404);
}

#[tokio::test]
async fn case_111_plugins_are_listed_without_any_gateway() {
    let (service, _) = with_plugins().await;
    assert_eq!(service.get("/plugins").await.status, 200);
}
