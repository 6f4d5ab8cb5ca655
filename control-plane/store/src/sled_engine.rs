//! The store in one directory, on sled.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `meta` | `head` | [`HeadRecord`] |
//! | `current` | kind ‖ id | [`Image`] |
//! | `log` | revision ‖ part, big-endian | a part of a [`LogRecord`] |
//! | `documents` | table ‖ key | [`DocumentRecord`] |

mod building;
mod files;
mod layout;
mod opening;
mod witness;

use std::{
    fmt,
    fs::File,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use tracing::warn;
use tyrscale_model::{Entry, Kind, KindHashes, Lineage, ResourceKey, Revision};

pub(crate) use self::building::{Present, install};
use self::{
    files::Files,
    layout::{HeadRecord, Trees, Write, document_key},
    witness::{Found, Note, Witness},
};
use crate::{
    engine::{Append, Appended, Document, DocumentWrite, Engine, EngineError, Loaded, Stamp},
    error::StoreError,
    log::{Image, LogRecord},
    record::{DocumentRecord, hashes_from_record, hashes_to_record, unseal, unseal_message},
    table::Table,
};

/// How often and how long to wait for sled to let go of the database.
const RELEASE_LOOKS: u32 = 500;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// A store in a directory. Dropping it releases the directory, which takes a moment.
pub(crate) struct SledEngine {
    dir: PathBuf,
    cache_bytes: u64,
    /// `None` while it is dropped, and when it could not be opened again: handles of trees keep the database open.
    open: RwLock<Option<Open>>,
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
    witness: Witness,
}

impl fmt::Debug for SledEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledEngine")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// A write that failed.
fn refused(error: &io::Error) -> EngineError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => EngineError::Full(error.to_string()),
        _ => unavailable(error),
    }
}

/// The same, as sled tells of it.
fn refused_by_sled(error: sled::Error) -> EngineError {
    match error {
        sled::Error::Io(error) => refused(&error),
        error => unavailable(error),
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
        let (open, writing) = opening::open(dir, cache_bytes)?;
        Ok(Self {
            dir: dir.to_owned(),
            cache_bytes,
            open: RwLock::new(Some(open)),
            writing: Mutex::new(writing),
        })
    }

    /// Whether a directory holds a store, or what is left of one.
    pub(crate) fn is_in(dir: &Path) -> bool {
        ["db", witness::FILE, building::RESTORING]
            .iter()
            .any(|file| dir.join(file).exists())
    }

    /// The lineage that was noted beside the database of a directory.
    pub(crate) fn acknowledged_lineage(dir: &Path) -> Option<Lineage> {
        match Witness::find(dir).ok()? {
            Found::Note(note, _) => note.lineage.as_ref().try_into().map(Lineage).ok(),
            Found::Missing | Found::Unreadable => None,
        }
    }

    /// Works with the open database. sled panics over some damage and some refusals of the disk, so it is fenced.
    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, EngineError>) -> Result<T, EngineError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let open = open.as_ref().ok_or_else(|| unavailable("it is closed"))?;
        catch_unwind(AssertUnwindSafe(|| work(open)))
            .unwrap_or_else(|_| Err(unavailable("the database broke off")))
    }

    fn writing(&self) -> Result<MutexGuard<'_, Writing>, EngineError> {
        self.writing.lock().map_err(|_| unavailable("a write broke off"))
    }
}

impl Open {
    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        let row = document_key(table, key);
        let Some(value) = self.trees.documents.get(&row).map_err(unavailable)? else {
            return Ok(None);
        };
        document(key.to_owned(), &row, &value)
            .ok_or_else(|| damaged(format_args!("{table}/{key}")))
            .map(Some)
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
        let rows = self.trees.current.iter().map(|row| {
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

    fn append(&self, append: &Append<'_>, writing: &mut Writing) -> Result<Appended, EngineError> {
        let head = Revision(writing.head.revision);
        if append.record.is_some_and(|record| record.revision != head.next()) {
            return Ok(Appended::HeadMoved(head));
        }
        if let Some(moved) = self.moved(append.documents)? {
            return Ok(moved);
        }
        let mut next = writing.head.clone();
        next.stamp += 1;
        let mut write = Write::default();
        if let Some(record) = append.record {
            next.revision = record.revision.0;
            write.revision(record);
        }
        write.documents(append.documents, next.stamp);
        self.trees.write(&write, &next).map_err(refused_by_sled)?;
        let stamp = Stamp(next.stamp);
        writing.head = next;
        Ok(Appended::Written(stamp))
    }

    /// Makes everything durable, then notes that it is.
    fn flush(&self, writing: &mut Writing) -> Result<(), EngineError> {
        self.db.flush().map_err(refused_by_sled)?;
        writing.files.sync().map_err(|error| refused(&error))?;
        let note = Note::of(&writing.head);
        writing.witness.note(&note).map_err(|error| refused(&error))
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
            entries: self.with(Open::entries)?,
        })
    }

    fn head(&self) -> Result<Revision, EngineError> {
        Ok(Revision(self.writing()?.head.revision))
    }

    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        self.with(|open| open.trees.read_log(first, last))
    }

    fn append(&self, append: &Append<'_>) -> Result<Appended, EngineError> {
        self.with(|open| open.append(append, &mut *self.writing()?))
    }

    fn flush(&self) -> Result<(), EngineError> {
        self.with(|open| open.flush(&mut *self.writing()?))
    }

    /// Opens the database again: what sled has in memory after a failed write is not known to be what the disk has.
    fn recover(&self) -> Result<(), EngineError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.take() {
            close(open, &self.dir);
        }
        let (opened, state) = opening::open(&self.dir, self.cache_bytes).map_err(|error| match error {
            StoreError::Damaged { reason, .. } => EngineError::Damaged(reason),
            error => unavailable(error),
        })?;
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if state.head.lineage != writing.head.lineage {
            return Err(EngineError::Damaged("it was replaced by another".to_owned()));
        }
        *writing = state;
        self.writing.clear_poison();
        *open = Some(opened);
        Ok(())
    }

    fn wait_head(&self, _after: Revision) -> Result<Option<Revision>, EngineError> {
        // sled's lock on the file keeps every other process out.
        Ok(None)
    }

    fn compact(&self, floor: Revision, hashes: &KindHashes) -> Result<(), EngineError> {
        self.with(|open| {
            let mut writing = self.writing()?;
            let next = HeadRecord {
                floor: floor.0,
                floor_hashes: hashes_to_record(hashes),
                ..writing.head.clone()
            };
            open.trees
                .write(&Write::default(), &next)
                .map_err(refused_by_sled)?;
            writing.head = next;
            open.flush(&mut writing)?;
            open.trees.forget_log(floor).map_err(refused_by_sled)
        })
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        self.with(|open| open.document(table, key))
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
        self.with(|open| {
            let rows = open.trees.documents.range(first..);
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
        })
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
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.take() {
            close(open, &self.dir);
        }
    }
}

/// Lets go of a database. sled writes what it still holds then, and may panic over a disk that refuses.
fn close(open: Open, dir: &Path) {
    if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
        warn!("the store's database broke off when it was closed");
    }
    wait_for_release(&dir.join("db"));
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
