//! The store as its users see it.

use std::{
    path::Path,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tyrscale_model::{ChangeSet, Policy, Rejection, Revision, Snapshot};

use crate::{
    answers::RequestId,
    committed::{Committed, Outcome},
    documents::{self, Documents},
    engine::{DocumentWrite, Engine, EngineError, Stamp},
    error::StoreError,
    head::Head,
    load::load,
    log::LogRecord,
    past::{self, Past},
    pins::{Pin, Pins},
    retention::Retention,
    sled_engine::SledEngine,
    table::Table,
    writer::{Beside, Channels, Command, Commit, Encode, Plan, now, spawn_writer},
};

/// How a store is kept.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// How much history is kept.
    pub retention: Retention,
    /// How much sled may cache, in bytes: little, as the newest content is in memory and what rests is read in passing.
    pub cache_bytes: u64,
    /// What the rules depend on besides the configuration.
    pub policy: Policy,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            cache_bytes: 16 * 1024 * 1024,
            policy: Policy::default(),
        }
    }
}

/// A handle to the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) commands: mpsc::Sender<Command>,
    head: watch::Receiver<Arc<Head>>,
    failure: watch::Receiver<Option<EngineError>>,
    /// The writer owns the engine, so that closing releases it.
    engine: Weak<dyn Engine>,
    past: Arc<Past>,
    pub(crate) pins: Pins,
    policy: Arc<Policy>,
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".into())
}

