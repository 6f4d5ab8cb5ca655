//! One request at one upstream: sent, its answer looked at and told from a fault.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, StatusCode};
use serde_json::value::RawValue;
use tokio::time::Instant;
use tyrscale_http1::{Field, Fields, ResponseHead, Timer};
use tyrscale_jsonrpc::response::inspect;
use tyrscale_jsonrpc::{
    Answer, Class, Exclusion, Expect, Method as RpcMethod, Observed, RawId, Replay, Verdict, classify, revert,
};

use crate::address::Address;
use crate::attempt::{Attempt, Outcome};
use crate::body::{AnswerBody, Rest};
use crate::coding::{self, Coding};
use crate::config::Settings;
use crate::endpoint::Endpoint;
use crate::forward::Broadcasts;
use crate::headers::{self, Peer};
use crate::pool::{Connection, NoAnswer, Use, Worker};
use crate::shedding::Load;
use crate::subject::Subject;
use crate::traceparent::TRACEPARENT;
use crate::transaction;

mod look;

use look::{HEAD_BYTES, Limits, Looked, Passing, Reading, look};

/// Largest body that is taken off a connection for the sake of the next request on it.
const MAX_DISCARDED: u64 = 64 * 1024;

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
    pub(crate) expect: Expect,
    /// The JSON text of the id that a single call's answer must carry.
    pub(crate) id: Option<Bytes>,
    pub(crate) method: &'static RpcMethod,
    pub(crate) replay: Replay,
    pub(crate) subject: Subject<'a>,
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
    let limits = Limits {
        max_held: place.settings.max_batch_answer_bytes,
        load: place.load,
    };
    let exchange = exchange(&attempt, question, which, worker, limits);
    let received = place.timer.within(time.until, exchange).await;
    let cancelled = received.is_none() && time.is_rest;
    match received.unwrap_or_else(|| Err(Class::Timeout.into())) {
        Ok(Received {
            mut reply,
            rest: None,
            served,
        }) => {
            if reply.answer == Answer::Batch {
                reply.by = Some(Arc::clone(attempt.endpoint()));
            }
            attempt.answers(&question.subject, served);
            attempt.settle(Outcome::Answered);
            Ok(reply)
        }
        Ok(Received {
            mut reply,
            rest: Some((held, connection)),
            served,
        }) => {
            attempt.answers(&question.subject, served);
            let rest = Rest::new(held, connection, worker, attempt, time.pause);
            reply.body = Some(AnswerBody::Streaming(Box::new(rest)));
            Ok(reply)
        }
        Err(failure) => {
            let spec = attempt.endpoint().spec();
            let (route, upstream, fault) = (spec.route_id, spec.upstream_id, failure.class.name());
            tracing::debug!(route.id = %route, upstream.id = %upstream, fault, "attempt failed");
            if !cancelled && !failure.perhaps_unseen {
                if failure.is_own_word {
                    attempt.teaches(failure.class, failure.retry_after, &question.subject);
                    attempt.settle(Outcome::Faulted(failure.class));
                } else {
                    attempt.settle(Outcome::Doubtful(failure.class));
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
}

async fn exchange(
    attempt: &Attempt,
    question: &Question<'_>,
    which: Use,
    worker: Worker,
    limits: Limits<'_>,
) -> Result<Received, Failure> {
    let endpoint = attempt.endpoint();
    let head = || head(endpoint.address(), question);
    let exchanged = endpoint
        .pool()
        .exchange(worker, which, attempt.started(), head, &question.body);
    let (answer, connection) = exchanged.await?;
    let judged = judge(answer, connection, question, limits, endpoint.address()).await;
    if let Some(connection) = judged.done {
        endpoint.pool().put(worker, connection);
    }
    judged.outcome
}

/// The head of the request, whatever method the client used: JSON-RPC is posted.
fn head(address: &Address, question: &Question<'_>) -> Option<Vec<u8>> {
    let came_by = headers::came_by(question.fields, question.peer);
    let Question {
        fields,
        peer,
        forwarded,
        accepted,
        ..
    } = question;
    let traceparent = question.traceparent.as_deref();
    let traceparent = traceparent.map(|parent| Field::new(TRACEPARENT, parent.as_bytes()));
    let fields = headers::for_upstream(fields, peer, forwarded)
        .filter(|field| traceparent.is_none() || !field.is(TRACEPARENT))
        .chain(traceparent)
        .chain(headers::own(fields, peer, &came_by, accepted))
        .filter(|field| !address.sets(field));
    address
        .post(question.query)?
        .head(fields, question.body.len())
        .ok()
}

/// What an answer means.
struct Judged {
    outcome: Result<Received, Failure>,
    /// The connection, when all of the answer has come.
    done: Option<Connection>,
}

impl From<Class> for Judged {
    fn from(class: Class) -> Self {
        Self {
            outcome: Err(class.into()),
            done: None,
        }
    }
}

async fn judge(
    head: ResponseHead,
    mut connection: Connection,
    question: &Question<'_>,
    limits: Limits<'_>,
    address: &Address,
) -> Judged {
    let ResponseHead {
        status, mut fields, ..
    } = head;
    let reading = reading(&fields, question, limits);
    headers::for_client(&mut fields, address);
    let looked = match reading {
        Some(reading) => look(&mut connection, reading).await,
        // What cannot be read cannot be told from an error.
        None => Ok(Looked::nothing()),
    };
    let mut looked = match looked {
        // The status tells enough.
        Err(_) if !status.is_success() => Looked::nothing(),
        Err(class) => return class.into(),
        Ok(looked) => looked,
    };
    let observed = Observed {
        status: status.as_u16(),
        id: question.id.as_deref().and_then(RawId::parse),
        method: question.method,
        vendor: address.vendor(),
        answer: &looked.answer,
        body: looked.plain(),
    };
    let verdict = classify(&observed);
    let is_own_word = is_own_word(verdict, &observed, question, address);
    let is_told = match verdict {
        Verdict::Answer => {
            !(looked.is_all && tells_of_itself(question.method) && address.is_told_in(looked.plain()))
        }
        Verdict::Final(_) | Verdict::Retry(_) => looked.is_all && may_be_told(&looked.held, address),
    };
    if verdict != Verdict::Answer {
        // Errors are told as they read.
        looked.passing = Passing::Plain;
    }
    let mut reply = Reply {
        status,
        fields,
        answer: looked.answer,
        by: None,
        refusal: None,
        body: None,
        is_gzip: !matches!(looked.passing, Passing::Plain),
    };
    let (mut rest, mut done) = (None, None);
    if !looked.is_all && is_told {
        rest = Some((looked.held, connection));
    } else {
        let body = match looked.passing {
            Passing::WholeGzip(body) => body,
            Passing::Plain | Passing::Gzip => looked.held,
        };
        reply.body = (looked.is_all && is_told).then_some(AnswerBody::Whole(body));
        done = discard(connection);
    }
    if let Verdict::Final(class) = verdict {
        put_right(class, question, &mut reply);
        reply.refusal = (reply.answer != Answer::Result).then_some(class);
    }
    let served = verdict == Verdict::Answer;
    let outcome = match verdict {
        Verdict::Retry(class) => Err(Failure {
            is_own_word,
            ..failure(class, reply)
        }),
        Verdict::Answer | Verdict::Final(_) => Ok(Received { reply, rest, served }),
    };
    Judged { outcome, done }
}

/// Whether a failure that keeps the upstream from all requests for a while is told by the upstream itself, and is about
/// what the gateway sends for everybody: not about words, a query or a key of the client's own.
pub(crate) fn is_own_word(
    verdict: Verdict,
    observed: &Observed<'_>,
    question: &Question<'_>,
    address: &Address,
) -> bool {
    match verdict {
        Verdict::Retry(class) if class.policy().exclusion != Exclusion::None => {
            question.query.is_none()
                && !headers::holds_credentials(question.fields, question.peer, question.forwarded, address)
                && tyrscale_jsonrpc::is_own_word(observed, &question.body)
        }
        Verdict::Retry(_) | Verdict::Final(_) | Verdict::Answer => true,
    }
}

/// How the body of an answer with `fields` is to be read; `None` when it cannot be.
fn reading<'l>(fields: &Fields, question: &Question<'_>, limits: Limits<'l>) -> Option<Reading<'l>> {
    let codings = coding::codings(fields).ok()?;
    Some(Reading {
        expect: question.expect,
        limits,
        may_pass: question.expect == Expect::Single
            && codings == [Coding::Gzip]
            && coding::accepts_gzip(question.fields),
        codings,
    })
}

/// Makes of an error what clients want to know: what a contract reverted with where they look for it, and the
/// hash of a transaction that the upstream has already.
fn put_right(class: Class, question: &Question<'_>, reply: &mut Reply) {
    let body = match (class, &reply.body) {
        (Class::Reverted, Some(AnswerBody::Whole(body))) => revert::normalise(body),
        (Class::AlreadyKnown, _) => transaction::accepted(&question.body),
        _ => None,
    };
    if let Some(body) = body {
        reply.status = StatusCode::OK;
        reply.answer = inspect(&body, Expect::Single);
        reply.body = Some(AnswerBody::Whole(body.into()));
    }
}

/// Takes what nobody wants off the connection, so that it can be used again, if that has come already.
fn discard(mut connection: Connection) -> Option<Connection> {
    if connection.remaining().is_none_or(|length| length > MAX_DISCARDED) {
        return None;
    }
    while connection.part().now_or_never()?.ok()?.is_some() {}
    Some(connection)
}

/// Whether clients may read the body of a refusal: JSON, not too much of it, that tells nothing of where it comes
/// from. Pages of servers often repeat the path of the request, which holds the upstream's key.
fn may_be_told(body: &[u8], address: &Address) -> bool {
    let is_json =
        serde_json::from_slice::<&RawValue>(body).is_ok_and(|json| json.get().starts_with(['{', '[']));
    body.len() < HEAD_BYTES && is_json && !address.is_told_in(body)
}

/// Whether a result may be about the node rather than the chain, so that it could hold where it is reached.
pub(crate) fn tells_of_itself(method: &RpcMethod) -> bool {
    !method.label.starts_with("eth_")
}

/// What of `reply` is passed on when nobody says better: a 4xx, if need be without its body, and JSON-RPC errors.
/// A redirect leads to where the client may not go.
fn failure(class: Class, reply: Reply) -> Failure {
    let is_told = reply.status.is_client_error() || reply.body.is_some() && !reply.status.is_redirection();
    Failure {
        class,
        perhaps_unseen: false,
        is_own_word: true,
        retry_after: headers::retry_after(&reply.fields, SystemTime::now),
        said: is_told.then(|| Box::new(reply)),
    }
}
