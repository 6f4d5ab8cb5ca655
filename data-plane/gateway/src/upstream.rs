//! One request at one upstream: sent, its answer looked at and told from a fault.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, StatusCode};
use tokio::time::Instant;
use tyrscale_http1::{Field, Fields, Name, Timer};
use tyrscale_jsonrpc::{Answer, Class, Expect, Method as RpcMethod, RawId, Replay};

use crate::address::Address;
use crate::attempt::{Attempt, Outcome};
use crate::body::{AnswerBody, Rest};
use crate::config::Settings;
use crate::endpoint::Endpoint;
use crate::forward::Broadcasts;
use crate::headers::{self, Peer};
use crate::pool::{Connection, NoAnswer, Use, Worker};
use crate::receipts::Receipts;
use crate::shedding::Load;
use crate::subject::Subject;

mod judge;
mod look;

pub(crate) use judge::{is_own_word, tells_of_itself};

use judge::judge;
use look::Limits;

/// What is asked of an upstream.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// The client's.
    pub(crate) fields: &'a Fields,
    pub(crate) peer: &'a Peer,
    /// Which of them go to this route's upstreams, though they are held back elsewhere.
    pub(crate) forwarded: &'a [HeaderName],
    /// The content codings an upstream may answer in.
    pub(crate) accepted: &'static str,
    /// The client's query.
    pub(crate) query: Option<&'a str>,
    /// What stands in the place of the client's own.
    pub(crate) traceparent: Option<String>,
    pub(crate) body: Bytes,
    /// The receipts it is about: each upstream is asked for them in its own way, not by `body`.
    pub(crate) receipts: Option<Receipts>,
    pub(crate) expect: Expect,
    /// The id that a single call's answer must carry.
    pub(crate) id: Option<RawId<'a>>,
    pub(crate) method: &'static RpcMethod,
    pub(crate) replay: Replay,
    pub(crate) subject: Subject<'a>,
}

impl Question<'_> {
    /// What is sent to an endpoint.
    fn body_for(&self, endpoint: &Endpoint) -> Bytes {
        match (&self.receipts, endpoint.spec().receipts_method) {
            (Some(receipts), Some(method)) => receipts.call(method),
            _ => self.body.clone(),
        }
    }
}

/// An answer to pass on.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
    /// What the body is.
    pub(crate) answer: Answer,
    /// Who answered a batch.
    pub(crate) by: Option<Arc<Endpoint>>,
    /// What it says is wrong with the request; `None` when it serves it.
    pub(crate) refusal: Option<Class>,
    /// `None` when it may not be told to clients.
    pub(crate) body: Option<AnswerBody>,
    /// Whether the body is compressed.
    pub(crate) is_gzip: bool,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) until: Instant,
    /// Whether it is only what the request's other attempts have left: running out, it says nothing about the
    /// upstream.
    pub(crate) is_rest: bool,
    /// How long the upstream may pause within its answer.
    pub(crate) pause: Duration,
}

/// Where an attempt is made.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) worker: Worker,
    pub(crate) settings: &'a Settings,
    pub(crate) broadcasts: &'a Arc<Broadcasts>,
    /// Where bytes of answers count.
    pub(crate) load: &'a Arc<Load>,
    /// Of the task that waits.
    pub(crate) timer: &'a mut Timer,
}

impl Place<'_> {
    /// The same place for an attempt beside others, which waits by a timer of its own.
    pub(crate) const fn with_timer<'t>(&'t self, timer: &'t mut Timer) -> Place<'t> {
        Place {
            worker: self.worker,
            settings: self.settings,
            broadcasts: self.broadcasts,
            load: self.load,
            timer,
        }
    }
}

/// An attempt without an answer to pass on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// Whether the upstream may just have closed a connection that was idle, without having seen the request.
    pub(crate) perhaps_unseen: bool,
    /// Whether it is the upstream's own word, which no client can have put there.
    pub(crate) is_own_word: bool,
    /// How long the upstream asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// What the upstream said, as far as it may be passed on when nobody says better.
    pub(crate) said: Option<Box<Reply>>,
}

impl From<Class> for Failure {
    fn from(class: Class) -> Self {
        Self {
            class,
            perhaps_unseen: false,
            is_own_word: true,
            retry_after: None,
            said: None,
        }
    }
}

