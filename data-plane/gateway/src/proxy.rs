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
use crate::metrics::CallOutcome;
use crate::record::Record;
use crate::request::{self, Unread};
use crate::route::Route;
use crate::upstream::{Place, Question};

/// Deepest nesting of arrays and objects in a request.
const MAX_DEPTH: usize = 128;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    asked: Asked<'a>,
    record: Record<'a>,
}

/// What is asked for, by whom, and of which route.
#[derive(Debug)]
struct Asked<'a> {
    gateway: &'a Gateway,
    head: &'a RequestHead,
    peer: &'a Peer,
    route: Arc<Route>,
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
        let running = gateway.running();
        let Some(route) = request::route(&running.table, head, peer) else {
            gateway.stats.count_unrouted();
            return Err(answer::own(ErrorReply::UnknownRoute, None));
        };
        let revision = running.version.map_or(0, |version| version.revision.0);
        let request = Self {
            asked: Asked {
                gateway,
                head,
                peer,
                route: Arc::clone(route),
            },
            record: Record::begin(&gateway.recorder, head, peer, Arc::clone(route), revision),
        };
        let preflight = route
            .cors
            .as_ref()
            .and_then(|cors| cors.preflight(&head.method, &head.fields));
        if let Some(said) = preflight {
            return Err(request.finish(answer::preflight(said)));
        }
        if !request::is_served(&head.method) {
            let answer = marked(answer::method_not_allowed(), route, head);
            return Err(request.finish(answer));
        }
        Ok(request)
    }

    /// Answers it, once its body has been read or could not be.
    pub(crate) async fn answer(mut self, body: Result<Bytes, Unread>, place: &mut Place<'_>) -> Answer {
        let asked = &self.asked;
        let answer = match asked.decoded(body).await {
            Ok(body) => asked.serve(&body, &mut self.record, place).await,
            Err(unread) => refuse_unread(asked.gateway, unread),
        };
        let compress = asked.gateway.settings.compress;
        let answer = compress.apply(answer, &asked.head.fields);
        let answer = marked(answer, &asked.route, asked.head);
        self.finish(answer)
    }

    /// Writes it down, and tells the client what it wants to know besides.
    fn finish(self, mut answer: Answer) -> Answer {
        answer.own.extend(self.record.finish(answer.status));
        answer
    }
}

impl Asked<'_> {
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

    async fn serve(&self, body: &Bytes, record: &mut Record<'_>, place: &mut Place<'_>) -> Answer {
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
        record.asks(&packet, body);
        let Some(question) = self.question(&packet, body, record.traceparent()) else {
            return answer::all_refused(&packet);
        };
        match forward(&self.route, &question, record.journal(), place).await {
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
    fn question(
        &self,
        packet: &Packet<'_>,
        body: &Bytes,
        traceparent: Option<String>,
    ) -> Option<Question<'_>> {
        Some(Question {
            fields: &self.head.fields,
            peer: self.peer,
            forwarded: &self.route.forward_headers,
            accepted: self.gateway.settings.compress.accepted(&self.head.fields),
            query: request::query(self.head),
            traceparent,
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
