//! The exporter without a control plane.

use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{NodeRole, follow::FollowerConfig};
use tyrscale_exporter::{Listeners, run};
use tyrscale_model::{Kind, View};

use crate::{
    plane::LIMIT,
    running::{config, get},
};

#[test]
fn it_follows_what_it_works_on() {
    let arguments = ["--control-plane", "http://a:1,http://b:2", "--node-id", "n1"];
    let follower = FollowerConfig::from(config(&arguments));
    assert_eq!(follower.view, View::of(&[Kind::Network, Kind::Secret, Kind::Rpc]));
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
        let answer = get(address, path).await.unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path}: {answer}"
        );
    }
    shutdown.cancel();
    timeout(LIMIT, service).await.unwrap().unwrap().unwrap();
}
