//! Several processes on one store.

use tyrscale_model::{ChangeSet, Network, Operation, Rejection, Resource, Revision, Snapshot, View};
use tyrscale_store::{Retention, Stamp, StoreError, StoreOptions, Table};

use crate::cluster::{Cluster, put, reaches};

#[tokio::test(flavor = "multi_thread")]
async fn c93_two_replicas_write_one_dense_sequence() {
    let cluster = Cluster::start(1);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let mut tasks = tokio::task::JoinSet::new();
    for (name, store) in [("one", one.clone()), ("two", two.clone())] {
        tasks.spawn(async move {
            let mut revisions = Vec::new();
            for number in 0..40 {
                let committed = put(&store, &format!("{name}-{number}")).await.unwrap();
                revisions.push(committed.head.snapshot.revision().0);
            }
            revisions
        });
    }
    let mut all: Vec<u64> = tasks.join_all().await.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=80).collect::<Vec<_>>());
    reaches(&one, Revision(80)).await;
    reaches(&two, Revision(80)).await;
    let three = cluster.store().await;
    let versions = [&one, &two, &three].map(|store| store.head().snapshot.version(View::ALL));
    assert_eq!(versions[0], versions[1]);
    assert_eq!(versions[0], versions[2]);
    assert_eq!(three.at(Revision(40)).await.unwrap().revision(), Revision(40));
}

#[tokio::test(flavor = "multi_thread")]
async fn c96_of_two_changes_that_expect_the_same_revision_one_wins() {
    let cluster = Cluster::start(1);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let change = |name: &str, chain_id: u64| {
        let network = Resource::Network(Network {
            name: name.parse().unwrap(),
            blockchain: "ethereum".parse().unwrap(),
            chain_id: chain_id.try_into().unwrap(),
        });
        move |_: &Snapshot| {
            Ok::<_, Rejection>(ChangeSet {
                expected_revision: Some(Revision(0)),
                operations: vec![Operation::put(network.clone())],
                ..ChangeSet::default()
            })
        }
    };
    let outcomes = tokio::join!(one.commit(change("a", 1)), two.commit(change("b", 2)));
    let won = [outcomes.0.is_ok(), outcomes.1.is_ok()];
    assert_eq!(won.iter().filter(|won| **won).count(), 1);
    let lost = if won[0] { outcomes.1 } else { outcomes.0 };
    assert!(matches!(lost, Err(StoreError::Rejected(_))), "{lost:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_larger_than_a_request_of_etcd_is_one_revision() {
    let cluster = Cluster::start(1);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let committed = one
        .commit(|_: &Snapshot| {
            let networks = (1..=20_000u64).map(|number| Operation::Upsert {
                resource: Resource::Network(Network {
                    name: format!("network-with-a-long-name-{number}").parse().unwrap(),
                    blockchain: "ethereum".parse().unwrap(),
                    chain_id: number.try_into().unwrap(),
                }),
                expectation: tyrscale_model::Expectation::Any,
                etag: None,
            });
            Ok::<_, Rejection>(ChangeSet {
                operations: networks.collect(),
                ..ChangeSet::default()
            })
        })
        .await
        .unwrap();
    assert_eq!(committed.head.snapshot.revision(), Revision(1));
    reaches(&two, Revision(1)).await;
    let again = cluster.store().await;
    let version = committed.head.snapshot.version(View::ALL);
    assert_eq!(two.head().snapshot.version(View::ALL), version);
    assert_eq!(again.head().snapshot.version(View::ALL), version);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_revisions_are_forgotten_and_a_start_still_has_everything() {
    let cluster = Cluster::start(1);
    let options = StoreOptions {
        retention: Retention {
            revisions: 10,
            ..Retention::default()
        },
        ..StoreOptions::default()
    };
    let store = cluster.store_with(options.clone()).await;
    for number in 0..60 {
        put(&store, &format!("n-{number}")).await.unwrap();
    }
    let again = cluster.store_with(options).await;
    assert_eq!(
        again.head().snapshot.version(View::ALL),
        store.head().snapshot.version(View::ALL)
    );
    assert!(again.head().history.floor() > Revision(0));
    assert!(matches!(
        again.at(Revision(1)).await,
        Err(StoreError::Compacted { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_written_only_over_the_one_expected() {
    let cluster = Cluster::start(1);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let (one, two) = (one.documents(Table::Tokens), two.documents(Table::Tokens));
    let stamp = one.put_if("a", "1", Stamp(0)).await.unwrap();
    let lost = two.put_if("a", "2", Stamp(0)).await;
    assert!(matches!(lost, Err(StoreError::DocumentMoved { .. })), "{lost:?}");
    let newer = two.put_if("a", "2", stamp).await.unwrap();
    assert!(newer > stamp);
    let found = one.get("a").await.unwrap().unwrap();
    assert_eq!((found.value.as_ref(), found.stamp), (&b"2"[..], newer));
    for key in ["b/1", "b/2", "b/3", "c"] {
        one.put(key, key).await.unwrap();
    }
    let listed = two.list("b/", "b/1", 10).await.unwrap();
    let keys: Vec<&str> = listed.iter().map(|document| document.key.as_str()).collect();
    assert_eq!(keys, ["b/2", "b/3"]);
    one.delete("a").await.unwrap();
    assert_eq!(two.get("a").await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_lags_refuses_nothing_that_is_there_and_loses_no_change_back() {
    let cluster = Cluster::start(1);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let change = |operation: Operation| {
        move |_: &Snapshot| {
            Ok::<_, Rejection>(ChangeSet {
                operations: vec![operation.clone()],
                ..ChangeSet::default()
            })
        }
    };
    let network = |chain_id: u64| Network {
        name: "a".parse().unwrap(),
        blockchain: "ethereum".parse().unwrap(),
        chain_id: chain_id.try_into().unwrap(),
    };
    let put = |chain_id: u64| change(Operation::put(Resource::Network(network(chain_id))));
    let delete = || {
        change(Operation::Delete {
            key: Resource::Network(network(1)).key(),
            etag: None,
            cascade: false,
        })
    };
    // Each follows at once, before what the other wrote was taken in.
    for round in 0..20 {
        one.commit(put(1)).await.unwrap();
        one.commit(put(2)).await.unwrap();
        let back = two.commit(put(1)).await.unwrap();
        assert_eq!(
            back.head.snapshot.revision(),
            Revision(round * 4 + 3),
            "round {round}"
        );
        two.commit(delete()).await.unwrap();
    }
}
