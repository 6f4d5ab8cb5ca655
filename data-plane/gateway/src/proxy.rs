//! A request from its head to its answer, whichever protocol it came by.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;
use tyrscale_http1::RequestHead;
use tyrscale_jsonrpc::request::parse;
use tyrscale_jsonrpc::{Call, ErrorReply, Expect, Limits, Packet, RequestError, error_body, method};

use crate::answer::{self, Answer};
use crate::batch::{Batch, Left, Member, Part};
use crate::coding::{self, Undecodable};
use crate::forward::{Course, forward};
use crate::gateway::Gateway;
use crate::headers::{self, Peer};
use crate::metrics::CallOutcome;
use crate::plan::{Local, Rules, Step, text};
use crate::record::Record;
use crate::request::{self, Unread};
use crate::route::Route;
use crate::shedding::{AHEAD, Held, Shed};
use crate::subject::Subject;
use crate::transaction;
use crate::upstream::{Place, Question};

/// Deepest nesting of arrays and objects in a request.
const MAX_DEPTH: usize = 128;
/// Most times that what is left of a batch is sent to an upstream, the first one included.
const MAX_ROUNDS: usize = 3;

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    asked: Asked<'a>,
    record: Record<'a>,
    /// Its place among those in progress; `None` when it needs none.
    held: Option<Held<'a>>,
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
        let mut request = Self {
            asked: Asked {
                gateway,
                head,
                peer,
                route: Arc::clone(route),
            },
            record: Record::begin(&gateway.recorder, head, peer, Arc::clone(route), revision),
            held: None,
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
        let most = request.max_body_bytes();
        let announced = request::content_length(head).unwrap_or(AHEAD).min(most);
        match gateway.load.take(announced) {
            Ok(held) => request.held = Some(held),
            Err(shed) => {
                gateway.stats.count_shed(shed);
                return Err(request.finish(marked(answer::overloaded(), route, head)));
            }
        }
        Ok(request)
    }

    /// Largest body that is read of it, in bytes.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.asked.max_body_bytes()
    }

    /// Whether there is room for so many bytes of its body, which have come.
    pub(crate) fn has_room(&mut self, bytes: usize) -> bool {
        self.held.as_mut().is_none_or(|held| held.grow(bytes))
    }

    /// Answers it, once its body has been read or could not be.
    pub(crate) async fn answer(mut self, body: Result<Bytes, Unread>, place: &mut Place<'_>) -> Answer {
        let body = self.decoded(body).await;
        let asked = &self.asked;
        let answer = match body {
            Ok(body) => {
                if let Some(held) = &mut self.held {
                    held.shrink(body.len());
                }
                asked.serve(&body, &mut self.record, place).await
            }
            Err(unread) => refuse_unread(asked.gateway, unread),
        };
        let compress = asked.gateway.settings.compress;
        let answer = compress.apply(answer, &asked.head.fields);
        let answer = marked(answer, &asked.route, asked.head);
        self.finish(answer)
    }

    /// A body without its content coding. There has to be room for the largest that it may become.
    async fn decoded(&mut self, body: Result<Bytes, Unread>) -> Result<Bytes, Unread> {
        let codings = coding::codings(&self.asked.head.fields).map_err(|_| Unread::Unsupported);
        let (body, codings) = (body?, codings?);
        if codings.is_empty() {
            return Ok(body);
        }
        let limit = self.max_body_bytes();
        if !self.has_room(body.len().saturating_add(limit)) {
            return Err(Unread::NoRoom);
        }
        let decoded = Box::pin(coding::decode(&codings, &body, limit)).await;
        decoded.map(Bytes::from).map_err(|why| match why {
            Undecodable::TooLarge => Unread::TooLarge,
            Undecodable::Broken => Unread::Undecodable,
        })
    }

    /// Writes it down, and tells the client what it wants to know besides.
    fn finish(self, mut answer: Answer) -> Answer {
        answer.own.extend(self.record.finish(answer.status));
        answer
    }
}

