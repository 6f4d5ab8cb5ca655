//! Transactions whose sending came to a bad end, though they may have been sent: looked for by their hash.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use tyrscale_http1::Fields;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::transaction::{self, TransactionHash};
use tyrscale_jsonrpc::{Answer, Class, Expect, Limits, Packet, RawId, Replay, method};

use crate::body::AnswerBody;
use crate::failures::Failures;
use crate::forward::{Course, forward};
use crate::route::Route;
use crate::subject::Subject;
use crate::trace::Journal;
use crate::upstream::{Place, Question, Reply};

/// How long it is looked for.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(3);
/// How many upstreams are asked for it, one after the other: it may not have come to all of them yet.
const LOOK_UPS: u32 = 3;

/// The method that sends them.
const SEND: &str = "eth_sendRawTransaction";

/// Whether what came of sending a transaction leaves open whether it was sent: nobody took it, or it came too late by
/// its nonce, which an attempt without an answer may have used.
pub(crate) fn is_in_doubt(question: &Question<'_>, sent: &Result<Reply, Failures>) -> bool {
    question.method.label == SEND
        && match sent {
            Ok(reply) => reply.refusal == Some(Class::NonceTooLow),
            Err(failures) => !failures.is_empty(),
        }
}

/// What the client is told if the transaction is found.
pub(crate) async fn look_up(
    route: &Route,
    question: &Question<'_>,
    course: &Course,
    journal: &Journal<'_>,
    place: &mut Place<'_>,
) -> Option<Reply> {
    let limits = Limits::default();
    let (id, hash) = sent(&question.body, &limits)?;
    let until = course.ends().min(Instant::now() + LOOK_UP_TIMEOUT);
    let found = tokio::time::timeout_at(until, is_found(route, question, hash, journal, place));
    if !found.await.unwrap_or(false) {
        return None;
    }
    tracing::debug!(route.id = %route.id, "transaction was sent after all");
    Some(Reply {
        status: StatusCode::OK,
        fields: Fields::default(),
        answer: Answer::Result,
        refusal: None,
        by: None,
        body: Some(AnswerBody::Whole(transaction::accepted(id, hash).into())),
        is_gzip: false,
    })
}

/// Whether an upstream of the route has the transaction.
async fn is_found(
    route: &Route,
    question: &Question<'_>,
    hash: TransactionHash,
    journal: &Journal<'_>,
    place: &mut Place<'_>,
) -> bool {
    let body = Bytes::from(transaction::lookup(hash));
    let limits = Limits::default();
    let Ok(Packet::Single(call)) = parse(&body, &limits) else {
        return false;
    };
    let question = Question {
        fields: question.fields,
        peer: question.peer,
        forwarded: question.forwarded,
        accepted: "identity",
        query: question.query,
        traceparent: question.traceparent.clone(),
        body: body.clone(),
        receipts: None,
        expect: Expect::Single,
        id: call.id,
        method: method::lookup(&call.method),
        replay: Replay::Safe,
        subject: Subject::of(std::iter::once(&call)),
    };
    let mut course = Course::beside(route, place.settings, LOOK_UPS);
    // Who served the client is not who was asked for this.
    let mut journal = Journal::new(journal.recorder(), journal.started());
    while let Ok(reply) = Box::pin(forward(route, &question, &mut course, &mut journal, place)).await {
        if shows(&reply) {
            return true;
        }
    }
    false
}

/// Whether the answer is the transaction; one so large that it is still to come is no `null`.
fn shows(reply: &Reply) -> bool {
    match &reply.body {
        Some(AnswerBody::Whole(body)) => transaction::is_found(body),
        Some(AnswerBody::Streaming(_)) => reply.answer == Answer::Result,
        None => false,
    }
}

/// The id and the transaction of a call that sends one.
fn sent<'b>(body: &'b [u8], limits: &Limits) -> Option<(Option<RawId<'b>>, TransactionHash)> {
    let Ok(Packet::Single(call)) = parse(body, limits) else {
        return None;
    };
    Some((call.id, transaction::hash(call.params?)?))
}

/// The answer to a raw transaction that an upstream has already.
pub(crate) fn accepted(question: &[u8]) -> Option<Vec<u8>> {
    let (id, hash) = sent(question, &Limits::default())?;
    Some(transaction::accepted(id, hash))
}
