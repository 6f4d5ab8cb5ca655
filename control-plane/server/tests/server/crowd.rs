//! Many subscribers at once.

use std::time::Duration;

use tokio::{
    task::JoinSet,
    time::{Instant, interval, timeout},
};
use tyrscale_proto::v1::{self, Resume, SyncState, status_service_client::StatusServiceClient};

use crate::{
    crew::{Temper, all_run, crew},
    follower::{Follower, Wire, hello},
    plane::{LIMIT, Plane, connect, narrow, network, routes},
    status::until,
};

async fn listed(plane: &Plane) -> Vec<v1::NodeStatus> {
    let mut client = StatusServiceClient::new(plane.channel.clone());
    client
        .list_nodes(v1::ListNodesRequest {})
        .await
        .unwrap()
        .into_inner()
        .nodes
}

async fn streams(plane: &Plane) -> String {
    let metrics = plane.metrics().await;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("tyrscale_discovery_streams"));
    line.unwrap().to_owned()
}

#[tokio::test]
async fn c9_streams_that_never_say_hello_leave_nothing_behind() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    for _ in 0..4 {
        let channel = connect(plane.grpc).await;
        let mut opening = JoinSet::new();
        for _ in 0..250 {
            let channel = channel.clone();
            opening.spawn(async move { drop(Wire::open(&channel).await) });
        }
        timeout(LIMIT, opening.join_all()).await.unwrap();
    }
    assert!(listed(&plane).await.is_empty());
    assert!(streams(&plane).await.ends_with(" 0"));
    let _works = Follower::synced(&plane.channel, "n").await;
    plane.stop().await;
}

#[tokio::test]
async fn c66_who_does_not_read_slows_nobody_else_down() {
    let plane = Plane::start().await;
    plane.put(routes(3000, "a")).await;
    let mut stopped = Vec::new();
    for number in 0..10 {
        let (follower, _) = Follower::connect(&narrow(&plane).await, &format!("stopped-{number}")).await;
        stopped.push(follower);
    }
    let mut crew = crew(&plane.channel, 20, Temper::Willing, 1).await;
    for revision in 2..12 {
        let since = Instant::now();
        plane.put_network(&format!("n{revision}"), 1).await;
        all_run(&mut crew, revision).await;
        assert!(since.elapsed() < Duration::from_secs(2), "the others are slow");
    }
    drop(stopped);
    plane.stop().await;
}

#[tokio::test]
async fn c68_a_flood_of_changes_is_merged_and_nobody_lags() {
    let plane = Plane::start().await;
    plane
        .put((0..100).map(|number| network(&format!("n{number}"), 1)).collect())
        .await;
    let mut crew = crew(&plane.channel, 5, Temper::Willing, 1).await;
    let began = Instant::now();
    let mut ticks = interval(Duration::from_millis(5));
    for chain_id in 0..200 {
        ticks.tick().await;
        plane.put_network("busy", chain_id + 1).await;
    }
    let took = began.elapsed();
    all_run(&mut crew, 201).await;
    assert!(began.elapsed() - took < Duration::from_secs(2), "they lag");
    for member in &crew {
        let updates = member.offered.borrow().len();
        let most = took.as_millis() / 20 + 3;
        assert!(
            u128::try_from(updates).unwrap() <= most,
            "{updates} updates in {took:?}"
        );
    }
    plane.stop().await;
}

#[tokio::test]
async fn c73_whole_contents_pass_a_gate_and_the_others_wait_in_line() {
    let plane = Plane::start_with(|config| config.snapshot_room = 65_536).await;
    plane.put(routes(300, "a")).await;
    let mut waiting = Vec::new();
    for number in 0..4 {
        let (follower, plan) = Follower::connect(&plane.channel, &format!("gw-{number}")).await;
        assert_eq!(plan.resume(), Resume::Snapshot);
        waiting.push(follower);
    }
    let first = waiting[0].receive().await;
    let status = until(&plane, "gw-3", SyncState::Held).await;
    assert_eq!(status.lanes[0].reason, "waits in line for the whole content");
    waiting[3].wire.stays_quiet().await;
    // Who needs only a difference does not wait.
    let mut holder = waiting.remove(0);
    holder.apply(&first);
    holder.ack(&first).await;
    let mut served = JoinSet::new();
    for mut follower in waiting {
        served.spawn(async move {
            follower.follow().await;
            follower
        });
    }
    let served = timeout(LIMIT, served.join_all()).await.unwrap();
    plane.put_network("eth", 1).await;
    for mut follower in served.into_iter().chain([holder]) {
        follower.follow_to(2).await;
    }
    plane.stop().await;
}

#[tokio::test]
async fn c72_a_herd_in_sync_is_told_so_and_sent_nothing() {
    let plane = Plane::start().await;
    let version = plane.put_network("eth", 1).await;
    let mut herd = JoinSet::new();
    for group in 0..4 {
        let channel = connect(plane.grpc).await;
        for number in 0..100 {
            let channel = channel.clone();
            let hello = v1::Hello {
                have: vec![version.clone()],
                ..hello(&format!("gw-{group}-{number}"), "boot")
            };
            herd.spawn(async move { Follower::greet(&channel, hello).await });
        }
    }
    let followers = timeout(LIMIT, herd.join_all()).await.unwrap();
    assert!(followers.iter().all(|(_, plan)| plan.resume() == Resume::InSync));
    // The interfaces answer meanwhile.
    plane.put_network("bsc", 1).await;
    until(&plane, "gw-0-0", SyncState::InFlight).await;
    assert_eq!(listed(&plane).await.len(), 400);
    drop(followers);
    plane.stop().await;
}
