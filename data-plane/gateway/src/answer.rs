//! Answers to clients: what an upstream said, put in order, or what the gateway says itself.

use bytes::Bytes;
use http::StatusCode;
use tyrscale_http1::{Field, Fields};
use tyrscale_jsonrpc::response::{batch_items, pair};
use tyrscale_jsonrpc::{
    Answer as Said, Class, ErrorReply, Item, Packet, RawId, batch_body, error_body, surfaced,
};

use crate::body::AnswerBody;
use crate::coding;
use crate::compress;
use crate::forward::Telling;
use crate::headers::json_type;
use crate::metrics::CallOutcome;
use crate::request::{self, calls, ids};
use crate::upstream::Reply;

/// An answer to a client, whichever protocol it asks by.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The upstream's.
    pub(crate) passed_on: Fields,
    /// The gateway's own.
    pub(crate) own: Vec<(&'static str, Bytes)>,
    pub(crate) body: AnswerBody,
}

impl Answer {
    /// All header fields, but for those that say how long the body is and what becomes of the connection.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        let own = self.own.iter().map(|(name, value)| Field::new(name, value));
        self.passed_on.iter().chain(own)
    }
}

/// What a call of a batch is answered with when the upstream answered others but not this one.
const UNANSWERED: &str = "the upstream gave no answer to this call";
/// What stands in the place of a refusal that clients may not read.
const REFUSED: &str = "the upstream refused the request";

/// The upstream's answer for the client, and how each valid call of the packet came off, in order.
pub(crate) fn reply(packet: &Packet<'_>, reply: Reply) -> (Answer, Vec<CallOutcome>) {
    let outcome = match reply.answer {
        Said::Error(_) | Said::BatchRefused(_) => CallOutcome::Error,
        Said::Result | Said::Batch | Said::Empty | Said::NotJsonRpc => CallOutcome::Result,
    };
    let is_notification = ids(packet).is_empty();
    match (packet, &reply.body, &reply.answer) {
        (Packet::Batch(_), Some(AnswerBody::Whole(body)), Said::Batch) if !is_notification => {
            let (merged, outcomes) = merge(packet, body);
            let mut fields = reply.fields;
            fields.keep_end_to_end(|field| !field.is("content-type"));
            (assemble(reply.status, fields, whole(merged)), outcomes)
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
pub(crate) fn failed(packet: &Packet<'_>, telling: Telling) -> Answer {
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
fn said(reply: Reply, class: Class, id: Option<RawId<'_>>) -> Answer {
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
    assemble(status, reply.fields, whole(body))
}

/// What an upstream said, or an error with its status when clients may not read that.
fn pass_on(packet: &Packet<'_>, reply: Reply) -> Answer {
    if let Some(body) = reply.body {
        let mut answer = assemble(reply.status, reply.fields, body);
        if reply.is_gzip {
            answer.own.extend(compress::gzip_fields());
        }
        return answer;
    }
    let id = match packet {
        Packet::Single(call) => call.id,
        Packet::Batch(_) => None,
    };
    let code = ErrorReply::UpstreamsFailed.code();
    json(reply.status, error_body(id, code, REFUSED))
}

/// The answer to a batch none of whose calls is valid.
pub(crate) fn all_refused(packet: &Packet<'_>) -> Answer {
    json(
        StatusCode::OK,
        batch(packet, |id| ErrorReply::InvalidRequest.body(Some(id))),
    )
}

/// An error of the gateway's own.
pub(crate) fn own(reply: ErrorReply, id: Option<RawId<'_>>) -> Answer {
    json(status(reply), reply.body(id))
}

/// The HTTP status of an error of the gateway's own.
pub(crate) fn status(reply: ErrorReply) -> StatusCode {
    StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer to a request whose HTTP method carries no JSON-RPC.
pub(crate) fn method_not_allowed() -> Answer {
    let body = error_body(None, ErrorReply::InvalidRequest.code(), "send JSON-RPC with POST");
    let mut answer = json(StatusCode::METHOD_NOT_ALLOWED, body);
    answer.own.push(("allow", Bytes::from_static(b"POST")));
    answer
}

/// The answer to a body in a coding that is not read. Source: RFC 9110, section 15.5.16.
pub(crate) fn unsupported_coding() -> Answer {
    let text = "the body's content coding is not read; send it plain or in gzip";
    let mut answer = malformed(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    let read = Bytes::from_static(coding::READ.as_bytes());
    answer.own.push(("accept-encoding", read));
    answer
}

/// The answer to a preflight: `said` about CORS.
pub(crate) fn preflight(said: Vec<(&'static str, Bytes)>) -> Answer {
    Answer {
        own: said,
        ..empty(StatusCode::NO_CONTENT, whole(Vec::new()))
    }
}

/// A page that is no JSON-RPC.
pub(crate) fn page(content_type: &'static str, body: Vec<u8>) -> Answer {
    Answer {
        own: vec![("content-type", Bytes::from_static(content_type.as_bytes()))],
        ..empty(StatusCode::OK, whole(body))
    }
}

/// The answer when a page could not be made.
pub(crate) fn page_failed(error: &(dyn std::error::Error + 'static)) -> Answer {
    tracing::error!(error, "metrics could not be rendered");
    empty(StatusCode::INTERNAL_SERVER_ERROR, whole(Vec::new()))
}

/// The answer to an HTTP request in which no call can be found.
pub(crate) fn malformed(status: StatusCode, message: &str) -> Answer {
    json(
        status,
        error_body(None, ErrorReply::InvalidRequest.code(), message),
    )
}

/// A JSON body.
pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Answer {
    assemble(status, Fields::default(), whole(body))
}

/// Notifications want no answer; calls of the wrong shape beside them do.
fn unanswered(packet: &Packet<'_>) -> Answer {
    match packet {
        Packet::Batch(members) if members.iter().any(Result::is_err) => all_refused(packet),
        _ => empty(StatusCode::NO_CONTENT, whole(Vec::new())),
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
                        Said::Error(_) => CallOutcome::Error,
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

/// Without a type.
fn empty(status: StatusCode, body: AnswerBody) -> Answer {
    Answer {
        status,
        passed_on: Fields::default(),
        own: Vec::new(),
        body,
    }
}

/// An answer that is JSON unless `fields` say otherwise.
fn assemble(status: StatusCode, fields: Fields, body: AnswerBody) -> Answer {
    let own = match fields.get("content-type") {
        Some(_) => Vec::new(),
        None => vec![json_type()],
    };
    Answer {
        status,
        passed_on: fields,
        own,
        body,
    }
}
