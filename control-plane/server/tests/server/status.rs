//! Which node runs which revision.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Code;
use tyrscale_proto::v1::{
    self, NackReason, SyncState, status_service_client::StatusServiceClient, stream_config_request::Message,
};

use crate::{
    follower::{Follower, hello},
    plane::{LIMIT, Plane, network},
};

pub(crate) async fn node(plane: &Plane, id: &str) -> v1::NodeStatus {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let got = client
        .get_node(v1::GetNodeRequest { id: id.to_owned() })
        .await
        .unwrap();
    got.into_inner().node.unwrap()
}

/// Waits until a node is in a state.
pub(crate) async fn until(plane: &Plane, id: &str, state: SyncState) -> v1::NodeStatus {
    let reached = async {
        loop {
            let status = node(plane, id).await;
            if status.lanes[0].state() == state {
                return status;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, reached)
        .await
        .unwrap_or_else(|_| panic!("{id} is not {state:?}"))
}

async fn wait_for(plane: &Plane, revision: u64, timeout_ms: u32) -> v1::WaitForRevisionResponse {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let wait = v1::WaitForRevisionRequest { revision, timeout_ms };
    timeout(LIMIT, client.wait_for_revision(wait))
        .await
        .unwrap()
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn a_node_is_listed_with_what_it_runs_and_stays_listed_when_it_leaves() {
    let plane = Plane::start().await;
    let version = plane.put_network("eth", 1).await;
    let follower = Follower::synced(&plane.channel, "n").await;
    let status = until(&plane, "n", SyncState::Synced).await;
    assert_eq!(status.lanes[0].running, Some(version));
    assert!(status.peer.starts_with("127.0.0.1:") && status.connected_since.is_some());
    drop(follower);
    let status = until(&plane, "n", SyncState::Disconnected).await;
    assert_eq!(status.connected_since, None);
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let unknown = client
        .get_node(v1::GetNodeRequest { id: "x".to_owned() })
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    plane.stop().await;
}

#[tokio::test]
async fn c85_a_newer_stream_of_a_process_replaces_the_older() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut older = Follower::synced(&plane.channel, "n").await;
    let mut newer = Follower::synced(&plane.channel, "n").await;
    assert_eq!(older.wire.ends().await.code(), Code::Aborted);
    plane.put_network("bsc", 1).await;
    newer.follow().await;
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let listed = client
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner()
        .nodes;
    assert_eq!(listed.len(), 1);
    assert!(!listed[0].duplicate_id);
    assert_eq!(listed[0].reconnects, 1);
    plane.stop().await;
}

#[tokio::test]
async fn c86_two_processes_of_one_id_are_both_served_and_flagged() {
    let plane = Plane::start().await;
    plane
        .put((0..9).map(|number| network(&format!("n{number}"), 1)).collect())
        .await;
    let mut followers = Vec::new();
    for boot in ["one", "two"] {
        let (mut follower, _) = Follower::greet(&plane.channel, hello("n", boot)).await;
        follower.follow().await;
        followers.push(follower);
    }
    plane.put_network("next", 1).await;
    for follower in &mut followers {
        follower.follow().await;
    }
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let listed = client
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner()
        .nodes;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|node| node.duplicate_id));
    plane.stop().await;
}

#[tokio::test]
async fn waiting_ends_when_all_nodes_run_the_revision() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    until(&plane, "n", SyncState::Synced).await;
    assert!(wait_for(&plane, 1, 0).await.reached);
    let waiting = wait_for(&plane, 2, 10_000);
    let following = async {
        plane.put_network("bsc", 1).await;
        follower.follow().await;
    };
    let (answer, ()) = tokio::join!(waiting, following);
    assert!(answer.reached && answer.blockers.is_empty());
    let late = wait_for(&plane, 3, 50).await;
    assert_eq!((late.reached, late.blockers), (false, vec!["n".to_owned()]));
    plane.stop().await;
}

#[tokio::test]
async fn c87_waiting_ends_when_a_node_refuses_and_names_it() {
    let plane = Plane::start().await;
    plane
        .put((0..9).map(|number| network(&format!("n{number}"), 1)).collect())
        .await;
    let mut good = Follower::synced(&plane.channel, "good").await;
    let mut bad = Follower::synced(&plane.channel, "bad").await;
    let waiting = wait_for(&plane, 2, 600_000);
    let answering = async {
        plane.put_network("eth", 1).await;
        good.follow().await;
        let update = bad.receive().await;
        bad.nack(&update, NackReason::Invalid).await;
    };
    let (answer, ()) = tokio::join!(waiting, answering);
    assert!(!answer.reached);
    assert!(answer.blockers.contains(&"bad".to_owned()), "{answer:?}");
    plane.stop().await;
}

#[tokio::test]
async fn a_waiting_call_does_not_hold_up_the_stop() {
    let plane = Plane::start().await;
    let mut client = StatusServiceClient::new(plane.channel.clone());
    let wait = v1::WaitForRevisionRequest {
        revision: 5,
        timeout_ms: 600_000,
    };
    let waiting = tokio::spawn(async move { client.wait_for_revision(wait).await });
    let follower = Follower::connect(&plane.channel, "n").await;
    follower.0.wire.say(Message::Ack(v1::Ack::default())).await;
    timeout(Duration::from_secs(5), plane.stop()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
}
