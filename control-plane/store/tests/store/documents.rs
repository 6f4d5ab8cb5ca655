//! Documents, and requests that are done once.

use bytes::Bytes;
use tyrscale_model::{Revision, ViolationCode};
use tyrscale_store::{Outcome, RequestId, Stamp, Store, StoreError, Table};

use crate::{create, open};

#[tokio::test]
async fn documents_are_there_after_a_restart_each_table_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let nodes = store.documents(Table::Nodes);
    for (key, value) in [("a/1", "one"), ("a/2", "two"), ("b/1", "three")] {
        nodes.put(key, value).await.unwrap();
    }
    store
        .documents(Table::Rollouts)
        .put("a/1", "other")
        .await
        .unwrap();
    nodes.delete("a/2").await.unwrap();
    store.close().await;
    drop(store);
    let nodes = open(dir.path()).await.documents(Table::Nodes);
    assert_eq!(nodes.get("a/1").await.unwrap().unwrap().value, "one");
    assert_eq!(nodes.get("a/2").await.unwrap(), None);
    let keys = |listed: Vec<tyrscale_store::Document>| {
        listed
            .into_iter()
            .map(|document| document.key)
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(nodes.list("", "", 10).await.unwrap()), ["a/1", "b/1"]);
    assert_eq!(keys(nodes.list("", "a/1", 10).await.unwrap()), ["b/1"]);
    assert_eq!(keys(nodes.list("a/", "", 10).await.unwrap()), ["a/1"]);
    assert_eq!(keys(nodes.list("", "", 1).await.unwrap()), ["a/1"]);
}

#[tokio::test]
async fn a_document_is_written_only_over_what_was_expected() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let leases = store.documents(Table::Leases);
    let first = leases.put_if("leader", "one", Stamp(0)).await.unwrap();
    let taken = leases.put_if("leader", "two", Stamp(0)).await;
    assert!(
        matches!(taken, Err(StoreError::DocumentMoved { .. })),
        "{taken:?}"
    );
    let second = leases.put_if("leader", "two", first).await.unwrap();
    assert!(second > first);
    assert!(leases.put_if("leader", "three", first).await.is_err());
    let half = vec![
        leases.write("other", Some(Bytes::from_static(b"x")), None),
        leases.write("leader", None, Some(first)),
    ];
    assert!(store.write_documents(half).await.is_err());
    assert_eq!(leases.get("other").await.unwrap(), None, "all or nothing");
}

#[tokio::test]
async fn a_key_or_value_beyond_its_bounds_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let nodes = store.documents(Table::Nodes);
    for (key, value) in [("", 1), (&*"k".repeat(513), 1), ("k", 1024 * 1024 + 1)] {
        let refused = nodes.put(key, vec![0; value]).await;
        assert!(
            matches!(refused, Err(StoreError::BadDocument { .. })),
            "{refused:?}"
        );
    }
}

async fn once(store: &Store, id: &str, name: &str) -> Result<Outcome, StoreError> {
    let request = RequestId {
        id: id.to_owned(),
        fingerprint: *blake3::hash(name.as_bytes()).as_bytes(),
    };
    let encode =
        |committed: &tyrscale_store::Committed| Bytes::from(committed.head.snapshot.revision().0.to_string());
    store.commit_once(request, create(name), encode).await
}

#[tokio::test]
async fn a_request_with_an_id_is_done_once_restarts_included() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    assert!(matches!(once(&store, "r1", "a").await.unwrap(), Outcome::Done(_)));
    once(&store, "r2", "b").await.unwrap();
    store.close().await;
    drop(store);
    let store = open(dir.path()).await;
    let Outcome::Repeated(answer) = once(&store, "r1", "a").await.unwrap() else {
        panic!("it was done again")
    };
    assert_eq!(answer, "1");
    assert_eq!(store.head().snapshot.revision(), Revision(2));
    let StoreError::Rejected(refusal) = once(&store, "r1", "c").await.unwrap_err() else {
        panic!("another refusal was expected")
    };
    assert_eq!(
        (refusal.violations[0].field.as_str(), refusal.violations[0].code),
        ("request_id", ViolationCode::Invalid)
    );
}

#[tokio::test]
async fn a_refused_request_may_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.commit(create("a")).await.unwrap();
    assert!(once(&store, "r", "a").await.is_err());
    assert!(matches!(once(&store, "r", "b").await.unwrap(), Outcome::Done(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_equal_requests_at_once_one_is_done_and_all_have_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let requests: Vec<_> = (0..40)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { once(&store, "r", "a").await.unwrap() })
        })
        .collect();
    let mut done = 0;
    for request in requests {
        match request.await.unwrap() {
            Outcome::Done(_) => done += 1,
            Outcome::Repeated(answer) => assert_eq!(answer, "1"),
        }
    }
    assert_eq!((done, store.head().snapshot.revision()), (1, Revision(1)));
}
