//! Fields this interface has no words for: it does not show them, and what it writes leaves them as they are.

use serde_json::{Value, json};
use tyrscale_model::{
    ChangeSet, Collector, Expectation, LoadBalancer, Operation, Recommendation, RecommendationMode,
    Rejection, Resource, Snapshot, wire,
};
use tyrscale_proto::v1::{self, resource::Resource as Wire};

use crate::service::{Service, address, route, rpc, with};

/// Changes a stored resource as a client of gRPC would.
async fn change(service: &Service, id: &str, edit: impl Fn(&mut Wire) + Send + Sync + 'static) {
    let id = id.to_owned();
    let plan = move |snapshot: &Snapshot| {
        let found = snapshot.iter().find(|(key, _)| *key.id == *id);
        let (_, entry) = found.expect("the resource is stored");
        let mut message = wire::resource_to_wire(&entry.resource, wire::Exposure::Full);
        message.resource.as_mut().into_iter().for_each(&edit);
        let resource = wire::resource_from_wire(&message).map_err(Rejection::from)?;
        Ok(ChangeSet {
            operations: vec![Operation::Upsert {
                resource,
                expectation: Expectation::Present,
                etag: None,
            }],
            ..ChangeSet::default()
        })
    };
    service.store.commit(plan).await.unwrap();
}

fn stored(service: &Service, id: &str) -> Resource {
    let head = service.store.head();
    let found = head.snapshot.iter().find(|(key, _)| *key.id == *id);
    found.unwrap().1.resource.clone()
}

#[tokio::test]
async fn a_replaced_upstream_keeps_them() {
    let service = Service::start().await;
    let of = service.route("a.example", "/").await;
    let path = format!("/routes/{of}/upstreams");
    let uuid = service.put(&path, address("one.example")).await.uuid();
    change(&service, &uuid, |message| {
        let Wire::Upstream(upstream) = message else { return };
        upstream.tier = 3;
        upstream.cordoned = true;
        upstream.headers = [("x-key".to_owned(), "s3cret".to_owned())].into();
        upstream.limits = Some(v1::UpstreamLimits {
            max_concurrent: 5,
            ..v1::UpstreamLimits::default()
        });
    })
    .await;
    let listed = service.get(&path).await;
    let text = String::from_utf8(listed.body.to_vec()).unwrap();
    for hidden in ["tier", "cordoned", "x-key", "s3cret", "limits"] {
        assert!(!text.contains(hidden), "{text}");
    }

    let body = with(address("two.example"), "uuid", Value::from(uuid.as_str()));
    assert_eq!(service.put(&path, body).await.uuid(), uuid);
    let Resource::Upstream(upstream) = stored(&service, &uuid) else {
        panic!("an upstream")
    };
    assert!(matches!(&upstream.target, tyrscale_model::Target::Address(at) if at.host == "two.example"));
    assert!(upstream.cordoned && upstream.tier.get() == 3 && upstream.limits.is_some());
    assert_eq!(upstream.headers.expose().count(), 1);
}

#[tokio::test]
async fn a_changed_route_keeps_them() {
    let service = Service::start().await;
    let uuid = service.route("a.example", "/").await;
    change(&service, &uuid, |message| {
        let Wire::Route(route) = message else { return };
        route.slow_start_ms = 7;
        route.circuit_breaker = Some(v1::CircuitBreaker {
            failure_percent: 40,
            ..v1::CircuitBreaker::default()
        });
        route.health_check = Some(v1::HealthCheck {
            passive: true,
            ..v1::HealthCheck::default()
        });
    })
    .await;
    let sent = json!({
        "host": "b.example",
        "circuit_breaker": {"timeout": 5},
        "health_check": {"interval": 5},
    });
    service.patch(&format!("/routes/{uuid}"), sent).await.is_done();
    let Resource::Route(route) = stored(&service, &uuid) else {
        panic!("a route")
    };
    let breaker = route.circuit_breaker.unwrap();
    assert_eq!((route.host.as_str(), route.slow_start_ms), ("b.example", 7));
    assert_eq!((breaker.timeout_ms, breaker.failure_percent), (5, 40));
    assert!(
        route
            .health_check
            .is_some_and(|check| check.passive && check.interval_ms == 5)
    );
}

#[tokio::test]
async fn a_changed_rpc_keeps_them() {
    let service = Service::start().await;
    service.network().await;
    let uuid = service.post("/rpcs", rpc("https://one.example/")).await.uuid();
    change(&service, &uuid, |message| {
        let Wire::Rpc(rpc) = message else { return };
        rpc.methods = Some(v1::MethodFilter {
            ignore: vec!["debug_*".to_owned()],
            ..v1::MethodFilter::default()
        });
    })
    .await;
    service
        .put("/rpcs", json!({"uuid": uuid, "provider": "other"}))
        .await
        .is_done();
    let Resource::Rpc(rpc) = stored(&service, &uuid) else {
        panic!("an rpc")
    };
    assert_eq!(rpc.provider.as_str(), "other");
    assert!(
        rpc.methods
            .is_some_and(|methods| !methods.lets_through("debug_traceCall"))
    );
}

