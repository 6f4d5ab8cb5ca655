//! What acknowledgements and refusals lead to.

use tonic::Code;
use tyrscale_proto::v1::{self, NackReason, SyncState, stream_config_request::Message};

use crate::{
    follower::{Follower, Update},
    plane::{Plane, narrow, routes},
    status::{node, until},
};

/// A plane with a synced follower called `n`.
async fn followed() -> (Plane, Follower) {
    let plane = Plane::start().await;
    plane
        .put(
            (0..20)
                .map(|number| crate::plane::network(&format!("base{number}"), 1))
                .collect(),
        )
        .await;
    let follower = Follower::synced(&plane.channel, "n").await;
    (plane, follower)
}

fn violation(message: &str) -> v1::Violation {
    v1::Violation {
        field: "host".to_owned(),
        code: "invalid".to_owned(),
        message: message.to_owned(),
        ..Default::default()
    }
}

/// Commits, and takes the update without answering.
async fn offered(plane: &Plane, follower: &mut Follower, name: &str) -> Update {
    plane.put_network(name, 1).await;
    follower.receive().await
}

#[tokio::test]
async fn c32_nothing_is_sent_until_the_ack_and_then_one_delta_to_the_newest() {
    let (plane, mut follower) = followed().await;
    let first = offered(&plane, &mut follower, "a").await;
    for name in ["b", "c", "d"] {
        plane.put_network(name, 1).await;
    }
    follower.wire.stays_quiet().await;
    follower.apply(&first);
    follower.ack(&first).await;
    let rest = follower.follow().await;
    assert_eq!(rest.base, Some(first.target.clone()));
    assert_eq!(rest.target.revision, first.target.revision + 3);
    assert_eq!(rest.upserts.len(), 3);
    plane.stop().await;
}

#[tokio::test]
async fn c33_an_old_nonce_changes_nothing_and_a_future_one_ends_the_stream() {
    let (plane, mut follower) = followed().await;
    let update = offered(&plane, &mut follower, "a").await;
    follower.ack_as(update.nonce - 1, None).await;
    follower.wire.stays_quiet().await;
    assert_eq!(node(&plane, "n").await.lanes[0].state(), SyncState::InFlight);
    follower.apply(&update);
    follower.ack(&update).await;
    until(&plane, "n", SyncState::Synced).await;
    follower.ack_as(update.nonce + 1, None).await;
    assert_eq!(follower.wire.ends().await.code(), Code::InvalidArgument);
    plane.stop().await;
}

#[tokio::test]
async fn c36_a_wrong_digest_brings_one_snapshot_which_heals() {
    let (plane, mut follower) = followed().await;
    let update = offered(&plane, &mut follower, "a").await;
    let wrong = v1::Version {
        digest: vec![1; 32].into(),
        ..update.target.clone()
    };
    follower.ack_as(update.nonce, Some(wrong)).await;
    let whole = follower.receive().await;
    assert_eq!((whole.base.clone(), &whole.target), (None, &update.target));
    assert_eq!(node(&plane, "n").await.lanes[0].state(), SyncState::Diverged);
    follower.apply(&whole);
    follower.ack(&whole).await;
    until(&plane, "n", SyncState::Synced).await;
    assert!(
        plane
            .metrics()
            .await
            .contains("tyrscale_discovery_digest_mismatches_total 1")
    );
    plane.stop().await;
}

#[tokio::test]
async fn c37_c38_wrong_twice_is_held_without_a_loop() {
    let (plane, mut follower) = followed().await;
    let update = offered(&plane, &mut follower, "a").await;
    let foreign = v1::Version {
        lineage: vec![1; 16].into(),
        ..update.target.clone()
    };
    follower.ack_as(update.nonce, Some(foreign.clone())).await;
    let whole = follower.receive().await;
    assert_eq!(whole.base, None);
    follower.ack_as(whole.nonce, Some(foreign)).await;
    until(&plane, "n", SyncState::Held).await;
    plane.put_network("b", 1).await;
    follower.wire.stays_quiet().await;
    assert!(
        plane
            .metrics()
            .await
            .contains("tyrscale_discovery_digest_mismatches_total 2")
    );
    plane.stop().await;
}

/// Scenarios N4, 118.
#[tokio::test]
async fn c39_c40_c41_a_refusal_is_shown_and_only_a_newer_revision_is_sent() {
    let (plane, mut follower) = followed().await;
    let running = follower.running.clone().unwrap();
    let bad = offered(&plane, &mut follower, "a").await;
    let violations = vec![violation("is taken"), violation("is empty")];
    follower
        .nack_with(&bad, NackReason::Invalid, violations.clone())
        .await;
    let lane = until(&plane, "n", SyncState::Rejected).await.lanes.remove(0);
    let rejection = lane.last_rejection.unwrap();
    assert_eq!(lane.running, Some(running.clone()));
    assert_eq!(rejection.violations, violations);
    assert_eq!(
        (rejection.reason(), rejection.version),
        (NackReason::Invalid, Some(bad.target))
    );
    follower.wire.stays_quiet().await;
    plane.delete_network("a").await;
    let repair = follower.follow().await;
    assert_eq!(repair.base, Some(running));
    let lane = until(&plane, "n", SyncState::Synced).await.lanes.remove(0);
    assert_eq!(lane.last_rejection, None, "settled by the acknowledgement");
    assert!(
        plane
            .metrics()
            .await
            .contains("tyrscale_discovery_nacks_total{reason=\"invalid\"} 1")
    );
    plane.stop().await;
}