impl Store {
    /// Opens the store in a directory, or creates it, and proves its content.
    ///
    /// # Errors
    /// [`StoreError`] when it is locked, damaged, of a newer format, or the disk refuses. A damaged store is
    /// not mended.
    pub async fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let (dir, cache_bytes) = (dir.to_owned(), options.cache_bytes);
        let opening = tokio::task::spawn_blocking(move || SledEngine::open(&dir, cache_bytes));
        let engine = opening
            .await
            .map_err(|error| StoreError::Unavailable(format!("opening failed: {error}")))??;
        Self::over(Arc::new(engine), options).await
    }

    /// Opens the store in an etcd cluster, or creates it, and proves its content.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no member answers or the options break a rule; [`StoreError::Damaged`].
    #[cfg(feature = "etcd")]
    pub async fn open_etcd(etcd: crate::EtcdOptions, options: StoreOptions) -> Result<Self, StoreError> {
        let opening = tokio::task::spawn_blocking(move || {
            let opened = crate::etcd_engine::EtcdEngine::open(&etcd);
            opened.map_err(|error| StoreError::of_etcd(&etcd, error))
        });
        let engine = opening
            .await
            .map_err(|error| StoreError::Unavailable(format!("opening failed: {error}")))??;
        Self::over(Arc::new(engine), options).await
    }

    /// The store that an engine holds, its content proved.
    ///
    /// # Errors
    /// [`StoreError`] when it is damaged or cannot be read.
    pub async fn over(engine: Arc<dyn Engine>, options: StoreOptions) -> Result<Self, StoreError> {
        let policy = Arc::new(options.policy.clone());
        let pins = Pins::default();
        let writers_pins = pins.clone();
        let loading = tokio::task::spawn_blocking(move || {
            let head = load(&*engine).map_err(|error| StoreError::of_engine(&*engine, error))?;
            let weak = Arc::downgrade(&engine);
            Ok::<_, StoreError>((weak, spawn_writer(engine, head, writers_pins, options)))
        });
        let (engine, channels) = loading
            .await
            .map_err(|error| StoreError::Unavailable(format!("opening failed: {error}")))??;
        let Channels {
            commands,
            head,
            failure,
        } = channels;
        Ok(Self {
            commands,
            head,
            failure,
            engine,
            past: Arc::default(),
            pins,
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
    /// returns the change is durable and published. Dropping the future does not take the change back. The plan
    /// runs again when another process wrote meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] with the plan's or the rules' violations, [`StoreError::Unavailable`] when the
    /// store takes no writes.
    pub async fn commit<P, C>(&self, plan: P) -> Result<Committed, StoreError>
    where
        P: Fn(&Snapshot) -> Result<C, Rejection> + Send + 'static,
        C: Into<Arc<ChangeSet>>,
    {
        match self.send_commit(boxed(plan), None, None).await? {
            Outcome::Done(committed) => Ok(committed),
            Outcome::Repeated(_) => Err(StoreError::Unavailable(
                "a request without id was repeated".into(),
            )),
        }
    }

    /// As [`Store::commit`], once per request id: for 24 hours, restarts included, the same request gets what
    /// `encode` made of the first outcome.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`StoreError::Rejected`] also when the id was used for another request.
    pub async fn commit_once<P, C, E>(
        &self,
        request: RequestId,
        plan: P,
        encode: E,
    ) -> Result<Outcome, StoreError>
    where
        P: Fn(&Snapshot) -> Result<C, Rejection> + Send + 'static,
        C: Into<Arc<ChangeSet>>,
        E: Fn(&Committed) -> Bytes + Send + 'static,
    {
        self.send_commit(boxed(plan), Some((request, Box::new(encode))), None)
            .await
    }

    /// As [`Store::commit`], together with the documents that `beside` makes of it: all or nothing. They are written
    /// even when the change changes nothing.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`StoreError::DocumentMoved`] when a document is not what was expected.
    pub async fn commit_beside<P, C, D>(&self, plan: P, beside: D) -> Result<Committed, StoreError>
    where
        P: Fn(&Snapshot) -> Result<C, Rejection> + Send + 'static,
        C: Into<Arc<ChangeSet>>,
        D: Fn(&Committed) -> Vec<DocumentWrite> + Send + 'static,
    {
        match self
            .send_commit(boxed(plan), None, Some(Box::new(beside)))
            .await?
        {
            Outcome::Done(committed) => Ok(committed),
            Outcome::Repeated(_) => Err(StoreError::Unavailable(
                "a request without id was repeated".into(),
            )),
        }
    }

    /// Whether other processes may write to it, too. A closed one is not.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine.upgrade().is_some_and(|engine| engine.is_shared())
    }

    async fn send_commit(
        &self,
        plan: Plan,
        once: Option<(RequestId, Encode)>,
        beside: Option<Beside>,
    ) -> Result<Outcome, StoreError> {
        let (answer, answered) = oneshot::channel();
        let commit = Commit {
            plan,
            once,
            beside,
            answer,
        };
        let sent = self.commands.send(Command::Commit(commit)).await;
        sent.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// What the rules depend on besides the configuration.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy)
    }

    /// What a commit of the change set would do now, without doing it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn dry_run(&self, change_set: &ChangeSet) -> Result<Committed, StoreError> {
        let (committed, _) = Committed::of(&self.head(), change_set, &self.policy, now())?;
        Ok(committed)
    }

    /// Whether the content of a revision can be had: its head is in memory, others rest in the log.
    ///
    /// # Errors
    /// [`StoreError::UnknownRevision`], [`StoreError::Compacted`].
    pub(crate) fn find(&self, revision: Revision) -> Result<Arc<Head>, StoreError> {
        let head = self.head();
        let (floor, newest) = (head.history.floor(), head.snapshot.revision());
        if revision > newest {
            return Err(StoreError::UnknownRevision {
                revision,
                head: newest,
            });
        }
        if revision < floor {
            return Err(StoreError::Compacted { revision, floor });
        }
        Ok(head)
    }

    /// The content of a revision: the newest one with what came after undone, proved by its hashes.
    ///
    /// # Errors
    /// [`StoreError::UnknownRevision`], [`StoreError::Compacted`], [`StoreError::Damaged`].
    pub async fn at(&self, revision: Revision) -> Result<Snapshot, StoreError> {
        let _pin = self.pin(revision);
        let head = self.find(revision)?;
        if revision == head.snapshot.revision() {
            return Ok(head.snapshot.clone());
        }
        if let Some(kept) = self.past.get(revision) {
            return Ok(kept);
        }
        let later = self.past.nearest(&head, revision);
        let rewinding = move |engine: &dyn Engine| past::rewind(engine, &head.history, &later, revision);
        let earlier = self.read(rewinding).await?;
        self.past.keep(earlier.clone());
        Ok(earlier)
    }

    /// The records of revisions `first` to `last`, with contents.
    ///
    /// # Errors
    /// [`StoreError::UnknownRevision`], [`StoreError::Compacted`], [`StoreError::Damaged`].
    pub async fn log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, StoreError> {
        let before = Revision(first.0.saturating_sub(1));
        let _pin = self.pin(before);
        self.find(last)?;
        self.find(before)?;
        self.read(move |engine| engine.read_log(first.max(Revision(1)), last))
            .await
    }

    /// Keeps the content of a revision, and what came after it, while the pin lives.
    #[must_use]
    pub fn pin(&self, revision: Revision) -> Pin {
        self.pins.pin(revision)
    }

    /// The documents of a table.
    #[must_use]
    pub fn documents(&self, table: Table) -> Documents {
        Documents::new(self.clone(), table)
    }

    /// Writes and removes documents, all or nothing. Once this returns it is durable.
    ///
    /// # Errors
    /// [`StoreError::DocumentMoved`] when one has another stamp than expected, [`StoreError::BadDocument`],
    /// [`StoreError::Unavailable`].
    pub async fn write_documents(&self, writes: Vec<DocumentWrite>) -> Result<Stamp, StoreError> {
        writes.iter().try_for_each(documents::check)?;
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Documents { writes, answer }).await;
        sent.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// The engine, unless the store is closed.
    pub(crate) fn engine(&self) -> Result<Arc<dyn Engine>, StoreError> {
        self.engine.upgrade().ok_or_else(closed)
    }

    /// Looks at the engine and the durable head while nothing is written.
    pub(crate) async fn inspect<T, L>(&self, look: L) -> Result<T, StoreError>
    where
        T: Send + 'static,
        L: FnOnce(&dyn Engine, &Head) -> Result<T, EngineError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let look = move |engine: &dyn Engine, head: &Head| {
            let found = look(engine, head).map_err(|error| StoreError::of_engine(engine, error));
            // Nobody may be waiting any more.
            answer.send(found).ok();
        };
        let sent = self.commands.send(Command::Inspect(Box::new(look))).await;
        sent.map_err(|_| closed())?;
        answered.await.map_err(|_| closed())?
    }

    /// Reads from the engine on a thread that may wait.
    pub(crate) async fn read<T, R>(&self, read: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: FnOnce(&dyn Engine) -> Result<T, EngineError> + Send + 'static,
    {
        let engine = self.engine()?;
        let reading = tokio::task::spawn_blocking(move || {
            read(&*engine).map_err(|error| StoreError::of_engine(&*engine, error))
        });
        reading
            .await
            .map_err(|error| StoreError::Unavailable(format!("reading failed: {error}")))?
    }

    /// Whether writes are taken.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] or [`StoreError::Full`], with the reason.
    pub fn is_ready(&self) -> Result<(), StoreError> {
        let failure = self.failure.borrow().clone();
        match failure {
            Some(reason) => Err(StoreError::of_failure(reason)),
            None if self.commands.is_closed() => Err(closed()),
            None => Ok(()),
        }
    }

    /// Finishes what waits, flushes and releases the engine. Later commits are [`StoreError::Unavailable`].
    pub async fn close(&self) {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Close { answer }).await.is_ok() {
            // The writer is gone either way; a failed flush was logged there.
            answered.await.ok();
        }
    }
}

fn boxed<P, C>(plan: P) -> Plan
where
    P: Fn(&Snapshot) -> Result<C, Rejection> + Send + 'static,
    C: Into<Arc<ChangeSet>>,
{
    Box::new(move |snapshot| plan(snapshot).map(Into::into))
}
