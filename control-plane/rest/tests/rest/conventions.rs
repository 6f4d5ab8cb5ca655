use bytes::Bytes;
use http::{Method, Request};
use serde_json::json;

use crate::service::{Answer, Service, network, rpc};

async fn post_as(service: &Service, content_type: Option<&str>, body: &str) -> Answer {
    let mut request = Request::builder().method(Method::POST).uri("/api/v1/networks");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    service
        .send(request.body(Bytes::from(body.to_owned())).unwrap())
        .await
}

async fn plain(service: &Service, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    service.send(request.body(Bytes::new()).unwrap()).await
}

#[tokio::test]
async fn case_001_paths_match_in_any_case_and_names_do_not() {
    let service = Service::start().await;
    service.network().await;
    assert_eq!(
        plain(&service, Method::GET, "/API/V1/Networks")
            .await
            .items()
            .len(),
        1
    );
    assert_eq!(service.delete("/NETWORKS/ETH").await.status, 404);
    assert_eq!(service.delete("/NETWORKS/eth").await.status, 200);
}

#[tokio::test]
async fn case_002_one_trailing_slash_is_accepted_two_are_not() {
    let service = Service::start().await;
    assert_eq!(service.get("/networks/").await.status, 200);
    for path in ["/networks//", "//networks"] {
        let answer = service.get(path).await;
        assert_eq!((answer.status, &answer.json()["code"]), (404, &json!(404)));
    }
}

#[tokio::test]
async fn case_003_an_unknown_path_is_named() {
    let service = Service::start().await;
    let answer = service.get("/nope").await;
    assert_eq!(
        answer.body,
        r#"{"status":404,"code":404,"message":"Cannot GET /api/v1/nope"}"#
    );
}

#[tokio::test]
async fn case_004_a_wrong_method_is_405_with_allow() {
    let service = Service::start().await;
    let answer = service.bare(Method::PATCH, "/networks").await;
    assert_eq!(
        answer.json(),
        json!({"status": 405, "code": 405, "message": "Method Not Allowed"})
    );
    for method in ["GET", "HEAD", "POST"] {
        assert!(answer.header("allow").contains(method), "{answer:?}");
    }
    assert_eq!(service.bare(Method::OPTIONS, "/networks").await.status, 405);
    assert_eq!(plain(&service, Method::POST, "/liveness").await.status, 405);
}

#[tokio::test]
async fn case_005_head_is_get_without_body() {
    let service = Service::start().await;
    service.network().await;
    for path in [
        "/networks",
        "/rpcs",
        "/routes",
        "/recommendations",
        "/plugins",
        "/nope",
    ] {
        let get = service.get(path).await;
        let head = service.bare(Method::HEAD, path).await;
        assert_eq!(head.status, get.status);
        assert!(head.body.is_empty());
        if path != "/nope" {
            assert_eq!(head.header("content-length"), get.body.len().to_string());
        }
    }
}

#[tokio::test]
async fn case_006_a_body_without_its_content_type_is_refused() {
    let service = Service::start().await;
    let body = network("eth", 1).to_string();
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
    ] {
        let answer = post_as(&service, content_type, &body).await;
        answer.is_refused(400);
        assert_eq!(answer.message(), "Invalid input parameters: Unprocessable Entity");
    }
}

