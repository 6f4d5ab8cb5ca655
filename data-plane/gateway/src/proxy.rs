//! A request from its head to its answer, whichever protocol it came by.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tyrscale_http1::RequestHead;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::{ErrorReply, Limits, Packet, RequestError, error_body};

use crate::answer::{self, Answer};
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
        if !request::is_served(&head.method) {
            let answer = answer::method_not_allowed();
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
        let answer = match body {
            Ok(body) => self.serve(&body, place).await,
            Err(unread) => refuse_unread(self.gateway, unread),
        };
        self.record.finish(answer.status);
        answer
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
    fn question(&self, packet: &Packet<'_>, body: &Bytes) -> Option<Question<'a>> {
        Some(Question {
            fields: &self.head.fields,
            peer: self.peer,
            query: request::query(self.head),
            body: request::outgoing(packet, body)?,
            expect: request::expect(packet),
            id: request::id(packet).map(|id| body.slice_ref(id.as_bytes())),
            method: request::method(packet),
            replay: request::replay(packet),
        })
    }
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
        Unread::Broken => {
            answer::malformed(StatusCode::BAD_REQUEST, "the body is not framed as HTTP asks for")
        }
    }
}
