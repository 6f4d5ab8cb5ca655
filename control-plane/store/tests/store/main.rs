//! The store over a real directory: what is acknowledged is there, what is damaged is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archives;
mod documents;
mod history;
mod replicas;
mod shared_engine;

use std::{fs, path::Path};

use tyrscale_model::{
    ChangeSet, Expectation, Kind, Operation, Rejection, Resource, ResourceKey, Revision, Snapshot, View,
    Violation, ViolationCode, wire,
};
use tyrscale_proto::v1;
use tyrscale_store::{Retention, Store, StoreError, StoreOptions};

fn network(name: &str, chain_id: u64) -> Resource {
    let message = v1::Network {
        name: name.into(),
        blockchain: "ethereum".into(),
        chain_id,
        meta: None,
    };
    Resource::Network(wire::network_from_wire(&message).unwrap())
}

fn put(name: &str, chain_id: u64, expectation: Expectation) -> ChangeSet {
    let resource = network(name, chain_id);
    ChangeSet {
        operations: vec![Operation::Upsert {
            resource,
            expectation,
            etag: None,
        }],
        author: "test".into(),
        ..ChangeSet::default()
    }
}

fn create(name: &str) -> impl Fn(&Snapshot) -> Result<ChangeSet, Rejection> + Send + 'static {
    let change_set = put(name, 1, Expectation::Absent);
    move |_| Ok(change_set.clone())
}

fn with_history(revisions: usize) -> StoreOptions {
    StoreOptions {
        retention: Retention {
            revisions,
            ..Retention::default()
        },
        ..StoreOptions::default()
    }
}

async fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).await.unwrap()
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for name in ["a", "b", "c"] {
        store.commit(create(name)).await.unwrap();
    }
    let delete = ResourceKey::new(Kind::Network, "b");
    let operations = vec![Operation::Delete {
        key: delete,
        etag: None,
        cascade: true,
    }];
    store
        .commit(move |_| {
            Ok(ChangeSet {
                operations: operations.clone(),
                ..ChangeSet::default()
            })
        })
        .await
        .unwrap();
    let before = store.head();
    store.close().await;
    drop(store);

    let after = open(dir.path()).await.head();
    assert_eq!(
        after.snapshot.version(View::ALL),
        before.snapshot.version(View::ALL)
    );
    assert_eq!(after.snapshot.revision(), Revision(4));
    let names: Vec<_> = after
        .snapshot
        .networks()
        .map(|network| network.name.to_string())
        .collect();
    assert_eq!(names, ["a", "c"]);
    let meta = |head: &tyrscale_store::Head| {
        head.snapshot
            .get(&ResourceKey::new(Kind::Network, "c"))
            .map(|entry| entry.meta.clone())
    };
    assert_eq!(meta(&after), meta(&before));
    assert_eq!(
        after.history.changed_since(Revision(2)),
        before.history.changed_since(Revision(2))
    );
    assert_eq!(
        after.history.hashes_at(Revision(2)),
        before.history.hashes_at(Revision(2))
    );
}

#[tokio::test]
async fn equal_content_makes_no_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(create("a")).await.unwrap();
    let again = store.commit(|_| Ok(put("a", 1, Expectation::Any))).await.unwrap();
    assert!(again.changes.is_empty());
    assert_eq!(store.head().snapshot.revision(), Revision(1));
}

#[tokio::test]
async fn a_refused_change_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(create("a")).await.unwrap();
    let half = |_: &Snapshot| {
        let mut change_set = put("b", 1, Expectation::Absent);
        change_set
            .operations
            .extend(put("a", 2, Expectation::Absent).operations);
        Ok(change_set)
    };
    let refused = store.commit(half).await.unwrap_err();
    let StoreError::Rejected(rejection) = refused else {
        panic!("{refused}")
    };
    assert_eq!(rejection.violations[0].code, ViolationCode::AlreadyExists);
    assert_eq!(store.head().snapshot.len(), 1);

    let planned = store
        .commit(|_| -> Result<ChangeSet, _> { Err(Violation::new("x", ViolationCode::Invalid, "no").into()) })
        .await;
    assert!(matches!(planned, Err(StoreError::Rejected(_))));
    assert_eq!(store.head().snapshot.revision(), Revision(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_identical_creates_exactly_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(create("same")).await.is_ok() })
        })
        .collect();
    let mut succeeded = 0;
    for task in tasks {
        succeeded += usize::from(task.await.unwrap());
    }
    assert_eq!(succeeded, 1);
    assert_eq!(store.head().snapshot.revision(), Revision(1));
}

#[tokio::test]
async fn a_dry_run_tells_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let would = store.dry_run(&put("a", 1, Expectation::Absent)).unwrap();
    assert_eq!(would.head.snapshot.revision(), Revision(1));
    assert_eq!(store.head().snapshot.revision(), Revision(0));
    let did = store.commit(create("a")).await.unwrap();
    assert_eq!(
        did.head.snapshot.version(View::ALL).digest,
        would.head.snapshot.version(View::ALL).digest
    );
}

#[tokio::test]
async fn subscribers_are_told_of_what_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut heads = store.subscribe();
    let committed = store.commit(create("a")).await.unwrap();
    heads.changed().await.unwrap();
    assert_eq!(
        heads.borrow().snapshot.revision(),
        committed.head.snapshot.revision()
    );
}

#[tokio::test]
async fn a_plan_that_panics_harms_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let broken = store
        .commit(|_| -> Result<ChangeSet, _> { panic!("planned") })
        .await;
    assert!(matches!(broken, Err(StoreError::Unavailable(_))));
    store.commit(create("a")).await.unwrap();
}