impl From<NoAnswer> for Failure {
    fn from(why: NoAnswer) -> Self {
        let class = match why {
            NoAnswer::NotSent => Class::NotSent,
            NoAnswer::Lost | NoAnswer::PerhapsUnseen => Class::Lost,
        };
        Self {
            perhaps_unseen: why == NoAnswer::PerhapsUnseen,
            ..class.into()
        }
    }
}

/// Sends the question to the attempt's endpoint and settles the attempt, at once or with the end of the body.
///
/// # Errors
/// [`Failure`] when there is no answer to pass on in its time.
pub(crate) async fn ask(
    mut attempt: Attempt,
    question: &Question<'_>,
    which: Use,
    time: Time,
    place: &mut Place<'_>,
) -> Result<Reply, Failure> {
    let worker = place.worker;
    let received = {
        let limits = Limits {
            max_held: place.settings.max_batch_answer_bytes,
            load: place.load,
        };
        let exchange = pin!(exchange(&attempt, question, which, worker, limits));
        place.timer.within(time.until, exchange).await
    };
    let cancelled = received.is_none() && time.is_rest;
    match received.unwrap_or_else(|| Err(Class::Timeout.into())) {
        Ok(Received {
            mut reply,
            rest: None,
            served,
            at,
        }) => {
            if reply.answer == Answer::Batch {
                reply.by = Some(Arc::clone(attempt.endpoint()));
            }
            attempt.answers(&question.subject, served, at);
            attempt.settle(Outcome::Answered, at);
            Ok(reply)
        }
        Ok(Received {
            mut reply,
            rest: Some((held, connection)),
            served,
            at,
        }) => {
            attempt.answers(&question.subject, served, at);
            let rest = Rest::new(held, connection, worker, attempt, time.pause);
            reply.body = Some(AnswerBody::Streaming(Box::new(rest)));
            Ok(reply)
        }
        Err(failure) => {
            let spec = attempt.endpoint().spec();
            let (route, upstream, fault) = (spec.route_id, spec.upstream_id, failure.class.name());
            tracing::debug!(route.id = %route, upstream.id = %upstream, fault, "attempt failed");
            if !cancelled && !failure.perhaps_unseen {
                let now = Instant::now();
                if failure.is_own_word {
                    attempt.teaches(failure.class, failure.retry_after, &question.subject, now);
                    attempt.settle(Outcome::Faulted(failure.class), now);
                } else {
                    attempt.settle(Outcome::Doubtful(failure.class), now);
                }
            }
            Err(failure)
        }
    }
}

/// A reply whose body goes on after what is held, if there is a rest.
struct Received {
    reply: Reply,
    rest: Option<(Bytes, Connection)>,
    /// Whether it is what was asked for, not an error of the request's own.
    served: bool,
    /// When that was known.
    at: Instant,
}

async fn exchange(
    attempt: &Attempt,
    question: &Question<'_>,
    which: Use,
    worker: Worker,
    limits: Limits<'_>,
) -> Result<Received, Failure> {
    let endpoint = attempt.endpoint();
    let body = question.body_for(endpoint);
    let head = || head(endpoint.address(), question, body.len());
    let exchanged = endpoint
        .pool()
        .exchange(worker, which, attempt.started(), head, &body);
    let (answer, connection) = exchanged.await?;
    let judged = judge(answer, connection, question, limits, endpoint).await;
    if let Some(connection) = judged.done {
        endpoint.pool().put(worker, connection, judged.at);
    }
    judged.outcome
}

/// The head of the request, whatever method the client used: JSON-RPC is posted.
fn head(address: &Address, question: &Question<'_>, length: usize) -> Option<Vec<u8>> {
    let came_by = headers::came_by(question.fields, question.peer);
    let Question {
        fields,
        peer,
        forwarded,
        accepted,
        ..
    } = question;
    let traceparent = question.traceparent.as_deref();
    let traceparent = traceparent.map(|parent| Field::of(Name::Traceparent, parent.as_bytes()));
    let fields = headers::for_upstream(fields, peer, forwarded)
        .filter(|field| traceparent.is_none() || field.known() != Name::Traceparent)
        .chain(traceparent)
        .chain(headers::own(fields, peer, came_by.as_deref(), accepted))
        .filter(|field| !address.sets(field));
    address.post(question.query)?.head(fields, length).ok()
}
