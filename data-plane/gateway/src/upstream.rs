//! One request at one upstream: sent, its answer looked at and told from a fault.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::Instant;
use tyrscale_jsonrpc::classify::by_status;
use tyrscale_jsonrpc::response::{inspect, peek};
use tyrscale_jsonrpc::{Answer, Expect, Fault, Replay, Verdict, classify};

use crate::attempt::{Attempt, Outcome};
use crate::body::{AnswerBody, Rest};
use crate::config::Settings;
use crate::headers;

/// How much of an answer is held to tell a result from an error.
const HEAD_BYTES: usize = 64 * 1024;

/// What is asked of an upstream.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// As [`headers::for_upstream`] made them.
    pub(crate) headers: HeaderMap,
    /// The client's query.
    pub(crate) query: Option<String>,
    pub(crate) body: Bytes,
    pub(crate) expect: Expect,
    pub(crate) replay: Replay,
}

/// An answer to pass on.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// What the body is.
    pub(crate) answer: Answer,
    pub(crate) body: AnswerBody,
}

/// An attempt without an answer to pass on.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    /// What the upstream said, as far as it may be passed on when nobody says better.
    pub(crate) said: Option<Box<Reply>>,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { fault, said: None }
    }
}

/// Sends the question to the attempt's endpoint and settles the attempt, at once or with the end of the body.
///
/// # Errors
/// [`Failure`] when there is no answer to pass on by `deadline` or within the attempt's own timeout.
pub(crate) async fn ask(
    attempt: Attempt,
    question: &Question,
    settings: &Settings,
    deadline: Instant,
) -> Result<Reply, Failure> {
    let until = deadline.min(Instant::now() + settings.attempt_timeout);
    let received = tokio::time::timeout_at(until, exchange(&attempt, question, settings)).await;
    match received.unwrap_or_else(|_| Err(Fault::Timeout.into())) {
        Ok(Received { reply, rest: None }) => {
            attempt.settle(Outcome::Answered);
            Ok(reply)
        }
        Ok(Received {
            mut reply,
            rest: Some((held, incoming)),
        }) => {
            let rest = Rest::new(held, incoming, attempt, settings.attempt_timeout);
            reply.body = AnswerBody::Streaming(Box::new(rest));
            Ok(reply)
        }
        Err(failure) => {
            let spec = attempt.endpoint().spec();
            let (route, upstream, fault) = (spec.route_id, spec.upstream_id, failure.fault.name());
            tracing::debug!(route.id = %route, upstream.id = %upstream, fault, "attempt failed");
            attempt.settle(Outcome::Faulted(failure.fault));
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
    let request = request(attempt, question).ok_or(Fault::NotSent)?;
    let response = endpoint.client().request(request).await.map_err(|error| {
        if error.is_connect() {
            Fault::NotSent
        } else {
            Fault::Lost
        }
    })?;
    judge(response, question.expect, settings).await
}

fn request(attempt: &Attempt, question: &Question) -> Option<Request<Full<Bytes>>> {
    let address = attempt.endpoint().address();
    let mut request = Request::new(Full::new(question.body.clone()));
    *request.method_mut() = question.method.clone();
    *request.uri_mut() = address.uri(question.query.as_deref()).ok()?;
    *request.headers_mut() = question.headers.clone();
    if let Some(authorization) = address.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Some(request)
}

async fn judge(
    response: Response<Incoming>,
    expect: Expect,
    settings: &Settings,
) -> Result<Received, Failure> {
    let (mut head, incoming) = response.into_parts();
    let status = head.status;
    if let Some(fault) = by_status(status.as_u16()) {
        return Err(fault.into());
    }
    if !headers::is_identity(&head.headers) {
        // What cannot be read cannot be told from an error.
        let fault = match classify(status.as_u16(), &Answer::NotJsonRpc) {
            Verdict::Retry(fault) => fault,
            Verdict::Answer | Verdict::ClientError => Fault::BadBody,
        };
        return Err(fault.into());
    }
    let looked = look(incoming, expect, settings.max_held_bytes).await?;
    headers::for_client(&mut head.headers);
    let verdict = classify(status.as_u16(), &looked.answer);
    let (body, rest) = match looked.rest {
        None => (looked.held, None),
        Some(incoming) => (Bytes::new(), Some((looked.held, incoming))),
    };
    let reply = Reply {
        status,
        headers: head.headers,
        answer: looked.answer,
        body: AnswerBody::Whole(body),
    };
    match verdict {
        Verdict::Answer | Verdict::ClientError => Ok(Received { reply, rest }),
        // A refusal too long to be held is not one to pass on.
        Verdict::Retry(fault) => Err(Failure {
            fault,
            said: rest.is_none().then(|| Box::new(reply)),
        }),
    }
}

struct Looked {
    held: Bytes,
    answer: Answer,
    rest: Option<Incoming>,
}

/// Reads a body until it is known what it is: to its end when that comes soon, and for a batch, whose members
/// are put in order, always.
async fn look(mut incoming: Incoming, expect: Expect, max_held: usize) -> Result<Looked, Fault> {
    let mut held = BytesMut::new();
    let mut next_look = HEAD_BYTES;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| Fault::Lost)?;
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
            return Err(Fault::BadBody);
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
