//! Gateways that serve the routes of some labels.

use serde_json::Value;
use tempfile::TempDir;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::fleet::{ControlPlane, Gateway, ROUTE, resources};

/// The route and its upstream, labelled with a team.
fn of_team(node: &SimNode, team: &str) -> Value {
    let mut resources = resources(node);
    resources[0]["meta"] = serde_json::json!({"labels": {"team": team}});
    resources
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_is_served_where_its_labels_say() {
    let (store, first_dir, second_dir) = (
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let node = SimNode::start(SimNodeConfig::named("node")).await.unwrap();
    let control_plane = ControlPlane::start(store.path()).await;
    let grpc = control_plane.grpc;
    let a = Gateway::selecting(first_dir.path(), grpc, &[("team", "a")]).await;
    let b = Gateway::selecting(second_dir.path(), grpc, &[("team", "b")]).await;
    assert_eq!(control_plane.apply(&of_team(&node, "a")).code, 0);
    control_plane.settle(2);
    a.serves_from("node");
    assert_eq!(b.ask().status, 404);
    let status = control_plane.tyrctl(&["status"]).json();
    let nodes = status["nodes"].as_array().unwrap().iter();
    let mut selected: Vec<_> = nodes.map(|node| node["select_labels"]["team"].as_str()).collect();
    selected.sort_unstable();
    assert_eq!(selected, [Some("a"), Some("b")]);

    // A change of the label moves it.
    let moved = control_plane.tyrctl(&["route", "update", ROUTE, "--label", "team=b"]);
    assert_eq!(moved.code, 0, "{moved:?}");
    assert_eq!(moved.json()["meta"]["labels"]["team"], "b");
    control_plane.settle(2);
    assert_eq!(a.ask().status, 404);
    b.serves_from("node");

    // Who selects otherwise from now on does not go on from what it ran.
    a.stop().await;
    let a = Gateway::selecting(first_dir.path(), grpc, &[("team", "b")]).await;
    control_plane.settle(2);
    a.serves_from("node");
    a.stop().await;
    b.stop().await;
}
