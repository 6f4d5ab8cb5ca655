//! The whole service, its control plane away.

use http::{Method, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tyrscale_gateway::{Config, Listeners, run};

use super::harness::{Caller, bounded, eventually, settings};

#[tokio::test]
async fn without_a_configuration_it_lives_but_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let config = Config {
        control_planes: vec![format!("http://{closed}").parse().unwrap()],
        data_dir: directory.path().join("data"),
        node_id: None,
        group: "default".to_owned(),
        zone: String::new(),
        settings: settings(),
    };
    let listeners = Listeners {
        data: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        admin: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let data = Caller::new(listeners.data.local_addr().unwrap());
    let admin = Caller::new(listeners.admin.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(run(config, listeners, shutdown.clone()));
    let get = async |path| {
        admin
            .send(
                admin
                    .request(path)
                    .method(Method::GET)
                    .body(Full::default())
                    .unwrap(),
            )
            .await
    };
    assert_eq!(get("/livez").await.status, StatusCode::OK);
    assert_eq!(get("/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get("/debug/config").await.json()["routes"], 0);
    eventually(async || {
        let scrape = get("/metrics").await.body;
        String::from_utf8_lossy(&scrape).contains("tyrscale_control_plane_connected 0")
    })
    .await;
    assert_eq!(data.call("eth_chainId").await.status, StatusCode::NOT_FOUND);
    assert!(directory.path().join("data/node-id").exists());
    shutdown.cancel();
    bounded(running).await.unwrap().unwrap();
}
