//! What becomes of each call of a packet: it is sent to an upstream, in the client's own bytes or with parameters of
//! the gateway's making, or the gateway answers it itself.

use std::borrow::Cow;
use std::ops::Range;

use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;
use tyrscale_jsonrpc::{Call, ErrorReply, InvalidCall, RawId, error_body};

use crate::admission::{Client, Limited};
use crate::answer::{self, Answer};
use crate::blocks::{Ruling, ruling};
use crate::metrics::CallOutcome;
use crate::receipts::{self, Receipts};
use crate::route::Route;

/// Characters told of a method's name that is not served.
const NAME_TOLD: usize = 64;
/// Source: JSON-RPC 2.0, section 5.1.
const INVALID_PARAMS: i64 = -32602;

/// What becomes of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is sent as it came.
    #[default]
    Forward,
    /// It is sent with these parameters, a JSON text, in the place of its own.
    Rewritten(String),
    /// The gateway answers it.
    Answer(Local),
}

/// An answer of the gateway's own to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    said: Said,
    pub(crate) outcome: CallOutcome,
    /// Of the answer to a single call; in a batch each answer is one among others.
    status: StatusCode,
    /// In how many seconds it may be asked again.
    retry_after: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// A JSON text.
    Result(Cow<'static, str>),
    Error {
        code: i64,
        message: Cow<'static, str>,
    },
}

impl Local {
    /// That there is nothing.
    fn null() -> Self {
        Self {
            said: Said::Result(Cow::Borrowed("null")),
            outcome: CallOutcome::Result,
            status: StatusCode::OK,
            retry_after: None,
        }
    }

    /// An error of the call's own.
    pub(crate) fn error(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            said: Said::Error {
                code,
                message: message.into(),
            },
            outcome: CallOutcome::Error,
            status: StatusCode::OK,
            retry_after: None,
        }
    }

    fn invalid(invalid: &InvalidCall<'_>) -> Self {
        Self {
            outcome: CallOutcome::Invalid,
            ..Self::error(ErrorReply::InvalidRequest.code(), invalid.to_string())
        }
    }

    fn not_served(method: &str) -> Self {
        let told: String = method.chars().take(NAME_TOLD).collect();
        Self {
            outcome: CallOutcome::Refused,
            ..Self::error(
                ErrorReply::MethodNotFound.code(),
                format!("the method {told} is not served here"),
            )
        }
    }

    /// That receipts cannot be asked for in this way.
    fn no_receipts(reason: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            outcome: CallOutcome::Refused,
            ..Self::error(INVALID_PARAMS, format!("{} {reason}", receipts::METHOD))
        }
    }

    fn limited(limited: &Limited, message: &str, now: Instant) -> Self {
        let message = if message.is_empty() {
            Cow::Borrowed(ErrorReply::RateLimited.message())
        } else {
            Cow::Owned(message.to_owned())
        };
        Self {
            outcome: CallOutcome::Limited,
            status: answer::status(ErrorReply::RateLimited),
            retry_after: Some(limited.seconds_from(now.into_std())),
            ..Self::error(ErrorReply::RateLimited.code(), message)
        }
    }

    /// The JSON-RPC object.
    pub(crate) fn body(&self, id: Option<RawId<'_>>) -> Vec<u8> {
        match &self.said {
            Said::Error { code, message } => error_body(id, *code, message),
            Said::Result(json) => {
                let id = id.map_or("null", RawId::as_str);
                format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{json}}}"#).into_bytes()
            }
        }
    }

    /// The answer to a single call; a notification gets none.
    pub(crate) fn answer(&self, id: Option<RawId<'_>>) -> Answer {
        let Some(id) = id else {
            return answer::no_content();
        };
        let mut answer = answer::json(self.status, self.body(Some(id)));
        answer.own.extend(self.retry_after.map(answer::retry_after));
        answer
    }
}

/// What decides about the calls of one request.
#[derive(Debug)]
pub(crate) struct Rules<'r> {
    route: &'r Route,
    /// With when the calls came; `None` for whom no rate counts.
    client: Option<(Client, Instant)>,
}

impl<'r> Rules<'r> {
    pub(crate) fn new(route: &'r Route, client: Option<Client>) -> Self {
        Self {
            route,
            client: client.map(|client| (client, Instant::now())),
        }
    }

    /// What becomes of a call. Each call counts towards the rates, also one that is then refused.
    pub(crate) fn step(&self, call: &Call<'_>) -> Step {
        let admission = &self.route.admission;
        if let Some((client, now)) = &self.client
            && let Err(limited) = admission.admit(client, now.into_std())
        {
            self.route.stats.limited.count(limited.scope);
            return Step::Answer(Local::limited(&limited, admission.message(), *now));
        }
        if !admission.serves(&call.method) {
            return Step::Answer(Local::not_served(&call.method));
        }
        if call.method == receipts::METHOD && !self.route.gives_receipts() {
            return Step::Answer(Local::no_receipts("needs an upstream with a receipts_method"));
        }
        match ruling(&self.route.consistency, &self.route.heads, call) {
            Ruling::AsItCame => Step::Forward,
            Ruling::Rewritten(params) => Step::Rewritten(params),
            Ruling::Null => Step::Answer(Local::null()),
            Ruling::Invalid(reason) => Step::Answer(Local::error(INVALID_PARAMS, reason)),
        }
    }

