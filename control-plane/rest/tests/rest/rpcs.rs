use serde_json::{Value, json};

use crate::service::{Service, UNKNOWN, network, rpc, with, without};

async fn listed(service: &Service, query: &str) -> Vec<String> {
    let items = service.get(&format!("/rpcs{query}")).await.items();
    let ids = items.iter().map(|item| item["uuid"].as_str().unwrap().to_owned());
    ids.collect()
}

/// Three rpcs: two of eth, one of polygon.
async fn three_rpcs() -> (Service, [String; 3]) {
    let service = Service::start().await;
    service.network().await;
    service.post("/networks", network("polygon", 137)).await;
    let one = service.rpc("http://one.example").await;
    let two = with(rpc("http://two.example"), "provider", json!("infura"));
    let two = service
        .post("/rpcs", with(two, "type", json!("public")))
        .await
        .uuid();
    let three = with(rpc("http://three.example"), "network_name", json!("polygon"));
    let three = service
        .post("/rpcs", with(three, "provider", json!("alchemy")))
        .await
        .uuid();
    (service, [one, two, three])
}

#[tokio::test]
async fn case_031_an_rpc_gets_a_random_lower_case_uuid() {
    let service = Service::start().await;
    service.network().await;
    let answer = service.post("/rpcs", rpc("http://node.example")).await;
    assert_eq!(answer.status, 201);
    let uuid = answer.uuid();
    assert_eq!(uuid, uuid.to_lowercase());
    assert_eq!(uuid.parse::<uuid::Uuid>().unwrap().get_version_num(), 4);
    assert_eq!(answer.data(), json!({"uuid": uuid}));
}

#[tokio::test]
async fn case_032_an_own_uuid_is_kept() {
    let service = Service::start().await;
    service.network().await;
    let body = with(rpc("http://node.example"), "uuid", json!(UNKNOWN));
    assert_eq!(service.post("/rpcs", body).await.uuid(), UNKNOWN);
    assert_eq!(listed(&service, "").await, [UNKNOWN]);
}

#[tokio::test]
async fn case_033_same_url_is_a_conflict_with_context() {
    let service = Service::start().await;
    service.network().await;
    let first = service.rpc("http://node.example").await;
    let answer = service.post("/rpcs", rpc("http://node.example")).await;
    answer.is_refused(409);
    assert_eq!(
        answer.message(),
        "Resource Conflict: rpc with url node.example already exists"
    );
    assert_eq!(answer.json()["context"], json!({"uuid": first}));
}

#[tokio::test]
async fn case_034_same_uuid_is_a_conflict_without_context() {
    let service = Service::start().await;
    service.network().await;
    let own = with(rpc("http://one.example"), "uuid", json!(UNKNOWN));
    service.post("/rpcs", own.clone()).await;
    let answer = service
        .post("/rpcs", with(own.clone(), "url", json!("http://two.example")))
        .await;
    answer.is_refused(409);
    assert!(answer.json().get("context").is_none());
    let again = service.post("/rpcs", own).await;
    assert_eq!(
        again.json()["context"],
        json!({"uuid": UNKNOWN}),
        "an equal URL says more"
    );
}

#[tokio::test]
async fn case_035_each_required_field_is_named() {
    let service = Service::start().await;
    service.network().await;
    for field in ["url", "type", "provider", "network_name", "collectors"] {
        let answer = service
            .post("/rpcs", without(rpc("http://node.example"), field))
            .await;
        answer.is_refused(400);
        assert_eq!(
            answer.message(),
            format!("Invalid input parameters: {field} is a required field")
        );
    }
    let empty = service.post("/rpcs", json!({})).await;
    assert_eq!(
        empty.message(),
        "Invalid input parameters: url is a required field"
    );
}

