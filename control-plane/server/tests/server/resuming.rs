//! From what a subscriber has to what the store has.

use std::collections::BTreeMap;

use tyrscale_proto::v1::{self, Resume, resource::Resource, stream_config_response::Message};

use crate::{
    follower::{Follower, hello},
    plane::{Plane, id, narrow, network, route, routes},
};

/// A claim to run a version.
fn having(version: &v1::Version) -> v1::Hello {
    v1::Hello {
        have: vec![version.clone()],
        ..hello("n", "boot")
    }
}

/// A plane with enough in it that a few changes are a small difference.
async fn furnish(plane: &Plane) -> v1::Version {
    let networks = (0..50).map(|number| network(&format!("base{number}"), 1));
    plane.put(networks.collect()).await
}

async fn furnished() -> (Plane, v1::Version) {
    let plane = Plane::start().await;
    let version = furnish(&plane).await;
    (plane, version)
}

#[tokio::test]
async fn c11_a_fresh_store_holds_until_the_first_commit() {
    let plane = Plane::start().await;
    let (mut follower, plan) = Follower::connect(&plane.channel, "n").await;
    assert_eq!(plan.resume(), Resume::Hold);
    follower.wire.stays_quiet().await;
    let version = plane.put_network("eth", 1).await;
    let update = follower.follow().await;
    assert_eq!((update.base, update.target), (None, version));
    plane.stop().await;
}

#[tokio::test]
async fn c12_in_sync_is_told_and_nothing_is_sent() {
    let (plane, version) = furnished().await;
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&version)).await;
    assert_eq!(plan.resume(), Resume::InSync);
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

/// Scenario N6.
#[tokio::test]
async fn c13_who_is_behind_gets_one_delta_from_its_version() {
    let (plane, _) = furnished().await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    let base = follower.running.clone();
    for name in ["a", "b", "c"] {
        follower.running.clone_from(&base);
        plane.put_network(name, 1).await;
    }
    let plan = follower.reconnect(&plane.channel, "n").await;
    assert_eq!(plan.resume(), Resume::Delta);
    let update = follower.follow().await;
    assert_eq!(update.base, base);
    assert_eq!(update.target.revision, base.unwrap().revision + 3);
    assert_eq!(update.upserts.len(), 3);
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn c14_c15_c16_each_key_comes_once_with_its_last_state() {
    let (plane, _) = furnished().await;
    plane.put_network("again", 1).await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    for chain_id in 1..=3 {
        plane.put_network("thrice", chain_id).await;
    }
    plane.put_network("brief", 1).await;
    plane.delete_network("brief").await;
    plane.delete_network("again").await;
    let last = plane.put_network("again", 2).await;
    follower.reconnect(&plane.channel, "n").await;
    let update = follower.follow().await;
    assert_eq!(update.target, last);
    let mut times = BTreeMap::new();
    for (_, id) in update.keys() {
        *times.entry(id.to_owned()).or_insert(0) += 1;
    }
    assert_eq!((times["thrice"], times["again"]), (1, 1));
    assert!(update.upserts.iter().all(|row| row.id != "brief"));
    assert!(update.removals.iter().all(|key| key.id == "brief"));
    plane.stop().await;
}

#[tokio::test]
async fn c21_who_is_ahead_is_held_and_never_led_back() {
    let (plane, version) = furnished().await;
    let ahead = v1::Version {
        revision: version.revision + 2,
        digest: vec![7; 32].into(),
        ..version.clone()
    };
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&ahead)).await;
    assert_eq!(plan.resume(), Resume::Hold);
    follower.wire.stays_quiet().await;
    plane.put_network("one", 1).await;
    follower.wire.stays_quiet().await;
    plane.put_network("two", 1).await;
    // Caught up, with another content.
    follower.wire.stays_quiet().await;
    plane.put_network("three", 1).await;
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn c21_who_stays_ahead_is_sent_to_another_control_plane() {
    let plane = Plane::start().await;
    let mut ahead = plane.put_network("eth", 1).await;
    ahead.revision += 1;
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&ahead)).await;
    assert_eq!(plan.resume(), Resume::Hold);
    let directed = follower.wire.next().await.unwrap();
    assert!(
        format!("{directed:?}").contains("this server is behind"),
        "{directed:?}"
    );
    plane.stop().await;
}

