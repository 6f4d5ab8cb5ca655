use http::Method;
use serde_json::json;

use crate::service::{Service, UNKNOWN, address, network, rpc, with, without};

#[tokio::test]
async fn case_018_a_network_is_created() {
    let service = Service::start().await;
    let answer = service.post("/networks", network("eth", 1)).await;
    assert_eq!(
        answer.body,
        r#"{"status":201,"code":0,"message":"Resource Created Successfully","data":{"chain_id":1}}"#
    );
}

#[tokio::test]
async fn case_019_the_same_name_is_a_conflict() {
    let service = Service::start().await;
    service.network().await;
    let answer = service.post("/networks", network("eth", 2)).await;
    answer.is_refused(409);
    assert_eq!(
        answer.message(),
        "Resource Conflict: network with the same name already exist"
    );
    assert!(answer.json().get("context").is_none());
}

#[tokio::test]
async fn case_020_a_chain_id_may_be_shared() {
    let service = Service::start().await;
    service.network().await;
    assert_eq!(service.post("/networks", network("eth2", 1)).await.status, 201);
}

#[tokio::test]
async fn case_021_a_chain_id_is_a_whole_number_above_zero() {
    let service = Service::start().await;
    let good = network("eth", 1);
    service
        .post("/networks", without(good.clone(), "chain_id"))
        .await
        .is_refused(400);
    for bad in [
        json!(0),
        json!(-3),
        json!("1"),
        json!(1.5),
        json!(null),
        json!([1]),
    ] {
        service
            .post("/networks", with(good.clone(), "chain_id", bad))
            .await
            .is_refused(400);
    }
    let huge = r#"{"name":"eth","blockchain":"ethereum","chain_id":1e20}"#;
    service
        .text(Method::POST, "/networks", huge)
        .await
        .is_refused(400);
    let zero = service.post("/networks", network("eth", 0)).await;
    assert_eq!(
        zero.message(),
        "Invalid input parameters: chain_id is a required field"
    );
    let negative = service.post("/networks", with(good, "chain_id", json!(-3))).await;
    assert_eq!(
        negative.message(),
        "Invalid input parameters: chain_id must be greater than 0"
    );
    assert!(service.get("/networks").await.items().is_empty());
}

#[tokio::test]
async fn case_022_names_have_letters_digits_underscore_and_hyphen() {
    let service = Service::start().await;
    let good = network("eth", 1);
    for bad in [json!("bad name"), json!(""), json!(null), json!(7)] {
        service
            .post("/networks", with(good.clone(), "name", bad))
            .await
            .is_refused(400);
    }
    service
        .post("/networks", without(good.clone(), "name"))
        .await
        .is_refused(400);
    let answer = service
        .post("/networks", with(good, "blockchain", json!("b b")))
        .await;
    answer.is_refused(400);
    assert_eq!(
        answer.message(),
        "Invalid input parameters: blockchain is not respect this regex: ^[a-zA-Z0-9_-]+$"
    );
}

async fn names(service: &Service, query: &str) -> Vec<String> {
    let items = service.get(&format!("/networks{query}")).await.items();
    let names = items.iter().map(|item| item["name"].as_str().unwrap().to_owned());
    names.collect()
}

async fn three_networks() -> Service {
    let service = Service::start().await;
    service.network().await;
    service.post("/networks", network("polygon", 137)).await;
    let base = with(network("base", 8453), "blockchain", json!("optimism"));
    service.post("/networks", base).await;
    service
}

#[tokio::test]
async fn case_023_filters_choose_and_items_have_three_members() {
    let service = three_networks().await;
    assert_eq!(names(&service, "?chain_id=1").await, ["eth"]);
    assert_eq!(names(&service, "?name=eth").await, ["eth"]);
    assert_eq!(names(&service, "?blockchain=ethereum").await, ["eth", "polygon"]);
    let item = service.get("/networks?name=eth").await.items().remove(0);
    assert_eq!(
        item,
        json!({"chain_id": 1, "name": "eth", "blockchain": "ethereum"})
    );
}

#[tokio::test]
async fn case_024_the_filter_of_generated_clients_is_understood() {
    let service = three_networks().await;
    assert_eq!(names(&service, "?chainId=1").await, ["eth"]);
}

#[tokio::test]
async fn case_025_a_bad_filter_is_refused() {
    let service = three_networks().await;
    let answer = service.get("/networks?chain_id=abc").await;
    answer.is_refused(400);
    assert_eq!(
        answer.message(),
        "Invalid input parameters: chain_id must be a valid numeric value"
    );
    service.get("/networks?name=p*").await.is_refused(400);
}

#[tokio::test]
async fn case_026_all_filters_must_hold() {
    let service = three_networks().await;
    assert!(
        names(&service, "?name=polygon&blockchain=optimism")
            .await
            .is_empty()
    );
    assert_eq!(
        names(&service, "?name=polygon&blockchain=ethereum").await,
        ["polygon"]
    );
}

#[tokio::test]
async fn case_027_unknown_and_empty_filters_are_ignored_and_order_is_that_of_creation() {
    let service = three_networks().await;
    assert_eq!(names(&service, "?foo=1&name=").await, ["eth", "polygon", "base"]);
}

#[tokio::test]
async fn case_028_a_network_goes_with_its_rpcs_and_their_upstreams() {
    let service = Service::start().await;
    service.network().await;
    service.post("/networks", network("polygon", 137)).await;
    let doomed = service.rpc("http://one.example").await;
    let kept = with(rpc("http://two.example"), "network_name", json!("polygon"));
    let kept = service.post("/rpcs", kept).await.uuid();
    let route = service.route("a.example", "/").await;
    service.upstream(&route, &doomed).await;
    let upstream = service.upstream(&route, &kept).await;
    let own = service
        .put(&format!("/routes/{route}/upstreams"), address("three.example"))
        .await
        .uuid();

    let answer = service.delete("/networks/eth").await;
    assert_eq!(answer.data(), json!({"name": "eth"}));
    assert_eq!(names(&service, "").await, ["polygon"]);
    let rpcs = service.get("/rpcs").await.items();
    assert_eq!(rpcs.len(), 1);
    assert_eq!(rpcs[0]["uuid"], kept);
    let left: Vec<_> = service
        .upstreams_of(&route)
        .await
        .iter()
        .map(|item| item["uuid"].clone())
        .collect();
    assert_eq!(left, [json!(upstream), json!(own)]);
}

#[tokio::test]
async fn case_029_an_unknown_network_is_not_found() {
    let service = Service::start().await;
    for name in ["unknown", UNKNOWN, "*", "a%20b"] {
        service.delete(&format!("/networks/{name}")).await.is_refused(404);
    }
    let answer = service.delete("/networks/unknown").await;
    assert_eq!(answer.message(), "Resource Not found: key unknown not found");
}

#[tokio::test]
async fn case_030_a_network_with_a_recommendation_stays_with_all_it_has() {
    let service = Service::start().await;
    service.network().await;
    let rpc = service.rpc("http://one.example").await;
    let route = service.route("a.example", "/").await;
    service.upstream(&route, &rpc).await;
    let body = json!({
        "route_uuid": route, "network_name": "eth", "schedule": "@hourly", "strategy": "STRATEGY_CUSTOM",
    });
    assert_eq!(service.post("/recommendations", body).await.status, 201);
    service.delete("/networks/eth").await.is_refused(409);
    assert_eq!(names(&service, "").await, ["eth"]);
    assert_eq!(service.get("/rpcs").await.items().len(), 1);
    assert_eq!(service.upstreams_of(&route).await.len(), 1);
}