    /// The receipts that a call asks for that is sent; `None` for any other call.
    ///
    /// # Errors
    /// The answer to one that names no block.
    pub(crate) fn receipts(call: &Call<'_>, params: Option<&str>) -> Result<Option<Receipts>, Local> {
        if call.method != receipts::METHOD {
            return Ok(None);
        }
        Receipts::read(call, params).map(Some).map_err(Local::no_receipts)
    }

    /// What becomes of each member of a batch; nothing is listed while each is sent as it came.
    pub(crate) fn steps(&self, members: &[Result<Call<'_>, InvalidCall<'_>>]) -> Vec<Step> {
        let mut steps = Vec::new();
        for (position, member) in members.iter().enumerate() {
            let step = match member {
                Ok(call) => match self.step(call) {
                    Step::Forward | Step::Rewritten(_) if call.method == receipts::METHOD => {
                        Step::Answer(Local::no_receipts("cannot be part of a batch"))
                    }
                    step => step,
                },
                Err(invalid) => Step::Answer(Local::invalid(invalid)),
            };
            if step != Step::Forward && steps.is_empty() {
                steps.reserve_exact(members.len());
                steps.resize(position, Step::Forward);
            }
            if step != Step::Forward || !steps.is_empty() {
                steps.push(step);
            }
        }
        steps
    }
}

/// The JSON text of a call that is sent, with what stands for its parameters and its id.
pub(crate) fn text<'c>(call: &Call<'c>, params: Option<&str>, id: Option<&str>) -> Cow<'c, str> {
    let raw = call.raw;
    let params = params.zip(call.params.and_then(|old| place(raw, old)));
    let id = id.zip(call.id.and_then(|old| place(raw, old.as_str())));
    let mut edits = [params, id];
    edits.sort_by_key(|edit| edit.as_ref().map(|(_, range)| range.start));
    let mut text = Cow::Borrowed(raw);
    // From the end, so that what is in front stays where it was found.
    for (replacement, range) in edits.into_iter().rev().flatten() {
        text.to_mut().replace_range(range, replacement);
    }
    text
}

/// An upstream's answer to one call, with another id in the place of its own.
pub(crate) fn under_id(raw: &Bytes, old: RawId<'_>, id: RawId<'_>) -> Bytes {
    let text = str::from_utf8(raw).ok();
    let Some((text, range)) = text.and_then(|text| Some((text, place(text, old.as_str())?))) else {
        return raw.clone();
    };
    let mut text = text.to_owned();
    text.replace_range(range, id.as_str());
    text.into()
}

/// Where in `whole` its part `part` stands.
fn place(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    whole.get(range.clone()).map(|_| range)
}

#[cfg(test)]
mod tests {
    use tyrscale_jsonrpc::request::parse;
    use tyrscale_jsonrpc::response::batch_items;
    use tyrscale_jsonrpc::{Limits, Packet};

    use super::*;

    fn rewritten(body: &str, params: Option<&str>, id: Option<&str>) -> String {
        let Ok(Packet::Single(call)) = parse(body.as_bytes(), &Limits::default()) else {
            panic!("no call: {body}");
        };
        text(&call, params, id).into_owned()
    }

    #[test]
    fn only_parameters_and_id_of_a_call_are_replaced() {
        for (body, expected) in [
            (
                r#"{"id":1, "params":[1],"method":"m","x":{"id":1}}"#,
                r#"{"id":77, "params":["0x2"],"method":"m","x":{"id":1}}"#,
            ),
            (
                r#"{"params":[1],"method":"m","id":"a\u0062"}"#,
                r#"{"params":["0x2"],"method":"m","id":77}"#,
            ),
            (r#"{"method":"m"}"#, r#"{"method":"m"}"#),
        ] {
            assert_eq!(rewritten(body, Some(r#"["0x2"]"#), Some("77")), expected);
            assert_eq!(rewritten(body, None, None), body);
        }
    }

    #[test]
    fn an_answer_is_told_under_the_clients_id_and_the_rest_of_it_stays() {
        let raw = Bytes::from_static(br#"{"result":{"id":0},"id":0 }"#);
        let whole = Bytes::from([b"[", raw.as_ref(), b"]"].concat());
        let said = batch_items(&whole).next().unwrap().unwrap();
        let item = whole.slice_ref(said.raw.as_bytes());
        let told = under_id(&item, said.id.unwrap(), RawId::parse(b"\"x\"").unwrap());
        assert_eq!(told, r#"{"result":{"id":0},"id":"x" }"#);
    }

    #[test]
    fn a_name_without_end_is_told_in_part() {
        let local = Local::not_served(&"\u{e9}".repeat(1_000_000));
        assert!(local.body(None).len() < 400);
    }
}
