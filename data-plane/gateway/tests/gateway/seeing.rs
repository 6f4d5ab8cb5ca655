//! What operators and clients are shown of requests.

use http::StatusCode;
use serde_json::Value;
use tyrscale_gateway::{AccessLogMode, RecorderArgs, Settings};
use tyrscale_simnode::Fault;

use crate::gateway::harness::{
    Answer, HOST_NAME, Harness, call_body, eventually, node, route, settings, upstream_id,
};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn call(gateway: &Harness, header: (&'static str, &'static str)) -> Answer {
    let request = gateway.client.request("/eth").header(header.0, header.1);
    let body = http_body_util::Full::new(call_body("eth_chainId"));
    gateway.client.send(request.body(body).unwrap()).await
}

fn page(gateway: &Harness, path: &str) -> Value {
    let page = gateway.gateway.debug_page(path).unwrap();
    assert_eq!(page.status, StatusCode::OK);
    serde_json::from_slice(&page.body).unwrap()
}

/// Records nothing of its own accord.
fn quiet() -> Settings {
    Settings {
        recorder: RecorderArgs {
            trace_sample: 0.0,
            ..RecorderArgs::default()
        },
        ..settings()
    }
}

#[tokio::test]
async fn a_client_that_asks_is_told_who_served_it_and_others_are_not() {
    let node = node("a").await;
    let gateway = Harness::in_front_of(&[&node]).await;
    let told = call(&gateway, ("x-tyrscale-debug", "1")).await;
    assert_eq!(
        told.headers["x-tyrscale-upstream"],
        upstream_id(1).to_string().as_str()
    );
    assert_eq!(told.headers["x-tyrscale-attempts"], "1");
    let revision = gateway.gateway.version().unwrap().revision.to_string();
    assert_eq!(told.headers["x-tyrscale-revision"], revision.as_str());
    let untold = gateway.client.call("eth_chainId").await;
    assert!(
        untold
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("x-tyrscale"))
    );
}

#[tokio::test]
async fn a_request_that_fails_over_is_traced_step_by_step() {
    let (bad, good) = (node("bad").await, node("good").await);
    bad.fail_next(9, Fault::CloseBeforeAnswer);
    let gateway = Harness::with_route(quiet(), route(1, HOST_NAME), &[&bad, &good]).await;
    // One of the first two begins at the bad one.
    for _ in 0..2 {
        assert_eq!(gateway.client.call("eth_chainId").await.node(), "good");
    }
    let traces = page(&gateway, "/debug/traces");
    let trace = &traces["traces"][0];
    assert_eq!(trace["method"], "eth_chainId");
    assert_eq!(trace["status"], 200);
    assert_eq!(trace["served_by"], upstream_id(2).to_string());
    let events: Vec<&str> = trace["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["failed", "asked", "answered"]);
    assert_eq!(trace["steps"][0]["upstream"], upstream_id(1).to_string());
    let id = trace["trace"].as_str().unwrap();
    assert_eq!(
        page(&gateway, &format!("/debug/traces/{id}"))["traces"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_traced_client_finds_the_gateway_between_itself_and_the_upstream() {
    let node = node("a").await;
    let gateway = Harness::with_route(quiet(), route(1, HOST_NAME), &[&node]).await;
    call(&gateway, ("traceparent", TRACEPARENT)).await;
    let trace = page(&gateway, "/debug/traces")["traces"][0].clone();
    assert_eq!(trace["trace"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(trace["parent_span"], "00f067aa0ba902b7");
    let received = node.captured().last().unwrap().headers["traceparent"]
        .to_str()
        .unwrap()
        .to_owned();
    let span = trace["span"].as_str().unwrap();
    assert_eq!(received, format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01"));

    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    call(&gateway, ("traceparent", unsampled)).await;
    assert_eq!(node.captured().last().unwrap().headers["traceparent"], unsampled);
}

#[tokio::test]
async fn the_access_log_has_a_line_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let settings = Settings {
        recorder: RecorderArgs {
            access_log: AccessLogMode::All,
            access_log_file: Some(file.clone()),
            ..RecorderArgs::default()
        },
        ..settings()
    };
    let node = node("a").await;
    let gateway = Harness::with_route(settings, route(1, HOST_NAME), &[&node]).await;
    gateway.client.call("eth_chainId").await;
    gateway.client.post("no json").await;
    let lines = || -> Vec<Value> {
        let text = std::fs::read_to_string(&file).unwrap();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    eventually(async || lines().len() == 2).await;
    let lines = lines();
    assert_eq!(
        (&lines[0]["method"], &lines[0]["status"]),
        (&"eth_chainId".into(), &200.into())
    );
    assert_eq!(lines[0]["upstream"], upstream_id(1).to_string());
    assert_eq!(
        (&lines[1]["status"], &lines[1]["attempts"]),
        (&400.into(), &0.into())
    );
}

#[tokio::test]
async fn debug_pages_show_routes_and_upstreams_without_their_keys() {
    let node = node("a").await;
    let url = format!(
        "{}/v3/0123456789abcdef0123456789abcdef",
        node.url().trim_end_matches('/')
    );
    let mut gateway = Harness::with_urls(quiet(), route(1, HOST_NAME), &[url]).await;
    gateway.client.call("eth_chainId").await;
    let routes = page(&gateway, "/debug/routes");
    assert_eq!(routes["routes"][0]["host"], HOST_NAME);
    let id = routes["routes"][0]["id"].as_str().unwrap();
    let one = page(&gateway, &format!("/debug/routes/{id}"));
    assert_eq!(one["upstreams"][0]["breaker"], "closed");
    let upstreams = page(&gateway, "/debug/upstreams");
    assert_eq!(upstreams["upstreams"][0]["attempts"], 1);
    assert!(upstreams["upstreams"][0]["obstacle"].is_null());
    gateway.set_weight(1, 0.0);
    let drained = page(&gateway, "/debug/upstreams");
    assert_eq!(drained["upstreams"][0]["obstacle"], "drained");
    for page in [routes, one, upstreams] {
        assert!(!page.to_string().contains("0123456789abcdef"), "{page}");
    }
    assert!(gateway.gateway.debug_page("/debug/routes/nonsense").is_none());
    assert!(gateway.gateway.debug_page("/debug").is_none());
}
