//! A store written to a file, and made of one.

use std::path::{Path, PathBuf};

use tyrscale_model::Lineage;

#[cfg(feature = "etcd")]
use crate::engine::EngineError;
use crate::{
    Archive,
    archive::{Note, write},
    error::StoreError,
    sled_engine::{Present, SledEngine, install},
    store::{Store, StoreOptions},
    verify::{Verified, all_documents, verify},
    writer::{Command, now},
};

impl Store {
    /// Whether a directory holds a store, or what is left of one.
    #[must_use]
    pub fn is_in(dir: &Path) -> bool {
        SledEngine::is_in(dir)
    }

    /// The lineage of the store in a directory, as it was noted beside it.
    #[must_use]
    pub fn acknowledged_lineage(dir: &Path) -> Option<Lineage> {
        SledEngine::acknowledged_lineage(dir)
    }

    /// Opens the store that is in a directory and proves its content. As [`Store::open`], but makes none.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; else as [`Store::open`].
    pub async fn open_existing(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        if Self::is_in(dir) {
            Self::open(dir, options).await
        } else {
            Err(StoreError::Missing { path: dir.to_owned() })
        }
    }

    /// Opens the store that is in an etcd cluster and proves its content. As [`Store::open_etcd`], but makes none.
    ///
    /// # Errors
    /// [`StoreError::Missing`]; else as [`Store::open_etcd`].
    #[cfg(feature = "etcd")]
    pub async fn open_existing_etcd(
        etcd: crate::EtcdOptions,
        options: StoreOptions,
    ) -> Result<Self, StoreError> {
        let place = etcd.clone();
        let looking = tokio::task::spawn_blocking(move || {
            crate::etcd_engine::is_in(&place).map_err(|error| StoreError::of_etcd(&place, error))
        });
        let looked = looking
            .await
            .map_err(|error| StoreError::Unavailable(format!("looking failed: {error}")))?;
        if looked? {
            Self::open_etcd(etcd, options).await
        } else {
            Err(StoreError::Missing {
                path: etcd.place().into(),
            })
        }
    }

    /// Makes the store of an archive in a directory that has none, with its lineage and revisions.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Io`].
    pub async fn import(dir: &Path, archive: Archive) -> Result<(), StoreError> {
        installed(dir, archive, Present::Refused).await.map(drop)
    }

    /// Makes the store of an archive in an etcd cluster that has none, with its lineage and revisions.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Unavailable`].
    #[cfg(feature = "etcd")]
    pub async fn import_etcd(etcd: crate::EtcdOptions, archive: Archive) -> Result<(), StoreError> {
        let path: PathBuf = etcd.place().into();
        let importing = tokio::task::spawn_blocking(move || crate::etcd_engine::import(&etcd, &archive));
        let imported = importing
            .await
            .map_err(|error| StoreError::Unavailable(format!("importing failed: {error}")))?;
        match imported {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Exists { path }),
            Err(EngineError::Damaged(reason)) => Err(StoreError::Damaged { path, reason }),
            Err(error) => Err(StoreError::of_failure(error)),
        }
    }

    /// Makes the store of an archive in a directory, in the place of one that may be there, which is moved aside: where to
    /// is returned.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while a process has it open, [`StoreError::Io`].
    pub async fn restore(dir: &Path, archive: Archive) -> Result<Option<PathBuf>, StoreError> {
        installed(dir, archive, Present::SetAside).await
    }

    /// Writes everything to a file, to move the store; while writes go on. Reads it back and verifies it before it gets its name. What is
    /// there under that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Archive`], [`StoreError::Damaged`], [`StoreError::Unavailable`].
    pub async fn write_archive(&self, path: &Path) -> Result<Verified, StoreError> {
        self.write_file(path, false).await
    }

    /// As [`Store::write_archive`], in case the store is lost: the file says that more may have come after it.
    ///
    /// # Errors
    /// As those of [`Store::write_archive`].
    pub async fn write_backup(&self, path: &Path) -> Result<Verified, StoreError> {
        self.write_file(path, true).await
    }

    async fn write_file(&self, path: &Path, is_backup: bool) -> Result<Verified, StoreError> {
        let pins = self.pins.clone();
        let (head, documents, _pin) = self
            .inspect(move |engine, head| {
                let documents = all_documents(engine)?;
                Ok((head.clone(), documents, pins.pin(head.history.floor())))
            })
            .await?;
        let (path, engine) = (path.to_owned(), self.engine()?);
        let note = Note {
            taken: now(),
            is_backup,
        };
        let writing = tokio::task::spawn_blocking(move || write(&path, &*engine, &head, &documents, note));
        let written = writing
            .await
            .map_err(|error| StoreError::Unavailable(format!("writing an archive failed: {error}")))?;
        Ok(written?)
    }

    /// Holds everything against itself, revision by revision.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] naming what does not fit.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        self.inspect(|engine, _| verify(engine)).await
    }

    /// Looks at whether writes can be taken again after one failed; without it the next write does.
    pub fn try_again(&self) {
        // When the queue is full a write will.
        self.commands.try_send(Command::CatchUp).ok();
    }
}

async fn installed(dir: &Path, archive: Archive, present: Present) -> Result<Option<PathBuf>, StoreError> {
    let dir = dir.to_owned();
    let installing = tokio::task::spawn_blocking(move || install(&dir, &archive, present, now()));
    installing
        .await
        .map_err(|error| StoreError::Unavailable(format!("restoring failed: {error}")))?
}
