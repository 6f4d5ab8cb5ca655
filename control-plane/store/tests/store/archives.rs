//! A store as a file, and a file as a store.

use std::{fs, path::Path};

use proptest::prelude::*;
use tyrscale_model::{Expectation, Revision, View};
use tyrscale_store::{Archive, ArchiveError, Store, StoreError, StoreOptions, Table};

use crate::{create, open, put, with_history};

/// A store with some history, part of it forgotten, and documents.
async fn filled(dir: &Path) -> Store {
    let store = Store::open(dir, with_history(6)).await.unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        store.commit(create(name)).await.unwrap();
    }
    for chain_id in 2..8 {
        store
            .commit(move |_| Ok(put("a", chain_id, Expectation::Present)))
            .await
            .unwrap();
    }
    for (table, key) in [
        (Table::Tags, "x"),
        (Table::Tokens, "token/1"),
        (Table::Tokens, "use/1"),
    ] {
        store
            .documents(table)
            .put(key, format!("{table} {key}"))
            .await
            .unwrap();
    }
    store
}

async fn archived(dir: &Path) -> (Store, std::path::PathBuf) {
    let store = filled(&dir.join("store")).await;
    let file = dir.join("a.tyrstore");
    let verified = store.write_archive(&file).await.unwrap();
    assert_eq!(verified.revision, Revision(11));
    assert_eq!(verified.digest, store.head().snapshot.version(View::ALL).digest);
    assert_eq!((verified.resources, verified.documents), (5, 3));
    (store, file)
}

async fn same_documents(one: &Store, other: &Store) {
    for table in [Table::Tags, Table::Tokens] {
        let listed = one.documents(table).list("", "", 100).await.unwrap();
        assert_eq!(listed, other.documents(table).list("", "", 100).await.unwrap());
    }
}

#[tokio::test]
async fn an_imported_archive_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = archived(dir.path()).await;
    let target = dir.path().join("other");
    Store::import(&target, Archive::read(&file).unwrap())
        .await
        .unwrap();
    let other = Store::open(&target, with_history(6)).await.unwrap();
    let (head, again) = (store.head(), other.head());
    assert_eq!(
        again.snapshot.version(View::ALL),
        head.snapshot.version(View::ALL)
    );
    assert_eq!(again.history.floor(), head.history.floor());
    let log = |store: &Store| {
        let store = store.clone();
        async move { store.log(Revision(7), Revision(11)).await.unwrap() }
    };
    assert_eq!(log(&store).await, log(&other).await);
    assert_eq!(
        store.at(Revision(7)).await.unwrap().hashes(),
        other.at(Revision(7)).await.unwrap().hashes()
    );
    same_documents(&store, &other).await;
    // It goes on where the first one was.
    let committed = other.commit(create("f")).await.unwrap();
    assert_eq!(committed.head.snapshot.revision(), Revision(12));
    let stamp = other.documents(Table::Tags).put("y", "y").await.unwrap();
    let before = other
        .documents(Table::Tags)
        .get("x")
        .await
        .unwrap()
        .unwrap()
        .stamp;
    assert!(stamp > before, "stamps only rise");
    let again = Store::import(&target, Archive::read(&file).unwrap()).await;
    assert!(matches!(again, Err(StoreError::Locked { .. })), "{again:?}");
    other.close().await;
    let again = Store::import(&target, Archive::read(&file).unwrap()).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
}

#[tokio::test]
async fn a_restored_store_has_an_order_of_its_own_and_what_was_there_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = archived(dir.path()).await;
    let home = dir.path().join("store");
    fs::write(home.join("access.pepper"), "not the store's").unwrap();
    let newest = store.commit(create("later")).await.unwrap().head;
    let locked = Store::restore(&home, Archive::read(&file).unwrap().forked()).await;
    assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
    store.close().await;

    let aside = Store::restore(&home, Archive::read(&file).unwrap().forked())
        .await
        .unwrap()
        .unwrap();
    let restored = Store::open(&home, with_history(6)).await.unwrap();
    let head = restored.head();
    assert_eq!(head.snapshot.revision(), Revision(11));
    assert_ne!(head.snapshot.lineage(), newest.snapshot.lineage());
    assert!(home.join("access.pepper").exists());
    let before = Store::open(&aside, with_history(6)).await.unwrap();
    assert_eq!(
        before.head().snapshot.version(View::ALL),
        newest.snapshot.version(View::ALL)
    );
}