impl Asked<'_> {
    fn max_body_bytes(&self) -> usize {
        self.route.admission.max_body_bytes(&self.gateway.settings)
    }

    async fn serve(&self, body: &Bytes, record: &mut Record<'_>, place: &mut Place<'_>) -> Answer {
        let limits = Limits {
            max_batch: self.route.admission.max_batch(&self.gateway.settings),
            max_depth: MAX_DEPTH,
        };
        let packet = match parse(body, &limits) {
            Ok(packet) => packet,
            Err(error) => return refuse(self.gateway, &error),
        };
        match &packet {
            Packet::Single(call) => self.serve_call(call, body, record, place).await,
            Packet::Batch(members) => self.serve_batch(members, body, record, place).await,
        }
    }

    async fn serve_call(
        &self,
        call: &Call<'_>,
        body: &Bytes,
        record: &mut Record<'_>,
        place: &mut Place<'_>,
    ) -> Answer {
        let called = method::lookup(&call.method);
        record.asks(called.label, 1, body.len());
        let answered = |local: Local| {
            self.gateway.stats.count(called, local.outcome);
            local.answer(call.id)
        };
        let (sent, params) = match self.rules().step(call) {
            Step::Forward => (body.clone(), None),
            Step::Rewritten(params) => (text(call, Some(&params), None).into_owned().into(), Some(params)),
            Step::Answer(local) => return answered(local),
        };
        let receipts = match Rules::receipts(call, params.as_deref()) {
            Ok(receipts) => receipts,
            Err(local) => return answered(local),
        };
        let question = Question {
            id: call.id,
            method: called,
            traceparent: record.traceparent(),
            receipts,
            ..self.question(
                Part {
                    body: sent,
                    expect: call.id.map_or(Expect::Nothing, |_| Expect::Single),
                    replay: called.replay,
                },
                Subject::of(std::iter::once(call)),
            )
        };
        let (route, journal) = (&self.route, record.journal());
        let mut course = Course::new(route, &self.gateway.settings);
        let mut sent = forward(route, &question, &mut course, journal, place).await;
        if transaction::is_in_doubt(&question, &sent) {
            // Before a failure is told, for an attempt may have sent it without having had an answer.
            let found = Box::pin(transaction::look_up(route, &question, &course, journal, place));
            sent = found.await.map_or(sent, Ok);
        }
        let (answer, outcome) = match sent {
            Ok(reply) => {
                let outcome = answer::outcome(&reply.answer);
                (answer::reply(call.id, reply), outcome)
            }
            Err(failures) => {
                let retry_after = failures.retry_after(Instant::now().into_std());
                let telling = failures.telling(called.kind, Some(&call.method));
                let answer = answer::failed(call.id, telling).with_retry_after(retry_after);
                (answer, CallOutcome::Failed)
            }
        };
        self.gateway.stats.count(called, outcome);
        answer
    }

    async fn serve_batch(
        &self,
        members: &[Member<'_>],
        body: &Bytes,
        record: &mut Record<'_>,
        place: &mut Place<'_>,
    ) -> Answer {
        let calls = members.iter().filter(|member| member.is_ok()).count();
        record.asks("batch", calls, body.len());
        let mut batch = Batch::new(members, self.rules().steps(members));
        let mut course = Course::new(&self.route, &self.gateway.settings);
        let elsewhere = self.route.consistency.empty_lookups_elsewhere;
        let mut asked = Left {
            positions: batch.to_send(),
            is_retry: false,
        };
        for round in 0..MAX_ROUNDS {
            let mut goes_on = || round == 0 || course.goes_on(&self.route, asked.is_retry);
            if asked.positions.is_empty() || !goes_on() {
                break;
            }
            let calls = asked
                .positions
                .iter()
                .filter_map(|position| members.get(*position)?.as_ref().ok());
            let subject = Subject::of(calls);
            let question = Question {
                traceparent: record.traceparent(),
                ..self.question(batch.part(&asked.positions, body), subject)
            };
            match forward(&self.route, &question, &mut course, record.journal(), place).await {
                Ok(reply) => asked = batch.take(&asked.positions, &question, elsewhere, reply),
                Err(failures) if round == 0 => {
                    batch.fail(failures.telling(question.method.kind, None));
                    break;
                }
                Err(_) => break,
            }
        }
        for (call, outcome) in batch.outcomes() {
            match call {
                Some(call) => self.gateway.stats.count(method::lookup(&call.method), outcome),
                None => self.gateway.stats.count_unread(),
            }
        }
        batch.into_answer()
    }

    fn rules(&self) -> Rules<'_> {
        let settings = &self.gateway.settings;
        let address = || headers::client(&self.head.fields, self.peer, |address| settings.trusts(address));
        let client = self.route.admission.client(&self.head.fields, address);
        Rules::new(&self.route, client)
    }

    /// What is asked of an upstream; the method of a batch is none that is known.
    fn question<'q>(&'q self, part: Part, subject: Subject<'q>) -> Question<'q> {
        Question {
            fields: &self.head.fields,
            peer: self.peer,
            forwarded: &self.route.forward_headers,
            accepted: self.gateway.settings.compress.accepted(&self.head.fields),
            query: request::query(self.head),
            traceparent: None,
            receipts: None,
            body: part.body,
            expect: part.expect,
            id: None,
            method: method::other(),
            replay: part.replay,
            subject,
        }
    }
}

/// The answer, with what the route says about pages of other origins.
fn marked(mut answer: Answer, route: &Route, head: &RequestHead) -> Answer {
    if let Some(cors) = &route.cors {
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
        Unread::NoRoom => {
            gateway.stats.count_shed(Shed::RequestBytes);
            answer::overloaded()
        }
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
