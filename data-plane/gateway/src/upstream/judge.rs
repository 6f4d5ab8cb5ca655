//! What an upstream's answer means, and what of it is passed on.

use std::time::SystemTime;

use futures_util::FutureExt;
use http::StatusCode;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tyrscale_http1::{Fields, ResponseHead};
use tyrscale_jsonrpc::response::inspect;
use tyrscale_jsonrpc::{
    Answer, Asked, Class, Exclusion, Expect, Method as RpcMethod, Observed, Verdict, classify, revert,
};

use super::look::{HEAD_BYTES, Limits, Looked, Passing, Reading, look};
use super::{Failure, Question, Received, Reply};
use crate::address::Address;
use crate::body::AnswerBody;
use crate::coding::{self, Coding};
use crate::endpoint::Endpoint;
use crate::headers;
use crate::pool::Connection;
use crate::shedding::Room;
use crate::transaction;

/// Largest body that is taken off a connection for the sake of the next request on it.
const MAX_DISCARDED: u64 = 64 * 1024;

/// What an answer means.
pub(super) struct Judged {
    pub(super) outcome: Result<Received, Failure>,
    /// The connection, when all of the answer has come.
    pub(super) done: Option<Connection>,
    /// When it was known what the answer is.
    pub(super) at: Instant,
}

impl From<Class> for Judged {
    fn from(class: Class) -> Self {
        Self {
            outcome: Err(class.into()),
            done: None,
            at: Instant::now(),
        }
    }
}

pub(super) async fn judge(
    head: ResponseHead,
    mut connection: Connection,
    question: &Question<'_>,
    limits: Limits<'_>,
    endpoint: &Endpoint,
) -> Judged {
    let address = endpoint.address();
    let (status, mut fields) = (head.status, head.fields);
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
    let at = Instant::now();
    let observed = Observed {
        status: status.as_u16(),
        is_ours: looked.seen.is_ours,
        method: question.method,
        vendor: address.vendor(),
        answer: &looked.seen.answer,
        body: looked.plain(),
    };
    let verdict = classify(&observed);
    let is_own_word = is_own_word(verdict, &observed, question, address);
    let is_told = is_told(verdict, &looked, question, address);
    if verdict != Verdict::Answer {
        // Errors are told as they read.
        looked.passing = Passing::Plain;
    }
    let mut reply = Reply {
        status,
        fields,
        answer: std::mem::replace(&mut looked.seen.answer, Answer::NotJsonRpc),
        by: None,
        refusal: None,
        body: None,
        is_gzip: !matches!(looked.passing, Passing::Plain),
    };
    let (mut rest, mut done) = (None, None);
    if !looked.is_all && is_told {
        rest = Some((looked.held, connection));
    } else {
        reply.body = (looked.is_all && is_told).then(|| AnswerBody::Whole(looked.passed_on()));
        done = discard(connection);
    }
    if let Err(class) = put_right(verdict, question, endpoint, limits, &mut reply) {
        return class.into();
    }
    let outcome = match verdict {
        Verdict::Retry(class) => Err(failure(class, is_own_word, reply)),
        Verdict::Answer | Verdict::Final(_) => Ok(Received {
            reply,
            rest,
            served: verdict == Verdict::Answer,
            at,
        }),
    };
    Judged { outcome, done, at }
}

/// Whether clients may read what is held.
fn is_told(verdict: Verdict, looked: &Looked, question: &Question<'_>, address: &Address) -> bool {
    match verdict {
        Verdict::Answer => {
            !(looked.is_all && tells_of_itself(question.method) && address.is_told_in(looked.plain()))
        }
        Verdict::Final(_) | Verdict::Retry(_) => looked.is_all && may_be_told(&looked.held, address),
    }
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
fn reading<'l>(fields: &Fields, question: &'l Question<'_>, limits: Limits<'l>) -> Option<Reading<'l>> {
    let codings = coding::codings(fields).ok()?;
    Some(Reading {
        asked: Asked {
            expect: question.expect,
            id: question.id,
        },
        limits,
        is_whole: question.receipts.is_some(),
        may_pass: question.expect == Expect::Single
            && question.receipts.is_none()
            && codings == [Coding::Gzip]
            && coding::accepts_gzip(question.fields),
        codings,
    })
}

/// Makes of an answer what clients want to know: receipts as they ask for them, what a contract reverted with where they
/// look for it, and the hash of a transaction that the upstream has already.
///
/// # Errors
/// The class of an answer that there is no room for.
fn put_right(
    verdict: Verdict,
    question: &Question<'_>,
    endpoint: &Endpoint,
    limits: Limits<'_>,
    reply: &mut Reply,
) -> Result<(), Class> {
    let body = match (verdict, &reply.body) {
        (Verdict::Answer, Some(AnswerBody::Whole(body))) => {
            let asked = question.receipts.as_ref().zip(endpoint.spec().receipts_method);
            if let Some(told) = asked.and_then(|(receipts, method)| receipts.told(method, body)) {
                let mut room = Room::new(limits.load);
                room.cover(told.len())?;
                reply.body = Some(AnswerBody::Whole(room.hold(told)));
            }
            return Ok(());
        }
        (Verdict::Final(Class::Reverted), Some(AnswerBody::Whole(body))) => revert::normalise(body),
        (Verdict::Final(Class::AlreadyKnown), _) => transaction::accepted(&question.body),
        _ => None,
    };
    if let Some(body) = body {
        reply.status = StatusCode::OK;
        reply.answer = inspect(&body, Expect::Single);
        reply.body = Some(AnswerBody::Whole(body.into()));
    }
    if let Verdict::Final(class) = verdict {
        reply.refusal = (reply.answer != Answer::Result).then_some(class);
    }
    Ok(())
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
fn failure(class: Class, is_own_word: bool, reply: Reply) -> Failure {
    let is_told = reply.status.is_client_error() || reply.body.is_some() && !reply.status.is_redirection();
    Failure {
        class,
        perhaps_unseen: false,
        is_own_word,
        retry_after: headers::retry_after(&reply.fields, SystemTime::now),
        said: is_told.then(|| Box::new(reply)),
    }
}