#[tokio::test]
async fn case_036_wrong_values_are_refused() {
    let service = Service::start().await;
    service.network().await;
    for (field, value) in [
        ("url", json!("ftp://h")),
        ("url", json!("node.example:80")),
        ("url", json!("http://")),
        ("url", json!(7)),
        ("type", json!("weird")),
        ("provider", json!("bad name")),
        ("network_name", json!("bad name")),
        ("collectors", json!([])),
        ("collectors", json!(["bad"])),
        ("collectors", json!("eth_block_number")),
        ("uuid", json!("zz")),
        ("uuid", json!(UNKNOWN.replace('0', "A"))),
    ] {
        let answer = service
            .post("/rpcs", with(rpc("http://node.example"), field, value))
            .await;
        answer.is_refused(400);
        assert!(answer.message().contains(field), "{}", answer.message());
    }
    assert!(listed(&service, "").await.is_empty());
}

#[tokio::test]
async fn case_037_collectors_may_repeat() {
    let service = Service::start().await;
    service.network().await;
    let twice = json!(["net_peers", "net_peers"]);
    service
        .post(
            "/rpcs",
            with(rpc("http://node.example"), "collectors", twice.clone()),
        )
        .await
        .uuid();
    assert_eq!(service.get("/rpcs").await.items()[0]["collectors"], twice);
}

#[tokio::test]
async fn case_039_an_unknown_network_is_not_found() {
    let service = Service::start().await;
    let answer = service.post("/rpcs", rpc("http://node.example")).await;
    answer.is_refused(404);
    assert_eq!(
        answer.message(),
        "Resource Not found: network with name eth not found"
    );
}

#[tokio::test]
async fn case_041_the_chain_id_is_the_networks() {
    let service = Service::start().await;
    service.network().await;
    let body = with(rpc("http://node.example"), "chain_id", json!(999));
    let uuid = service.post("/rpcs", body).await.uuid();
    let item = json!({
        "uuid": uuid, "chain_id": 1, "url": "http://node.example", "type": "private",
        "provider": "starton", "network_name": "eth", "collectors": ["eth_block_number"],
    });
    assert_eq!(service.get("/rpcs").await.items(), [item]);
}

#[tokio::test]
async fn case_042_filters_choose_and_all_must_hold() {
    let (service, [one, two, three]) = three_rpcs().await;
    for (query, expected) in [
        (format!("?uuid={two}"), vec![&two]),
        ("?chain_id=137".into(), vec![&three]),
        ("?chainId=1".into(), vec![&one, &two]),
        ("?type=public".into(), vec![&two]),
        ("?provider=alchemy".into(), vec![&three]),
        ("?network_name=eth".into(), vec![&one, &two]),
        ("?url=http%3A%2F%2Fone.example".into(), vec![&one]),
        ("?url=http://one.example/".into(), vec![]),
        (format!("?uuid={one}&provider=infura"), vec![]),
        ("?provider=&foo=1".into(), vec![&one, &two, &three]),
    ] {
        let ids = listed(&service, &query).await;
        assert_eq!(ids.iter().collect::<Vec<_>>(), expected, "{query}");
    }
}

#[tokio::test]
async fn case_043_bad_filters_are_refused() {
    let (service, _) = three_rpcs().await;
    for query in [
        "uuid=x",
        "chain_id=abc",
        "type=weird",
        "provider=a*",
        "network_name=e*",
        "url=node",
    ] {
        service.get(&format!("/rpcs?{query}")).await.is_refused(400);
    }
}

async fn providers(service: &Service, query: &str) -> Vec<Value> {
    let items = service.get(&format!("/rpcs{query}")).await.items();
    items.iter().map(|item| item["provider"].clone()).collect()
}

#[tokio::test]
async fn case_044_a_list_is_sorted_when_asked() {
    let (service, ids) = three_rpcs().await;
    assert_eq!(providers(&service, "").await, ["starton", "infura", "alchemy"]);
    assert_eq!(
        providers(&service, "?sort_by=provider").await,
        ["alchemy", "infura", "starton"]
    );
    let descending = "?sort_by=provider&sort_descending=true";
    assert_eq!(
        providers(&service, descending).await,
        ["starton", "infura", "alchemy"]
    );
    let mut by_uuid = ids.to_vec();
    by_uuid.sort();
    assert_eq!(listed(&service, "?sort_by=uuid").await, by_uuid);
    assert_eq!(providers(&service, "?sort_by=network_name").await[2], "alchemy");
    assert_eq!(providers(&service, "?sort_by=type").await[2], "infura");
}

