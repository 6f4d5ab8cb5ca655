//! Answers to clients: what an upstream said, put in order, or what the gateway says itself.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, Response, StatusCode};
use tyrscale_jsonrpc::response::{batch_items, pair};
use tyrscale_jsonrpc::{Answer, Class, ErrorReply, Item, Packet, RawId, batch_body, error_body, surfaced};

use crate::body::AnswerBody;
use crate::forward::Telling;
use crate::headers::JSON;
use crate::metrics::CallOutcome;
use crate::request::{self, calls, ids};
use crate::upstream::Reply;

/// What a call of a batch is answered with when the upstream answered others but not this one.
const UNANSWERED: &str = "the upstream gave no answer to this call";
/// What stands in the place of a refusal that clients may not read.
const REFUSED: &str = "the upstream refused the request";

/// The upstream's answer for the client, and how each valid call of the packet came off, in order.
pub(crate) fn reply(packet: &Packet<'_>, reply: Reply) -> (Response<AnswerBody>, Vec<CallOutcome>) {
    let outcome = match reply.answer {
        Answer::Error(_) | Answer::BatchRefused(_) => CallOutcome::Error,
        Answer::Result | Answer::Batch | Answer::Empty | Answer::NotJsonRpc => CallOutcome::Result,
    };
    let is_notification = ids(packet).is_empty();
    match (packet, &reply.body, &reply.answer) {
        (Packet::Batch(_), Some(AnswerBody::Whole(body)), Answer::Batch) if !is_notification => {
            let (merged, outcomes) = merge(packet, body);
            let mut headers = reply.headers;
            headers.insert(CONTENT_TYPE, JSON);
            (assemble(reply.status, headers, whole(merged)), outcomes)
        }
        _ => {
            let outcomes = vec![outcome; calls(packet).count()];
            let response = if is_notification {
                unanswered(packet)
            } else {
                pass_on(packet, reply)
            };
            (response, outcomes)
        }
    }
}

/// The answer when nobody answered.
pub(crate) fn failed(packet: &Packet<'_>, telling: Telling) -> Response<AnswerBody> {
    match (telling, packet) {
        (Telling::PassOn(reply), packet) => pass_on(packet, reply),
        (Telling::Said(reply, class), Packet::Single(call)) => said(reply, class, call.id),
        (telling, Packet::Batch(_)) => {
            let (code, message) = telling.item_error();
            json(
                StatusCode::OK,
                batch(packet, |id| error_body(Some(id), code, message)),
            )
        }
        (Telling::Own(reply), Packet::Single(call)) => own(reply, call.id),
        (telling @ Telling::BatchError(_), Packet::Single(call)) => {
            let (code, message) = telling.item_error();
            json(StatusCode::OK, error_body(call.id, code, message))
        }
    }
}

/// The error that an upstream gave, with the code of its class; the gateway's own where it may not be told.
fn said(reply: Reply, class: Class, id: Option<RawId<'_>>) -> Response<AnswerBody> {
    let body = match &reply.body {
        Some(AnswerBody::Whole(body)) => surfaced(body, id, class),
        _ => None,
    };
    let Some(body) = body else {
        return own(class.into(), id);
    };
    // An error of the request's own keeps the status that the upstream gave it.
    let status = match class.policy().code {
        None if !reply.status.is_server_error() => reply.status,
        _ => status(class.into()),
    };
    assemble(status, reply.headers, whole(body))
}

/// What an upstream said, or an error with its status when clients may not read that.
fn pass_on(packet: &Packet<'_>, reply: Reply) -> Response<AnswerBody> {
    if let Some(body) = reply.body {
        return assemble(reply.status, reply.headers, body);
    }
    let id = match packet {
        Packet::Single(call) => call.id,
        Packet::Batch(_) => None,
    };
    let code = ErrorReply::UpstreamsFailed.code();
    json(reply.status, error_body(id, code, REFUSED))
}

