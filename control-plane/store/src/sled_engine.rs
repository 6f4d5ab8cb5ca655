//! The store in one directory, on sled.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `meta` | `head` | [`HeadRecord`] |
//! | `current` | kind ‖ id | [`Image`] |
//! | `log` | revision ‖ part, big-endian | a part of a [`LogRecord`] |
//! | `documents` | table ‖ key | [`DocumentRecord`] |

mod files;
mod layout;
mod opening;

use std::{
    fmt,
    fs::File,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use tracing::warn;
use tyrscale_model::{Entry, Kind, KindHashes, Lineage, ResourceKey, Revision};

use self::{
    files::Files,
    layout::{HeadRecord, Trees, Write, document_key},
};
use crate::{
    engine::{Append, Appended, Document, DocumentWrite, Engine, EngineError, Loaded, Stamp},
    log::{Image, LogRecord},
    record::{DocumentRecord, hashes_from_record, hashes_to_record, unseal, unseal_message},
    store::StoreError,
    table::Table,
};

/// How often and how long to wait for sled to let go of the database.
const RELEASE_LOOKS: u32 = 500;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// A store in a directory. Dropping it releases the directory, which takes a moment.
pub(crate) struct SledEngine {
    dir: PathBuf,
    /// `None` only while it is dropped: handles of trees keep the database open.
    open: Option<Open>,
    writing: Mutex<Writing>,
}

struct Open {
    db: sled::Db,
    trees: Trees,
}

/// What the writer knows.
struct Writing {
    head: HeadRecord,
    files: Files,
}

impl fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledEngine")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

fn unavailable(error: impl ToString) -> EngineError {
    EngineError::Unavailable(error.to_string())
}

fn damaged(row: impl fmt::Display) -> EngineError {
    EngineError::Damaged(format!("row {row} is damaged"))
}

impl SledEngine {
    /// Opens or creates the store in a directory. Blocks.
    ///
    /// # Errors
    /// [`StoreError`] when it is locked, damaged, of a newer format, or the disk refuses.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        opening::open(dir, cache_bytes)
    }

    fn trees(&self) -> Result<&Trees, EngineError> {
        let open = self.open.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        Ok(&open.trees)
    }

    fn writing(&self) -> Result<std::sync::MutexGuard<'_, Writing>, EngineError> {
        self.writing.lock().map_err(|_| unavailable("a write broke off"))
    }

    fn moved(&self, documents: &[DocumentWrite]) -> Result<Option<Appended>, EngineError> {
        for write in documents {
            let Some(expected) = write.expected else { continue };
            let stamp = self
                .document(write.table, &write.key)?
                .map(|document| document.stamp);
            if stamp.unwrap_or_default() != expected {
                return Ok(Some(Appended::DocumentMoved {
                    table: write.table,
                    key: write.key.clone(),
                }));
            }
        }
        Ok(None)
    }

    fn entries(&self) -> Result<Vec<Entry>, EngineError> {
        let rows = self.trees()?.current.iter().map(|row| {
            let (key, value) = row.map_err(unavailable)?;
            let damaged = || damaged(format_args!("current/{}", String::from_utf8_lossy(&key)));
            let (kind, id) = key.split_first().ok_or_else(damaged)?;
            let kind = Kind::from_number(i32::from(*kind)).ok_or_else(damaged)?;
            let id = std::str::from_utf8(id).map_err(|_| damaged())?;
            let image = unseal(&key, &value).and_then(Image::decode).ok_or_else(damaged)?;
            image.into_entry(&ResourceKey::new(kind, id)).ok_or_else(damaged)
        });
        rows.collect()
    }
}

impl Engine for SledEngine {
    fn place(&self) -> String {
        self.dir.display().to_string()
    }

    fn load(&self) -> Result<Loaded, EngineError> {
        let head = self.writing()?.head.clone();
        let missing = |what: &str| EngineError::Damaged(format!("the head has no {what}"));
        let lineage = head.lineage.as_ref().try_into().map(Lineage);
        Ok(Loaded {
            lineage: lineage.map_err(|_| missing("lineage"))?,
            head: Revision(head.revision),
            floor: Revision(head.floor),
            floor_hashes: hashes_from_record(&head.floor_hashes).ok_or_else(|| missing("hashes"))?,
            entries_at: Revision(head.revision),
            entries: self.entries()?,
        })
    }