#[tokio::test]
async fn c43_a_base_mismatch_brings_one_snapshot_at_once() {
    let (plane, mut follower) = followed().await;
    for reason in [NackReason::BaseMismatch, NackReason::DigestMismatch] {
        let delta = offered(&plane, &mut follower, reason.as_str_name().trim_matches('_')).await;
        assert!(delta.base.is_some());
        follower.nack(&delta, reason).await;
        let whole = follower.receive().await;
        assert_eq!((whole.base.clone(), &whole.target), (None, &delta.target));
        follower.apply(&whole);
        follower.ack(&whole).await;
    }
    plane.stop().await;
}

#[tokio::test]
async fn c46_addresses_in_a_refusal_are_not_kept() {
    let (plane, mut follower) = followed().await;
    let bad = offered(&plane, &mut follower, "a").await;
    let said = violation("cannot use https://eth.example/v2/SECRETKEY as upstream");
    follower.nack_with(&bad, NackReason::Invalid, vec![said]).await;
    let status = until(&plane, "n", SyncState::Rejected).await;
    assert!(!format!("{status:?}").contains("SECRETKEY"));
    let rejection = status.lanes[0].last_rejection.as_ref().unwrap();
    assert_eq!(rejection.violations[0].message, "cannot use [url] as upstream");
    plane.stop().await;
}

#[tokio::test]
async fn c47_warnings_and_persistence_are_listed() {
    let (plane, mut follower) = followed().await;
    let update = offered(&plane, &mut follower, "a").await;
    follower.apply(&update);
    let ack = v1::Ack {
        nonce: update.nonce,
        running: follower.running.clone(),
        warnings: vec!["disk is full".to_owned()],
        persisted: false,
        ..Default::default()
    };
    follower.wire.say(Message::Ack(ack)).await;
    let status = until(&plane, "n", SyncState::Synced).await;
    assert_eq!(status.warnings, ["disk is full"]);
    assert!(!status.persisted);
    plane.stop().await;
}

#[tokio::test]
async fn c48_a_refused_first_snapshot_leaves_nothing_running_and_is_not_repeated() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let (mut follower, _) = Follower::connect(&plane.channel, "n").await;
    let whole = follower.receive().await;
    follower.nack(&whole, NackReason::Limit).await;
    let status = until(&plane, "n", SyncState::Rejected).await;
    assert_eq!(status.lanes[0].running, None);
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn c49_nonces_are_dense_from_one_per_stream() {
    let (plane, mut follower) = followed().await;
    for expected in 2..30 {
        let update = offered(&plane, &mut follower, &format!("n{expected}")).await;
        assert_eq!(update.nonce, expected);
        follower.apply(&update);
        follower.ack(&update).await;
    }
    follower.reconnect(&plane.channel, "n").await;
    assert_eq!(offered(&plane, &mut follower, "last").await.nonce, 1);
    plane.stop().await;
}

#[tokio::test]
async fn an_unanswered_update_stalls_and_then_ends_the_stream() {
    let plane = Plane::start_with(|config| config.ack_deadline_ms = 300).await;
    plane.put_network("eth", 1).await;
    let (mut follower, _) = Follower::connect(&plane.channel, "n").await;
    follower.receive().await;
    until(&plane, "n", SyncState::Stalled).await;
    assert_eq!(follower.wire.ends().await.code(), Code::Unavailable);
    until(&plane, "n", SyncState::Disconnected).await;
    plane.stop().await;
}

#[tokio::test]
async fn c65_who_does_not_read_stalls_is_cut_off_and_gets_one_update_when_back() {
    let plane = Plane::start_with(|config| config.ack_deadline_ms = 300).await;
    plane.put(routes(3000, "a")).await;
    let (follower, _) = Follower::connect(&narrow(&plane).await, "n").await;
    until(&plane, "n", SyncState::Stalled).await;
    plane.put_network("eth", 1).await;
    plane.put_network("bsc", 1).await;
    until(&plane, "n", SyncState::Disconnected).await;
    drop(follower);
    let back = Follower::synced(&plane.channel, "n").await;
    assert_eq!(back.running.unwrap().revision, 3);
    plane.stop().await;
}

#[tokio::test]
async fn open_streams_end_when_the_control_plane_stops() {
    let (plane, mut follower) = followed().await;
    let stopped = tokio::spawn(plane.stop());
    assert_eq!(follower.wire.ends().await.code(), Code::Unavailable);
    stopped.await.unwrap();
}
