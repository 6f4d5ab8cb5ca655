use serde_json::{Value, json};

use crate::service::{Answer, Service, UNKNOWN, address, with, without};

struct Setting {
    service: Service,
    rpc: String,
    route: String,
}

impl Setting {
    async fn new() -> Self {
        let service = Service::start().await;
        service.network().await;
        let rpc = service.rpc("https://node.example/v1/a%20b?x=1").await;
        let route = service.route("a.example", "/eth").await;
        Self { service, rpc, route }
    }

    fn path(&self) -> String {
        format!("/routes/{}/upstreams", self.route)
    }

    async fn put(&self, body: Value) -> Answer {
        self.service.put(&self.path(), body).await
    }

    async fn items(&self) -> Vec<Value> {
        self.service.upstreams_of(&self.route).await
    }

    fn at_rpc(&self) -> Value {
        json!({"rpc_uuid": self.rpc, "weight": 50})
    }
}

#[tokio::test]
async fn case_085_an_upstream_at_an_rpc_shows_the_rpcs_address() {
    let setting = Setting::new().await;
    let answer = setting.put(setting.at_rpc()).await;
    assert_eq!(answer.status, 201);
    let item = json!({
        "uuid": answer.uuid(), "rpc_uuid": setting.rpc, "host": "node.example", "port": 443,
        "path": "/v1/a b", "scheme": "https", "weight": 50,
    });
    assert_eq!(setting.items().await, [item]);
    let moved = json!({"uuid": setting.rpc, "url": "http://moved.example:8545/"});
    setting.service.put("/rpcs", moved).await.is_done();
    let items = setting.items().await;
    assert_eq!(
        (&items[0]["host"], &items[0]["port"]),
        (&json!("moved.example"), &json!(8545))
    );
}

#[tokio::test]
async fn case_086_an_upstream_at_an_address_is_listed_as_sent_and_may_repeat() {
    let setting = Setting::new().await;
    let one = setting
        .put(with(address("u.example"), "weight", json!(33.5)))
        .await
        .uuid();
    let two = setting.service.post(&setting.path(), address("u.example")).await;
    assert_eq!(two.status, 201);
    let items = setting.items().await;
    let item = json!({
        "uuid": one, "rpc_uuid": "", "host": "u.example", "port": 8545, "path": "/rpc",
        "scheme": "http", "weight": 33.5,
    });
    assert_eq!(items[0], item);
    assert_eq!(items[1]["uuid"], two.uuid());
    assert_eq!(items[1]["weight"].to_string(), "50");
}

#[tokio::test]
async fn case_087_an_update_replaces_address_and_weight() {
    let setting = Setting::new().await;
    let uuid = setting.put(address("u.example")).await.uuid();
    let update = with(with(setting.at_rpc(), "uuid", json!(uuid)), "weight", json!(0.4));
    let answer = setting.put(update).await;
    assert_eq!((answer.status, answer.uuid()), (201, uuid));
    let items = setting.items().await;
    assert_eq!(items.len(), 1);
    assert_eq!(
        (&items[0]["rpc_uuid"], &items[0]["weight"]),
        (&json!(setting.rpc), &json!(0.4))
    );
}

#[tokio::test]
async fn case_088_an_unknown_or_foreign_upstream_is_not_found() {
    let setting = Setting::new().await;
    let unknown = setting
        .put(with(address("u.example"), "uuid", json!(UNKNOWN)))
        .await;
    unknown.is_refused(404);
    assert_eq!(unknown.message(), "Resource Not found: upstream not found");
    setting
        .put(with(address("u.example"), "uuid", json!("zz")))
        .await
        .is_refused(400);
    let other = setting.service.route("b.example", "/").await;
    let foreign = setting
        .service
        .put(&format!("/routes/{other}/upstreams"), address("f.example"))
        .await
        .uuid();
    setting
        .put(with(address("u.example"), "uuid", json!(foreign)))
        .await
        .is_refused(404);
    setting
        .service
        .delete(&format!("{}/{foreign}", setting.path()))
        .await
        .is_refused(404);
    assert_eq!(setting.service.upstreams_of(&other).await[0]["host"], "f.example");
}

#[tokio::test]
async fn case_089_an_rpc_excludes_an_address() {
    let setting = Setting::new().await;
    for field in ["host", "port", "path", "scheme"] {
        let body = with(setting.at_rpc(), field, address("u.example")[field].clone());
        let answer = setting.put(body).await;
        answer.is_refused(400);
        assert_eq!(
            answer.message(),
            "Invalid input parameters: rpc_uuid is an excluded field"
        );
    }
    let empty =
        json!({"rpc_uuid": setting.rpc, "weight": 50, "host": "", "port": 0, "path": "", "scheme": ""});
    assert_eq!(setting.put(empty).await.status, 201);
}

