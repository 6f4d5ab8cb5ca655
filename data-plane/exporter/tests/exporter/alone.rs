//! The exporter without a control plane.

use std::time::Duration;

use clap::{Args, FromArgMatches};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{NodeRole, follow::FollowerConfig};
use tyrscale_exporter::{ExporterConfig, Listeners, run};
use tyrscale_model::{Kind, View};

const PATIENCE: Duration = Duration::from_secs(10);

fn config(arguments: &[&str]) -> ExporterConfig {
    let command = ExporterConfig::augment_args(clap::Command::new("exporter"));
    let matches = command.try_get_matches_from([&["exporter"], arguments].concat());
    ExporterConfig::from_arg_matches(&matches.unwrap()).unwrap()
}

#[test]
fn it_follows_what_it_works_on() {
    let arguments = ["--control-plane", "http://a:1,http://b:2", "--node-id", "n1"];
    let follower = FollowerConfig::from(config(&arguments));
    assert_eq!(follower.view, View::of(&[Kind::Network, Kind::Rpc]));
    assert_eq!(follower.role, NodeRole::Exporter);
    assert_eq!(follower.node_id, "n1");
    assert_eq!(follower.control_plane, ["http://a:1", "http://b:2"]);
}

#[tokio::test]
async fn it_lives_without_a_control_plane_is_not_ready_and_stops() {
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = admin.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let config = config(&["--control-plane", "http://127.0.0.1:1"]);
    let service = tokio::spawn(run(config, Listeners { admin }, shutdown.clone()));
    for (path, status) in [("/livez", 200), ("/readyz", 503), ("/metrics", 200)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
    }
    shutdown.cancel();
    timeout(PATIENCE, service).await.unwrap().unwrap().unwrap();
}
