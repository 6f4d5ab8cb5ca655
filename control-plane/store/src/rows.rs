//! The layout over sled: three trees, big-endian keys.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `meta` | `head` | [`HeadRecord`] |
//! | `current` | kind ‖ id | [`EntryRecord`] |
//! | `log` | revision, 8 bytes big-endian | [`RevisionRecord`] |

use std::ops::Range;

use sled::{
    Transactional,
    transaction::{ConflictableTransactionError, TransactionError},
};
use tyrscale_model::{Change, Kind, KindHashes, ResourceKey, Revision};

use crate::record::{EntryRecord, HeadRecord, RevisionRecord, TouchRecord, entry_of, seal, unseal};

const HEAD: &[u8] = b"head";

/// The trees of an open database.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    meta: sled::Tree,
    current: sled::Tree,
    log: sled::Tree,
}

/// One committed revision, ready to be written.
pub(crate) struct Write<'a> {
    pub(crate) head: &'a HeadRecord,
    pub(crate) revision: &'a RevisionRecord,
    pub(crate) changes: &'a [Change],
    /// The revisions that leave the log.
    pub(crate) dropped: Range<u64>,
}

/// A row that does not prove itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("row {0} is damaged")]
    Damaged(String),
    #[error(transparent)]
    Sled(#[from] sled::Error),
}

fn entry_key(key: &ResourceKey) -> Vec<u8> {
    let mut bytes = vec![key.kind.number()];
    bytes.extend_from_slice(key.id.as_bytes());
    bytes
}

pub(crate) fn hashes_to_bytes(hashes: &KindHashes) -> Vec<u8> {
    hashes.0.concat()
}

pub(crate) fn hashes_from_bytes(bytes: &[u8]) -> Option<KindHashes> {
    let (chunks, rest) = bytes.as_chunks::<32>();
    rest.is_empty().then(|| chunks.try_into().ok().map(KindHashes))?
}

pub(crate) fn touch(change: &Change) -> TouchRecord {
    TouchRecord {
        kind: change.key.kind.number().into(),
        id: change.key.id.to_string(),
    }
}

impl Rows {
    pub(crate) fn of(db: &sled::Db) -> Result<Self, sled::Error> {
        Ok(Self {
            meta: db.open_tree("meta")?,
            current: db.open_tree("current")?,
            log: db.open_tree("log")?,
        })
    }

    /// The head, or `None` in a new store.
    pub(crate) fn head(&self) -> Result<Option<HeadRecord>, RowError> {
        let Some(value) = self.meta.get(HEAD)? else {
            return Ok(None);
        };
        unseal(HEAD, &value)
            .map(Some)
            .ok_or_else(|| RowError::Damaged("meta/head".into()))
    }

    /// Whether nothing at all was ever written.
    pub(crate) fn is_blank(&self) -> bool {
        self.meta.is_empty() && self.current.is_empty() && self.log.is_empty()
    }

    pub(crate) fn put_head(&self, head: &HeadRecord) -> Result<(), sled::Error> {
        self.meta.insert(HEAD, seal(HEAD, head)).map(|_| ())
    }

    /// Every resource.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<tyrscale_model::Entry, RowError>> {
        self.current.iter().map(|row| {
            let (key, value) = row?;
            let damaged = || RowError::Damaged(format!("current/{}", String::from_utf8_lossy(&key)));
            let (kind, id) = key.split_first().ok_or_else(damaged)?;
            let kind = Kind::from_number(i32::from(*kind)).ok_or_else(damaged)?;
            let record: EntryRecord = unseal(&key, &value).ok_or_else(damaged)?;
            let entry = entry_of(kind, &record).ok_or_else(damaged)?;
            if entry.resource.key().id.as_bytes() == id {
                Ok(entry)
            } else {
                Err(damaged())
            }
        })
    }

    /// The log from a revision on.
    pub(crate) fn log_from(
        &self,
        first: Revision,
    ) -> impl Iterator<Item = Result<(Revision, RevisionRecord), RowError>> {
        self.log.range(first.0.to_be_bytes()..).map(|row| {
            let (key, value) = row?;
            let damaged = || RowError::Damaged("log".into());
            let revision = Revision(u64::from_be_bytes(
                key.as_ref().try_into().map_err(|_| damaged())?,
            ));
            Ok((revision, unseal(&key, &value).ok_or_else(damaged)?))
        })
    }

    /// Writes one revision: all rows or none.
    pub(crate) fn write(&self, write: &Write<'_>) -> Result<(), sled::Error> {
        let mut batch = sled::Batch::default();
        for change in write.changes {
            let key = entry_key(&change.key);
            match &change.entry {
                Some(entry) => {
                    let value = seal(&key, &EntryRecord::of(entry));
                    batch.insert(key, value);
                }
                None => batch.remove(key),
            }
        }
        let log_key = write.head.revision.to_be_bytes();
        let log_value = seal(&log_key, write.revision);
        let head_value = seal(HEAD, write.head);
        let outcome = (&self.meta, &self.current, &self.log).transaction(|(meta, current, log)| {
            current.apply_batch(&batch)?;
            log.insert(&log_key, log_value.as_slice())?;
            for dropped in write.dropped.clone() {
                log.remove(&dropped.to_be_bytes())?;
            }
            meta.insert(HEAD, head_value.as_slice())?;
            Ok::<(), ConflictableTransactionError<sled::Error>>(())
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(error) | TransactionError::Abort(error)) => Err(error),
        }
    }
}
