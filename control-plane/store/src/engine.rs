//! What a database must do to hold the store: keep a log, the rows at its end, and small documents.
//!
//! The log is the truth: each record says what one revision did, with what every resource was before and after.
//! Rows are the log applied, kept so that a start need not replay it.

use std::fmt;

use bytes::Bytes;
use tyrscale_model::{Entry, KindHashes, Lineage, Revision};

use crate::{log::LogRecord, table::Table};

/// What an engine holds when it is opened.
#[derive(Debug)]
pub struct Loaded {
    /// Whose order the revisions are in.
    pub lineage: Lineage,
    /// The newest revision of the log.
    pub head: Revision,
    /// The oldest revision whose content can be had: the log has a record of each one above it.
    pub floor: Revision,
    /// The hashes of the content at the floor.
    pub floor_hashes: KindHashes,
    /// The revision that `entries` are of, from the floor to the head.
    pub entries_at: Revision,
    /// The resources at that revision.
    pub entries: Vec<Entry>,
}

/// When a document was last written: a number that only rises. 0 stands for a document that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(pub u64);

/// A document as it is stored. `Debug` leaves the value out, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name within its table.
    pub key: String,
    /// When it was last written.
    pub stamp: Stamp,
    /// What its table makes of it.
    pub value: Bytes,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("key", &self.key)
            .field("stamp", &self.stamp)
            .finish_non_exhaustive()
    }
}

/// A document to be written or removed.
#[derive(Clone, PartialEq, Eq)]
pub struct DocumentWrite {
    /// The table.
    pub table: Table,
    /// The name within the table.
    pub key: String,
    /// The value; `None` removes the document.
    pub value: Option<Bytes>,
    /// When given, the stamp the document must have now; [`Stamp`] 0 for one that must not be there.
    pub expected: Option<Stamp>,
}

impl fmt::Debug for DocumentWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DocumentWrite")
            .field("table", &self.table)
            .field("key", &self.key)
            .field("expected", &self.expected)
            .finish_non_exhaustive()
    }
}

/// What is written at once, all or nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Append<'a> {
    /// The next revision, one above the engine's head.
    pub record: Option<&'a LogRecord>,
    /// Documents that change with it.
    pub documents: &'a [DocumentWrite],
}

/// What became of an [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Appended {
    /// It is written, and durable after the next [`Engine::flush`]; with the stamp of its documents.
    Written(Stamp),
    /// Another writer was faster: the head is this one. Nothing was written.
    HeadMoved(Revision),
    /// A document has another stamp than expected. Nothing was written.
    DocumentMoved {
        /// Its table.
        table: Table,
        /// Its key.
        key: String,
    },
}

/// Why an engine did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// What it holds does not prove itself.
    #[error("is damaged: {0}")]
    Damaged(String),
    /// It cannot be reached, or the disk refuses. Whether a write took place is not known.
    #[error("{0}")]
    Unavailable(String),
    /// There is no room where it writes. Whether a write took place is not known.
    #[error("{0}")]
    Full(String),
}

/// A database that holds a store. Calls block; they come from threads that may wait. One thread writes.
pub trait Engine: fmt::Debug + Send + Sync + 'static {
    /// Where it is, for messages.
    fn place(&self) -> String;

    /// Whether other processes may write to it, too.
    fn is_shared(&self) -> bool {
        false
    }

    /// Why it takes no writes at all, if it takes none.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// Reads where the log stands, and the resources.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when a row does not prove itself.
    fn load(&self) -> Result<Loaded, EngineError>;

    /// The newest revision of the log.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn head(&self) -> Result<Revision, EngineError>;

    /// The records from `first` to `last`, both above the floor, in order.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when one is missing.
    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError>;

    /// Writes a revision, documents or both.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: what was written is not known.
    fn append(&self, append: &Append<'_>) -> Result<Appended, EngineError>;

    /// Once this returns, everything appended is durable.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: what is durable is not known.
    fn flush(&self) -> Result<(), EngineError>;

    /// After a failed write: whether writes may be tried again. What the failed one did shows in the log then.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] while they may not.
    fn recover(&self) -> Result<(), EngineError>;

    /// Waits for a head above `after` that another process wrote; `None` when no other process can write.
    /// Returns with the head as it is after a bounded time.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]; the caller tries again.
    fn wait_head(&self, after: Revision) -> Result<Option<Revision>, EngineError>;

    /// Forgets the log up to `floor`, whose content has these hashes. A crash between leaves garbage, not holes.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    fn compact(&self, floor: Revision, hashes: &KindHashes) -> Result<(), EngineError>;

    /// A document, if it is there.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when it does not prove itself.
    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError>;

    /// The first `limit` documents whose keys begin with `prefix` and come after `after`, in the order of keys.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when one does not prove itself.
    fn documents(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError>;
}
