use serde_json::json;

use crate::service::{Service, rpc};

const SECRETS: [(&str, &str); 3] = [
    (
        "https://eth.example/v2/abcdefghij0123456789xyz",
        "https://eth.example/v2/***",
    ),
    ("https://user:word@eth.example/a", "https://***@eth.example/a"),
    (
        "https://eth.example/?apikey=sesame1",
        "https://eth.example/?apikey=***",
    ),
];

/// Scenario N14.
#[tokio::test]
async fn secrets_of_urls_are_never_listed() {
    let service = Service::start().await;
    service.network().await;
    let route = service.route("a.example", "/").await;
    for (url, masked) in SECRETS {
        let uuid = service.rpc(url).await;
        service.upstream(&route, &uuid).await;
        let item = service.get(&format!("/rpcs?uuid={uuid}")).await.items().remove(0);
        assert_eq!(item["url"], masked);
        let conflict = service.post("/rpcs", rpc(url)).await;
        conflict.is_refused(409);
        let upstreams = service.get(&format!("/routes/{route}/upstreams")).await;
        for answer in [conflict, upstreams, service.get("/rpcs").await] {
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            for secret in ["abcdefghij0123456789xyz", "word", "sesame1"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn a_masked_url_sent_back_keeps_the_secret() {
    let service = Service::start().await;
    service.network().await;
    let (url, masked) = SECRETS[0];
    let uuid = service.rpc(url).await;
    service
        .put("/rpcs", json!({"uuid": uuid, "url": masked, "provider": "other"}))
        .await
        .is_done();
    let head = service.store.head();
    let stored = head.snapshot.rpc(uuid.parse().unwrap()).unwrap();
    assert_eq!((stored.url.expose(), stored.provider.as_str()), (url, "other"));
    let elsewhere = json!({"uuid": uuid, "url": "https://else.example/v2/***"});
    service.put("/rpcs", elsewhere).await.is_refused(400);
    service
        .post("/rpcs", rpc("https://new.example/***"))
        .await
        .is_refused(400);
}
