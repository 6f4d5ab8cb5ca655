use serde_json::{Value, json};

use crate::service::{Service, UNKNOWN, address, route, with, without};

pub(crate) async fn listed(service: &Service, id: &str) -> Value {
    service.get(&format!("/routes?uuid={id}")).await.items().remove(0)
}

#[tokio::test]
async fn case_058_a_route_is_created() {
    let service = Service::start().await;
    let answer = service.post("/routes", route("a.example", "/eth")).await;
    assert_eq!(answer.status, 201);
    let item = json!({
        "uuid": answer.uuid(), "host": "a.example", "path": "/eth",
        "load_balancer_strategy": "weight-round-robin",
    });
    assert_eq!(service.get("/routes").await.items(), [item]);
}

#[tokio::test]
async fn case_059_a_clients_uuid_is_checked_and_not_used() {
    let service = Service::start().await;
    let own = with(route("a.example", "/eth"), "uuid", json!(UNKNOWN));
    let answer = service.post("/routes", own).await;
    assert_eq!(answer.status, 201);
    assert_ne!(answer.uuid(), UNKNOWN);
    let bad = with(route("b.example", "/eth"), "uuid", json!("zz"));
    service.post("/routes", bad).await.is_refused(400);
}

#[tokio::test]
async fn case_060_the_same_host_and_path_are_a_conflict() {
    let service = Service::start().await;
    service.route("a.example", "/eth").await;
    let answer = service.post("/routes", route("a.example", "/eth")).await;
    answer.is_refused(409);
    assert_eq!(answer.message(), "Resource Conflict: route already exists");
}

#[tokio::test]
async fn case_061_spelling_does_not_make_another_route() {
    let service = Service::start().await;
    service.route("a.example", "/eth").await;
    for (host, path) in [
        ("a.example", "/eth/"),
        ("A.example", "/eth"),
        ("a.example:7777", "eth"),
    ] {
        service.post("/routes", route(host, path)).await.is_refused(409);
    }
}

#[tokio::test]
async fn case_062_an_empty_path_means_the_root_only() {
    let service = Service::start().await;
    service.route("a.example", "/x").await;
    service.route("a.example", "").await;
    service
        .post("/routes", route("a.example", "/"))
        .await
        .is_refused(409);
    service
        .post("/routes", without(route("b.example", ""), "path"))
        .await
        .uuid();
    service.route("b.example", "/x").await;
    let hosts = service.get("/routes?host=b.example").await.items();
    assert_eq!(hosts[0]["path"], "", "the path is always listed");
}

#[tokio::test]
async fn case_063_host_and_strategy_are_required() {
    let service = Service::start().await;
    let good = route("a.example", "/eth");
    service
        .post("/routes", with(good.clone(), "host", json!("")))
        .await
        .is_refused(400);
    let answer = service.post("/routes", without(good.clone(), "host")).await;
    assert_eq!(
        answer.message(),
        "Invalid input parameters: host is a required field"
    );
    let answer = service
        .post("/routes", without(good, "load_balancer_strategy"))
        .await;
    assert_eq!(
        answer.message(),
        "Invalid input parameters: load_balancer_strategy is a required field"
    );
    answer.is_refused(400);
}

#[tokio::test]
async fn case_064_an_unknown_strategy_is_named() {
    let service = Service::start().await;
    let bad = with(route("a.example", "/eth"), "load_balancer_strategy", json!("zzz"));
    let answer = service.post("/routes", bad).await;
    answer.is_refused(400);
    assert_eq!(
        answer.message(),
        "Invalid input parameters: invalid balancer type: zzz"
    );
    for strategy in ["weight-round-robin", "least-load", "failover-priority"] {
        let good = with(
            route(&format!("{strategy}.example"), ""),
            "load_balancer_strategy",
            json!(strategy),
        );
        let id = service.post("/routes", good).await.uuid();
        assert_eq!(listed(&service, &id).await["load_balancer_strategy"], strategy);
    }
}

#[tokio::test]
async fn case_065_the_first_key_in_any_case_counts() {
    let service = Service::start().await;
    let body = json!({"host": "a.example", "Path": "/eth", "load_balancer_strategy": "least-load"});
    let id = service.post("/routes", body).await.uuid();
    assert_eq!(listed(&service, &id).await["path"], "/eth");
}

async fn three_routes() -> (Service, [String; 3]) {
    let service = Service::start().await;
    let one = service.route("a.example", "/eth").await;
    let two = with(
        route("127.0.0.1:7777", "/eth"),
        "load_balancer_strategy",
        json!("least-load"),
    );
    let two = service.post("/routes", two).await.uuid();
    let three = service.route("a", "/x").await;
    (service, [one, two, three])
}

async fn ids(service: &Service, query: &str) -> Vec<String> {
    let items = service.get(&format!("/routes?{query}")).await.items();
    let ids = items.iter().map(|item| item["uuid"].as_str().unwrap().to_owned());
    ids.collect()
}

