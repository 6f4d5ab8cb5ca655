use serde_json::{Value, json};

use crate::{
    routes::listed,
    service::{Service, route, with, without},
};

fn breaker() -> Value {
    json!({
        "enabled": true, "max_requests": 1, "max_consecutive_failures": 3,
        "interval": 120_000, "timeout": 60_000,
    })
}

fn health_check() -> Value {
    json!({"enabled": true, "type": "eth_block_number", "interval": 5000, "timeout": 2000})
}

async fn created_with(service: &Service, name: &str, value: Value) -> Value {
    let answer = service
        .post("/routes", with(route("a.example", "/eth"), name, value))
        .await;
    let id = answer.uuid();
    listed(service, &id).await
}

#[tokio::test]
async fn case_066_an_enabled_breaker_needs_its_four_numbers() {
    let service = Service::start().await;
    for field in ["max_requests", "max_consecutive_failures", "interval", "timeout"] {
        for breaker in [without(breaker(), field), with(breaker(), field, json!(0))] {
            let body = with(route("a.example", "/eth"), "circuit_breaker", breaker);
            let answer = service.post("/routes", body).await;
            answer.is_refused(400);
            assert_eq!(
                answer.message(),
                format!("Invalid input parameters: {field} is a required field")
            );
        }
    }
    let item = created_with(&service, "circuit_breaker", json!({"timeout": 5, "name": "x"})).await;
    assert_eq!(item["circuit_breaker"], json!({"timeout": 5}));
}

#[tokio::test]
async fn case_067_breaker_numbers_are_whole_and_not_negative() {
    let service = Service::start().await;
    for bad in [json!(-1), json!(1.5), json!("1"), json!(4_294_967_296_u64)] {
        let body = with(
            route("a.example", "/eth"),
            "circuit_breaker",
            with(breaker(), "interval", bad),
        );
        service.post("/routes", body).await.is_refused(400);
    }
}

#[tokio::test]
async fn case_068_an_enabled_health_check_needs_type_interval_and_timeout() {
    let service = Service::start().await;
    for field in ["type", "interval", "timeout"] {
        let body = with(
            route("a.example", "/eth"),
            "health_check",
            without(health_check(), field),
        );
        let answer = service.post("/routes", body).await;
        answer.is_refused(400);
        assert_eq!(
            answer.message(),
            format!("Invalid input parameters: {field} is a required field")
        );
    }
    let item = created_with(&service, "health_check", json!({})).await;
    let expected = json!({
        "enabled": false, "type": "", "combined_with_circuit_breaker": false, "interval": 0, "timeout": 0,
    });
    assert_eq!(item["health_check"], expected);
}

#[tokio::test]
async fn case_069_a_custom_health_check_needs_its_request() {
    let service = Service::start().await;
    for enabled in [true, false] {
        let check = with(
            with(health_check(), "type", json!("custom")),
            "enabled",
            json!(enabled),
        );
        let body = with(route("a.example", "/eth"), "health_check", check);
        let answer = service.post("/routes", body).await;
        assert_eq!(
            answer.message(),
            "Invalid input parameters: request is a required field"
        );
    }
    let check = with(
        with(health_check(), "type", json!("custom")),
        "request",
        json!({}),
    );
    let item = created_with(&service, "health_check", check).await;
    let request = json!({"status_code": 0, "body": "", "method": ""});
    assert_eq!(item["health_check"]["request"], request);
}

#[tokio::test]
async fn case_070_the_request_of_a_custom_health_check_is_listed() {
    let service = Service::start().await;
    let request = json!({"method": "GET", "status_code": 200, "body": "b", "headers": {"X-K": "v"}});
    let check = with(
        with(health_check(), "type", json!("custom")),
        "request",
        request.clone(),
    );
    let item = created_with(&service, "health_check", check).await;
    assert_eq!(item["health_check"]["request"], request);
}

#[tokio::test]
async fn case_071_an_unknown_health_check_type_is_refused() {
    let service = Service::start().await;
    let check = with(health_check(), "type", json!("zzz"));
    let body = with(route("a.example", "/eth"), "health_check", check);
    service.post("/routes", body).await.is_refused(400);
}

#[tokio::test]
async fn case_072_the_quick_start_body_is_stored_and_listed() {
    let service = Service::start().await;
    let body = json!({
        "host": "starton-local.com", "Path": "/", "load_balancer_strategy": "weight-round-robin",
        "circuit_breaker": breaker(), "health_check": health_check(),
    });
    let id = service.post("/routes", body).await.uuid();
    let item = listed(&service, &id).await;
    assert_eq!(item["circuit_breaker"], breaker());
    let expected = with(health_check(), "combined_with_circuit_breaker", json!(false));
    assert_eq!(item["health_check"], expected);
}

#[tokio::test]
async fn case_080_a_nested_change_keeps_the_other_members() {
    let service = Service::start().await;
    let body = with(route("a.example", "/eth"), "circuit_breaker", breaker());
    let id = service
        .post("/routes", with(body, "health_check", health_check()))
        .await
        .uuid();
    let path = format!("/routes/{id}");
    service
        .patch(&path, json!({"circuit_breaker": {"timeout": 9000}}))
        .await
        .is_done();
    service
        .patch(&path, json!({"health_check": {"interval": 1000, "type": null}}))
        .await
        .is_done();
    let item = listed(&service, &id).await;
    assert_eq!(item["circuit_breaker"], with(breaker(), "timeout", json!(9000)));
    assert_eq!(item["health_check"]["interval"], 1000);
    assert_eq!(item["health_check"]["type"], "eth_block_number");
    service
        .patch(&path, json!({"circuit_breaker": null, "health_check": null}))
        .await
        .is_done();
    assert_eq!(listed(&service, &id).await, item);
}

#[tokio::test]
async fn case_080_false_and_zero_can_be_set() {
    let service = Service::start().await;
    let body = with(route("a.example", "/eth"), "circuit_breaker", breaker());
    let id = service
        .post("/routes", with(body, "health_check", health_check()))
        .await
        .uuid();
    let path = format!("/routes/{id}");
    let off =
        json!({"circuit_breaker": {"enabled": false, "interval": 0}, "health_check": {"enabled": false}});
    service.patch(&path, off).await.is_done();
    let item = listed(&service, &id).await;
    let expected = json!({"max_requests": 1, "max_consecutive_failures": 3, "timeout": 60_000});
    assert_eq!(item["circuit_breaker"], expected);
    assert_eq!(item["health_check"]["enabled"], false);
    assert_eq!(item["health_check"]["interval"], 5000);
    service
        .patch(&path, json!({"circuit_breaker": {"enabled": true}}))
        .await
        .is_done();
    let bad = json!({"health_check": {"enabled": true, "interval": 0}});
    service.patch(&path, bad).await.is_refused(400);
}

#[tokio::test]
async fn case_080_a_breaker_switched_on_where_none_was_needs_its_numbers() {
    let service = Service::start().await;
    let one = service.route("a.example", "/eth").await;
    let path = format!("/routes/{one}");
    service
        .patch(&path, json!({"circuit_breaker": {"enabled": true}}))
        .await
        .is_refused(400);
    service
        .patch(&path, json!({"circuit_breaker": breaker()}))
        .await
        .is_done();
    assert_eq!(listed(&service, &one).await["circuit_breaker"], breaker());
}
