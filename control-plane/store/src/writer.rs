//! The one thread that writes.

mod recovering;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, warn};
use tyrscale_model::{ChangeSet, Rejection, Revision, Snapshot, UnixMillis};

use crate::{
    answers::{self, Known, RequestId, Sweep},
    committed::{Committed, Outcome},
    engine::{Append, Appended, DocumentWrite, Engine, EngineError, Stamp},
    error::StoreError,
    follower::spawn_follower,
    head::Head,
    load::{CHUNK, replay},
    log::LogRecord,
    pins::Pins,
    store::StoreOptions,
    tags,
};

/// How many writes share one flush.
const GROUP: usize = 64;
/// How many writes may wait.
const QUEUE: usize = 1024;
/// How often a change is planned anew because another process was faster.
const MAX_RACES: u32 = 32;
/// How often and how long to wait for readers to let go of the engine.
const RELEASE_LOOKS: u32 = 500;
const RELEASE_PAUSE: Duration = Duration::from_millis(10);

/// Makes a change of the newest snapshot; runs again when another process was faster.
pub(crate) type Plan = Box<dyn Fn(&Snapshot) -> Result<Arc<ChangeSet>, Rejection> + Send>;
/// What is said to a client, kept for when it asks again.
pub(crate) type Encode = Box<dyn Fn(&Committed) -> Bytes + Send>;
/// Documents that change with a revision, and only as long as they are as expected.
pub(crate) type Beside = Box<dyn Fn(&Committed) -> Vec<DocumentWrite> + Send>;
/// A look at the engine between two writes.
pub(crate) type Inspect = Box<dyn FnOnce(&dyn Engine, &Head) + Send>;
type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

pub(crate) struct Commit {
    pub(crate) plan: Plan,
    pub(crate) once: Option<(RequestId, Encode)>,
    pub(crate) beside: Option<Beside>,
    pub(crate) answer: Answer<Outcome>,
}

pub(crate) enum Command {
    Commit(Commit),
    Documents {
        writes: Vec<DocumentWrite>,
        answer: Answer<Stamp>,
    },
    /// Looks at the engine and the durable head while nothing is written.
    Inspect(Inspect),
    /// Another process wrote.
    CatchUp,
    Close {
        answer: oneshot::Sender<()>,
    },
}

/// An answer that waits for its write to be durable.
type Settle = Box<dyn FnOnce(&Result<(), EngineError>) + Send>;

pub(crate) struct Channels {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) head: watch::Receiver<Arc<Head>>,
    pub(crate) failure: watch::Receiver<Option<EngineError>>,
}

