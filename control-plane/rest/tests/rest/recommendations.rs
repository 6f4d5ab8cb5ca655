use serde_json::{Value, json};

use crate::service::{Service, UNKNOWN, network, with, without};

async fn setting() -> (Service, String) {
    let service = Service::start().await;
    service.network().await;
    service.post("/networks", network("poly_gon", 137)).await;
    let route = service.route("a.example", "/").await;
    (service, route)
}

fn body(route: &str) -> Value {
    json!({
        "route_uuid": route, "network_name": "eth", "schedule": "*/10 * * * *",
        "strategy": "STRATEGY_HIGHEST_BLOCK",
    })
}

async fn create(service: &Service, body: Value) -> u16 {
    service.post("/recommendations", body).await.status
}

#[tokio::test]
async fn case_112_a_recommendation_is_named_by_its_route() {
    let (service, route) = setting().await;
    let answer = service.post("/recommendations", body(&route)).await;
    assert_eq!(
        (answer.status, answer.data()),
        (201, json!({"route_uuid": route}))
    );
    assert_eq!(service.get("/recommendations").await.items(), [body(&route)]);
}

#[tokio::test]
async fn case_113_every_field_is_required_and_checked() {
    let (service, route) = setting().await;
    for field in ["route_uuid", "network_name", "schedule", "strategy"] {
        let answer = service
            .post("/recommendations", without(body(&route), field))
            .await;
        answer.is_refused(400);
        assert_eq!(
            answer.message(),
            format!("Invalid input parameters: {field} is a required field")
        );
    }
    for (field, value, detail) in [
        ("route_uuid", "zz", "route_uuid must be a valid UUID"),
        (
            "network_name",
            "a b",
            "network_name is not respect this regex: ^[a-zA-Z0-9_-]+$",
        ),
        ("schedule", "often", "schedule must be a valid cron expression"),
        ("strategy", "STRATEGY_OTHER", "invalid strategy"),
    ] {
        let answer = service
            .post("/recommendations", with(body(&route), field, json!(value)))
            .await;
        assert_eq!(answer.message(), format!("Invalid input parameters: {detail}"));
    }
    for schedule in ["*/10 * * * *", "0 */10 * * * *", "@every 1m", "@hourly"] {
        assert_eq!(
            create(&service, with(body(&route), "schedule", json!(schedule))).await,
            201,
            "{schedule}"
        );
        service
            .delete(&format!("/recommendations/{route}"))
            .await
            .is_done();
    }
}

#[tokio::test]
async fn case_114_an_unknown_network_or_route_is_not_found() {
    let (service, route) = setting().await;
    let answer = service
        .post(
            "/recommendations",
            with(body(&route), "network_name", json!("none")),
        )
        .await;
    answer.is_refused(404);
    assert_eq!(
        answer.message(),
        "Resource Not found: network with name none not found"
    );
    let answer = service.post("/recommendations", body(UNKNOWN)).await;
    answer.is_refused(404);
    assert_eq!(answer.message(), "Resource Not found: route not found");
}

#[tokio::test]
async fn case_115_a_network_and_a_route_have_one_recommendation() {
    let (service, route) = setting().await;
    assert_eq!(create(&service, body(&route)).await, 201);
    let other = service.route("b.example", "/").await;
    let answer = service.post("/recommendations", body(&other)).await;
    answer.is_refused(409);
    assert_eq!(
        answer.message(),
        "Resource Conflict: network already associated to a recommendation"
    );
    let same_route = with(body(&route), "network_name", json!("poly_gon"));
    service.post("/recommendations", same_route).await.is_refused(409);
}

