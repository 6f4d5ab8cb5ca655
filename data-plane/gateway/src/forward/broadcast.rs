//! A transaction sent to several upstreams at once.
//!
//! The first that takes it is told to the client; the others get it all the same, each once, also when the client
//! has left meanwhile: the first may not be the one that spreads it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderName;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tyrscale_http1::{Fields, Timer};
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::{Class, Expect, Limits, Method, Packet, RawId, Replay};

use super::round::{Ending, Lineup, Round, Told};
use crate::attempt::Attempt;
use crate::config::Settings;
use crate::endpoint::Endpoint;
use crate::headers::Peer;
use crate::metrics::UnderWay;
use crate::pool::{Use, Worker};
use crate::shedding::Load;
use crate::subject::Subject;
use crate::trace::Event;
use crate::upstream::{Place, Question, Reply, Time, ask};

/// Most that are under way; a transaction beyond them goes to one upstream after the other.
const MOST: usize = 1024;

/// The broadcasts under way.
#[derive(Debug)]
pub(crate) struct Broadcasts {
    tasks: TaskTracker,
    room: Arc<Semaphore>,
    settings: Arc<Settings>,
}

impl Broadcasts {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            tasks: TaskTracker::new(),
            room: Arc::new(Semaphore::new(MOST)),
            settings: Arc::new(settings.clone()),
        }
    }

    /// Waits until none is under way.
    pub(crate) async fn finished(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// One broadcast, which outlives the client's request.
struct Broadcast {
    question: Kept,
    worker: Worker,
    settings: Arc<Settings>,
    broadcasts: Arc<Broadcasts>,
    load: Arc<Load>,
    time: Time,
    told: mpsc::Sender<Told>,
    _counted: UnderWay,
    _room: OwnedSemaphorePermit,
}

/// A question without anything borrowed from the client's request.
struct Kept {
    fields: Fields,
    peer: Peer,
    forwarded: Vec<HeaderName>,
    accepted: &'static str,
    query: Option<String>,
    traceparent: Option<String>,
    body: Bytes,
    expect: Expect,
    id: Option<Bytes>,
    method: &'static Method,
    replay: Replay,
}

/// Sends the question to up to `width` upstreams at once. The first that takes it is told, else an error of the
/// transaction's own.
pub(super) async fn broadcast(mut round: Round<'_, '_, '_>, width: usize, place: &Place<'_>) -> Ending {
    let broadcasts = place.broadcasts;
    let Ok(room) = Arc::clone(&broadcasts.room).try_acquire_owned() else {
        return Ending::GoOn;
    };
    let Some(Lineup { attempts, time }) = round.line_up(width, place.settings) else {
        return Ending::GoOn;
    };
    let mut left = attempts.len();
    // Each tells once, so that nobody waits to tell.
    let (told, mut telling) = mpsc::channel(left);
    let broadcast = Broadcast {
        question: Kept::new(round.question),
        worker: place.worker,
        settings: Arc::clone(&broadcasts.settings),
        broadcasts: Arc::clone(broadcasts),
        load: Arc::clone(place.load),
        time,
        told,
        _counted: UnderWay::begin(&round.route.stats, |stats| &stats.broadcasts),
        _room: room,
    };
    drop(broadcasts.tasks.spawn(broadcast.run(attempts)));
    let mut ending = Ending::GoOn;
    let mut refused: Option<(Arc<Endpoint>, Reply)> = None;
    while let Some(told) = telling.recv().await {
        left = left.saturating_sub(1);
        match told.outcome {
            Ok(reply) => match reply.refusal {
                None => return round.answered(&told.endpoint, reply),
                Some(class) => {
                    let upstream = told.endpoint.spec().upstream_id;
                    round.journal.note(upstream, Event::Failed(class.name()));
                    if refused.as_ref().is_none_or(|(_, held)| says_less(held)) {
                        refused = Some((told.endpoint, reply));
                    }
                }
            },
            Err(failure) => ending = round.failed(told.position, &told.endpoint, failure, left == 0),
        }
    }
    match refused {
        Some((endpoint, reply)) => round.answered(&endpoint, reply),
        None => ending,
    }
}

/// Whether another error tells more: one with this nonce may be the very transaction.
fn says_less(refusal: &Reply) -> bool {
    refusal.refusal == Some(Class::NonceTooLow)
}

impl Broadcast {
    async fn run(self, attempts: Vec<(Attempt, usize)>) {
        let Self { question, told, .. } = &self;
        let limits = Limits::default();
        let Ok(Packet::Single(call)) = parse(&question.body, &limits) else {
            return;
        };
        let question = question.question(Subject::of(std::iter::once(&call)));
        let asked = attempts.into_iter().map(async |(attempt, position)| {
            let endpoint = Arc::clone(attempt.endpoint());
            let upstream = endpoint.spec().upstream_id;
            let mut place = Place {
                worker: self.worker,
                settings: &self.settings,
                broadcasts: &self.broadcasts,
                load: &self.load,
                timer: &mut Timer::new(),
            };
            let outcome = ask(attempt, &question, Use::IdleOrNew, self.time, &mut place).await;
            let outcome = Told {
                position,
                endpoint,
                outcome,
            };
            if told.send(outcome).await.is_err() {
                tracing::debug!(upstream.id = %upstream, "broadcast ended after its client had its answer");
            }
        });
        join_all(asked).await;
    }
}

impl Kept {
    fn new(question: &Question<'_>) -> Self {
        Self {
            fields: question.fields.clone(),
            peer: question.peer.clone(),
            forwarded: question.forwarded.to_vec(),
            accepted: question.accepted,
            query: question.query.map(str::to_owned),
            traceparent: question.traceparent.clone(),
            body: question.body.clone(),
            expect: question.expect,
            id: question.id.map(|id| Bytes::copy_from_slice(id.as_bytes())),
            method: question.method,
            replay: question.replay,
        }
    }

    fn question<'q>(&'q self, subject: Subject<'q>) -> Question<'q> {
        Question {
            fields: &self.fields,
            peer: &self.peer,
            forwarded: &self.forwarded,
            accepted: self.accepted,
            query: self.query.as_deref(),
            traceparent: self.traceparent.clone(),
            body: self.body.clone(),
            receipts: None,
            expect: self.expect,
            id: self.id.as_deref().and_then(RawId::parse),
            method: self.method,
            replay: self.replay,
            subject,
        }
    }
}