#[tokio::test]
async fn case_007_a_charset_is_accepted() {
    let service = Service::start().await;
    let body = network("eth", 1).to_string();
    let answer = post_as(&service, Some("application/json; charset=utf-8"), &body).await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn case_008_what_is_no_json_object_is_refused() {
    let service = Service::start().await;
    for body in ["{bad", "", "[]", "\"a\"", "{} {}"] {
        service
            .text(Method::POST, "/networks", body)
            .await
            .is_refused(400);
    }
    let empty = service.text(Method::POST, "/networks", "").await;
    assert_eq!(
        empty.message(),
        "Invalid input parameters: unexpected end of JSON input"
    );
}

#[tokio::test]
async fn case_009_a_null_body_is_refused_everywhere() {
    let service = Service::start().await;
    let id = service.route("a.example", "/").await;
    for (method, path) in [
        (Method::POST, "/networks".to_owned()),
        (Method::POST, "/rpcs".to_owned()),
        (Method::PUT, "/rpcs".to_owned()),
        (Method::POST, "/routes".to_owned()),
        (Method::PATCH, format!("/routes/{id}")),
        (Method::PUT, format!("/routes/{id}/upstreams")),
        (Method::POST, format!("/routes/{id}/upstreams")),
        (Method::POST, format!("/routes/{id}/attach-plugin")),
        (Method::POST, format!("/routes/{id}/detach-plugin")),
        (Method::POST, "/recommendations".to_owned()),
        (Method::PUT, "/recommendations".to_owned()),
    ] {
        service.text(method, &path, "null").await.is_refused(400);
        assert_eq!(service.get("/networks").await.status, 200);
    }
}

#[tokio::test]
async fn case_010_keys_match_in_any_case_and_unknown_ones_are_ignored() {
    let service = Service::start().await;
    let body = json!({"NAME": "eth", "Chain_Id": 1, "blockChain": "ethereum", "extra": [1]});
    assert_eq!(service.post("/networks", body).await.status, 201);
}

#[tokio::test]
async fn case_011_a_body_above_four_mebibytes_is_refused() {
    let service = Service::start().await;
    let body = format!(r#"{{"name":"{}"}}"#, "a".repeat(4 * 1024 * 1024));
    let answer = service.text(Method::POST, "/networks", body).await;
    assert_eq!(answer.status, 413);
    assert_eq!(service.get("/networks").await.status, 200);
}

#[tokio::test]
async fn case_012_any_origin_is_allowed() {
    let service = Service::start().await;
    for path in ["/api/v1/networks", "/api/v1/nope", "/liveness"] {
        let request = Request::builder().uri(path).header("origin", "http://x");
        let answer = service.send(request.body(Bytes::new()).unwrap()).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_eq!(
        service
            .get("/networks")
            .await
            .header("access-control-allow-origin"),
        ""
    );
}

#[tokio::test]
async fn case_013_a_preflight_allows_every_method_there_is() {
    let service = Service::start().await;
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/api/v1/routes/x")
        .header("origin", "http://x")
        .header("access-control-request-method", "PATCH");
    let answer = service.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let methods = answer.header("access-control-allow-methods");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        assert!(methods.split(',').any(|allowed| allowed == method), "{methods}");
    }
    let headers = answer.header("access-control-allow-headers");
    assert_eq!(headers, "Origin,Content-Type,Accept,Authorization");
    assert!(answer.header("vary").contains("Access-Control-Request-Method"));
}

#[tokio::test]
async fn case_014_liveness_says_when_and_how_long() {
    let service = Service::start().await;
    let answer = plain(&service, Method::GET, "/liveness").await;
    let body = answer.json();
    assert_eq!((answer.status, &body["status"]), (200, &json!(true)));
    assert!(body["date"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(body["duration"].as_f64().unwrap() >= 0.0);
    assert!(body.get("integrations").is_none());
}

#[tokio::test]
async fn case_015_readiness_follows_the_store() {
    let service = Service::start().await;
    let answer = plain(&service, Method::GET, "/readiness").await;
    let integration = answer.json()["integrations"][0].clone();
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (200, json!(true))
    );
    assert_eq!(integration["kind"], "sled");
    assert_eq!(integration["status"], true);
    assert!(integration["response_time"].is_number() && integration["name"].is_string());

    service.store.close().await;
    let answer = plain(&service, Method::GET, "/readiness").await;
    let integration = answer.json()["integrations"][0].clone();
    assert_eq!(
        (answer.status, answer.json()["status"].clone()),
        (503, json!(false))
    );
    assert_eq!(integration["status"], false);
    assert!(
        integration["error"]
            .as_str()
            .unwrap()
            .starts_with("ping failed: ")
    );
}

#[tokio::test]
async fn case_015_a_closed_store_refuses_writes_with_500_and_still_lists() {
    let service = Service::start().await;
    service.network().await;
    service.store.close().await;
    let answer = service.post("/networks", network("polygon", 137)).await;
    assert_eq!((answer.status, &answer.json()["code"]), (500, &json!(13)));
    assert!(answer.message().starts_with("Internal server error: "));
    assert_eq!(service.get("/networks").await.items().len(), 1);
}

#[tokio::test]
async fn case_016_the_document_and_its_page_are_served() {
    let service = Service::start().await;
    let index = plain(&service, Method::GET, "/swagger/index.html").await;
    assert_eq!(index.status, 200);
    assert!(index.header("content-type").starts_with("text/html"));
    let bare = plain(&service, Method::GET, "/swagger/").await;
    assert_eq!(
        (bare.status, bare.header("location")),
        (301, "/swagger/index.html")
    );
    let answer = plain(&service, Method::GET, "/swagger/doc.json").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
    assert!(answer.json()["openapi"].as_str().unwrap().starts_with("3."));
    assert_eq!(plain(&service, Method::GET, "/swagger/none.js").await.status, 404);
    assert_eq!(plain(&service, Method::GET, "/docs").await.status, 404);
    assert_eq!(plain(&service, Method::GET, "/metrics").await.status, 404);
}

#[tokio::test]
async fn case_016_every_operation_is_documented_with_its_refusals() {
    let service = Service::start().await;
    let document = plain(&service, Method::GET, "/swagger/doc.json").await.json();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if !path.starts_with("/api/") {
                continue;
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("500"), "{method} {path}");
            let writes = ["post", "put", "patch"].contains(&method.as_str());
            assert!(!writes || responses.contains_key("400"), "{method} {path}");
            assert_eq!(
                writes,
                operation
                    .get("requestBody")
                    .is_some_and(|body| body["required"] == true)
            );
            assert!(!operation["summary"].as_str().unwrap().is_empty());
            operations.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(operations.len(), 24);
    operations.sort();
    operations.dedup();
    assert_eq!(operations.len(), 24);
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn case_017_the_body_repeats_the_status_and_errors_have_no_data() {
    let service = Service::start().await;
    service.network().await;
    let created = service.rpc("http://node.example").await;
    let conflict = service.post("/rpcs", rpc("http://node.example")).await;
    let expected = format!(
        r#"{{"status":409,"code":6,"message":"Resource Conflict: rpc with url node.example already exists","context":{{"uuid":"{created}"}}}}"#
    );
    assert_eq!(conflict.body, expected);
    let done = service.delete(&format!("/rpcs/{created}")).await;
    assert_eq!(done.body, r#"{"status":200,"code":0,"message":"Success"}"#);
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let service = Service::start().await;
    let request = Request::builder()
        .uri("/api/v1/networks")
        .header("x-request-id", "mine");
    let answer = service.send(request.body(Bytes::new()).unwrap()).await;
    assert_eq!(answer.header("x-request-id"), "mine");
    let one = service.get("/networks").await.header("x-request-id").to_owned();
    let other = service.get("/nope").await.header("x-request-id").to_owned();
    assert_ne!(one, other);
    assert_eq!(one.len(), 36);
}