#[tokio::test]
async fn collectors_of_other_clients_are_kept_but_neither_shown_nor_taken() {
    let service = Service::start().await;
    service.network().await;
    let uuid = service.post("/rpcs", rpc("https://one.example/")).await.uuid();
    change(&service, &uuid, |message| {
        let Wire::Rpc(rpc) = message else { return };
        rpc.collectors = vec![
            v1::Collector::EthBlockNumber.into(),
            v1::Collector::ArchiveDepth.into(),
        ];
    })
    .await;
    let item = service.get(&format!("/rpcs?uuid={uuid}")).await.items().remove(0);
    assert_eq!(item["collectors"], json!(["eth_block_number"]));
    service
        .put("/rpcs", json!({"uuid": uuid, "collectors": ["net_peers"]}))
        .await
        .is_done();
    let Resource::Rpc(kept) = stored(&service, &uuid) else {
        panic!("an rpc")
    };
    assert_eq!(kept.collectors, [Collector::NetPeers, Collector::ArchiveDepth]);
    for word in ["archive_depth", "latency", "weird"] {
        let body = with(rpc("https://two.example/"), "collectors", json!([word]));
        let answer = service.post("/rpcs", body).await;
        assert_eq!(
            answer.message(),
            "Invalid input parameters: collectors must be one of [eth_block_number net_peers]"
        );
        answer.is_refused(400);
    }
}

#[tokio::test]
async fn a_strategy_of_other_clients_is_kept_but_neither_shown_nor_taken() {
    let service = Service::start().await;
    let uuid = service.route("a.example", "/").await;
    change(&service, &uuid, |message| {
        let Wire::Route(route) = message else { return };
        route.load_balancer = v1::LoadBalancer::P2cPeakEwma.into();
    })
    .await;
    let item = service
        .get(&format!("/routes?uuid={uuid}"))
        .await
        .items()
        .remove(0);
    assert_eq!(item.get("load_balancer_strategy"), None);
    service
        .patch(&format!("/routes/{uuid}"), json!({"path": "/eth"}))
        .await
        .is_done();
    let Resource::Route(kept) = stored(&service, &uuid) else {
        panic!("a route")
    };
    assert_eq!(kept.load_balancer, LoadBalancer::P2cPeakEwma);
    for word in ["concurrent", "p2c-peak-ewma"] {
        let body = with(route("b.example", "/"), "load_balancer_strategy", json!(word));
        service.post("/routes", body).await.is_refused(400);
    }
}

#[tokio::test]
async fn a_replaced_recommendation_keeps_them() {
    let service = Service::start().await;
    service.network().await;
    let route = service.route("a.example", "/").await;
    let body = json!({
        "route_uuid": route, "network_name": "eth", "schedule": "@hourly", "strategy": "STRATEGY_CUSTOM",
    });
    service.post("/recommendations", body.clone()).await;
    let key = Recommendation::key_of(route.parse().unwrap());
    let set = move |snapshot: &Snapshot| {
        let Resource::Recommendation(stored) = &snapshot.get(&key).unwrap().resource else {
            panic!("a recommendation")
        };
        let resource = Resource::Recommendation(Recommendation {
            mode: RecommendationMode::Shadow,
            window_s: 60,
            expression: Some("1 / latency_s".parse().unwrap()),
            ..stored.clone()
        });
        Ok(ChangeSet {
            operations: vec![Operation::Upsert {
                resource,
                expectation: Expectation::Present,
                etag: None,
            }],
            ..ChangeSet::default()
        })
    };
    service.store.commit(set).await.unwrap();
    assert_eq!(
        service.get("/recommendations").await.items(),
        std::slice::from_ref(&body)
    );

    let of = |service: &Service| {
        let head = service.store.head();
        let key = Recommendation::key_of(route.parse().unwrap());
        match &head.snapshot.get(&key).unwrap().resource {
            Resource::Recommendation(recommendation) => recommendation.clone(),
            other => panic!("{other:?}"),
        }
    };
    let daily = with(body.clone(), "schedule", json!("@daily"));
    service.put("/recommendations", daily).await.is_done();
    let kept = of(&service);
    assert_eq!((kept.mode, kept.window_s), (RecommendationMode::Shadow, 60));
    assert!(kept.expression.is_some());

    let other = with(body.clone(), "strategy", json!("STRATEGY_HIGHEST_BLOCK"));
    service.put("/recommendations", other).await.is_done();
    let kept = of(&service);
    assert_eq!((kept.mode, kept.expression), (RecommendationMode::Shadow, None));
    for word in ["STRATEGY_LATENCY", "STRATEGY_BALANCED"] {
        let refused = with(body.clone(), "strategy", json!(word));
        service.put("/recommendations", refused).await.is_refused(400);
    }
}
