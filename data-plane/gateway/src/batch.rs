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
    Answer as Said, Blame, Call, ErrorReply, Expect, InvalidCall, Item, Method, RawId, Replay, batch_body,
    error_body, method, most_telling,
};

use crate::answer::{self, Answer};
use crate::body::AnswerBody;
use crate::failures::Telling;
use crate::metrics::CallOutcome;
use crate::plan::{Step, text, under_id};
use crate::upstream::{Question, Reply};

mod item;

use item::{Heard, Whole, judge};

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

/// What of a batch another upstream may have better answers to.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) positions: Vec<usize>,
    /// Whether an upstream is to blame for it, so that asking again is a retry.
    pub(crate) is_retry: bool,
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

    /// Takes what an upstream answered to the question about the calls at these positions; returns those that another
    /// may be asked, which finds what it did not find when that is to be looked for `elsewhere`.
    pub(crate) fn take(
        &mut self,
        asked: &[usize],
        question: &Question<'_>,
        elsewhere: bool,
        reply: Reply,
    ) -> Left {
        self.is_taken = true;
        match (&reply.body, &reply.answer) {
            (Some(AnswerBody::Whole(body)), Said::Batch) => {
                let heard = Whole {
                    body,
                    by: reply.by.as_deref(),
                    question,
                    elsewhere,
                };
                let left = self.take_items(asked, &heard);
                self.head.get_or_insert((reply.status, reply.fields));
                left
            }
            (_, Said::BatchRefused(error)) if !self.is_untouched() => {
                let message = reply.body.is_some().then_some(error.message.as_str());
                let code = error.code.unwrap_or(ErrorReply::UpstreamsFailed.code());
                self.fail_each(code, message.unwrap_or(answer::REFUSED), CallOutcome::Error);
                Left::default()
            }
            _ if self.expects_nothing(asked) || !self.is_untouched() => Left::default(),
            _ => {
                let outcome = answer::outcome(&reply.answer);
                self.whole = Some((answer::pass_on(None, reply), outcome));
                Left::default()
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
            Some((status, fields)) => answer::assemble(status, fields, AnswerBody::Whole(body.into())),
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

    fn take_items(&mut self, asked: &[usize], whole: &Whole<'_, '_>) -> Left {
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
        let paired = pair(&ids, batch_items(whole.body).map_while(Result::ok));
        let mut left = Left::default();
        for ((position, call), item) in wanting.into_iter().zip(paired) {
            let called = method::lookup(&call.method);
            let may_ask = match item {
                Some(item) => self.hear(position, (call, called), &item, whole),
                None => called.replay == Replay::Safe,
            };
            if may_ask {
                left.positions.push(position);
                left.is_retry |= self.is_failed(position);
            }
        }
        left
    }

    /// Whether an upstream is to blame for the answer to a call, or for there being none.
    fn is_failed(&self, position: usize) -> bool {
        let heard = self.heard.get(position).and_then(Option::as_ref);
        heard.is_none_or(|heard| {
            heard
                .class
                .is_some_and(|class| class.policy().blame != Blame::Nobody)
        })
    }

    /// Takes the answer to one call; whether another upstream may have a better one.
    fn hear(
        &mut self,
        position: usize,
        (call, called): (&Call<'a>, &Method),
        item: &Item<'_>,
        whole: &Whole<'_, '_>,
    ) -> bool {
        let mut raw = whole.body.slice_ref(item.raw.as_bytes());
        if !self.aliases.is_empty()
            && let (Some(old), Some(id)) = (item.id, call.id)
        {
            raw = under_id(&raw, old, id);
        }
        let (heard, may_ask) = judge((call, called), raw, &item.answer, whole);
        let Some(slot) = self.heard.get_mut(position) else {
            return false;
        };
        let is_better = match slot.as_ref().map(|before| (before.is_empty, before.class)) {
            // That nothing was found is an answer, too.
            Some((true, _)) => heard.class.is_none() && !heard.is_empty,
            Some((false, Some(old))) => heard
                .class
                .is_none_or(|new| old != new && most_telling([old, new], called.kind) == Some(new)),
            Some((false, None)) | None => true,
        };
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
                    is_empty: false,
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