    fn head(&self) -> Result<Revision, EngineError> {
        Ok(Revision(self.writing()?.head.revision))
    }

    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        self.trees()?.read_log(first, last)
    }

    fn append(&self, append: &Append<'_>) -> Result<Appended, EngineError> {
        let mut writing = self.writing()?;
        let head = Revision(writing.head.revision);
        if append.record.is_some_and(|record| record.revision != head.next()) {
            return Ok(Appended::HeadMoved(head));
        }
        if let Some(moved) = self.moved(append.documents)? {
            return Ok(moved);
        }
        let mut next = writing.head.clone();
        next.stamp += 1;
        if let Some(record) = append.record {
            next.revision = record.revision.0;
        }
        let mut write = Write::default();
        if let Some(record) = append.record {
            write.log(record);
        }
        write.documents(append.documents, next.stamp);
        self.trees()?.write(&write, &next).map_err(unavailable)?;
        let stamp = Stamp(next.stamp);
        writing.head = next;
        Ok(Appended::Written(stamp))
    }

    fn flush(&self) -> Result<(), EngineError> {
        let open = self.open.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        let mut writing = self.writing()?;
        open.db.flush().map_err(unavailable)?;
        writing.files.sync().map_err(unavailable)
    }

    fn recover(&self) -> Result<(), EngineError> {
        // What sled has in memory after a failed write is not known to be what the disk has.
        Err(unavailable("a write failed; the store must be opened again"))
    }

    fn wait_head(&self, _after: Revision) -> Result<Option<Revision>, EngineError> {
        // sled's lock on the file keeps every other process out.
        Ok(None)
    }

    fn compact(&self, floor: Revision, hashes: &KindHashes) -> Result<(), EngineError> {
        {
            let mut writing = self.writing()?;
            let next = HeadRecord {
                floor: floor.0,
                floor_hashes: hashes_to_record(hashes),
                ..writing.head.clone()
            };
            self.trees()?
                .write(&Write::default(), &next)
                .map_err(unavailable)?;
            writing.head = next;
        }
        self.flush()?;
        self.trees()?.forget_log(floor).map_err(unavailable)
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        let row = document_key(table, key);
        let Some(value) = self.trees()?.documents.get(&row).map_err(unavailable)? else {
            return Ok(None);
        };
        document(key.to_owned(), &row, &value)
            .ok_or_else(|| damaged(format_args!("{table}/{key}")))
            .map(Some)
    }

    fn documents(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError> {
        let prefix = document_key(table, prefix);
        let after = document_key(table, after);
        let first = prefix.as_slice().max(after.as_slice()).to_vec();
        let rows = self.trees()?.documents.range(first..);
        let found = rows
            .take_while(|row| row.as_ref().map_or(true, |(key, _)| key.starts_with(&prefix)))
            .filter(|row| {
                row.as_ref()
                    .map_or(true, |(key, _)| key.as_ref() > after.as_slice())
            })
            .take(limit);
        let read = found.map(|row| {
            let (row, value) = row.map_err(unavailable)?;
            let key = row.get(1..).and_then(|key| std::str::from_utf8(key).ok());
            key.and_then(|key| document(key.to_owned(), &row, &value))
                .ok_or_else(|| damaged(format_args!("{table}/{}", String::from_utf8_lossy(&row))))
        });
        read.collect()
    }
}

fn document(key: String, row: &[u8], value: &[u8]) -> Option<Document> {
    let record: DocumentRecord = unseal_message(row, value)?;
    Some(Document {
        key,
        stamp: Stamp(record.stamp),
        value: record.value,
    })
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let Some(open) = self.open.take() else { return };
        let database = self.dir.join("db");
        drop(open);
        wait_for_release(&database);
    }
}

/// sled's background threads keep the lock on the database for a moment after the last handle is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread that drops a store has nothing else to do"
)]
fn wait_for_release(database: &Path) {
    for _ in 0..RELEASE_LOOKS {
        let is_free = File::open(database).is_ok_and(|file| file.try_lock().is_ok());
        if is_free {
            return;
        }
        std::thread::sleep(RELEASE_PAUSE);
    }
    warn!("the store's lock is still held after it was closed");
}