#[tokio::test]
async fn streams_are_aged() {
    let plane = Plane::start_with(|config| config.stream_age_ms = 1_000).await;
    plane.put_network("eth", 1).await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    let directed = follower.wire.next().await.unwrap();
    assert!(
        format!("{directed:?}").contains("the stream is old"),
        "{directed:?}"
    );
    plane.stop().await;
}

#[tokio::test]
async fn large_updates_are_compressed_for_those_who_read_them() {
    let plane = Plane::start().await;
    plane.put(crate::plane::routes(3000, "a")).await;
    let packed = v1::Hello {
        codecs: vec![v1::Codec::Zstd.into()],
        ..crate::follower::hello("n", "boot")
    };
    let (mut follower, _) = Follower::greet(&plane.channel, packed).await;
    let update = follower.follow().await;
    assert_eq!(update.upserts.len(), 3000);
    assert!(
        update.sizes.iter().all(|size| *size <= 65_536),
        "{:?}",
        update.sizes
    );
    let mut plain = Follower::synced(&plane.channel, "plain").await;
    assert_eq!(plain.rows, follower.rows);
    plane.put_network("eth", 1).await;
    assert_eq!(
        follower.follow().await.upserts.len(),
        plain.follow().await.upserts.len()
    );
    plane.stop().await;
}

#[tokio::test]
async fn c23_equal_content_of_another_lineage_is_in_sync() {
    let (plane, version) = furnished().await;
    let other = v1::Version {
        lineage: vec![9; 16].into(),
        revision: 700,
        ..version.clone()
    };
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&other)).await;
    assert_eq!(
        (plan.resume(), plan.target.clone()),
        (Resume::InSync, Some(version.clone()))
    );
    follower.wire.stays_quiet().await;
    follower.running = plan.target;
    plane.put_network("next", 1).await;
    assert_eq!(follower.receive().await.base, Some(version));
    plane.stop().await;
}

fn of_another_lineage(version: &v1::Version) -> v1::Version {
    v1::Version {
        lineage: vec![9; 16].into(),
        digest: vec![9; 32].into(),
        ..version.clone()
    }
}

#[tokio::test]
async fn c24_another_content_of_another_lineage_is_replaced_when_told_to_take_over() {
    let plane = Plane::start_with(|config| config.take_over = true).await;
    let version = furnish(&plane).await;
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&of_another_lineage(&version))).await;
    assert_eq!(plan.resume(), Resume::Snapshot);
    let told = follower.wire.next().await.unwrap().message;
    assert!(matches!(told, Some(Message::Directive(_))), "{told:?}");
    assert_eq!(follower.follow().await.target, version);
    plane.stop().await;
}

#[tokio::test]
async fn another_content_of_another_lineage_is_left_alone() {
    let (plane, version) = furnished().await;
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&of_another_lineage(&version))).await;
    assert_eq!(plan.resume(), Resume::Hold);
    plane.put_network("later", 1).await;
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn another_content_of_a_known_revision_is_held_until_told_to_take_over() {
    for take_over in [false, true] {
        let plane = Plane::start_with(|config| config.take_over = take_over).await;
        let version = furnish(&plane).await;
        let other = v1::Version {
            digest: vec![9; 32].into(),
            ..version
        };
        let (mut same, plan) = Follower::greet(&plane.channel, having(&other)).await;
        let newest = plane.put_network("later", 1).await;
        if !take_over {
            same.wire.stays_quiet().await;
        }
        // A newer stream of the same node takes its place.
        let (mut behind, later_plan) = Follower::greet(&plane.channel, having(&other)).await;
        if take_over {
            assert_eq!(plan.resume(), Resume::Snapshot, "{}", plan.why);
            assert_eq!(later_plan.resume(), Resume::Snapshot, "{}", later_plan.why);
            let update = behind.follow().await;
            assert_eq!((update.base, update.target), (None, newest));
        } else {
            assert_eq!(plan.resume(), Resume::Hold, "{}", plan.why);
            assert_eq!(later_plan.resume(), Resume::Hold, "{}", later_plan.why);
            behind.wire.stays_quiet().await;
        }
        plane.stop().await;
    }
}