#[tokio::test]
async fn case_045_the_sort_order_of_generated_clients_is_understood() {
    let (service, _) = three_rpcs().await;
    let descending = "?sort_by=provider&sort_ascending=false";
    assert_eq!(
        providers(&service, descending).await,
        ["starton", "infura", "alchemy"]
    );
    let ascending = "?sort_by=provider&sort_ascending=true";
    assert_eq!(
        providers(&service, ascending).await,
        ["alchemy", "infura", "starton"]
    );
}

#[tokio::test]
async fn case_046_bad_sort_orders_are_refused() {
    let (service, _) = three_rpcs().await;
    let answer = service.get("/rpcs?sort_by=url").await;
    answer.is_refused(400);
    assert_eq!(
        answer.message(),
        "Invalid input parameters: sort_by must be one of [uuid type provider network_name]"
    );
    service.get("/rpcs?sort_descending=xyz").await.is_refused(400);
}

#[tokio::test]
async fn case_047_an_update_changes_what_it_names_and_nothing_else() {
    let (service, [one, ..]) = three_rpcs().await;
    let path = format!("/rpcs?uuid={one}");
    let before = service.get(&path).await.items().remove(0);
    service
        .put("/rpcs", json!({"uuid": one, "provider": "infura"}))
        .await
        .is_done();
    let after = service.get(&path).await.items();
    assert_eq!(after, [with(before, "provider", json!("infura"))]);
}

#[tokio::test]
async fn case_048_every_field_but_the_network_can_be_updated_and_empty_ones_are_ignored() {
    let (service, [one, ..]) = three_rpcs().await;
    let body = json!({
        "uuid": one, "url": "https://new.example/x", "type": "public", "provider": "",
        "collectors": ["net_peers"], "network_name": "polygon",
    });
    service.put("/rpcs", body).await.is_done();
    let item = json!({
        "uuid": one, "chain_id": 1, "url": "https://new.example/x", "type": "public",
        "provider": "starton", "network_name": "eth", "collectors": ["net_peers"],
    });
    assert_eq!(service.get("/rpcs").await.items()[0], item);
}

#[tokio::test]
async fn case_049_an_unknown_rpc_is_not_found() {
    let service = Service::start().await;
    for uuid in [UNKNOWN, "zz", "*"] {
        let answer = service.put("/rpcs", json!({"uuid": uuid, "provider": "x"})).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: rpc not found");
        service.delete(&format!("/rpcs/{uuid}")).await.is_refused(404);
    }
}

#[tokio::test]
async fn case_050_a_bad_update_is_refused() {
    let (service, [one, ..]) = three_rpcs().await;
    let before = service.get("/rpcs").await.items();
    service.put("/rpcs", json!({})).await.is_refused(400);
    for (field, value) in [
        ("type", json!("weird")),
        ("url", json!("bad")),
        ("collectors", json!([])),
        ("collectors", json!(["bad"])),
    ] {
        service
            .put("/rpcs", json!({"uuid": one, field: value}))
            .await
            .is_refused(400);
    }
    assert_eq!(service.get("/rpcs").await.items(), before);
}

#[tokio::test]
async fn case_051_an_update_to_another_rpcs_url_is_a_conflict() {
    let (service, [one, two, _]) = three_rpcs().await;
    let answer = service
        .put("/rpcs", json!({"uuid": two, "url": "http://ONE.example/"}))
        .await;
    answer.is_refused(409);
    assert_eq!(answer.json()["context"], json!({"uuid": one}));
    service
        .put("/rpcs", json!({"uuid": one, "url": "http://one.example/"}))
        .await
        .is_done();
}
