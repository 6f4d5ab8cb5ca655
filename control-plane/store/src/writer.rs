//! The one thread that writes.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};
use tyrscale_model::{Change, ChangeSet, Rejection, Snapshot, UnixMillis, apply};

use crate::{
    head::{Head, Step},
    open::Opened,
    record::{HeadRecord, RevisionRecord},
    rows::{Write, hashes_to_bytes, touch},
    store::{Committed, StoreError, StoreOptions},
};

/// How many commits share one flush.
const GROUP: usize = 64;
/// How often and how long to wait for sled to let go of the database.
const RELEASE_LOOKS: u32 = 500;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);
/// How many commits may wait.
const QUEUE: usize = 1024;

pub(crate) type Plan = Box<dyn FnOnce(&Snapshot) -> Result<ChangeSet, Rejection> + Send>;
type Answer = oneshot::Sender<Result<Committed, StoreError>>;

pub(crate) enum Command {
    Commit { plan: Plan, answer: Answer },
    Close { answer: oneshot::Sender<()> },
}

impl Step {
    pub(crate) fn of(changes: &[Change], snapshot: &Snapshot) -> Self {
        Self {
            keys: changes.iter().map(|change| change.key.clone()).collect(),
            hashes: snapshot.hashes(),
        }
    }
}

type Channels = (
    mpsc::Sender<Command>,
    watch::Receiver<Arc<Head>>,
    watch::Receiver<Option<String>>,
);

/// Starts the writer thread over an open store; it ends when it is closed or every handle is gone.
pub(crate) fn spawn_writer(opened: Opened, options: StoreOptions) -> Channels {
    let (commands, inbox) = mpsc::channel(QUEUE);
    let (published, head) = watch::channel(Arc::new(opened.head.clone()));
    let (failing, failure) = watch::channel(None);
    let writer = Writer {
        head: opened.head.clone(),
        record: opened.record.clone(),
        opened,
        options,
        published,
        failing,
    };
    let spawned = std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || writer.run(inbox));
    if let Err(error) = spawned {
        // The inbox went with the closure, so every commit answers that the store is closed.
        error!(%error, "store writer thread cannot be started");
    }
    (commands, head, failure)
}

struct Writer {
    opened: Opened,
    options: StoreOptions,
    /// The state after the last transaction, durable or about to be.
    head: Head,
    record: HeadRecord,
    published: watch::Sender<Arc<Head>>,
    failing: watch::Sender<Option<String>>,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut waiting = Vec::with_capacity(GROUP);
        let mut closing = None;
        while closing.is_none() && inbox.blocking_recv_many(&mut waiting, GROUP) > 0 {
            let mut plans = Vec::with_capacity(waiting.len());
            for command in waiting.drain(..) {
                match command {
                    Command::Commit { plan, answer } => plans.push((plan, answer)),
                    Command::Close { answer } => closing = Some(answer),
                }
            }
            self.commit_group(plans);
        }
        inbox.close();
        if let Err(error) = self.opened.db.flush() {
            error!(%error, "store flush at close failed");
        }
        let database = self.opened.files.database_path();
        drop(self);
        wait_for_release(&database);
        if let Some(answer) = closing {
            // Nobody may be waiting any more.
            answer.send(()).ok();
        }
    }

    /// Writes each change as its own transaction, makes all of them durable at once, then publishes and answers.
    fn commit_group(&mut self, plans: Vec<(Plan, Answer)>) {
        let mut settled = Vec::with_capacity(plans.len());
        let mut dirty = false;
        for (plan, answer) in plans {
            let outcome = self.write(plan);
            dirty |= outcome
                .as_ref()
                .is_ok_and(|committed| !committed.changes.is_empty());
            settled.push((outcome, answer));
        }
        let durable = if dirty { self.make_durable() } else { Ok(()) };
        match &durable {
            Ok(()) if dirty => {
                self.published.send_replace(Arc::new(self.head.clone()));
            }
            Ok(()) => {}
            Err(reason) => self.fail(reason.clone()),
        }
        for (outcome, answer) in settled {
            let outcome = match (&durable, outcome) {
                (Err(reason), Ok(_)) => Err(StoreError::Unavailable(reason.clone())),
                (_, outcome) => outcome,
            };
            // A caller that went away does not take its change back.
            answer.send(outcome).ok();
        }
    }

    fn write(&mut self, plan: Plan) -> Result<Committed, StoreError> {
        let failure = self.failing.borrow().clone();
        if let Some(reason) = failure {
            return Err(StoreError::Unavailable(reason));
        }
        let planned = catch_unwind(AssertUnwindSafe(|| plan(&self.head.snapshot)));
        let change_set =
            planned.map_err(|_| StoreError::Unavailable("the change could not be planned".into()))??;
        let now = now();
        let applied = apply(&self.head.snapshot, &change_set, &self.options.policy, now)?;
        if applied.changes.is_empty() {
            return Ok(Committed {
                head: Arc::new(self.head.clone()),
                changes: applied.changes,
            });
        }
        let step = Step::of(&applied.changes, &applied.snapshot);
        let revision = RevisionRecord {
            time_ms: now.0,
            author: change_set.author,
            message: change_set.message,
            touched: applied.changes.iter().map(touch).collect(),
            hashes: hashes_to_bytes(&step.hashes),
        };
        let mut history = self.head.history.clone();
        history.push(applied.snapshot.revision(), step);
        let log_start = history.oldest().unwrap_or_default().0;
        let record = HeadRecord {
            revision: applied.snapshot.revision().0,
            hashes: revision.hashes.clone(),
            log_start,
            ..self.record.clone()
        };
        let write = Write {
            head: &record,
            revision: &revision,
            changes: &applied.changes,
            dropped: self.record.log_start..log_start,
        };
        if let Err(error) = self.opened.rows.write(&write) {
            self.fail(error.to_string());
            return Err(StoreError::Unavailable(error.to_string()));
        }
        self.record = record;
        self.head = Head {
            snapshot: applied.snapshot,
            history,
        };
        Ok(Committed {
            head: Arc::new(self.head.clone()),
            changes: applied.changes,
        })
    }

    fn make_durable(&mut self) -> Result<(), String> {
        self.opened.db.flush().map_err(|error| error.to_string())?;
        self.opened.files.sync().map_err(|error| error.to_string())
    }

    /// What reached the disk is unknown now, so no further write is taken until the store is opened again.
    fn fail(&self, reason: String) {
        error!(
            reason,
            "store write failed; no further writes are taken until it is opened again"
        );
        self.failing.send_replace(Some(reason));
    }
}

/// sled's background threads keep the lock on the database for a moment after the last handle is gone.
#[expect(
    clippy::disallowed_methods,
    reason = "the writer's own thread, which has nothing else to do"
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

/// The wall clock, read where a change happens and nowhere else.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