#[tokio::test]
async fn c25_a_fresh_store_does_not_speak_to_who_has_content() {
    let plane = Plane::start().await;
    let have = v1::Version {
        lane: v1::Lane::Config.into(),
        lineage: vec![9; 16].into(),
        revision: 40,
        digest: vec![9; 32].into(),
    };
    let (mut follower, plan) = Follower::greet(&plane.channel, having(&have)).await;
    assert_eq!(plan.resume(), Resume::Hold);
    follower.wire.stays_quiet().await;
    plane.stop().await;
}

#[tokio::test]
async fn who_is_too_far_behind_or_would_get_nearly_all_gets_the_whole() {
    let plane = Plane::start_with(|config| config.history = 3).await;
    plane
        .put(
            (0..50)
                .map(|number| network(&format!("base{number}"), 1))
                .collect(),
        )
        .await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    for chain_id in 2..8 {
        plane.put_network("base0", chain_id).await;
    }
    let compacted = follower.reconnect(&plane.channel, "n").await;
    assert_eq!(compacted.resume(), Resume::Snapshot, "{}", compacted.why);
    follower.follow().await;
    plane
        .put(
            (0..40)
                .map(|number| network(&format!("base{number}"), 99))
                .collect(),
        )
        .await;
    let large = follower.reconnect(&plane.channel, "n").await;
    assert_eq!(large.resume(), Resume::Snapshot, "{}", large.why);
    follower.follow().await;
    plane.stop().await;
}

#[tokio::test]
async fn c28_c30_a_long_snapshot_ends_at_its_target_in_messages_of_the_wanted_size() {
    let plane = Plane::start().await;
    let target = plane.put(routes(3000, "a")).await;
    let small = v1::Hello {
        max_message_bytes: 65_536,
        ..hello("n", "boot")
    };
    let (mut follower, plan) = Follower::greet(&narrow(&plane).await, small).await;
    assert_eq!(plan.resume(), Resume::Snapshot);
    let newer = plane.put(routes(1000, "b")).await;
    let whole = follower.follow().await;
    assert_eq!(whole.target, target, "the snapshot under way keeps its target");
    assert!(
        whole.sizes.len() > 10 && whole.sizes.iter().all(|size| *size <= 65_536),
        "{:?}",
        whole.sizes
    );
    let delta = follower.follow().await;
    assert_eq!((delta.base, delta.target), (Some(target), newer));
    assert_eq!(delta.upserts.len(), 1000);
    assert!(
        delta.sizes.len() > 1 && delta.sizes.iter().all(|size| *size <= 65_536),
        "{:?}",
        delta.sizes
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_view_sees_its_kinds_alone() {
    let plane = Plane::start().await;
    plane
        .put(vec![network("eth", 1), Resource::Route(route(1))])
        .await;
    let networks = v1::Hello {
        selector: Some(v1::Selector {
            kinds: vec![v1::Kind::Network.into(), 99],
            ..v1::Selector::default()
        }),
        ..hello("n", "boot")
    };
    let (mut follower, _) = Follower::greet(&plane.channel, networks).await;
    let update = follower.receive().await;
    let keys: Vec<_> = update.keys().collect();
    assert_eq!(keys, [(i32::from(v1::Kind::Network), "eth")]);
    assert!(!keys.iter().any(|(_, key)| *key == id(1)));
    plane.stop().await;
}
