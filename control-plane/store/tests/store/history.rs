//! Earlier revisions, tags and compaction.

use proptest::prelude::*;
use tyrscale_model::{ChangeSet, Expectation, Kind, Operation, ResourceKey, Revision, Snapshot, View};
use tyrscale_store::{Store, StoreError, StoreOptions, Tag};

use crate::{create, open, put, shared_engine::proof, with_history};

/// Puts or deletes one of a few networks.
fn step() -> impl Strategy<Value = (u8, Option<u64>)> {
    (0..6u8, proptest::option::weighted(0.7, 1..4u64))
}

fn change(name: &str, chain_id: Option<u64>) -> ChangeSet {
    match chain_id {
        Some(chain_id) => put(name, chain_id, Expectation::Any),
        None => ChangeSet {
            operations: vec![Operation::Delete {
                key: ResourceKey::new(Kind::Network, name),
                etag: None,
                cascade: true,
            }],
            ..ChangeSet::default()
        },
    }
}

async fn run(store: &Store, steps: &[(u8, Option<u64>)]) -> Vec<Snapshot> {
    let mut seen = vec![store.head().snapshot.clone()];
    for (name, chain_id) in steps {
        let change_set = change(&format!("n{name}"), *chain_id);
        // A deletion of what is not there is refused, which makes no revision.
        let committed = store.commit(move |_| Ok(change_set.clone())).await;
        if committed.is_ok_and(|committed| !committed.changes.is_empty()) {
            seen.push(store.head().snapshot.clone());
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn undoing_the_log_gives_every_earlier_revision(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let store = open(dir.path()).await;
            let seen = run(&store, &steps).await;
            store.close().await;
            drop(store);
            let store = open(dir.path()).await;
            for known in seen.iter().rev() {
                let undone = store.at(known.revision()).await.unwrap();
                assert_eq!(proof(&undone), proof(known));
                let pairs = undone.iter().zip(known.iter());
                for ((key, undone), (known_key, known)) in pairs {
                    assert_eq!((key, &undone.meta), (known_key, &known.meta));
                }
            }
        });
    }
}

#[tokio::test]
async fn a_revision_that_is_not_there_is_told_from_one_that_was_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), with_history(2)).await.unwrap();
    for name in ["a", "b", "c", "d"] {
        store.commit(create(name)).await.unwrap();
    }
    assert!(matches!(
        store.at(Revision(9)).await,
        Err(StoreError::UnknownRevision { .. })
    ));
    let compacted = store.at(Revision(1)).await;
    assert!(
        matches!(compacted, Err(StoreError::Compacted { .. })),
        "{compacted:?}"
    );
    assert_eq!(store.at(Revision(2)).await.unwrap().len(), 2);
    let log = store.log(Revision(3), Revision(4)).await.unwrap();
    assert_eq!(log[1].operations[0].key, ResourceKey::new(Kind::Network, "d"));
    assert!(store.log(Revision(2), Revision(4)).await.is_err());
}

fn tag(name: &str, revision: u64) -> Tag {
    Tag {
        name: name.to_owned(),
        revision: Revision(revision),
        time: tyrscale_model::UnixMillis(0),
        actor: "test".to_owned(),
        message: "for later".to_owned(),
    }
}

#[tokio::test]
async fn a_tag_keeps_its_revision_until_it_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), with_history(2)).await.unwrap();
    store.commit(create("a")).await.unwrap();
    store.create_tag(tag("first", 1)).await.unwrap();
    assert!(store.create_tag(tag("first", 1)).await.is_err());
    assert!(store.create_tag(tag("no name", 1)).await.is_err());
    assert!(store.create_tag(tag("later", 2)).await.is_err());
    for name in ["b", "c", "d", "e"] {
        store.commit(create(name)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let store = Store::open(dir.path(), with_history(2)).await.unwrap();
    assert_eq!(store.at(Revision(1)).await.unwrap().len(), 1);
    assert_eq!(store.tags().await.unwrap()[0].revision, Revision(1));
    store.delete_tag("first").await.unwrap();
    assert!(store.delete_tag("first").await.is_err());
    store.commit(create("f")).await.unwrap();
    assert!(store.at(Revision(1)).await.is_err());
}

#[tokio::test]
async fn a_pin_keeps_its_revision_while_it_lives() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), with_history(1)).await.unwrap();
    store.commit(create("a")).await.unwrap();
    let pin = store.pin(Revision(1));
    for name in ["b", "c", "d"] {
        store.commit(create(name)).await.unwrap();
    }
    assert!(store.at(Revision(1)).await.is_ok());
    drop(pin);
    store.commit(create("e")).await.unwrap();
    assert!(store.at(Revision(1)).await.is_err());
}