#[tokio::test]
async fn case_116_newer_strategies_are_accepted_and_not_shown_to_older_clients() {
    let (service, route) = setting().await;
    for (strategy, shown) in [
        ("STRATEGY_CUSTOM", true),
        ("STRATEGY_HIGHEST_BLOCK", true),
        ("STRATEGY_AIR_UNDER_THE_CURVE", true),
        ("STRATEGY_AREA_UNDER_THE_CURVE", false),
        ("STRATEGY_RATE_LIMIT", false),
        ("STRATEGY_AREA_BLOCK_NUMBER", false),
    ] {
        let wish = with(body(&route), "strategy", json!(strategy));
        assert_eq!(create(&service, wish.clone()).await, 201, "{strategy}");
        let items = service
            .get(&format!("/recommendations?strategy={strategy}"))
            .await
            .items();
        let expected = if shown { wish } else { without(wish, "strategy") };
        assert_eq!(items, [expected]);
        service
            .delete(&format!("/recommendations/{route}"))
            .await
            .is_done();
    }
}

#[tokio::test]
async fn case_117_filters_choose() {
    let (service, route) = setting().await;
    create(&service, body(&route)).await;
    let other = service.route("b.example", "/").await;
    let second = with(body(&other), "network_name", json!("poly_gon"));
    create(&service, with(second, "strategy", json!("STRATEGY_CUSTOM"))).await;
    for (query, expected) in [
        ("network_name=eth".to_owned(), vec![&route]),
        ("strategy=STRATEGY_CUSTOM".to_owned(), vec![&other]),
        ("strategy=anything".to_owned(), vec![]),
        (format!("route_uuid={other}"), vec![&other]),
        (format!("route_uuid={other}&network_name=eth"), vec![]),
        (String::new(), vec![&route, &other]),
    ] {
        let items = service.get(&format!("/recommendations?{query}")).await.items();
        let routes: Vec<_> = items
            .iter()
            .map(|item| item["route_uuid"].as_str().unwrap())
            .collect();
        assert_eq!(routes, expected, "{query}");
    }
    service
        .get("/recommendations?route_uuid=bad")
        .await
        .is_refused(400);
    service
        .get("/recommendations?network_name=e*")
        .await
        .is_refused(400);
}

#[tokio::test]
async fn case_118_an_update_replaces() {
    let (service, route) = setting().await;
    let missing = service.put("/recommendations", body(&route)).await;
    missing.is_refused(404);
    assert_eq!(missing.message(), "Resource Not found: recommendation not found");
    create(&service, body(&route)).await;
    let update = with(body(&route), "network_name", json!("poly_gon"));
    let update = with(update, "schedule", json!("@daily"));
    service.put("/recommendations", update.clone()).await.is_done();
    assert_eq!(service.get("/recommendations").await.items(), [update]);
    service
        .put("/recommendations", without(body(&route), "schedule"))
        .await
        .is_refused(400);
}

#[tokio::test]
async fn case_119_an_update_names_a_known_network() {
    let (service, route) = setting().await;
    create(&service, body(&route)).await;
    let unknown = with(body(&route), "network_name", json!("none"));
    service.put("/recommendations", unknown).await.is_refused(404);
    let other = service.route("b.example", "/").await;
    create(&service, with(body(&other), "network_name", json!("poly_gon"))).await;
    let taken = with(body(&route), "network_name", json!("poly_gon"));
    service.put("/recommendations", taken).await.is_refused(409);
    assert_eq!(
        service.get("/recommendations?network_name=eth").await.items(),
        [body(&route)]
    );
}

#[tokio::test]
async fn case_120_a_recommendation_is_deleted_once_by_its_route() {
    let (service, route) = setting().await;
    create(&service, body(&route)).await;
    let path = format!("/recommendations/{route}");
    service.delete(&path).await.is_done();
    service.delete(&path).await.is_refused(404);
    service.delete("/recommendations/zz").await.is_refused(400);
    service.delete(&format!("/routes/{route}")).await.is_done();
}

#[tokio::test]
async fn case_121_a_network_name_may_have_an_underscore() {
    let (service, route) = setting().await;
    let wish = with(body(&route), "network_name", json!("poly_gon"));
    assert_eq!(create(&service, wish).await, 201);
}