/// Starts the writer thread over an open engine; it ends when it is closed or every handle is gone.
pub(crate) fn spawn_writer(
    engine: Arc<dyn Engine>,
    head: Head,
    pins: Pins,
    options: StoreOptions,
) -> Channels {
    let (commands, inbox) = mpsc::channel(QUEUE);
    let (published, head_seen) = watch::channel(Arc::new(head.clone()));
    let (failing, failure) = watch::channel(engine.refusal().map(EngineError::Unavailable));
    spawn_follower(Arc::downgrade(&engine), head_seen.clone(), commands.downgrade());
    let writer = Writer {
        engine,
        options,
        pins,
        head,
        sweep: Sweep::default(),
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
    Channels {
        commands,
        head: head_seen,
        failure,
    }
}

struct Writer {
    engine: Arc<dyn Engine>,
    options: StoreOptions,
    pins: Pins,
    /// The state after the last write, durable or about to be.
    head: Head,
    sweep: Sweep,
    published: watch::Sender<Arc<Head>>,
    failing: watch::Sender<Option<EngineError>>,
}

impl Writer {
    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        self.compact();
        let mut waiting = Vec::with_capacity(GROUP);
        let mut closing = None;
        while closing.is_none() && inbox.blocking_recv_many(&mut waiting, GROUP) > 0 {
            self.resume_if_failing();
            let mut settling = Vec::with_capacity(waiting.len());
            let mut looking = Vec::new();
            let mut wrote = false;
            for command in waiting.drain(..) {
                match command {
                    Command::Commit(commit) => {
                        let outcome = self.commit(&commit);
                        wrote |= outcome.as_ref().is_ok_and(|(_, wrote)| *wrote);
                        settling.push(settle(outcome.map(|(outcome, _)| outcome), commit.answer));
                    }
                    Command::Documents { writes, answer } => {
                        let outcome = self.write_documents(&writes);
                        wrote |= outcome.is_ok();
                        settling.push(settle(outcome, answer));
                    }
                    Command::Inspect(look) => looking.push(look),
                    Command::CatchUp => self.follow(),
                    Command::Close { answer } => closing = Some(answer),
                }
            }
            self.settle(wrote, settling);
            for look in looking {
                let head = self.published.borrow().clone();
                look(&*self.engine, &head);
            }
        }
        inbox.close();
        if let Err(error) = self.engine.flush() {
            error!(%error, "store flush at close failed");
        }
        release(self.engine);
        if let Some(answer) = closing {
            // Nobody may be waiting any more.
            answer.send(()).ok();
        }
    }

    /// Makes everything durable at once, then publishes and answers.
    fn settle(&mut self, wrote: bool, settling: Vec<Settle>) {
        let durable = if wrote { self.engine.flush() } else { Ok(()) };
        match &durable {
            Ok(()) => {
                let revision = self.head.snapshot.revision();
                if self.published.borrow().snapshot.revision() != revision {
                    self.compact();
                    self.published.send_replace(Arc::new(self.head.clone()));
                }
            }
            Err(reason) => {
                // What is not durable is not to be published by what comes next.
                self.head = Head::clone(&self.published.borrow());
                self.fail(reason.clone());
            }
        }
        for settle in settling {
            settle(&durable);
        }
    }

    /// The outcome, and whether something was written.
    fn commit(&mut self, commit: &Commit) -> Result<(Outcome, bool), StoreError> {
        for _ in 0..MAX_RACES {
            self.writable()?;
            let now = now();
            let known = match &commit.once {
                Some((request, _)) => {
                    let found = answers::look_up(&*self.engine, request, now);
                    Some(found.map_err(|error| self.engine_error(error))??)
                }
                None => None,
            };
            if let Some(Known::Answered(answer)) = known {
                return Ok((Outcome::Repeated(answer), false));
            }
            let planned = self.plan(&commit.plan, now);
            // That it is refused or changes nothing is true only of the newest state, and nothing compares that.
            let is_taken = matches!(&planned, Ok((_, Some(_))));
            if !is_taken && self.was_behind()? {
                continue;
            }
            let (committed, record) = planned?;
            let mut documents = match (&commit.once, known) {
                (Some((request, encode)), Some(Known::New(stamp))) => {
                    let answer = (encode(&committed), now);
                    let writes = answers::remember(&*self.engine, &mut self.sweep, request, stamp, answer);
                    writes.map_err(|error| self.engine_error(error))?
                }
                _ => Vec::new(),
            };
            if let Some(beside) = &commit.beside {
                documents.extend(beside(&committed));
            }
            if record.is_none() && documents.is_empty() {
                return Ok((Outcome::Done(committed), false));
            }
            let append = Append {
                record: record.as_ref(),
                documents: &documents,
            };
            match self.append(&append)? {
                Appended::Written(_) => {
                    self.head = Head::clone(&committed.head);
                    return Ok((Outcome::Done(committed), true));
                }
                Appended::DocumentMoved { table, key } if commit.beside.is_some() => {
                    return Err(StoreError::DocumentMoved { table, key });
                }
                Appended::HeadMoved(_) | Appended::DocumentMoved { .. } => {
                    self.catch_up().map_err(|error| self.engine_error(error))?;
                }
            }
        }
        Err(StoreError::outpaced())
    }

    /// Whether another process wrote meanwhile; that is taken in.
    fn was_behind(&mut self) -> Result<bool, StoreError> {
        if !self.engine.is_shared() {
            return Ok(false);
        }
        let before = self.head.snapshot.revision();
        self.catch_up().map_err(|error| self.engine_error(error))?;
        Ok(self.head.snapshot.revision() != before)
    }

    fn plan(&self, plan: &Plan, now: UnixMillis) -> Result<(Committed, Option<LogRecord>), StoreError> {
        let planned = catch_unwind(AssertUnwindSafe(|| plan(&self.head.snapshot)));
        let change_set =
            planned.map_err(|_| StoreError::Unavailable("the change could not be planned".into()))??;
        Ok(Committed::of(&self.head, &change_set, &self.options.policy, now)?)
    }

    fn write_documents(&mut self, writes: &[DocumentWrite]) -> Result<Stamp, StoreError> {
        self.writable()?;
        let append = Append {
            record: None,
            documents: writes,
        };
        match self.append(&append)? {
            Appended::Written(stamp) => Ok(stamp),
            Appended::DocumentMoved { table, key } => Err(StoreError::DocumentMoved { table, key }),
            Appended::HeadMoved(_) => Err(StoreError::Unavailable("documents have no head".into())),
        }
    }

    fn append(&self, append: &Append<'_>) -> Result<Appended, StoreError> {
        self.engine.append(append).map_err(|error| {
            self.fail(error.clone());
            self.engine_error(error)
        })
    }

    fn follow(&mut self) {
        if let Err(error) = self
            .writable()
            .map_err(|error| error.to_string())
            .and_then(|()| self.catch_up().map_err(|error| error.to_string()))
        {
            warn!(%error, "store cannot read what another process wrote");
        }
    }

    /// Takes in what other processes wrote.
    fn catch_up(&mut self) -> Result<(), EngineError> {
        loop {
            let at = self.head.snapshot.revision();
            let head = match self.engine.head()? {
                head if head <= at => return Ok(()),
                head => head,
            };
            let last = Revision(at.0.saturating_add(CHUNK)).min(head);
            for record in self.engine.read_log(at.next(), last)? {
                self.head.snapshot = replay(&self.head.snapshot, &record)?;
                self.head.history.push(record.summary());
            }
        }
    }

    /// Forgets the oldest revisions when there are too many.
    fn compact(&mut self) {
        if !self.options.retention.is_due(&self.head.history) {
            return;
        }
        let tagged = match tags::oldest(&*self.engine) {
            Ok(tagged) => tagged,
            Err(error) => {
                warn!(%error, "store forgets nothing: its tags cannot be read");
                return;
            }
        };
        let pinned = self.pins.oldest().into_iter().chain(tagged).min();
        let Some(floor) = self.options.retention.floor(&self.head.history, pinned, now()) else {
            return;
        };
        let Some(hashes) = self.head.history.hashes_at(floor) else {
            return;
        };
        match self.engine.compact(floor, &hashes) {
            Ok(()) => self.head.history.compact(floor),
            Err(error) => warn!(%error, "store cannot forget old revisions"),
        }
    }

    fn engine_error(&self, error: EngineError) -> StoreError {
        StoreError::of_engine(&*self.engine, error)
    }
}

fn settle<T: Send + 'static>(outcome: Result<T, StoreError>, answer: Answer<T>) -> Settle {
    Box::new(move |durable| {
        let outcome = match (durable, outcome) {
            (Err(reason), Ok(_)) => Err(StoreError::of_failure(reason.clone())),
            (_, outcome) => outcome,
        };
        // A caller that went away does not take its change back.
        answer.send(outcome).ok();
    })
}

/// Waits for readers to be done, then drops the engine.
#[expect(
    clippy::disallowed_methods,
    reason = "the writer's own thread, which has nothing else to do"
)]
fn release(engine: Arc<dyn Engine>) {
    for _ in 0..RELEASE_LOOKS {
        if Arc::strong_count(&engine) == 1 {
            break;
        }
        std::thread::sleep(RELEASE_PAUSE);
    }
    drop(engine);
}

/// The wall clock, read where a change happens and nowhere else.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
