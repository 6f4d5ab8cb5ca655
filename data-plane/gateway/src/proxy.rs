//! A request from its head to its answer, whichever protocol it came by.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tyrscale_http1::RequestHead;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::{ErrorReply, Limits, Packet, RequestError, error_body};

use crate::answer::{self, Answer};
use crate::coding::{self, Undecodable};
use crate::cors;
use crate::forward::forward;
use crate::gateway::Gateway;
use crate::headers::Peer;
use crate::metrics::{CallOutcome, RequestRecord};
use crate::request::{self, Unread};
use crate::route::Route;
use crate::upstream::{Place, Question};

/// Deepest nesting of arrays and objects in a request.
const MAX_DEPTH: usize = 128;

/// A request on its way, recorded when it is answered, or as closed by the client when dropped before.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    gateway: &'a Gateway,
    head: &'a RequestHead,
    peer: &'a Peer,
    route: Arc<Route>,
    record: RequestRecord,
}

impl<'a> Request<'a> {
    /// Finds the route of a request by its head.
    ///
    /// # Errors
    /// The answer to a request whose body is of no use.
    pub(crate) async fn begin(
        gateway: &'a Gateway,
        head: &'a RequestHead,
        peer: &'a Peer,
    ) -> Result<Self, Answer> {
        if gateway.settings.metrics_on_data_port
            && head.method == Method::GET
            && request::path(head) == "/metrics"
        {
            return Err(gateway.scrape().await);
        }
        let Some(route) = request::route(&gateway.running().table, head, peer).map(Arc::clone) else {
            gateway.stats.count_unrouted();
            return Err(answer::own(ErrorReply::UnknownRoute, None));
        };
        let record = RequestRecord::begin(Arc::clone(&route.stats), peer.scheme, &head.method);
        let preflight = route
            .cors
            .as_ref()
            .and_then(|cors| cors.preflight(&head.method, &head.fields));
        if let Some(said) = preflight {
            let answer = answer::preflight(said);
            record.finish(answer.status);
            return Err(answer);
        }
        if !request::is_served(&head.method) {
            let answer = marked(answer::method_not_allowed(), &route, head);
            record.finish(answer.status);
            return Err(answer);
        }
        Ok(Self {
            gateway,
            head,
            peer,
            route,
            record,
        })
    }

    /// Answers it, once its body has been read or could not be.
    pub(crate) async fn answer(self, body: Result<Bytes, Unread>, place: &mut Place<'_>) -> Answer {
        let answer = match self.decoded(body).await {
            Ok(body) => self.serve(&body, place).await,
            Err(unread) => refuse_unread(self.gateway, unread),
        };
        let answer = self.gateway.settings.compress.apply(answer, &self.head.fields);
        let answer = marked(answer, &self.route, self.head);
        self.record.finish(answer.status);
        answer
    }

    /// A body without its content coding.
    async fn decoded(&self, body: Result<Bytes, Unread>) -> Result<Bytes, Unread> {
        let codings = coding::codings(&self.head.fields).map_err(|_| Unread::Unsupported);
        let (body, codings) = (body?, codings?);
        if codings.is_empty() {
            return Ok(body);
        }
        let limit = self.gateway.settings.max_body_bytes;
        let decoded = Box::pin(coding::decode(&codings, &body, limit)).await;
        decoded.map(Bytes::from).map_err(|why| match why {
            Undecodable::TooLarge => Unread::TooLarge,
            Undecodable::Broken => Unread::Undecodable,
        })
    }

    async fn serve(&self, body: &Bytes, place: &mut Place<'_>) -> Answer {
        let stats = &self.gateway.stats;
        let limits = Limits {
            max_batch: self.gateway.settings.max_batch,
            max_depth: MAX_DEPTH,
        };
        let packet = match parse(body, &limits) {
            Ok(packet) => packet,
            Err(error) => return refuse(self.gateway, &error),
        };
        stats.count_invalid(&packet);
        let Some(question) = self.question(&packet, body) else {
            return answer::all_refused(&packet);
        };
        match forward(&self.route, &question, place).await {
            Ok(reply) => {
                let (answer, outcomes) = answer::reply(&packet, reply);
                stats.count(&packet, &outcomes);
                answer
            }
            Err(failures) => {
                stats.count_all(&packet, CallOutcome::Failed);
                answer::failed(&packet, failures.telling(question.method.kind))
            }
        }
    }

    /// What is asked of an upstream; `None` when no call of the packet is valid.
    fn question(&self, packet: &Packet<'_>, body: &Bytes) -> Option<Question<'_>> {
        Some(Question {
            fields: &self.head.fields,
            peer: self.peer,
            forwarded: &self.route.forward_headers,
            accepted: self.gateway.settings.compress.accepted(&self.head.fields),
            query: request::query(self.head),
            body: request::outgoing(packet, body)?,
            expect: request::expect(packet),
            id: request::id(packet).map(|id| body.slice_ref(id.as_bytes())),
            method: request::method(packet),
            replay: request::replay(packet),
        })
    }
}

/// The answer, with what the route says about pages of other origins.
fn marked(mut answer: Answer, route: &Route, head: &RequestHead) -> Answer {
    if let Some(cors) = &route.cors {
        answer
            .passed_on
            .keep_end_to_end(|field| !cors::is_about(field.name()));
        answer.own.extend(cors.answer(&head.fields));
    }
    answer
}

fn refuse(gateway: &Gateway, error: &RequestError<'_>) -> Answer {
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

fn refuse_unread(gateway: &Gateway, unread: Unread) -> Answer {
    gateway.stats.count_unread();
    match unread {
        Unread::TooLarge => answer::own(ErrorReply::BodyTooLarge, None),
        Unread::TooSlow => answer::malformed(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Unread::Unsupported => answer::unsupported_coding(),
        Unread::Undecodable => answer::malformed(
            StatusCode::BAD_REQUEST,
            "the body is not what its content coding asks for",
        ),
        Unread::Broken => {
            answer::malformed(StatusCode::BAD_REQUEST, "the body is not framed as HTTP asks for")
        }
    }
}
