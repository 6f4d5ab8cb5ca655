//! A request from its head to the head of its answer.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::{ErrorReply, Limits, Packet, RequestError, error_body};
use tyrscale_model::Scheme;

use crate::answer;
use crate::body::AnswerBody;
use crate::forward::forward;
use crate::gateway::Gateway;
use crate::headers::{self, Peer};
use crate::metrics::{CallOutcome, RequestRecord};
use crate::request::{self, Unread};
use crate::route::Route;
use crate::upstream::Question;

/// Deepest nesting of arrays and objects in a request.
const MAX_DEPTH: usize = 128;

/// Where a connection of a client comes from, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) address: IpAddr,
    pub(crate) scheme: Scheme,
}

/// Answers a request of a client.
pub(crate) async fn handle(
    gateway: Arc<Gateway>,
    origin: Origin,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let (head, body) = request.into_parts();
    if !request::names_its_host(&head) {
        gateway.stats.count_unread();
        return malformed(StatusCode::BAD_REQUEST, "a request must name its host once");
    }
    if gateway.settings.metrics_on_data_port
        && head.uri.path() == "/metrics"
        && head.method == http::Method::GET
    {
        return gateway.scrape().await;
    }
    let peer = Peer {
        address: origin.address,
        trusted: gateway.settings.trusts(origin.address),
    };
    let Some(route) = request::route(&gateway.running().table, &head, peer).map(Arc::clone) else {
        gateway.stats.count_unrouted();
        return answer::own(ErrorReply::UnknownRoute, None);
    };
    let record = RequestRecord::begin(Arc::clone(&route.stats), origin.scheme, &head.method);
    let response = serve(&gateway, &route, peer, head, body).await;
    record.finish(response.status());
    response
}

async fn serve(
    gateway: &Gateway,
    route: &Route,
    peer: Peer,
    head: Parts,
    body: Incoming,
) -> Response<AnswerBody> {
    let settings = &gateway.settings;
    if !request::is_served(&head.method) {
        return answer::method_not_allowed();
    }
    let body = match request::read(body, settings).await {
        Ok(body) => body,
        Err(unread) => return refuse_unread(gateway, unread),
    };
    let limits = Limits {
        max_batch: settings.max_batch,
        max_depth: MAX_DEPTH,
    };
    let packet = match parse(&body, &limits) {
        Ok(packet) => packet,
        Err(error) => return refuse(gateway, &error),
    };
    gateway.stats.count_invalid(&packet);
    let Some(question) = question(&packet, &body, head, peer) else {
        return answer::all_refused(&packet);
    };
    match forward(route, &question, settings).await {
        Ok(reply) => {
            let (response, outcomes) = answer::reply(&packet, reply);
            gateway.stats.count(&packet, &outcomes);
            response
        }
        Err(failures) => {
            gateway.stats.count_all(&packet, CallOutcome::Failed);
            answer::failed(&packet, failures.telling(question.method.kind))
        }
    }
}

/// What is asked of an upstream; `None` when no call of the packet is valid.
fn question(packet: &Packet<'_>, body: &Bytes, head: Parts, peer: Peer) -> Option<Question> {
    Some(Question {
        body: request::outgoing(packet, body)?,
        expect: request::expect(packet),
        id: request::id(packet).map(|id| body.slice_ref(id.as_bytes())),
        method: request::method(packet),
        replay: request::replay(packet),
        query: head.uri.query().map(str::to_owned),
        headers: headers::for_upstream(head.headers, peer),
    })
}

fn refuse(gateway: &Gateway, error: &RequestError<'_>) -> Response<AnswerBody> {
    gateway.stats.count_unread();
    let reply = ErrorReply::from(error);
    let id = match error {
        RequestError::Invalid(invalid) => invalid.id,
        _ => None,
    };
    answer::json(
        answer::status(reply),
        error_body(id, reply.code(), &error.to_string()),
    )
}

fn refuse_unread(gateway: &Gateway, unread: Unread) -> Response<AnswerBody> {
    gateway.stats.count_unread();
    match unread {
        Unread::TooLarge => answer::own(ErrorReply::BodyTooLarge, None),
        Unread::TooSlow => malformed(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::Broken => malformed(StatusCode::BAD_REQUEST, "the body is not framed as HTTP asks for"),
    }
}

/// The answer to an HTTP request in which no call can be found.
fn malformed(status: StatusCode, message: &str) -> Response<AnswerBody> {
    answer::json(
        status,
        error_body(None, ErrorReply::InvalidRequest.code(), message),
    )
}
