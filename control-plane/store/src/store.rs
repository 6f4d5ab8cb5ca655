//! The handle that services hold.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot, watch};
use tyrscale_model::{Change, ChangeSet, Policy, Rejection, Snapshot, apply};

use crate::{
    head::{Head, Step},
    open::open,
    writer::{Command, Plan, now, spawn_writer},
};

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How many revisions the history keeps, at least 1.
    pub history: usize,
    /// How much sled may cache, in bytes.
    pub cache_bytes: u64,
    /// What the rules depend on besides the configuration.
    pub policy: Policy,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            history: 10_000,
            cache_bytes: 64 * 1024 * 1024,
            policy: Policy::default(),
        }
    }
}

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
    pub(crate) fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            message: error.to_string(),
        }
    }
}

/// A change that is durable, or would be.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The state after it.
    pub head: Arc<Head>,
    /// What changed; empty when the content was there already and no revision was made.
    pub changes: Vec<Change>,
}

/// A handle to the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    commands: mpsc::Sender<Command>,
    head: watch::Receiver<Arc<Head>>,
    failure: watch::Receiver<Option<String>>,
    policy: Arc<Policy>,
}

impl Store {
    /// Opens the store in a directory, or creates it, and proves its content.
    ///
    /// # Errors
    /// [`StoreError`] when it is locked, damaged, of a newer format, or the disk refuses. A damaged store is
    /// left as it is.
    pub async fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let dir = dir.to_owned();
        let policy = Arc::new(options.policy.clone());
        let opening =
            tokio::task::spawn_blocking(move || open(&dir, &options).map(|opened| (opened, options)));
        let (opened, options) = opening
            .await
            .map_err(|error| StoreError::Unavailable(format!("opening failed: {error}")))??;
        let (commands, head, failure) = spawn_writer(opened, options);
        Ok(Self {
            commands,
            head,
            failure,
            policy,
        })
    }

    /// The newest durable state.
    #[must_use]
    pub fn head(&self) -> Arc<Head> {
        self.head.borrow().clone()
    }

    /// Tells of each new durable state; a slow reader sees the newest only.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Head>> {
        self.head.clone()
    }

    /// Runs a plan on the writer against the newest snapshot and commits the change set it makes. Once this
    /// returns the change is durable and published. Dropping the future does not take the change back.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] with the plan's or the rules' violations, [`StoreError::Unavailable`] when the
    /// store takes no writes.
    pub async fn commit<P>(&self, plan: P) -> Result<Committed, StoreError>
    where
        P: FnOnce(&Snapshot) -> Result<ChangeSet, Rejection> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let plan: Plan = Box::new(plan);
        let closed = || StoreError::Unavailable("it is closed".into());
        self.commands
            .send(Command::Commit { plan, answer })
            .await
            .map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// What a commit of the change set would do now, without doing it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn dry_run(&self, change_set: &ChangeSet) -> Result<Committed, StoreError> {
        let head = self.head();
        let applied = apply(&head.snapshot, change_set, &self.policy, now())?;
        if applied.changes.is_empty() {
            return Ok(Committed {
                head,
                changes: applied.changes,
            });
        }
        let mut history = head.history.clone();
        let step = Step::of(&applied.changes, &applied.snapshot);
        history.push(applied.snapshot.revision(), step);
        let head = Arc::new(Head {
            snapshot: applied.snapshot,
            history,
        });
        Ok(Committed {
            head,
            changes: applied.changes,
        })
    }

    /// Whether writes are taken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason.
    pub fn is_ready(&self) -> Result<(), StoreError> {
        let failure = self.failure.borrow().clone();
        match failure {
            Some(reason) => Err(StoreError::Unavailable(reason)),
            None if self.commands.is_closed() => Err(StoreError::Unavailable("it is closed".into())),
            None => Ok(()),
        }
    }

    /// Finishes what waits, flushes and releases the directory. Later commits are
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Close { answer }).await.is_ok() {
            // The writer is gone either way; a failed flush was logged there.
            answered.await.ok();
        }
    }
}
