//! A store moves from a directory into a cluster, and back.

use tyrscale_model::{Revision, View};
use tyrscale_store::{Archive, Store, StoreError, StoreOptions, Table};

use crate::cluster::{Cluster, put};

async fn keys(store: &Store, table: Table) -> Vec<(String, bytes::Bytes)> {
    let listed = store.documents(table).list("", "", 100).await.unwrap();
    listed
        .into_iter()
        .map(|document| (document.key, document.value))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_moves_into_a_cluster_and_back_with_all_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), StoreOptions::default())
        .await
        .unwrap();
    for number in 0..1200 {
        put(&store, &format!("n-{}", number % 700)).await.unwrap();
    }
    for key in ["b", "a"] {
        store.documents(Table::Tokens).put(key, key).await.unwrap();
    }
    let file = dir.path().join("moving");
    store.write_archive(&file).await.unwrap();

    let cluster = Cluster::start(1);
    let archive = || Archive::read(&file).unwrap();
    Store::import_etcd(cluster.options(), archive()).await.unwrap();
    let moved = cluster.store().await;
    let (head, again) = (store.head(), moved.head());
    assert_eq!(
        again.snapshot.version(View::ALL),
        head.snapshot.version(View::ALL)
    );
    assert_eq!(again.history.floor(), head.history.floor());
    assert_eq!(
        moved.log(Revision(900), Revision(910)).await.unwrap(),
        store.log(Revision(900), Revision(910)).await.unwrap()
    );
    assert_eq!(
        moved.at(Revision(500)).await.unwrap().hashes(),
        store.at(Revision(500)).await.unwrap().hashes()
    );
    assert_eq!(
        keys(&moved, Table::Tokens).await,
        keys(&store, Table::Tokens).await
    );
    let tokens = moved.documents(Table::Tokens).list("", "", 10).await.unwrap();
    assert!(
        tokens[0].stamp > tokens[1].stamp,
        "they keep the order they were written in"
    );
    moved.verify().await.unwrap();
    let second = Store::import_etcd(cluster.options(), archive()).await;
    assert!(matches!(second, Err(StoreError::Exists { .. })), "{second:?}");

    let committed = put(&moved, "one-more").await.unwrap();
    assert_eq!(committed.head.snapshot.revision(), Revision(1201));
    moved.write_archive(&file).await.unwrap();
    let back = dir.path().join("back");
    Store::import(&back, archive()).await.unwrap();
    let back = Store::open(&back, StoreOptions::default()).await.unwrap();
    assert_eq!(
        back.head().snapshot.version(View::ALL),
        committed.head.snapshot.version(View::ALL)
    );
    assert_eq!(
        keys(&back, Table::Tokens).await,
        keys(&store, Table::Tokens).await
    );
}
