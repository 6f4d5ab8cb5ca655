//! Why the store did not do what was asked.

use std::{
    io,
    path::{Path, PathBuf},
};

use tyrscale_model::{Rejection, Revision};

use crate::{
    archive::ArchiveError,
    engine::{Engine, EngineError},
    table::Table,
};

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The change breaks rules; nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store takes no writes: it is closed, or a write failed and the disk must be looked at. Nobody is shown
    /// the change; whether the disk has it is known when the store is opened again.
    #[error("store takes no writes: {0}")]
    Unavailable(String),
    /// As [`StoreError::Unavailable`], for want of room on the disk.
    #[error("store takes no writes: {0}")]
    Full(String),
    /// The revision is not there yet.
    #[error("there is no revision {revision}: the configuration is at {head}")]
    UnknownRevision {
        /// Which.
        revision: Revision,
        /// The newest.
        head: Revision,
    },
    /// The revision was forgotten.
    #[error("revision {revision} was compacted: the history begins at {floor}")]
    Compacted {
        /// Which.
        revision: Revision,
        /// The oldest that can be had.
        floor: Revision,
    },
    /// A document was written meanwhile.
    #[error("{table}/{key} is not what was expected")]
    DocumentMoved {
        /// Its table.
        table: Table,
        /// Its key.
        key: String,
    },
    /// A document cannot be stored.
    #[error("a document of {table} cannot be stored: {rule}")]
    BadDocument {
        /// Its table.
        table: Table,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// The content does not prove itself.
    #[error("store {} is damaged: {reason}", path.display())]
    Damaged {
        /// Where it is.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A newer version made it.
    #[error("store {} has format {format}, made by a newer version; this one reads up to {supported}", path.display())]
    NewerFormat {
        /// Where it is.
        path: PathBuf,
        /// Its format.
        format: u32,
        /// The newest format this version reads.
        supported: u32,
    },
    /// Another process has it open.
    #[error("store {} is in use by another process", path.display())]
    Locked {
        /// Where it is.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no store in {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a store in {} already", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// An archive cannot be read or written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The disk refuses.
    #[error("store {}: {message}", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
}

impl StoreError {
    /// Others wrote the same each time it was tried.
    #[must_use]
    pub fn outpaced() -> Self {
        Self::Unavailable("other processes were faster every time".into())
    }

    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }

    /// Of a cluster that could not be opened.
    #[cfg(feature = "etcd")]
    pub(crate) fn of_etcd(etcd: &crate::EtcdOptions, error: EngineError) -> Self {
        match error {
            EngineError::Damaged(reason) => Self::Damaged {
                path: etcd.place().into(),
                reason,
            },
            error => Self::of_failure(error),
        }
    }

    /// Of an engine that takes no writes.
    pub(crate) fn of_failure(failure: EngineError) -> Self {
        match failure {
            EngineError::Full(reason) => Self::Full(reason),
            EngineError::Unavailable(reason) | EngineError::Damaged(reason) => Self::Unavailable(reason),
        }
    }

    pub(crate) fn of_engine(engine: &dyn Engine, error: EngineError) -> Self {
        match error {
            EngineError::Damaged(reason) => Self::Damaged {
                path: engine.place().into(),
                reason,
            },
            EngineError::Unavailable(reason) => Self::Unavailable(reason),
            EngineError::Full(reason) => Self::Full(reason),
        }
    }
}