#[tokio::test]
async fn a_store_of_format_1_is_brought_up_with_its_content_and_versions() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct HeadOfFormat1 {
        #[prost(uint32, tag = "1")]
        format: u32,
        #[prost(bytes = "vec", tag = "2")]
        lineage: Vec<u8>,
        #[prost(uint64, tag = "3")]
        revision: u64,
        #[prost(bytes = "vec", tag = "4")]
        hashes: Vec<u8>,
        #[prost(uint64, tag = "5")]
        log_start: u64,
    }
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for name in ["a", "b"] {
        store.commit(create(name)).await.unwrap();
    }
    let before = store.head().snapshot.clone();
    store.close().await;
    drop(store);
    beside_as_before_format_3(dir.path(), &before.lineage().0);
    let opened = crate::tamper(dir.path(), |db| {
        use prost::Message as _;
        let head = HeadOfFormat1 {
            format: 1,
            lineage: before.lineage().0.to_vec(),
            revision: 2,
            // It had no secrets.
            hashes: Kind::ALL
                .iter()
                .zip(&before.hashes().0)
                .filter(|(kind, _)| **kind != Kind::Secret)
                .flat_map(|(_, hash)| *hash)
                .collect(),
            log_start: 1,
        };
        let sealed = crate::seal(b"head", &head.encode_to_vec());
        db.open_tree("meta").unwrap().insert(b"head", sealed).unwrap();
        let log = db.open_tree("log").unwrap();
        log.clear().unwrap();
        log.insert(1u64.to_be_bytes(), crate::seal(&1u64.to_be_bytes(), b""))
            .unwrap();
        log.insert(2u64.to_be_bytes(), crate::seal(&2u64.to_be_bytes(), b""))
            .unwrap();
    })
    .await
    .unwrap();
    let head = opened.head();
    assert_eq!(head.snapshot.version(View::ALL), before.version(View::ALL));
    assert_eq!(head.history.floor(), Revision(2));
    opened.commit(create("c")).await.unwrap();
    opened.close().await;
    drop(opened);
    let again = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
    assert_eq!(
        again.at(Revision(2)).await.unwrap().version(View::ALL),
        before.version(View::ALL)
    );
}

/// What lay beside a database then.
fn beside_as_before_format_3(dir: &std::path::Path, lineage: &[u8]) {
    std::fs::remove_file(dir.join("acknowledged")).unwrap();
    std::fs::write(dir.join("lineage"), lineage).unwrap();
}

/// The value of a head, as format 2 would have it.
fn of_format_2(value: &[u8]) -> Vec<u8> {
    let (_, body) = value.split_at(17);
    let rest = body.strip_prefix(&[8, 3]).unwrap();
    crate::seal(b"head", &[&[8, 2], rest].concat())
}

#[tokio::test]
async fn a_store_of_format_2_keeps_its_history_and_gets_a_note_of_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    for name in ["a", "b"] {
        store.commit(create(name)).await.unwrap();
    }
    let before = store.head().snapshot.clone();
    store.close().await;
    for lineage in [[7; 16], before.lineage().0] {
        if dir.path().join("acknowledged").exists() {
            beside_as_before_format_3(dir.path(), &lineage);
        }
        std::fs::write(dir.path().join("lineage"), lineage).unwrap();
        let opened = crate::tamper(dir.path(), |db| {
            let meta = db.open_tree("meta").unwrap();
            let head = meta.get(b"head").unwrap().unwrap();
            if head[18] == 3 {
                meta.insert(b"head", of_format_2(&head)).unwrap();
            }
        })
        .await;
        if lineage == [7; 16] {
            assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{opened:?}");
            continue;
        }
        let opened = opened.unwrap();
        assert_eq!(
            opened.head().snapshot.version(View::ALL),
            before.version(View::ALL)
        );
        assert_eq!(opened.head().history.floor(), Revision(0));
        assert!(dir.path().join("acknowledged").exists());
        assert!(!dir.path().join("lineage").exists());
    }
}
