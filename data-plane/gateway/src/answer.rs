//! Answers to clients: what an upstream said, or what the gateway says itself.

use bytes::Bytes;
use http::StatusCode;
use tyrscale_http1::{Field, Fields, Name};
use tyrscale_jsonrpc::{Answer as Said, Class, ErrorReply, RawId, error_body, surfaced};

use crate::body::AnswerBody;
use crate::coding;
use crate::compress;
use crate::failures::Telling;
use crate::headers::json_type;
use crate::metrics::CallOutcome;
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

    /// Tells when to ask again, where that may help.
    pub(crate) fn with_retry_after(mut self, seconds: Option<u64>) -> Self {
        let may_help = matches!(
            self.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        if let Some(seconds) =
            seconds.filter(|_| may_help && self.passed_on.known(Name::RetryAfter).is_none())
        {
            self.own.push(retry_after(seconds));
        }
        self
    }
}

/// What stands in the place of a refusal that clients may not read.
pub(crate) const REFUSED: &str = "the upstream refused the request";

/// How a call came off that was answered so.
pub(crate) const fn outcome(answer: &Said) -> CallOutcome {
    match answer {
        Said::Error(_) | Said::BatchRefused(_) => CallOutcome::Error,
        Said::Result | Said::Batch | Said::Empty | Said::NotJsonRpc => CallOutcome::Result,
    }
}

/// The upstream's answer to a single call; a notification gets none.
pub(crate) fn reply(id: Option<RawId<'_>>, reply: Reply) -> Answer {
    match id {
        Some(_) => pass_on(id, reply),
        None => no_content(),
    }
}

/// The answer to a single call that nobody answered.
pub(crate) fn failed(id: Option<RawId<'_>>, telling: Telling) -> Answer {
    match telling {
        Telling::PassOn(reply) => pass_on(id, reply),
        Telling::Said(reply, class) => said(reply, class, id),
        Telling::Own(reply) => own(reply, id),
        Telling::Nobody(reply, text) => json(status(reply), error_body(id, reply.code(), &text)),
        telling @ Telling::BatchError(_) => {
            let (code, message) = telling.item_error();
            json(StatusCode::OK, error_body(id, code, message))
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
pub(crate) fn pass_on(id: Option<RawId<'_>>, reply: Reply) -> Answer {
    if let Some(body) = reply.body {
        let mut answer = assemble(reply.status, reply.fields, body);
        if reply.is_gzip {
            answer.own.extend(compress::gzip_fields());
        }
        return answer;
    }
    let code = ErrorReply::UpstreamsFailed.code();
    json(reply.status, error_body(id, code, REFUSED))
}

/// The answer where none is wanted.
pub(crate) fn no_content() -> Answer {
    empty(StatusCode::NO_CONTENT, whole(Vec::new()))
}

/// The answer to a request that is more than the gateway may take on.
pub(crate) fn overloaded() -> Answer {
    let mut answer = own(ErrorReply::Overloaded, None);
    answer.own.push(retry_after(1));
    answer
}

/// The field that tells when to ask again.
pub(crate) fn retry_after(seconds: u64) -> (&'static str, Bytes) {
    ("retry-after", seconds.to_string().into())
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

/// An answer in JSON, whatever the upstream called it.
pub(crate) fn assemble(status: StatusCode, fields: Fields, body: AnswerBody) -> Answer {
    Answer {
        status,
        passed_on: fields,
        own: vec![json_type()],
        body,
    }
}
