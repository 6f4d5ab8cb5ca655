//! The whole store as one file: for backups, for moving to another engine, for looking at it elsewhere.
//!
//! An [`Archive`] is such a file in memory, and an [`Engine`] that takes no writes: it is proved, read and served as
//! any other. [`Store::write_archive`](crate::Store::write_archive) makes the file; the layout is in [`format`].

mod format;
mod reading;
mod writing;

use std::{collections::BTreeMap, fmt, ops::Bound, path::PathBuf};

use bytes::Bytes;
use tyrscale_model::{KindHashes, Lineage, ResourceKey, Revision, UnixMillis};

use crate::{
    engine::{Append, Appended, Document, Engine, EngineError, Loaded, Stamp},
    log::{Image, LogRecord},
    table::Table,
    verify::{Verified, verify},
};

pub(crate) use writing::{Note, write};

/// A store read from a file, or made of a content. `Debug` leaves contents out, which may hold secrets.
pub struct Archive {
    /// Where it was read.
    path: PathBuf,
    pub(crate) head: ArchiveHead,
    pub(crate) resources: Vec<(ResourceKey, Image)>,
    pub(crate) log: BTreeMap<Revision, Vec<Bytes>>,
    pub(crate) documents: BTreeMap<(Table, String), (Stamp, Bytes)>,
    /// Why no writes are taken.
    refusal: String,
}

/// What an archive is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArchiveHead {
    pub(crate) lineage: Lineage,
    pub(crate) revision: Revision,
    pub(crate) floor: Revision,
    pub(crate) floor_hashes: KindHashes,
    /// When it was taken, by the wall clock.
    pub(crate) taken: UnixMillis,
    /// Whether the store went on after it.
    pub(crate) is_backup: bool,
}

/// Why a file is no archive to go by.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read or written.
    #[error("{}: {cause}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says; told with the path, so no source of its own.
        cause: std::io::Error,
    },
    /// It is none, or not as it was written.
    #[error("{} is no whole archive: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A newer version made it.
    #[error("{} has format {format}, made by a newer version; this one reads up to {supported}", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format this version reads.
        supported: u32,
    },
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("path", &self.path)
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

impl Archive {
    /// Holds it against itself: the log dense, each revision undone to the one before with the hashes it had, the
    /// resources those of the head.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`].
    pub fn verify(&self) -> Result<Verified, ArchiveError> {
        verify(self).map_err(|error| ArchiveError::Damaged {
            path: self.path.clone(),
            reason: error.to_string(),
        })
    }

    /// Whose order the revisions are in.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.head.lineage
    }

    /// The newest revision in it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.head.revision
    }

    /// The same with one more document.
    #[must_use]
    pub fn with_document(mut self, table: Table, key: &str, value: Bytes) -> Self {
        self.documents.insert((table, key.to_owned()), (Stamp(1), value));
        self
    }

    /// When it was taken, by the wall clock.
    #[must_use]
    pub const fn taken(&self) -> UnixMillis {
        self.head.taken
    }

    /// Whether it was made in case the store is lost, and not to move it: more may have come after it, in the same order.
    #[must_use]
    pub const fn is_backup(&self) -> bool {
        self.head.is_backup
    }

    /// The same content in an order of its own: what is restored forks from what came after the archive was taken.
    #[must_use]
    pub fn forked(mut self) -> Self {
        self.head.lineage = Lineage(*uuid::Uuid::new_v4().as_bytes());
        self
    }

    /// The same, to be served in place of a store that cannot be: every write is refused for this reason.
    #[must_use]
    pub fn served_because(mut self, reason: impl Into<String>) -> Self {
        self.refusal = reason.into();
        self
    }

    /// A content without history, at the revision it has, in an order of its own.
    #[must_use]
    pub fn of_content(snapshot: &tyrscale_model::Snapshot, taken: UnixMillis) -> Self {
        let resources = snapshot.iter();
        let resources = resources.map(|(key, entry)| (key.clone(), Image::of(entry)));
        Self {
            path: PathBuf::new(),
            head: ArchiveHead {
                lineage: snapshot.lineage(),
                revision: snapshot.revision(),
                floor: snapshot.revision(),
                floor_hashes: snapshot.hashes(),
                taken,
                is_backup: false,
            },
            resources: resources.collect(),
            log: BTreeMap::new(),
            documents: BTreeMap::new(),
            refusal: ARCHIVED.to_owned(),
        }
        .forked()
    }
}

const ARCHIVED: &str = "it is an archive";

impl Engine for Archive {
    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn refusal(&self) -> Option<String> {
        Some(self.refusal.clone())
    }

    fn load(&self) -> Result<Loaded, EngineError> {
        let entries = self.resources.iter().map(|(key, image)| {
            let entry = image.clone().into_entry(key);
            entry.ok_or_else(|| EngineError::Damaged(format!("{key} is no resource of its kind")))
        });
        Ok(Loaded {
            lineage: self.head.lineage,
            head: self.head.revision,
            floor: self.head.floor,
            floor_hashes: self.head.floor_hashes,
            entries_at: self.head.revision,
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    fn head(&self) -> Result<Revision, EngineError> {
        Ok(self.head.revision)
    }

    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        let mut records = Vec::new();
        let mut next = first;
        while next <= last {
            let record = self
                .log
                .get(&next)
                .and_then(|parts| LogRecord::decode(next, parts));
            let hole = || EngineError::Damaged(format!("the log has no whole revision {next}"));
            records.push(record.ok_or_else(hole)?);
            next = next.next();
        }
        Ok(records)
    }

    fn append(&self, _append: &Append<'_>) -> Result<Appended, EngineError> {
        Err(EngineError::Unavailable(self.refusal.clone()))
    }

    fn flush(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn recover(&self) -> Result<(), EngineError> {
        Err(EngineError::Unavailable(self.refusal.clone()))
    }

    fn wait_head(&self, _after: Revision) -> Result<Option<Revision>, EngineError> {
        Ok(None)
    }

    fn compact(&self, _floor: Revision, _hashes: &KindHashes) -> Result<(), EngineError> {
        Err(EngineError::Unavailable(self.refusal.clone()))
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        let found = self.documents.get(&(table, key.to_owned()));
        Ok(found.map(|(stamp, value)| Document {
            key: key.to_owned(),
            stamp: *stamp,
            value: value.clone(),
        }))
    }

    fn documents(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError> {
        let first = Bound::Included((table, prefix.max(after).to_owned()));
        let found = self
            .documents
            .range((first, Bound::Unbounded))
            .take_while(|((of, key), _)| *of == table && key.starts_with(prefix))
            .filter(|((_, key), _)| key.as_str() > after)
            .take(limit);
        let found = found.map(|((_, key), (stamp, value))| Document {
            key: key.clone(),
            stamp: *stamp,
            value: value.clone(),
        });
        Ok(found.collect())
    }
}
