//! What every gRPC server is expected to have, and the other two listeners.

use tokio_stream::StreamExt;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::plane::{LIMIT, Plane, get};

#[tokio::test]
async fn reflection_lists_every_service() {
    let plane = Plane::start().await;
    let mut client = ServerReflectionClient::new(plane.channel.clone());
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap();
    let answer = answer.into_inner().next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}");
    };
    let names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    for service in [
        "Network",
        "Rpc",
        "Route",
        "Upstream",
        "Recommendation",
        "Plugin",
        "Configuration",
        "Discovery",
        "Status",
        "Access",
    ] {
        let name = format!("tyrscale.v1.{service}Service");
        assert!(names.contains(&name), "{name} of {names:?}");
    }
    assert!(names.contains(&"grpc.health.v1.Health".to_owned()), "{names:?}");
    plane.stop().await;
}

#[tokio::test]
async fn health_is_serving_for_the_server_and_each_service() {
    let plane = Plane::start().await;
    let mut client = HealthClient::new(plane.channel.clone());
    for service in ["", "tyrscale.v1.DiscoveryService", "tyrscale.v1.RouteService"] {
        let watch = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut states = client.watch(watch).await.unwrap().into_inner();
        let serving = states.any(|state| state.is_ok_and(|state| state.status() == ServingStatus::Serving));
        assert!(tokio::time::timeout(LIMIT, serving).await.unwrap(), "{service}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn the_rest_shim_and_the_admin_endpoints_see_the_same_store() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let networks = get(plane.rest, "/api/v1/networks").await;
    assert!(
        networks.starts_with("HTTP/1.1 200") && networks.contains("eth"),
        "{networks}"
    );
    assert!(get(plane.admin, "/readyz").await.contains("\"revision 1\""));
    let metrics = plane.metrics().await;
    for line in [
        "tyrscale_config_revision 1",
        "tyrscale_store_commits_total 1",
        "tyrscale_store_ready 1",
        "tyrscale_discovery_streams 0",
        "tyrscale_discovery_digest_mismatches_total 0",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    plane.stop().await;
}