#[tokio::test]
async fn case_074_filters_choose_exactly() {
    let (service, [one, two, three]) = three_routes().await;
    assert_eq!(
        ids(&service, &format!("uuid={two}")).await,
        std::slice::from_ref(&two)
    );
    assert_eq!(ids(&service, "host=a.example").await, std::slice::from_ref(&one));
    assert!(ids(&service, "host=A.example").await.is_empty());
    assert_eq!(ids(&service, "path=/eth").await, [one.clone(), two.clone()]);
    assert_eq!(ids(&service, "load_balancer_strategy=least-load").await, [two]);
    assert_eq!(ids(&service, "").await.len(), 3);
    assert_eq!(ids(&service, "host=a&path=/x").await, [three]);
    assert!(ids(&service, "host=a&path=/eth").await.is_empty());
    service.get("/routes?uuid=x").await.is_refused(400);
    service
        .get("/routes?load_balancer_strategy=zzz")
        .await
        .is_refused(400);
}

#[tokio::test]
async fn case_075_filters_of_generated_clients_and_any_host_are_understood() {
    let (service, [_, two, three]) = three_routes().await;
    assert_eq!(
        ids(&service, "loadBalancerStrategy=least-load").await,
        std::slice::from_ref(&two)
    );
    assert_eq!(ids(&service, "host=127.0.0.1:7777").await, [two]);
    assert_eq!(ids(&service, "host=a").await, [three]);
}

#[tokio::test]
async fn case_077_the_strategy_can_be_changed_to_a_known_one() {
    let (service, [one, ..]) = three_routes().await;
    let path = format!("/routes/{one}");
    service
        .patch(&path, json!({"load_balancer_strategy": "least-load"}))
        .await
        .is_done();
    assert_eq!(
        listed(&service, &one).await["load_balancer_strategy"],
        "least-load"
    );
    service
        .patch(&path, json!({"load_balancer_strategy": "zzz"}))
        .await
        .is_refused(400);
    assert_eq!(
        listed(&service, &one).await["load_balancer_strategy"],
        "least-load"
    );
}

#[tokio::test]
async fn case_078_host_and_path_can_be_changed() {
    let (service, [one, ..]) = three_routes().await;
    let path = format!("/routes/{one}");
    service
        .patch(&path, json!({"host": "n.example", "path": "/n"}))
        .await
        .is_done();
    let item = listed(&service, &one).await;
    assert_eq!(
        (&item["host"], &item["path"]),
        (&json!("n.example"), &json!("/n"))
    );
    service.patch(&path, json!({"path": ""})).await.is_done();
    assert_eq!(listed(&service, &one).await["path"], "");
    service.patch(&path, json!({"host": ""})).await.is_refused(400);
    service.route("a.example", "/eth").await;
}

#[tokio::test]
async fn case_079_an_unknown_route_is_not_found() {
    let service = Service::start().await;
    for id in [UNKNOWN, "zz", "*"] {
        let answer = service.patch(&format!("/routes/{id}"), json!({})).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: route not found");
    }
}

#[tokio::test]
async fn case_081_a_change_to_another_routes_place_is_a_conflict() {
    let (service, [one, two, _]) = three_routes().await;
    let before = listed(&service, &two).await;
    let path = format!("/routes/{two}");
    service
        .patch(&path, json!({"host": "A.example"}))
        .await
        .is_refused(409);
    assert_eq!(listed(&service, &two).await, before);
    service
        .patch(&format!("/routes/{one}"), json!({"host": "A.example"}))
        .await
        .is_done();
}

#[tokio::test]
async fn case_083_a_route_goes_with_its_upstreams() {
    let (service, [one, two, _]) = three_routes().await;
    let path = format!("/routes/{one}");
    service
        .put(&format!("{path}/upstreams"), address("u.example"))
        .await
        .uuid();
    service
        .put(&format!("/routes/{two}/upstreams"), address("u.example"))
        .await
        .uuid();
    service.delete(&path).await.is_done();
    assert!(service.upstreams_of(&one).await.is_empty());
    assert_eq!(service.upstreams_of(&two).await.len(), 1);
    let again = service.delete(&path).await;
    again.is_refused(404);
    assert_eq!(again.message(), "Resource Not found: route not found");
    service.delete("/routes/*").await.is_refused(404);
}

#[tokio::test]
async fn case_084_a_route_with_a_recommendation_stays_with_all_it_has() {
    let (service, [one, ..]) = three_routes().await;
    service.network().await;
    let path = format!("/routes/{one}");
    service
        .put(&format!("{path}/upstreams"), address("u.example"))
        .await
        .uuid();
    let body = json!({
        "route_uuid": one, "network_name": "eth", "schedule": "@hourly", "strategy": "STRATEGY_CUSTOM",
    });
    assert_eq!(service.post("/recommendations", body).await.status, 201);
    let answer = service.delete(&path).await;
    answer.is_refused(409);
    assert_eq!(
        answer.message(),
        "Resource Conflict: cannot delete route, it is associated to a recommendation"
    );
    assert_eq!(service.upstreams_of(&one).await.len(), 1);
    assert_eq!(ids(&service, &format!("uuid={one}")).await, [one]);
}