/// The answer to a batch none of whose calls is valid.
pub(crate) fn all_refused(packet: &Packet<'_>) -> Response<AnswerBody> {
    json(
        StatusCode::OK,
        batch(packet, |id| ErrorReply::InvalidRequest.body(Some(id))),
    )
}

/// An error of the gateway's own.
pub(crate) fn own(reply: ErrorReply, id: Option<RawId<'_>>) -> Response<AnswerBody> {
    json(status(reply), reply.body(id))
}

/// The HTTP status of an error of the gateway's own.
pub(crate) fn status(reply: ErrorReply) -> StatusCode {
    StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer to a request whose HTTP method carries no JSON-RPC.
pub(crate) fn method_not_allowed() -> Response<AnswerBody> {
    let body = error_body(None, ErrorReply::InvalidRequest.code(), "send JSON-RPC with POST");
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, body);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// A page that is no JSON-RPC.
pub(crate) fn page(content_type: &'static str, body: Vec<u8>) -> Response<AnswerBody> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    assemble(StatusCode::OK, headers, whole(body))
}

/// The answer when a page could not be made.
pub(crate) fn page_failed(error: &(dyn std::error::Error + 'static)) -> Response<AnswerBody> {
    tracing::error!(error, "metrics could not be rendered");
    assemble(
        StatusCode::INTERNAL_SERVER_ERROR,
        HeaderMap::new(),
        whole(Vec::new()),
    )
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response<AnswerBody> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, JSON);
    assemble(status, headers, whole(body))
}

/// Notifications want no answer; calls of the wrong shape beside them do.
fn unanswered(packet: &Packet<'_>) -> Response<AnswerBody> {
    match packet {
        Packet::Batch(members) if members.iter().any(Result::is_err) => all_refused(packet),
        _ => assemble(StatusCode::NO_CONTENT, HeaderMap::new(), whole(Vec::new())),
    }
}

/// A batch's answer in the order of its calls: those of the upstream, and errors for calls of the wrong shape
/// and for those it did not answer.
fn merge(packet: &Packet<'_>, body: &Bytes) -> (Vec<u8>, Vec<CallOutcome>) {
    let items = batch_items(body).unwrap_or_default();
    let mut outcomes = Vec::new();
    let mut paired = pair(&ids(packet), items).into_iter();
    for call in calls(packet) {
        // A notification has no answer that could tell.
        outcomes.push(call.id.map_or(CallOutcome::Result, |_| CallOutcome::Failed));
    }
    let mut wanting = calls(packet)
        .zip(&mut outcomes)
        .filter(|(call, _)| call.id.is_some());
    let merged = batch(packet, |id| {
        let item: Option<Item<'_>> = paired.next().flatten();
        let outcome = wanting.next().map(|(_, outcome)| outcome);
        match item {
            Some(item) => {
                if let Some(outcome) = outcome {
                    *outcome = match item.answer {
                        Answer::Error(_) => CallOutcome::Error,
                        _ => CallOutcome::Result,
                    };
                }
                item.raw.as_bytes().to_vec()
            }
            None => error_body(Some(id), ErrorReply::UpstreamsFailed.code(), UNANSWERED),
        }
    });
    (merged, outcomes)
}

/// A batch's answer, with what `answer` says to each valid call that has an id.
fn batch(packet: &Packet<'_>, mut answer: impl FnMut(RawId<'_>) -> Vec<u8>) -> Vec<u8> {
    let members = match packet {
        Packet::Batch(members) => members.as_slice(),
        Packet::Single(_) => &[],
    };
    batch_body(members.iter().filter_map(|member| match member {
        Ok(call) => call.id.map(&mut answer),
        Err(invalid) => Some(request::refusal(invalid)),
    }))
}

fn whole(body: Vec<u8>) -> AnswerBody {
    AnswerBody::Whole(body.into())
}

fn assemble(status: StatusCode, headers: HeaderMap, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