#[tokio::test]
async fn a_restore_that_broke_off_is_told_and_can_be_done_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = archived(dir.path()).await;
    store.close().await;
    let home = dir.path().join("store");
    // As a crash between the moves leaves it.
    fs::create_dir(home.join("restoring")).unwrap();
    fs::rename(home.join("db"), home.join("restoring/db")).unwrap();
    let opened = Store::open(&home, StoreOptions::default()).await;
    assert!(matches!(&opened, Err(StoreError::Damaged { reason, .. }) if reason.contains("broke off")));
    Store::restore(&home, Archive::read(&file).unwrap())
        .await
        .unwrap();
    assert_eq!(open(&home).await.head().snapshot.revision(), Revision(11));
}

#[tokio::test]
async fn what_is_not_there_is_not_made_by_looking() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("store");
    let opened = Store::open_existing(&home, StoreOptions::default()).await;
    assert!(matches!(opened, Err(StoreError::Missing { .. })), "{opened:?}");
    assert!(!home.exists());
}

#[tokio::test]
async fn an_archive_serves_reads_and_refuses_writes_for_the_reason_given() {
    let dir = tempfile::tempdir().unwrap();
    let (store, file) = archived(dir.path()).await;
    let archive = Archive::read(&file)
        .unwrap()
        .served_because("the store is damaged");
    let served = Store::over(std::sync::Arc::new(archive), with_history(6))
        .await
        .unwrap();
    assert_eq!(
        served.head().snapshot.version(View::ALL),
        store.head().snapshot.version(View::ALL)
    );
    same_documents(&store, &served).await;
    assert_eq!(served.at(Revision(8)).await.unwrap().revision(), Revision(8));
    let told = served.is_ready().unwrap_err().to_string();
    assert_eq!(told, "store takes no writes: the store is damaged");
    let refused = served.commit(create("f")).await.unwrap_err().to_string();
    assert_eq!(refused, "store takes no writes: the store is damaged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_taken_while_writes_go_on_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), with_history(20))
        .await
        .unwrap();
    let writer = store.clone();
    let writing = tokio::spawn(async move {
        for number in 0..300 {
            writer.commit(create(&format!("n{number}"))).await.unwrap();
            let key = format!("{number}");
            writer
                .documents(Table::Nodes)
                .put(&key, key.clone())
                .await
                .unwrap();
        }
    });
    let mut last = Revision(0);
    while !writing.is_finished() {
        let verified = store.write_archive(&dir.path().join("a")).await.unwrap();
        assert!(verified.revision >= last);
        last = verified.revision;
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_no_archive_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a");
    for bytes in [&b""[..], b"tyrstore", &[0; 4096]] {
        fs::write(&file, bytes).unwrap();
        let read = Archive::read(&file);
        assert!(
            matches!(&read, Err(error @ ArchiveError::Damaged { .. }) if error.to_string().contains("/a "))
        );
    }
    let newer = [&b"tyrstore"[..], &7u32.to_le_bytes(), &[0; 64]].concat();
    fs::write(&file, newer).unwrap();
    assert!(matches!(
        Archive::read(&file),
        Err(ArchiveError::NewerFormat { format: 7, .. })
    ));
    assert!(matches!(
        Archive::read(&dir.path().join("b")),
        Err(ArchiveError::Io { .. })
    ));
}

#[test]
fn a_damaged_archive_is_never_read() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (_store, file) = runtime.block_on(archived(dir.path()));
    let bytes = fs::read(&file).unwrap();
    let damaged = dir.path().join("damaged");
    proptest!(ProptestConfig::with_cases(200), |(at in any::<prop::sample::Index>(), bit in 0..8u8, cuts in any::<bool>())| {
        let mut bytes = bytes.clone();
        let at = at.index(bytes.len());
        if cuts {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        fs::write(&damaged, bytes).unwrap();
        prop_assert!(Archive::read(&damaged).is_err());
    });
}
