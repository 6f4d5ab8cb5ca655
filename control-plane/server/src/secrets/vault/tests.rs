//! Vaults over stores: what becomes of lost, rotated and foreign keys.

use std::sync::Arc;

use tempfile::TempDir;
use tyrscale_model::View;
use tyrscale_store::{Archive, StoreOptions};

use super::*;
use crate::secrets::Keyless;

/// A store, and a master key beside it.
struct Home {
    dir: TempDir,
    store: Store,
}

impl Home {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default())
            .await
            .unwrap();
        Self { dir, store }
    }

    async fn vault(&self) -> Result<Vault, SecretsError> {
        Vault::open(&self.store, source(&self.dir)).await
    }

    fn lose_the_key(&self) {
        std::fs::remove_file(self.dir.path().join("secrets.key")).unwrap();
    }
}

fn source(dir: &TempDir) -> Source {
    Source {
        given: None,
        file: None,
        data_dir: dir.path().to_owned(),
    }
}

/// Writes a secret as a service would; gives it as it is stored.
async fn set(store: &Store, vault: &Vault, value: Option<&str>) -> Secret {
    let mut change_set = ChangeSet::default();
    change_set
        .operations
        .push(Operation::put(Resource::Secret(Secret {
            name: "a".parse().unwrap(),
            sealed: Bytes::new(),
            fingerprint: String::new(),
            value: value.map(|value| value.parse().unwrap()),
        })));
    let sealing = vault.clone();
    let plan = move |snapshot: &Snapshot| {
        let mut own = change_set.clone();
        sealing.seal_in(snapshot, &mut own)?;
        Ok::<_, Rejection>(own)
    };
    store.commit(plan).await.unwrap();
    stored(store)
}

fn stored(store: &Store) -> Secret {
    let head = store.head();
    let key = Secret::key_of(&"a".parse().unwrap());
    match &head.snapshot.get(&key).unwrap().resource {
        Resource::Secret(secret) => secret.clone(),
        other => panic!("{other:?}"),
    }
}

fn value(vault: &Vault, secret: &Secret) -> Option<String> {
    let value = vault.value_of(secret).unwrap();
    value.map(|value| value.expose().to_owned())
}

#[tokio::test]
async fn a_lost_master_key_is_replaced_only_while_no_secret_was_ever_set() {
    let home = Home::new().await;
    home.vault().await.unwrap();
    home.lose_the_key();
    let vault = home.vault().await.unwrap();
    let secret = set(&home.store, &vault, Some("one")).await;
    assert_eq!(
        value(&home.vault().await.unwrap(), &secret),
        Some("one".to_owned())
    );

    home.lose_the_key();
    let refused = home.vault().await.unwrap_err().to_string();
    assert!(
        refused.contains("secrets.key") && refused.contains("--secrets-key-file"),
        "{refused}"
    );
    let delete = ChangeSet {
        operations: vec![Operation::Delete {
            key: secret.key(),
            cascade: false,
            etag: None,
        }],
        ..ChangeSet::default()
    };
    home.store.commit(move |_| Ok(delete.clone())).await.unwrap();
    assert!(home.vault().await.is_err(), "it may be rolled back to");
    home.store.close().await;
}

#[tokio::test]
async fn what_another_control_plane_rotated_seals_after_a_reload() {
    let home = Home::new().await;
    let (one, other) = (home.vault().await.unwrap(), home.vault().await.unwrap());
    let first = set(&home.store, &one, Some("one")).await;
    one.rotate().await.unwrap();
    other.reload().await.unwrap();
    let second = set(&home.store, &other, Some("two")).await;
    assert!(!one.ring().is_newest(&first.sealed));
    assert!(one.ring().is_newest(&second.sealed));
    assert_eq!(value(&one, &second), Some("two".to_owned()));
    home.store.close().await;
}

#[tokio::test]
async fn values_that_came_without_their_keys_are_unset_until_they_are_set_again() {
    let home = Home::new().await;
    let secret = set(&home.store, &home.vault().await.unwrap(), Some("one")).await;
    let content = home.store.head().snapshot.clone();
    home.store.close().await;

    let dir = TempDir::new().unwrap();
    let Keyless { names, document } = Keyless::of(&content).unwrap();
    assert_eq!(names, ["a"]);
    let archive = Archive::of_content(&content, tyrscale_store::now());
    let archive = archive.with_document(Table::Secrets, document.0, document.1);
    let path = dir.path().join("store");
    Store::restore(&path, archive).await.unwrap();
    let store = Store::open(&path, StoreOptions::default()).await.unwrap();
    let vault = Vault::open(&store, source(&dir)).await.unwrap();
    assert_eq!(
        store.head().snapshot.digest(View::ALL),
        content.digest(View::ALL),
        "who has the values stays in sync"
    );
    assert_eq!(value(&vault, &secret), None);
    vault.rotate().await.unwrap();
    let anew = vault.sealed_anew(&store.head().snapshot).unwrap();
    assert_eq!(anew.operations.len(), 0, "there is nothing to seal anew");
    assert_eq!(set(&store, &vault, None).await, secret, "it is kept as it is");
    let again = set(&store, &vault, Some("one")).await;
    assert_eq!(value(&vault, &again), Some("one".to_owned()));
    vault.rotate().await.unwrap();
    let anew = vault.sealed_anew(&store.head().snapshot).unwrap();
    assert_eq!(anew.operations.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_backup_is_served_without_its_keys_and_its_values_stay_closed() {
    let home = Home::new().await;
    let secret = set(&home.store, &home.vault().await.unwrap(), Some("one")).await;
    let file = home.dir.path().join("backup");
    home.store.write_archive(&file).await.unwrap();
    home.store.close().await;
    home.lose_the_key();
    let archive = Archive::read(&file).unwrap().served_because("it is damaged");
    let backup = Store::over(Arc::new(archive), StoreOptions::default())
        .await
        .unwrap();
    let vault = Vault::open(&backup, source(&home.dir)).await.unwrap();
    assert!(vault.locked().unwrap().contains("secrets.key"));
    let closed = vault.value_of(&secret).unwrap_err();
    assert!(matches!(closed, SecretsError::Locked(_)), "{closed}");
    assert!(vault.reload().await.is_err() && vault.rotate().await.is_err());
    backup.close().await;
}
