//! The real subscription of gateways against the real control plane.

use std::path::Path;

use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tyrscale_client::{
    NodeIdentity, NodeRole, SubscriptionConfig, SubscriptionStatus, Timing, Update, subscription,
};
use tyrscale_model::{Network, Rejection, View, Violation, ViolationCode};
use tyrscale_proto::v1::SyncState;

use crate::{
    plane::{Plane, network},
    status::{node, until},
};

fn config(plane: &Plane, dir: &Path) -> SubscriptionConfig {
    SubscriptionConfig {
        endpoints: vec![format!("http://{}", plane.grpc).parse().unwrap()],
        tls: Default::default(),
        node: NodeIdentity {
            id: "gw".to_owned(),
            group: String::new(),
            zone: String::new(),
            role: NodeRole::Gateway,
            labels: std::collections::BTreeMap::new(),
            build: "test".to_owned(),
        },
        view: View::ALL,
        selection: tyrscale_model::Selection::default(),
        weights: false,
        last_good: Some(dir.to_owned()),
        timing: Timing::default(),
        max_message_bytes: 0,
    }
}

/// Takes everything but a network called `bad`.
fn consume(update: &Update) -> Result<Vec<String>, Rejection> {
    let is_bad = |network: &Network| network.name.as_str() == "bad";
    if update.snapshot.networks().any(is_bad) {
        return Err(Violation::new("name", ViolationCode::Invalid, "is bad").into());
    }
    Ok(Vec::new())
}

fn start(config: SubscriptionConfig) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let status = watch::Sender::new(SubscriptionStatus::default());
    let following = subscription::run(config, consume, status, stop.clone());
    (stop, tokio::spawn(async move { following.await.unwrap() }))
}

/// Waits until the gateway runs a revision.
async fn runs(plane: &Plane, revision: u64) {
    loop {
        let status = until(plane, "gw", SyncState::Synced).await;
        if status.lanes[0]
            .running
            .as_ref()
            .is_some_and(|running| running.revision == revision)
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_follows_refuses_and_comes_back_for_the_difference() {
    let plane = Plane::start().await;
    let dir = tempfile::TempDir::new().unwrap();
    plane
        .put((0..30).map(|number| network(&format!("n{number}"), 1)).collect())
        .await;
    let hello = crate::follower::Follower::synced(&plane.channel, "gw").await;
    drop(hello);
    until(&plane, "gw", SyncState::Disconnected).await;

    let (stop, following) = start(config(&plane, dir.path()));
    runs(&plane, 1).await;
    assert!(node(&plane, "gw").await.persisted);
    plane.put_network("bad", 1).await;
    let status = until(&plane, "gw", SyncState::Rejected).await;
    let lane = &status.lanes[0];
    assert_eq!(lane.running.as_ref().unwrap().revision, 1);
    assert_eq!(
        lane.last_rejection.as_ref().unwrap().violations[0].message,
        "is bad"
    );
    plane.delete_network("bad").await;
    runs(&plane, 3).await;
    stop.cancel();
    following.await.unwrap();
    until(&plane, "gw", SyncState::Disconnected).await;

    plane.put_network("later", 1).await;
    let parts = [
        "_discovery_updates_total{",
        "kind=\"snapshot\"",
        "lane=\"config\"",
    ];
    let snapshots = |metrics: String| {
        let line = metrics
            .lines()
            .find(|line| parts.iter().all(|part| line.contains(part)));
        line.unwrap().to_owned()
    };
    let before = snapshots(plane.metrics().await);
    let (stop, following) = start(config(&plane, dir.path()));
    runs(&plane, 4).await;
    assert_eq!(
        snapshots(plane.metrics().await),
        before,
        "only the difference was sent"
    );
    stop.cancel();
    following.await.unwrap();
    plane.stop().await;
}
