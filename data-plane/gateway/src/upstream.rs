//! One request at one upstream: sent, its answer looked at and told from a fault.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::response::{inspect, peek};
use tyrscale_jsonrpc::{
    Answer, Class, Expect, Limits, Method as RpcMethod, Observed, Packet, RawId, Replay, Verdict, classify,
    revert, transaction,
};

use crate::address::Address;
use crate::attempt::{Attempt, Outcome};
use crate::body::{AnswerBody, Rest};
use crate::config::Settings;
use crate::headers;

/// How much of an answer is held to tell a result from an error.
const HEAD_BYTES: usize = 64 * 1024;

/// What is asked of an upstream.
#[derive(Debug)]
pub(crate) struct Question {
    /// As [`headers::for_upstream`] made them.
    pub(crate) headers: HeaderMap,
    /// The client's query.
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) expect: Expect,
    /// The JSON text of the id that a single call's answer must carry.
    pub(crate) id: Option<Bytes>,
    pub(crate) method: &'static RpcMethod,
    pub(crate) replay: Replay,
}

/// An answer to pass on.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What the body is.
    pub(crate) answer: Answer,
    /// `None` when it may not be told to clients.
    pub(crate) body: Option<AnswerBody>,
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Time {
    pub(crate) until: Instant,
    /// Whether it is only what the request's other attempts have left: running out, it says nothing about the
    /// upstream.
    pub(crate) is_rest: bool,
}

/// An attempt without an answer to pass on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    /// What the upstream said, as far as it may be passed on when nobody says better.
    pub(crate) said: Option<Box<Reply>>,
}

impl From<Class> for Failure {
    fn from(class: Class) -> Self {
        Self { class, said: None }
    }
}

/// Sends the question to the attempt's endpoint and settles the attempt, at once or with the end of the body.
///
/// # Errors
/// [`Failure`] when there is no answer to pass on in its time.
pub(crate) async fn ask(
    mut attempt: Attempt,
    question: &Question,
    settings: &Settings,
    time: Time,
) -> Result<Reply, Failure> {
    let received = tokio::time::timeout_at(time.until, exchange(&attempt, question, settings)).await;
    let cancelled = received.is_err() && time.is_rest;
    match received.unwrap_or_else(|_| Err(Class::Timeout.into())) {
        Ok(Received { reply, rest: None }) => {
            attempt.settle(Outcome::Answered);
            Ok(reply)
        }
        Ok(Received {
            mut reply,
            rest: Some((held, incoming)),
        }) => {
            attempt.answers();
            let rest = Rest::new(held, incoming, attempt, settings);
            reply.body = Some(AnswerBody::Streaming(Box::new(rest)));
            Ok(reply)
        }
        Err(failure) => {
            let spec = attempt.endpoint().spec();
            let (route, upstream, fault) = (spec.route_id, spec.upstream_id, failure.class.name());
            tracing::debug!(route.id = %route, upstream.id = %upstream, fault, "attempt failed");
            if !cancelled {
                attempt.settle(Outcome::Faulted(failure.class));
            }
            Err(failure)
        }
    }
}

/// A reply whose body goes on after what is held, if there is a rest.
struct Received {
    reply: Reply,
    rest: Option<(Bytes, Incoming)>,
}

async fn exchange(attempt: &Attempt, question: &Question, settings: &Settings) -> Result<Received, Failure> {
    let endpoint = attempt.endpoint();
    let request = request(attempt, question).ok_or(Class::NotSent)?;
    let response = endpoint.client().request(request).await.map_err(|error| {
        if error.is_connect() {
            Class::NotSent
        } else {
            Class::Lost
        }
    })?;
    judge(response, question, settings, endpoint.address()).await
}

fn request(attempt: &Attempt, question: &Question) -> Option<Request<Full<Bytes>>> {
    let address = attempt.endpoint().address();
    let mut request = Request::new(Full::new(question.body.clone()));
    // Whatever method the client used: JSON-RPC is posted.
    *request.method_mut() = Method::POST;
    *request.uri_mut() = address.uri(question.query.as_deref()).ok()?;
    *request.headers_mut() = question.headers.clone();
    if let Some(authorization) = address.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Some(request)
}