#[tokio::test]
async fn case_090_an_address_has_four_parts() {
    let setting = Setting::new().await;
    for field in ["host", "port", "path", "scheme"] {
        let answer = setting.put(without(address("u.example"), field)).await;
        answer.is_refused(400);
        assert_eq!(
            answer.message(),
            format!("Invalid input parameters: {field} is a required field")
        );
    }
    for (port, detail) in [
        (json!(0), "port is a required field"),
        (json!(-1), "port must be greater than 0"),
        (json!(70_000), "port must be 65,535 or less"),
        (json!(1.5), "port must be a whole number"),
    ] {
        let answer = setting.put(with(address("u.example"), "port", port)).await;
        assert_eq!(answer.message(), format!("Invalid input parameters: {detail}"));
    }
    setting
        .put(with(address("u.example"), "scheme", json!("ftp")))
        .await
        .is_refused(400);
    setting
        .put(with(address("u.example"), "host", json!("u/x")))
        .await
        .is_refused(400);
    assert!(setting.items().await.is_empty());
}

#[tokio::test]
async fn case_091_a_weight_is_a_number_up_to_a_hundred() {
    let setting = Setting::new().await;
    for (weight, detail) in [
        (json!(null), "weight is a required field"),
        (json!(100.5), "weight must be 100 or less"),
        (json!(-1), "weight must be 0 or greater"),
        (json!("50"), "weight must be a number"),
    ] {
        let answer = setting.put(with(address("u.example"), "weight", weight)).await;
        answer.is_refused(400);
        assert_eq!(answer.message(), format!("Invalid input parameters: {detail}"));
    }
    setting
        .put(without(address("u.example"), "weight"))
        .await
        .is_refused(400);
    assert_eq!(
        setting
            .put(with(address("u.example"), "weight", json!(100)))
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn case_092_weight_zero_drains() {
    let setting = Setting::new().await;
    assert_eq!(
        setting
            .put(with(setting.at_rpc(), "weight", json!(0)))
            .await
            .status,
        201
    );
    assert_eq!(setting.items().await[0]["weight"].to_string(), "0");
}

#[tokio::test]
async fn case_093_an_unknown_rpc_is_not_found() {
    let setting = Setting::new().await;
    for rpc in [UNKNOWN, "*", "zz"] {
        let answer = setting.put(json!({"rpc_uuid": rpc, "weight": 1})).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: rpc not found");
    }
}

#[tokio::test]
async fn case_094_an_unknown_route_refuses_writes_and_lists_nothing() {
    let Setting { service, rpc, .. } = Setting::new().await;
    let body = json!({"rpc_uuid": rpc, "weight": 1});
    for route in [UNKNOWN, "zz", "*"] {
        let path = format!("/routes/{route}/upstreams");
        let answer = service.put(&path, body.clone()).await;
        answer.is_refused(404);
        assert_eq!(answer.message(), "Resource Not found: route not found");
        service.put(&path, json!({})).await.is_refused(400);
    }
    assert!(service.upstreams_of(UNKNOWN).await.is_empty());
    service.get("/routes/zz/upstreams").await.is_refused(400);
    service
        .delete(&format!("/routes/zz/upstreams/{UNKNOWN}"))
        .await
        .is_refused(400);
    service
        .delete(&format!("/routes/{UNKNOWN}/upstreams/zz"))
        .await
        .is_refused(400);
    service
        .delete(&format!("/routes/{UNKNOWN}/upstreams/{UNKNOWN}"))
        .await
        .is_refused(404);
}

fn through(proxy: &str) -> Value {
    with(
        address("u.example"),
        "fasthttp_settings",
        json!({"proxy_host": proxy}),
    )
}

#[tokio::test]
async fn case_095_a_proxy_is_listed_back_without_its_credentials() {
    let setting = Setting::new().await;
    for (proxy, listed) in [
        ("localhost:9050", "localhost:9050"),
        ("user:pass@localhost:9050", "***@localhost:9050"),
    ] {
        let uuid = setting.put(through(proxy)).await.uuid();
        let item = setting
            .service
            .get(&format!("{}?uuid={uuid}", setting.path()))
            .await
            .items()
            .remove(0);
        assert_eq!(item["fasthttp_settings"], json!({"proxy_host": listed}));
    }
    for none in [json!({"proxy_host": ""}), json!({}), json!(null)] {
        let uuid = setting
            .put(with(address("u.example"), "fasthttp_settings", none))
            .await
            .uuid();
        let item = setting
            .service
            .get(&format!("{}?uuid={uuid}", setting.path()))
            .await
            .items()
            .remove(0);
        assert!(item.get("fasthttp_settings").is_none());
    }
}

#[tokio::test]
async fn case_096_a_proxy_is_a_host_with_port() {
    let setting = Setting::new().await;
    for bad in [
        "http://localhost:9050",
        "localhost",
        "localhost:0",
        "@localhost:1",
    ] {
        setting.put(through(bad)).await.is_refused(400);
    }
    for good in ["1.2.3.4:80", "a.b.c.example:1080"] {
        assert_eq!(setting.put(through(good)).await.status, 201);
    }
}

#[tokio::test]
async fn case_097_what_is_listed_can_be_sent_back_and_keeps_its_secrets() {
    let setting = Setting::new().await;
    let body = with(
        through("user:pass@localhost:9050"),
        "path",
        json!("/v2/abcdefghij0123456789xyz"),
    );
    let uuid = setting.put(body).await.uuid();
    let item = setting.items().await.remove(0);
    assert_eq!(item["path"], "/v2/***");
    let answer = setting.put(with(item, "weight", json!(7))).await;
    assert_eq!(answer.uuid(), uuid);
    let head = setting.service.store.head();
    let stored = head.snapshot.upstream(uuid.parse().unwrap()).unwrap();
    assert_eq!(stored.weight.get().to_string(), "7");
    assert_eq!(
        stored.proxy.as_ref().unwrap().expose(),
        "user:pass@localhost:9050"
    );
    let tyrscale_model::Target::Address(stored) = &stored.target else {
        panic!("an address");
    };
    assert_eq!(stored.expose_path(), "/v2/abcdefghij0123456789xyz");
}

#[tokio::test]
async fn case_099_query_and_user_info_of_an_rpc_are_stored_for_its_upstreams() {
    let setting = Setting::new().await;
    let url = "https://user:word@secret.example/x?apikey=1";
    let rpc = setting.service.rpc(url).await;
    setting.service.upstream(&setting.route, &rpc).await;
    let head = setting.service.store.head();
    let stored = &head.snapshot.rpc(rpc.parse().unwrap()).unwrap().url;
    assert_eq!(stored.expose_query(), Some("apikey=1"));
    assert_eq!(stored.expose_user_info().as_deref(), Some("user:word"));
    let item = &setting.items().await[0];
    assert_eq!(
        (&item["host"], &item["path"]),
        (&json!("secret.example"), &json!("/x"))
    );
}

#[tokio::test]
async fn case_100_one_upstream_can_be_asked_for() {
    let setting = Setting::new().await;
    let one = setting.put(setting.at_rpc()).await.uuid();
    setting.put(setting.at_rpc()).await.uuid();
    let items = setting
        .service
        .get(&format!("{}?uuid={one}", setting.path()))
        .await
        .items();
    assert_eq!((items.len(), &items[0]["uuid"]), (1, &json!(one)));
    setting
        .service
        .get(&format!("{}?uuid=bad", setting.path()))
        .await
        .is_refused(400);
}

#[tokio::test]
async fn case_101_an_upstream_is_deleted_once() {
    let setting = Setting::new().await;
    let uuid = setting.put(setting.at_rpc()).await.uuid();
    let path = format!("{}/{uuid}", setting.path());
    assert_eq!(setting.service.delete(&path).await.data(), json!({"uuid": uuid}));
    assert!(setting.items().await.is_empty());
    let again = setting.service.delete(&path).await;
    again.is_refused(404);
    assert_eq!(again.message(), "Resource Not found: upstream not found");
}

#[tokio::test]
async fn case_102_upstreams_are_listed_by_query_too() {
    let setting = Setting::new().await;
    let uuid = setting.put(setting.at_rpc()).await.uuid();
    let items = setting
        .service
        .get(&format!("/upstreams?route_uuid={}", setting.route))
        .await
        .items();
    assert_eq!(items, setting.items().await);
    assert_eq!(items[0]["uuid"], uuid);
    setting.service.get("/upstreams").await.is_refused(400);
    setting
        .service
        .get("/upstreams?route_uuid=zz")
        .await
        .is_refused(400);
}
