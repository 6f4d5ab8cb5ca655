use http::Method;
use serde_json::json;

use crate::service::{Answer, Service, address, with};

/// A route with an upstream at an rpc and one at an address.
async fn used_rpc() -> (Service, String, String) {
    let service = Service::start().await;
    service.network().await;
    let rpc = service.rpc("http://one.example").await;
    let route = service.route("a.example", "/").await;
    service.upstream(&route, &rpc).await;
    service
        .put(&format!("/routes/{route}/upstreams"), address("own.example"))
        .await
        .uuid();
    (service, rpc, route)
}

async fn delete_with(service: &Service, rpc: &str, body: &'static str) -> Answer {
    service.text(Method::DELETE, &format!("/rpcs/{rpc}"), body).await
}

#[tokio::test]
async fn case_053_an_rpc_goes_with_its_upstreams_on_all_routes() {
    let (service, rpc, route) = used_rpc().await;
    let other = service.route("b.example", "/").await;
    service.upstream(&other, &rpc).await;
    service.delete(&format!("/rpcs/{rpc}")).await.is_done();
    let left = service.upstreams_of(&route).await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["host"], "own.example");
    assert!(service.upstreams_of(&other).await.is_empty());
    service.delete(&format!("/rpcs/{rpc}")).await.is_refused(404);
}

#[tokio::test]
async fn case_054_cascade_true_or_absent_cascades_and_false_is_refused_while_used() {
    let (service, rpc, route) = used_rpc().await;
    delete_with(&service, &rpc, r#"{"cascade_delete_upstream":false}"#)
        .await
        .is_refused(409);
    assert_eq!(service.upstreams_of(&route).await.len(), 2);
    delete_with(&service, &rpc, r#"{"cascade_delete_upstream":true}"#)
        .await
        .is_done();
    assert_eq!(service.upstreams_of(&route).await.len(), 1);

    let unused = service.rpc("http://two.example").await;
    delete_with(&service, &unused, r#"{"cascade_delete_upstream":false}"#)
        .await
        .is_done();
    let (service, rpc, _) = used_rpc().await;
    delete_with(&service, &rpc, "{}").await.is_done();
}

#[tokio::test]
async fn case_055_a_bad_body_of_a_deletion_is_refused() {
    let (service, rpc, _) = used_rpc().await;
    for body in ["", "null", "{bad", r#"{"cascade_delete_upstream":"yes"}"#] {
        delete_with(&service, &rpc, body).await.is_refused(400);
    }
    assert_eq!(service.get("/rpcs").await.items().len(), 1);
}

#[tokio::test]
async fn case_056_an_upstream_moved_to_an_address_survives_its_former_rpc() {
    let service = Service::start().await;
    service.network().await;
    let rpc = service.rpc("http://one.example").await;
    let route = service.route("a.example", "/").await;
    let upstream = service.upstream(&route, &rpc).await;
    let moved = with(address("own.example"), "uuid", json!(upstream));
    assert_eq!(
        service
            .put(&format!("/routes/{route}/upstreams"), moved)
            .await
            .uuid(),
        upstream
    );
    service.delete(&format!("/rpcs/{rpc}")).await.is_done();
    let left = service.upstreams_of(&route).await;
    assert_eq!((left.len(), &left[0]["uuid"]), (1, &json!(upstream)));
}
