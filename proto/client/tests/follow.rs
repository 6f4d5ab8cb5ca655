//! A following service against a scripted control plane over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "subscription/server.rs"]
#[expect(dead_code, reason = "shared with the tests of the subscription")]
mod server;

use http::Uri;
use prost::Message as _;
use server::{PATIENCE, ScriptedServer, chunk};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    NodeRole,
    follow::{FollowerConfig, follow},
};
use tyrscale_model::{Kind, Lineage, ResourceKey, Revision, Row, Snapshot, View};
use tyrscale_proto::v1;
use tyrscale_telemetry::Service;

fn config(control_plane: Uri) -> FollowerConfig {
    FollowerConfig {
        service: Service::Exporter,
        role: NodeRole::Exporter,
        view: View::of(&[Kind::Network, Kind::Rpc]),
        control_plane: vec![control_plane],
        tls: Default::default(),
        node_id: "exporter-1".into(),
        zone: String::new(),
        build: "test".into(),
        data_dir: None,
    }
}

async fn get(address: std::net::SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn a_follower_is_ready_with_its_first_content_and_tells_what_it_follows() {
    let server = ScriptedServer::start().await;
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = admin.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let service = tokio::spawn(follow(config(server.uri.clone()), admin, shutdown.clone()));
    let mut stream = server.welcome().await;
    assert_eq!(stream.hello.selector.as_ref().unwrap().kinds, [1, 3]);
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));

    let network = v1::Network {
        name: "a".into(),
        blockchain: "ethereum".into(),
        chain_id: 1,
        meta: None,
    };
    let row = Row {
        key: ResourceKey::new(Kind::Network, "a"),
        revision: Revision(3),
        payload: network.encode_to_vec().into(),
        value: None,
    };
    let lineage = Lineage([7; 16]);
    let rows = [row];
    let content = Snapshot::empty(lineage)
        .advance(lineage, Revision(3), rows.to_vec(), &[])
        .unwrap();
    let target = content.version(View::of(&[Kind::Network, Kind::Rpc]));
    stream.ask_for_ack(chunk(None, &target, 0, 1, &rows)).await;
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = get(address, "/metrics").await;
    for line in [
        "tyrscale_control_plane_connected 1",
        "tyrscale_config_updates_total{outcome=\"applied\"} 1",
        "tyrscale_subscriber_config_revision 3",
        "tyrscale_subscriber_resources{kind=\"network\"} 1",
        "tyrscale_subscriber_resources{kind=\"rpc\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    shutdown.cancel();
    timeout(PATIENCE, service)
        .await
        .expect("does not stop")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_follower_that_cannot_work_ends_with_the_reason() {
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config("http://127.0.0.1:1/path".parse().unwrap());
    let ended = timeout(PATIENCE, follow(config, admin, CancellationToken::new())).await;
    assert!(ended.unwrap().is_err());
}
