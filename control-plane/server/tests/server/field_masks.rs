//! Masks over the parts of routes and upstreams: what is named is set, also to 0, false and empty.

use tyrscale_proto::v1::{
    self, recommendation_service_client::RecommendationServiceClient,
    route_service_client::RouteServiceClient, upstream_service_client::UpstreamServiceClient,
};

use crate::plane::{Plane, id, network, route, upstream};
use tyrscale_proto::v1::resource::Resource as Wire;

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    let paths = paths.iter().map(ToString::to_string).collect();
    Some(prost_types::FieldMask { paths })
}

#[tokio::test]
async fn what_is_named_is_set_and_its_neighbours_stay() {
    let plane = Plane::start().await;
    let stored = v1::Route {
        retry: Some(v1::Retry {
            max_attempts: 5,
            budget_percent: Some(30),
            ..v1::Retry::default()
        }),
        cors: Some(v1::Cors {
            allowed_origins: vec!["*".to_owned()],
            ..v1::Cors::default()
        }),
        forward_headers: vec!["cookie".to_owned()],
        ..route(1)
    };
    plane.put(vec![Wire::Route(stored)]).await;
    let mut client = RouteServiceClient::new(plane.channel.clone());
    let update = v1::UpdateRouteRequest {
        route: Some(v1::Route {
            id: id(1),
            retry: Some(v1::Retry {
                budget_percent: Some(0),
                ..v1::Retry::default()
            }),
            ..v1::Route::default()
        }),
        update_mask: mask(&[
            "retry.budget_percent",
            "forward_headers",
            "cors",
            "tiers.return_after_ms",
        ]),
        ..Default::default()
    };
    let updated = client
        .update_route(update)
        .await
        .unwrap()
        .into_inner()
        .route
        .unwrap();
    assert_eq!(updated.load_balancer(), v1::LoadBalancer::WeightRoundRobin);
    let retry = updated.retry.unwrap();
    assert_eq!((retry.max_attempts, retry.budget_percent), (5, Some(0)));
    assert_eq!((updated.cors, updated.forward_headers.len()), (None, 0));
    plane.stop().await;
}

#[tokio::test]
async fn a_route_created_without_a_load_balancer_gets_the_better_of_two() {
    let plane = Plane::start().await;
    let mut client = RouteServiceClient::new(plane.channel.clone());
    let create = v1::CreateRouteRequest {
        route: Some(v1::Route {
            host: "a.example".to_owned(),
            ..v1::Route::default()
        }),
        ..Default::default()
    };
    let created = client
        .create_route(create)
        .await
        .unwrap()
        .into_inner()
        .route
        .unwrap();
    assert_eq!(created.load_balancer(), v1::LoadBalancer::P2cPeakEwma);
    plane.stop().await;
}

#[tokio::test]
async fn headers_of_an_upstream_are_masked_and_outlive_a_cordon() {
    let plane = Plane::start().await;
    let stored = v1::Upstream {
        headers: [("x-key".to_owned(), "s3cret".to_owned())].into(),
        ..upstream(2, 1, 5.0)
    };
    plane
        .put(vec![Wire::Route(route(1)), Wire::Upstream(stored)])
        .await;
    let mut client = UpstreamServiceClient::new(plane.channel.clone());
    let update = |upstream: v1::Upstream, paths: &[&str]| v1::UpdateUpstreamRequest {
        upstream: Some(upstream),
        update_mask: mask(paths),
        ..Default::default()
    };
    let cordon = v1::Upstream {
        id: id(2),
        cordoned: true,
        ..v1::Upstream::default()
    };
    let answer = client
        .update_upstream(update(cordon, &["cordoned"]))
        .await
        .unwrap();
    let shown = answer.into_inner().upstream.unwrap();
    assert!(shown.cordoned);
    assert_eq!(shown.headers["x-key"], "***");

    let whole = v1::Upstream {
        cordoned: false,
        ..shown
    };
    let answer = client.update_upstream(update(whole, &["*"])).await.unwrap();
    let answer = answer.into_inner();
    assert!(!answer.upstream.unwrap().cordoned);
    let same = v1::Upstream {
        id: id(2),
        headers: [("X-Key".to_owned(), "s3cret".to_owned())].into(),
        ..v1::Upstream::default()
    };
    let again = client.update_upstream(update(same, &["headers"])).await.unwrap();
    assert_eq!(
        again.into_inner().version,
        answer.version,
        "the value was still the stored one"
    );
    plane.stop().await;
}

fn recommendation() -> v1::Recommendation {
    v1::Recommendation {
        route_id: id(1),
        network: "eth".to_owned(),
        schedule: "@hourly".to_owned(),
        strategy: v1::RecommendationStrategy::Custom.into(),
        expression: "1 / latency_s".to_owned(),
        guards: Some(v1::RecommendationGuards {
            max_step: Some(5.0),
            min_dwell_s: Some(7),
            ..v1::RecommendationGuards::default()
        }),
        ..v1::Recommendation::default()
    }
}

#[tokio::test]
async fn parts_of_a_recommendation_are_set_and_cleared_by_themselves() {
    let plane = Plane::start().await;
    plane
        .put(vec![
            network("eth", 1),
            Wire::Route(route(1)),
            Wire::Recommendation(recommendation()),
        ])
        .await;
    let mut client = RecommendationServiceClient::new(plane.channel.clone());
    let update = |recommendation: v1::Recommendation, paths: &[&str]| v1::UpdateRecommendationRequest {
        recommendation: Some(v1::Recommendation {
            route_id: id(1),
            ..recommendation
        }),
        update_mask: mask(paths),
        ..Default::default()
    };
    let shadow = v1::Recommendation {
        mode: v1::RecommendationMode::Shadow.into(),
        guards: Some(v1::RecommendationGuards {
            min_dwell_s: Some(0),
            ..v1::RecommendationGuards::default()
        }),
        ..v1::Recommendation::default()
    };
    let paths = ["mode", "guards.min_dwell_s", "parameters.logs_mix"];
    let answer = client
        .update_recommendation(update(shadow, &paths))
        .await
        .unwrap();
    let updated = answer.into_inner().recommendation.unwrap();
    assert_eq!(updated.mode(), v1::RecommendationMode::Shadow);
    let guards = updated.guards.unwrap();
    assert_eq!((guards.max_step, guards.min_dwell_s), (Some(5.0), Some(0)));
    assert_eq!(updated.expression, "1 / latency_s");

    let other = v1::Recommendation {
        strategy: v1::RecommendationStrategy::Latency.into(),
        ..v1::Recommendation::default()
    };
    let kept = client
        .update_recommendation(update(other.clone(), &["strategy"]))
        .await
        .unwrap_err();
    assert!(kept.message().contains("expression"), "{kept}");
    let paths = ["strategy", "expression", "guards"];
    let answer = client.update_recommendation(update(other, &paths)).await.unwrap();
    let updated = answer.into_inner().recommendation.unwrap();
    assert_eq!((updated.expression.as_str(), updated.guards), ("", None));
    plane.stop().await;
}
