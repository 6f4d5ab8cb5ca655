//! A batch: sent to one upstream in one request, and what is left of it to others; answered in the order of its calls.
//!
//! Where the client uses an id twice, or `null`, the calls are sent under ids of the gateway's own, for answers could
//! not be told apart, and are answered under the client's.

use std::borrow::Cow;

use bytes::Bytes;
use http::StatusCode;
use tyrscale_http1::Fields;
use tyrscale_jsonrpc::response::{are_distinct, batch_items, pair};
use tyrscale_jsonrpc::{
    Answer as Said, Call, Class, ErrorReply, Expect, InvalidCall, Item, Method, Observed, RawId, Replay,
    Vendor, Verdict, batch_body, classify, error_body, method, most_telling, revert, surfaced, transaction,
};

use crate::answer::{self, Answer};
use crate::body::AnswerBody;
use crate::endpoint::Endpoint;
use crate::failures::Telling;
use crate::metrics::CallOutcome;
use crate::plan::{Step, text, under_id};
use crate::upstream::Reply;

/// What a call is answered with when the upstreams answered others of its batch but not this one.
const UNANSWERED: &str = "the upstream gave no answer to this call";

/// A call, or what is none.
pub(crate) type Member<'a> = Result<Call<'a>, InvalidCall<'a>>;

/// A batch with what its calls are answered so far.
#[derive(Debug)]
pub(crate) struct Batch<'p, 'a> {
    members: &'p [Member<'a>],
    /// Empty while every member is sent as it came.
    steps: Vec<Step>,
    /// What the calls are sent under, by position; empty where that is their own ids.
    aliases: Vec<String>,
    heard: Vec<Option<Heard>>,
    /// Whether the notifications were taken.
    is_taken: bool,
    /// What the first upstream that answered said beside the answers.
    head: Option<(StatusCode, Fields)>,
    /// An answer to the batch as a whole, and what it means for each of its calls.
    whole: Option<(Answer, CallOutcome)>,
}

/// What an upstream said to one call.
#[derive(Debug)]
struct Heard {
    raw: Bytes,
    outcome: CallOutcome,
    /// Another upstream may have a better answer than one of this class.
    class: Option<Class>,
}

/// A part of a batch as it is sent.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) body: Bytes,
    pub(crate) expect: Expect,
    pub(crate) replay: Replay,
}