#[tokio::test]
async fn a_closed_store_takes_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.close().await;
    assert!(matches!(
        store.commit(create("a")).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(store.is_ready().is_err());
}

#[tokio::test]
async fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path()).await;
    let second = Store::open(dir.path(), StoreOptions::default()).await;
    assert!(matches!(second, Err(StoreError::Locked { .. })), "{second:?}");
}

#[tokio::test]
async fn the_log_is_bounded_and_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_history(3);
    let store = Store::open(dir.path(), options.clone()).await.unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        store.commit(create(name)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let head = Store::open(dir.path(), options).await.unwrap().head();
    assert!(head.history.changed_since(Revision(1)).is_none());
    assert_eq!(head.history.changed_since(Revision(2)).unwrap().len(), 3);
}

async fn filled(dir: &Path) {
    let store = open(dir).await;
    store.commit(create("a")).await.unwrap();
    store.commit(create("b")).await.unwrap();
    store.close().await;
}

/// Seals a value as the store does.
fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(body);
    let mut value = vec![0; 16];
    hasher.finalize_xof().fill(&mut value);
    value.push(1);
    value.extend_from_slice(body);
    value
}

async fn tamper(dir: &Path, change: impl FnOnce(&sled::Db)) -> Result<Store, StoreError> {
    let db = sled::open(dir).unwrap();
    change(&db);
    db.flush().unwrap();
    drop(db);
    // Comes once sled has let go of it.
    fs::File::open(dir.join("db")).unwrap().lock().unwrap();
    Store::open(dir, StoreOptions::default()).await
}

#[tokio::test]
async fn a_vanished_row_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let opened = tamper(dir.path(), |db| {
        let tree = db.open_tree("current").unwrap();
        let (key, _) = tree.first().unwrap().unwrap();
        tree.remove(key).unwrap();
    })
    .await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_changed_byte_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let opened = tamper(dir.path(), |db| {
        let tree = db.open_tree("current").unwrap();
        let (key, value) = tree.first().unwrap().unwrap();
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        tree.insert(key, value).unwrap();
    })
    .await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_missing_head_over_rows_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let opened = tamper(dir.path(), |db| {
        db.open_tree("meta").unwrap().clear().unwrap();
    })
    .await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_hole_in_the_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let opened = tamper(dir.path(), |db| {
        let log = db.open_tree("log").unwrap();
        let (key, _) = log.first().unwrap().unwrap();
        log.remove(key).unwrap();
    })
    .await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn an_emptied_file_is_not_taken_for_a_new_store() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    fs::File::options()
        .write(true)
        .open(dir.path().join("db"))
        .unwrap()
        .set_len(0)
        .unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
    let opened = Store::open(dir.path(), StoreOptions::default()).await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_file_of_another_store_is_noticed() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for dir in &dirs {
        filled(dir.path()).await;
    }
    fs::copy(dirs[0].path().join("db"), dirs[1].path().join("db")).unwrap();
    let opened = Store::open(dirs[1].path(), StoreOptions::default()).await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_look_into_a_new_directory() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let _store = open(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_shorter_history_can_be_asked_for_later() {
    let dir = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..9).map(|number| format!("n{number}")).collect();
    for (history, names) in [(10, &names[..7]), (3, &names[7..8]), (3, &names[8..])] {
        let store = Store::open(dir.path(), with_history(history)).await.unwrap();
        for name in names {
            store.commit(create(name)).await.unwrap();
        }
        store.close().await;
    }
    let head = Store::open(dir.path(), with_history(3)).await.unwrap().head();
    assert_eq!(head.snapshot.revision(), Revision(9));
    assert!(head.history.changed_since(Revision(5)).is_none());
    assert_eq!(head.history.changed_since(Revision(6)).unwrap().len(), 3);
}

#[tokio::test]
async fn a_change_of_many_resources_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let operations: Vec<_> = (0..5000)
        .flat_map(|number| put(&format!("network-of-some-length-{number}"), 1, Expectation::Any).operations)
        .collect();
    store
        .commit(move |_| {
            Ok(ChangeSet {
                operations: operations.clone(),
                ..ChangeSet::default()
            })
        })
        .await
        .unwrap();
    store.close().await;
    drop(store);
    assert_eq!(open(dir.path()).await.head().snapshot.len(), 5000);
}

#[tokio::test]
async fn a_database_that_lost_its_end_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(create("a")).await.unwrap();
    store.close().await;
    let earlier = fs::read(dir.path().join("db")).unwrap();
    let store = open(dir.path()).await;
    store.commit(create("b")).await.unwrap();
    store.commit(create("c")).await.unwrap();
    store.close().await;
    drop(store);
    fs::write(dir.path().join("db"), earlier).unwrap();
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::remove_file(path).unwrap();
        }
    }
    let opened = Store::open(dir.path(), StoreOptions::default()).await;
    let told = "the last 2 writes are lost: revision 3 was acknowledged, it ends at 1";
    assert!(
        matches!(&opened, Err(StoreError::Damaged { reason, .. }) if reason == told),
        "{opened:?}"
    );
}

#[tokio::test]
async fn a_missing_note_of_what_was_acknowledged_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    fs::remove_file(dir.path().join("acknowledged")).unwrap();
    let opened = Store::open(dir.path(), StoreOptions::default()).await;
    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
}

#[tokio::test]
async fn a_damaged_index_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("snap.") {
            fs::write(path, b"").unwrap();
        }
    }
    let head = open(dir.path()).await.head();
    assert_eq!(head.snapshot.revision(), Revision(2));
}
