//! `tyrctl store`: a lost store is made of what a gateway has, and goes through a file unchanged.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;
use tyrscale_simnode::{SimNode, SimNodeConfig};

use crate::{
    fleet::{ControlPlane, Gateway, resources},
    harness::{Ended, tyrctl},
};

fn store(words: &[&str], data_dir: &Path) -> Ended {
    let data_dir = data_dir.display().to_string();
    tyrctl(&[&["-o", "json", "store"], words, &["--data-dir", &data_dir]].concat())
}

fn told(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_made_of_what_a_gateway_keeps_and_nothing_is_sent() {
    let (lost, place, gateway_dir) = (
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
        TempDir::new().unwrap(),
    );
    let node = SimNode::start(SimNodeConfig::named("kept")).await.unwrap();
    let control_plane = ControlPlane::start(lost.path()).await;
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    assert_eq!(control_plane.apply(&resources(&node)).code, 0);
    control_plane.settle(1);
    gateway.stop().await;
    control_plane.kill().await;

    let home = place.path().join("store");
    let adopted = told(&store(
        &["adopt", &gateway_dir.path().display().to_string()],
        &home,
    ));
    assert_eq!(
        (&adopted["revision"], &adopted["resources"]),
        (&1.into(), &2.into())
    );
    let control_plane = ControlPlane::start(&home).await;
    let gateway = Gateway::start(gateway_dir.path(), control_plane.grpc).await;
    control_plane.settle(1);
    gateway.serves_from("kept");
    assert_eq!(control_plane.sent("snapshot").await, 0.0);
    let network =
        serde_json::json!([{"kind": "network", "name": "eth", "blockchain": "ethereum", "chain_id": 1}]);
    assert_eq!(control_plane.apply(&network).code, 0);
    control_plane.settle(1);

    let running = store(&["verify"], &home);
    assert_eq!(running.code, 1, "{running:?}");
    assert!(running.talk.contains("in use by another process"), "{running:?}");
    gateway.stop().await;
    control_plane.kill().await;
    let nothing = store(&["adopt", &lost.path().display().to_string()], &home);
    assert!(nothing.talk.contains("has no last good content"), "{nothing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_goes_through_a_file_unchanged_and_a_damaged_file_is_told() {
    let place = TempDir::new().unwrap();
    let home = place.path().join("store");
    let node = SimNode::start(SimNodeConfig::named("any")).await.unwrap();
    let control_plane = ControlPlane::start(&home).await;
    assert_eq!(control_plane.apply(&resources(&node)).code, 0);
    control_plane.kill().await;

    let file = place.path().join("store.tyrstore").display().to_string();
    let exported = told(&store(&["export", &file], &home));
    let other = place.path().join("other");
    let imported = told(&store(&["import", &file], &other));
    let verified = told(&store(&["verify"], &other));
    for field in ["lineage", "revision", "floor", "digest", "resources", "documents"] {
        assert_eq!(imported[field], exported[field], "{field}");
        assert_eq!(verified[field], exported[field], "{field}");
    }
    assert_eq!(store(&["import", &file], &other).code, 1, "there is one already");
    let restored = told(&store(&["restore", &file], &other));
    assert_ne!(restored["lineage"], exported["lineage"]);
    assert_eq!(restored["digest"], exported["digest"]);
    assert!(
        Path::new(restored["set_aside"].as_str().unwrap())
            .join("db")
            .exists()
    );

    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let damaged = store(&["verify", &file], &other);
    assert_eq!(damaged.code, 4, "{damaged:?}");
    assert!(damaged.talk.contains("its checksum is another"), "{damaged:?}");
}