impl<'p, 'a> Batch<'p, 'a> {
    pub(crate) fn new(members: &'p [Member<'a>], steps: Vec<Step>) -> Self {
        let mut batch = Self {
            members,
            steps,
            aliases: Vec::new(),
            heard: Vec::new(),
            is_taken: false,
            head: None,
            whole: None,
        };
        let sent = batch.to_send();
        let ids = || sent.iter().filter_map(|position| batch.call(*position)?.id);
        if ids().any(|id| id.as_str() == "null") || !are_distinct(ids()) {
            batch.aliases = (0..members.len()).map(|position| position.to_string()).collect();
        }
        batch.heard.resize_with(members.len(), || None);
        batch
    }

    /// The positions of the calls that go to an upstream.
    pub(crate) fn to_send(&self) -> Vec<usize> {
        (0..self.members.len())
            .filter(|position| {
                self.call(*position).is_some() && !matches!(self.step(*position), Step::Answer(_))
            })
            .collect()
    }

    /// The calls at these positions as they are sent: the client's own bytes when that is all of them.
    pub(crate) fn part(&self, positions: &[usize], body: &Bytes) -> Part {
        let calls = || positions.iter().filter_map(|position| self.call(*position));
        let as_it_came = self.steps.is_empty() && self.aliases.is_empty();
        let body = if as_it_came && positions.len() == self.members.len() {
            body.clone()
        } else {
            let texts = positions.iter().filter_map(|position| self.text(*position));
            batch_body(texts.map(Cow::into_owned)).into()
        };
        let expect = if calls().any(|call| call.id.is_some()) {
            Expect::Batch
        } else {
            Expect::Nothing
        };
        let may_repeat = |call: &Call<'_>| method::lookup(&call.method).replay == Replay::Safe;
        let replay = if calls().all(may_repeat) {
            Replay::Safe
        } else {
            Replay::Unsafe
        };
        Part { body, expect, replay }
    }

    /// Takes what an upstream answered to the calls at these positions; returns those that another may be asked.
    pub(crate) fn take(&mut self, asked: &[usize], reply: Reply) -> Vec<usize> {
        self.is_taken = true;
        match (&reply.body, &reply.answer) {
            (Some(AnswerBody::Whole(body)), Said::Batch) => {
                let left = self.take_items(asked, body, reply.by.as_deref());
                self.head.get_or_insert((reply.status, reply.fields));
                left
            }
            (_, Said::BatchRefused(error)) if !self.is_untouched() => {
                let message = reply.body.is_some().then_some(error.message.as_str());
                let code = error.code.unwrap_or(ErrorReply::UpstreamsFailed.code());
                self.fail_each(code, message.unwrap_or(answer::REFUSED), CallOutcome::Error);
                Vec::new()
            }
            _ if self.expects_nothing(asked) || !self.is_untouched() => Vec::new(),
            _ => {
                let outcome = answer::outcome(&reply.answer);
                self.whole = Some((answer::pass_on(None, reply), outcome));
                Vec::new()
            }
        }
    }

    /// Takes that nobody answered the calls that are left.
    pub(crate) fn fail(&mut self, telling: Telling) {
        let (code, message) = telling.item_error();
        self.fail_each(code, message, CallOutcome::Failed);
        if let Telling::PassOn(reply) = telling
            && self.is_untouched()
        {
            self.whole = Some((answer::pass_on(None, reply), CallOutcome::Failed));
        }
    }

    /// How each member came off, in order, with its method; `None` for what is no call.
    pub(crate) fn outcomes(&self) -> impl Iterator<Item = (Option<&Call<'a>>, CallOutcome)> {
        self.members.iter().enumerate().map(|(position, member)| {
            let heard = self.heard.get(position).and_then(Option::as_ref);
            let whole = self.whole.as_ref().map(|(_, outcome)| *outcome);
            let heard = whole.or_else(|| heard.map(|heard| heard.outcome));
            let outcome = match (self.step(position), member, heard) {
                (Step::Answer(local), ..) => local.outcome,
                (_, _, Some(outcome)) => outcome,
                (_, Ok(call), None) if call.id.is_none() && self.is_taken => CallOutcome::Result,
                _ => CallOutcome::Failed,
            };
            (member.as_ref().ok(), outcome)
        })
    }

    /// The answer in the order of the calls.
    pub(crate) fn into_answer(mut self) -> Answer {
        if let Some((whole, _)) = self.whole.take() {
            return whole;
        }
        let answers: Vec<_> = (0..self.members.len())
            .filter_map(|position| self.answer_at(position))
            .collect();
        if answers.is_empty() {
            return answer::no_content();
        }
        let body = batch_body(answers);
        match self.head {
            Some((status, mut fields)) => {
                fields.keep_end_to_end(|field| !field.is("content-type"));
                answer::assemble(status, fields, AnswerBody::Whole(body.into()))
            }
            None => answer::json(StatusCode::OK, body),
        }
    }

    fn call(&self, position: usize) -> Option<&'p Call<'a>> {
        self.members.get(position)?.as_ref().ok()
    }

    fn step(&self, position: usize) -> &Step {
        self.steps.get(position).unwrap_or(&Step::Forward)
    }

    fn text(&self, position: usize) -> Option<Cow<'a, str>> {
        let params = match self.step(position) {
            Step::Rewritten(params) => Some(params.as_str()),
            Step::Forward | Step::Answer(_) => None,
        };
        let alias = self.aliases.get(position).map(String::as_str);
        Some(text(self.call(position)?, params, alias))
    }

    /// Whether the batch was sent as a whole and nothing has been heard.
    fn is_untouched(&self) -> bool {
        self.steps.is_empty() && self.head.is_none()
    }

    fn expects_nothing(&self, asked: &[usize]) -> bool {
        asked
            .iter()
            .filter_map(|position| self.call(*position))
            .all(|call| call.id.is_none())
    }

    fn take_items(&mut self, asked: &[usize], body: &Bytes, by: Option<&Endpoint>) -> Vec<usize> {
        let wanting: Vec<(usize, &Call<'a>)> = asked
            .iter()
            .filter_map(|position| Some((*position, self.call(*position)?)))
            .filter(|(_, call)| call.id.is_some())
            .collect();
        let sent_as = |(position, call): &(usize, &Call<'a>)| match self.aliases.get(*position) {
            Some(alias) => RawId::parse(alias.as_bytes()),
            None => RawId::parse(call.id?.as_bytes()),
        };
        let ids: Vec<RawId<'_>> = wanting.iter().filter_map(sent_as).collect();
        let paired = pair(&ids, batch_items(body).unwrap_or_default());
        let mut left = Vec::new();
        for ((position, call), item) in wanting.into_iter().zip(paired) {
            let called = method::lookup(&call.method);
            let may_ask = match item {
                Some(item) => self.hear(position, (call, called), &item, body, by),
                None => called.replay == Replay::Safe,
            };
            left.extend(may_ask.then_some(position));
        }
        left
    }

    /// Takes the answer to one call; whether another upstream may have a better one.
    fn hear(
        &mut self,
        position: usize,
        (call, called): (&Call<'a>, &Method),
        item: &Item<'_>,
        body: &Bytes,
        by: Option<&Endpoint>,
    ) -> bool {
        let mut raw = body.slice_ref(item.raw.as_bytes());
        if !self.aliases.is_empty()
            && let (Some(old), Some(id)) = (item.id, call.id)
        {
            raw = under_id(&raw, old, id);
        }
        let (heard, may_ask) = judge(call, called, raw, &item.answer, by);
        let Some(slot) = self.heard.get_mut(position) else {
            return false;
        };
        let both = slot.as_ref().and_then(|before| before.class.zip(heard.class));
        let is_better =
            both.is_none_or(|(old, new)| old != new && most_telling([old, new], called.kind) == Some(new));
        if is_better {
            *slot = Some(heard);
        }
        may_ask
    }

    /// An error for each call that wants an answer and has none.
    fn fail_each(&mut self, code: i64, message: &str, outcome: CallOutcome) {
        for position in self.to_send() {
            let id = self.call(position).and_then(|call| call.id);
            let slot = self.heard.get_mut(position).filter(|heard| heard.is_none());
            if let (Some(id), Some(slot)) = (id, slot) {
                *slot = Some(Heard {
                    raw: error_body(Some(id), code, message).into(),
                    outcome,
                    class: None,
                });
            }
        }
    }

    fn answer_at(&self, position: usize) -> Option<Bytes> {
        let member = self.members.get(position)?;
        match (self.step(position), member) {
            (Step::Answer(local), Ok(call)) => Some(local.body(Some(call.id?)).into()),
            (Step::Answer(local), Err(invalid)) => Some(local.body(invalid.id).into()),
            (_, Ok(call)) => {
                let id = call.id?;
                let heard = self.heard.get(position).and_then(Option::as_ref);
                let unanswered =
                    || error_body(Some(id), ErrorReply::UpstreamsFailed.code(), UNANSWERED).into();
                Some(heard.map_or_else(unanswered, |heard| heard.raw.clone()))
            }
            (_, Err(_)) => None,
        }
    }
}

/// What an answer to one call of a batch means, and whether another upstream may have a better one: as for a single
/// call, but for what it says of the upstream.
fn judge(
    call: &Call<'_>,
    called: &Method,
    raw: Bytes,
    answer: &Said,
    by: Option<&Endpoint>,
) -> (Heard, bool) {
    let verdict = classify(&Observed {
        status: StatusCode::OK.as_u16(),
        id: None,
        method: called,
        vendor: by.map_or(Vendor::Other, |endpoint| endpoint.address().vendor()),
        answer,
        body: &raw,
    });
    let mut outcome = answer::outcome(answer);
    let put_right = match verdict {
        Verdict::Final(Class::Reverted) => revert::normalise(&raw),
        Verdict::Final(Class::AlreadyKnown) => {
            let hash = call.params.and_then(transaction::hash);
            outcome = hash.map_or(outcome, |_| CallOutcome::Result);
            hash.map(|hash| transaction::accepted(call.id, hash))
        }
        Verdict::Retry(class) => surfaced(&raw, call.id, class),
        Verdict::Answer | Verdict::Final(_) => None,
    };
    let mut raw = put_right.map_or(raw, Bytes::from);
    if outcome == CallOutcome::Error && by.is_some_and(|by| by.address().is_told_in(&raw)) {
        raw = error_body(call.id, ErrorReply::UpstreamsFailed.code(), answer::REFUSED).into();
    }
    let class = match verdict {
        Verdict::Retry(class) => Some(class),
        Verdict::Answer | Verdict::Final(_) => None,
    };
    let may_ask = class.is_some_and(|class| class.retryable(called.replay));
    (Heard { raw, outcome, class }, may_ask)
}
