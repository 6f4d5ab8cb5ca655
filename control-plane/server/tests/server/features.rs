//! Nodes that do not understand all that the configuration needs.

use tyrscale_proto::v1::{
    self, NackReason, Resume, RolloutState, SyncState, apply_request::Part, resource::Resource,
};

use crate::{
    follower::{Follower, hello},
    plane::{Plane, apply_parts, rpc, upsert},
    rollout::{roll_out, until_state},
    status::{node, until},
};

fn understanding(node: &str, features: &[&str]) -> v1::Hello {
    v1::Hello {
        features: features.iter().map(|word| (*word).to_owned()).collect(),
        ..hello(node, "boot")
    }
}

fn rpc_with_header() -> Resource {
    Resource::Rpc(v1::Rpc {
        headers: [("x-team".to_owned(), "ours".to_owned())].into(),
        ..rpc(1, "eth")
    })
}

async fn would(plane: &Plane, resource: Resource) -> v1::ApplyResponse {
    let header = v1::ApplyHeader {
        dry_run: true,
        ..Default::default()
    };
    let commit = Part::Commit(v1::ApplyCommit { count: 1 });
    let parts = vec![Part::Header(header), upsert(resource), commit];
    apply_parts(&plane.channel, parts).await.unwrap()
}

/// F20, F25: a rollout goes on without the node that is too old, which stays at what it runs.
#[tokio::test]
async fn c58_who_lacks_a_feature_is_held_with_the_reason_and_the_others_go_on() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let (mut old, _) = Follower::greet(&plane.channel, understanding("a-old", &["telepathy"])).await;
    let (mut new, _) = Follower::greet(&plane.channel, understanding("b-new", &["rpc-headers"])).await;
    old.follow_to(1).await;
    new.follow_to(1).await;

    // It is told beforehand.
    let warnings = would(&plane, rpc_with_header()).await.warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, "unsupported");
    let message = &warnings[0].message;
    for words in ["some rpc", "rpc-headers", "1 connected node"] {
        assert!(message.contains(words), "{message}");
    }
    assert!(
        !message.contains("a-old"),
        "a caller may see less than all nodes: {message}"
    );

    roll_out(&plane, "1 10ms", vec![rpc_with_header()]).await;
    let update = new.follow().await;
    assert_eq!(update.upserts[0].required_features, ["rpc-headers"]);
    let lane = until(&plane, "a-old", SyncState::Held).await.lanes.remove(0);
    assert!(lane.reason.contains("headers of rpcs"), "{}", lane.reason);
    assert_eq!(lane.running.unwrap().revision, 1);
    let rejection = lane.last_rejection.unwrap();
    assert_eq!(rejection.reason(), NackReason::Unsupported);
    assert_eq!(
        rejection.violations[0].resource.as_ref().unwrap().id,
        rpc(1, "eth").id
    );
    old.wire.stays_quiet().await;
    until_state(&plane, RolloutState::Succeeded).await;
    assert_eq!(node(&plane, "b-new").await.features, ["rpc-headers"]);

    // Reconnecting changes nothing; what needs nothing new is taken again.
    let back = v1::Hello {
        have: old.running.iter().cloned().collect(),
        ..understanding("a-old", &["telepathy"])
    };
    let (again, plan) = Follower::greet(&plane.channel, back).await;
    assert_eq!(plan.resume(), Resume::Hold, "{}", plan.why);
    old.wire = again.wire;
    let without = Resource::Rpc(rpc(1, "eth"));
    assert!(would(&plane, without.clone()).await.warnings.is_empty());
    plane.put(vec![without]).await;
    new.follow_to(3).await;
    old.follow_to(3).await;
    let status = until(&plane, "a-old", SyncState::Synced).await;
    assert_eq!(status.lanes[0].last_rejection, None);
    plane.stop().await;
}