async fn judge(
    response: Response<Incoming>,
    question: &Question,
    settings: &Settings,
    address: &Address,
) -> Result<Received, Failure> {
    let (mut head, incoming) = response.into_parts();
    let status = head.status;
    let is_readable = headers::is_identity(&head.headers);
    headers::for_client(&mut head.headers, address);
    let looked = if is_readable {
        look(incoming, question.expect, settings.max_batch_answer_bytes).await
    } else {
        // What cannot be read cannot be told from an error.
        Ok(Looked::nothing())
    };
    let looked = match looked {
        // The status tells enough.
        Err(_) if !status.is_success() => Looked::nothing(),
        looked => looked?,
    };
    let verdict = classify(&Observed {
        status: status.as_u16(),
        id: question.id.as_deref().and_then(RawId::parse),
        method: question.method,
        vendor: address.vendor(),
        answer: &looked.answer,
        body: &looked.held,
    });
    let is_told = verdict == Verdict::Answer || looked.rest.is_none() && may_be_told(&looked.held, address);
    let mut reply = Reply {
        status,
        headers: head.headers,
        answer: looked.answer,
        body: None,
    };
    let rest = match looked.rest {
        Some(incoming) if is_told => Some((looked.held, incoming)),
        Some(_) => None,
        None => {
            reply.body = is_told.then_some(AnswerBody::Whole(looked.held));
            None
        }
    };
    match verdict {
        Verdict::Answer => Ok(Received { reply, rest }),
        Verdict::Final(class) => {
            put_right(class, question, &mut reply);
            Ok(Received { reply, rest })
        }
        Verdict::Retry(class) => Err(failure(class, reply)),
    }
}

/// Makes of an error what clients want to know: what a contract reverted with where they look for it, and the
/// hash of a transaction that the upstream has already.
fn put_right(class: Class, question: &Question, reply: &mut Reply) {
    let body = match (class, &reply.body) {
        (Class::Reverted, Some(AnswerBody::Whole(body))) => revert::normalise(body),
        (Class::AlreadyKnown, _) => accepted(&question.body),
        _ => None,
    };
    if let Some(body) = body {
        reply.status = StatusCode::OK;
        reply.answer = inspect(&body, Expect::Single);
        reply.body = Some(AnswerBody::Whole(body.into()));
    }
}

/// The answer to a raw transaction that was sent before.
fn accepted(question: &[u8]) -> Option<Vec<u8>> {
    let Ok(Packet::Single(call)) = parse(question, &Limits::default()) else {
        return None;
    };
    Some(transaction::accepted(call.id, transaction::hash(call.params?)?))
}

/// Whether clients may read the body of a refusal: JSON that tells nothing of where it comes from. Pages of
/// servers often repeat the path of the request, which holds the upstream's key.
fn may_be_told(body: &[u8], address: &Address) -> bool {
    let is_json =
        serde_json::from_slice::<&RawValue>(body).is_ok_and(|json| json.get().starts_with(['{', '[']));
    is_json && !address.is_told_in(body)
}

/// What of `reply` is passed on when nobody says better: a 4xx, if need be without its body, and JSON-RPC errors.
/// A redirect leads to where the client may not go.
fn failure(class: Class, reply: Reply) -> Failure {
    let is_told = reply.status.is_client_error() || reply.body.is_some() && !reply.status.is_redirection();
    Failure {
        class,
        said: is_told.then(|| Box::new(reply)),
    }
}

struct Looked {
    held: Bytes,
    answer: Answer,
    rest: Option<Incoming>,
}

impl Looked {
    fn nothing() -> Self {
        Self {
            held: Bytes::new(),
            answer: Answer::NotJsonRpc,
            rest: None,
        }
    }
}

/// Reads a body until it is known what it is: to its end when that comes soon, and for a batch, whose members
/// are put in order, always.
async fn look(mut incoming: Incoming, expect: Expect, max_batch_answer: usize) -> Result<Looked, Class> {
    let max_held = match expect {
        Expect::Batch => max_batch_answer,
        Expect::Single | Expect::Nothing => max_batch_answer.max(HEAD_BYTES),
    };
    let mut held = BytesMut::new();
    let mut next_look = HEAD_BYTES.min(max_held);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Class::Lost)?;
        let Ok(data) = frame.into_data() else { continue };
        held.extend_from_slice(&data);
        if held.len() < next_look {
            continue;
        }
        if let Some(answer) = peek(&held, expect) {
            let held = held.freeze();
            let rest = Some(incoming);
            return Ok(Looked { held, answer, rest });
        }
        if held.len() > max_held {
            return Err(Class::AnswerTooLarge);
        }
        // Doubling keeps the looking linear in what is looked at.
        next_look = held.len().saturating_mul(2).min(max_held);
    }
    let answer = inspect(&held, expect);
    Ok(Looked {
        held: held.freeze(),
        answer,
        rest: None,
    })
}
