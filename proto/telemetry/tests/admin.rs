//! The admin endpoints over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tyrscale_telemetry::catalogue::{
    CONFIG_UPDATES_TOTAL, UPSTREAM_DURATION_SECONDS, UPSTREAM_TOTAL_REQUESTS,
};
use tyrscale_telemetry::{
    AdminState, AtomicHistogram, Check, Metrics, Page, Readiness, Service, serve_admin,
};

const LIMIT: Duration = Duration::from_secs(10);

struct Admin {
    address: SocketAddr,
    shutdown: CancellationToken,
    server: JoinHandle<()>,
}

async fn start(state: AdminState) -> Admin {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve_admin(listener, state, shutdown.clone()));
    Admin {
        address,
        shutdown,
        server,
    }
}

impl Admin {
    async fn request(&self, method: &str, path: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: admin\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Reply::read(stream).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.request("GET", path).await
    }
}

struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    async fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut text))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }
}

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(Service::Gateway).unwrap())
}

#[tokio::test]
async fn a_live_service_says_ok() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let reply = admin.get("/livez").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
}

#[tokio::test]
async fn readiness_follows_the_service() {
    let loaded = Arc::new(AtomicBool::new(false));
    let state = AdminState::new(metrics(), {
        let loaded = Arc::clone(&loaded);
        move || {
            let ready = loaded.load(Ordering::SeqCst);
            let detail = if ready { "revision 7" } else { "none yet" };
            Readiness {
                checks: vec![
                    Check {
                        name: "listener",
                        ready: true,
                        detail: String::new(),
                    },
                    Check {
                        name: "config",
                        ready,
                        detail: detail.to_owned(),
                    },
                ],
            }
        }
    });
    let admin = start(state).await;

    let reply = admin.get("/readyz").await;
    assert_eq!(reply.status, 503);
    assert!(
        reply.head.contains("content-type: application/json"),
        "{}",
        reply.head
    );
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    let expected = serde_json::json!({"ready": false, "checks": [
        {"name": "listener", "ready": true, "detail": ""},
        {"name": "config", "ready": false, "detail": "none yet"},
    ]});
    assert_eq!(body, expected);

    loaded.store(true, Ordering::SeqCst);
    let reply = admin.get("/readyz").await;
    assert_eq!(reply.status, 200);
    let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["ready"], true);
    assert_eq!(body["checks"][1]["detail"], "revision 7");
}

#[tokio::test]
async fn a_scrape_shows_what_lives_and_forgets_what_is_removed() {
    let metrics = metrics();
    let updates = metrics.counter(&CONFIG_UPDATES_TOTAL).unwrap();
    updates.add(2, ["applied"]);
    let table = Arc::new(Mutex::new(vec![
        ("u-1", AtomicHistogram::default()),
        ("u-2", AtomicHistogram::default()),
    ]));
    table.lock().unwrap()[0].1.record(Duration::from_millis(30));
    let live = Arc::clone(&table);
    metrics
        .observe_histogram(&UPSTREAM_DURATION_SECONDS, move || {
            let labels = |id: &str| ["r-1", "localhost/", id, "http://node"].map(str::to_owned);
            live.lock()
                .unwrap()
                .iter()
                .map(|(id, histogram)| (labels(id), histogram.snapshot()))
                .collect()
        })
        .unwrap();
    let live = Arc::clone(&table);
    metrics
        .observe_counter(&UPSTREAM_TOTAL_REQUESTS, move |observer| {
            for (id, _) in live.lock().unwrap().iter() {
                observer.observe(5, ["r-1", "localhost/", id, "http://node"]);
            }
        })
        .unwrap();
    let admin = start(AdminState::new(metrics, Readiness::default)).await;

    let first = admin.get("/metrics").await;
    assert_eq!(first.status, 200);
    assert!(
        first.head.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        first.head
    );
    let labels = r#"route_url="localhost/",route_uuid="r-1",upstream_url="http://node",upstream_uuid="u-1""#;
    for line in [
        r#"tyrscale_config_updates_total{outcome="applied"} 2"#.to_owned(),
        format!("upstream_total_requests{{{labels}}} 5"),
        format!(r#"upstream_duration_seconds_bucket{{{labels},le="0.025"}} 0"#),
        format!(r#"upstream_duration_seconds_bucket{{{labels},le="0.05"}} 1"#),
        format!(r#"upstream_duration_seconds_bucket{{{labels},le="+Inf"}} 1"#),
        format!("upstream_duration_seconds_sum{{{labels}}} 0.03"),
        format!("upstream_duration_seconds_count{{{labels}}} 1"),
    ] {
        assert!(
            first.body.lines().any(|scraped| scraped == line),
            "{line} is not in\n{}",
            first.body
        );
    }
    assert!(first.body.contains("u-2"));

    table.lock().unwrap().remove(0);
    let second = admin.get("/metrics").await;
    assert!(!second.body.contains("u-1"), "{}", second.body);
    assert!(second.body.contains("u-2"));
    assert!(second.body.contains("tyrscale_config_updates_total"));
}

#[tokio::test]
async fn a_service_adds_pages_of_its_own() {
    let state = AdminState::new(metrics(), Readiness::default)
        .with_pages(|path| (path == "/debug/table").then(|| Page::json(StatusCode::OK, "[]")));
    let admin = start(state).await;
    let reply = admin.get("/debug/table?verbose=1").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "[]"));
    assert_eq!(admin.get("/debug/other").await.status, 404);
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    assert_eq!(admin.get("/").await.status, 404);
    assert_eq!(admin.get("/metrics/").await.status, 404);
    let reply = admin.request("POST", "/livez").await;
    assert_eq!(reply.status, 405);
    assert!(reply.head.contains("allow: GET, HEAD"), "{}", reply.head);
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let reply = admin.request("HEAD", "/livez").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    assert!(reply.head.contains("content-length: 2"), "{}", reply.head);
}

#[tokio::test]
async fn an_oversized_head_is_refused_and_the_next_request_served() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let reply = admin.get(&format!("/{}", "a".repeat(20_000))).await;
    assert!(matches!(reply.status, 414 | 431), "{}", reply.head);
    assert_eq!(admin.get("/livez").await.status, 200);
}

#[tokio::test]
async fn shutdown_ends_the_server_in_spite_of_an_idle_connection() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let mut idle = TcpStream::connect(admin.address).await.unwrap();
    assert_eq!(admin.get("/livez").await.status, 200);

    admin.shutdown.cancel();
    let before_any_timeout = Duration::from_secs(3);
    tokio::time::timeout(before_any_timeout, admin.server)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        idle.read(&mut [0; 1]).await.unwrap(),
        0,
        "the idle connection is closed"
    );
    assert!(
        TcpStream::connect(admin.address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_its_head_is_cut_off() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let mut slow = TcpStream::connect(admin.address).await.unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, slow.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test(start_paused = true)]
async fn beyond_sixty_four_connections_a_client_waits_for_one_to_end() {
    let admin = start(AdminState::new(metrics(), Readiness::default)).await;
    let begin = tokio::time::Instant::now();
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(admin.address).await.unwrap());
    }
    assert_eq!(admin.get("/livez").await.status, 200);
    assert!(
        begin.elapsed() >= Duration::from_secs(5),
        "served after {:?}",
        begin.elapsed()
    );
}
