//! What the client asks: one call or a batch, borrowed from the body.
//!
//! Source: JSON-RPC 2.0, sections 4 and 6. Where it leaves room, or clients do:
//!
//! - `jsonrpc` may be absent; if present it is the string `"2.0"`.
//! - `params` may be absent, `null`, an array or an object; other values are an invalid request, since
//!   parameters are a structured value.
//! - `id` is a string, a number of any size, or `null`, kept byte for byte. A call without `id` is a
//!   notification; one with `"id": null` is not.
//! - A member named `jsonrpc`, `method`, `params` or `id` twice makes the call invalid: readers that take
//!   the first and readers that take the last disagree about what was allowed. Other members are ignored.
//! - Names are compared after unescaping, so `"m\u0065thod"` is `method`.
//! - Text that is no JSON, is no UTF-8, is nested too deeply, or goes on after the value is a parse error
//!   of the whole body. A call of the wrong shape inside a batch spoils only itself.
//! - An invalid call whose id can be read is refused under that id.

use std::borrow::Cow;

use thiserror::Error;

use crate::id::RawId;
use crate::scan::{Scanner, Stop, decode};

/// How much is accepted in one body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls in one batch.
    pub max_batch: usize,
    /// Arrays and objects inside each other, the batch and the call themselves included.
    pub max_depth: usize,
}

impl Default for Limits {
    /// 1000 calls, 128 levels.
    fn default() -> Self {
        Self {
            max_batch: 1000,
            max_depth: 128,
        }
    }
}

/// A request body, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet<'a> {
    /// One call.
    Single(Call<'a>),
    /// An array of calls in the client's order, never empty; each stands or falls by itself.
    Batch(Vec<Result<Call<'a>, InvalidCall<'a>>>),
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// The method's name, unescaped.
    pub method: Cow<'a, str>,
    /// `None` for a notification; `null` is an id.
    pub id: Option<RawId<'a>>,
    /// The JSON text of the parameters, an array or an object; `None` when absent or `null`.
    pub params: Option<&'a str>,
    /// The JSON text of the whole call as the client wrote it.
    pub raw: &'a str,
}

/// What is wrong with a call that is JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    /// A number, a string, an array inside a batch, …
    #[error("a call must be an object")]
    NotAnObject,
    /// `jsonrpc`, `method`, `params` or `id` twice.
    #[error("a member of the call appears twice")]
    DuplicateMember,
    /// `jsonrpc` is present and something else.
    #[error("jsonrpc must be the string \"2.0\"")]
    Version,
    /// `method` is absent, not a string, or not Unicode text.
    #[error("method must be a string")]
    Method,
    /// `params` is a string, a number or a boolean.
    #[error("params must be an array or an object")]
    Params,
    /// `id` is a boolean, an array, an object, or a number beyond a 64-bit float.
    #[error("id must be a string, a finite number or null")]
    Id,
}

/// A call that is JSON but no JSON-RPC call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct InvalidCall<'a> {
    /// What is wrong with it.
    pub reason: Reason,
    /// The id to answer under, when it could be told.
    pub id: Option<RawId<'a>>,
}

/// Why a body as a whole was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError<'a> {
    /// The body is empty, is no UTF-8 or no JSON, or goes on after the value.
    #[error("the body is not valid JSON")]
    NotJson,
    /// More nesting than [`Limits::max_depth`].
    #[error("the body is nested too deeply")]
    TooDeep,
    /// `[]`.
    #[error("the batch is empty")]
    EmptyBatch,
    /// More calls than [`Limits::max_batch`].
    #[error("the batch is longer than {max} calls")]
    BatchTooLong {
        /// The limit.
        max: usize,
    },
    /// A single call of the wrong shape.
    #[error("{0}")]
    Invalid(InvalidCall<'a>),
}

impl From<Stop> for RequestError<'_> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::End | Stop::Invalid => Self::NotJson,
            Stop::TooDeep => Self::TooDeep,
        }
    }
}

/// Reads a request body.
///
/// # Errors
/// [`RequestError`] when the body as a whole cannot be served.
pub fn parse<'a>(body: &'a [u8], limits: &Limits) -> Result<Packet<'a>, RequestError<'a>> {
    let text = simdutf8::basic::from_utf8(body).map_err(|_| RequestError::NotJson)?;
    let mut scanner = Scanner::new(text, limits.max_depth);
    if scanner.token()? == b'[' {
        let calls = batch(&mut scanner, limits.max_batch)?;
        scanner.end()?;
        return Ok(Packet::Batch(calls));
    }
    let call = call(&mut scanner)?;
    scanner.end()?;
    call.map(Packet::Single).map_err(RequestError::Invalid)
}

fn batch<'a>(
    scanner: &mut Scanner<'a>,
    max: usize,
) -> Result<Vec<Result<Call<'a>, InvalidCall<'a>>>, RequestError<'a>> {
    if !scanner.enter()? {
        scanner.end()?;
        return Err(RequestError::EmptyBatch);
    }
    let mut calls = Vec::new();
    loop {
        if calls.len() == max {
            return Err(RequestError::BatchTooLong { max });
        }
        calls.push(call(scanner)?);
        if !scanner.more()? {
            return Ok(calls);
        }
    }
}

/// The members of a call that mean something, as scanned.
#[derive(Default)]
struct Members<'a> {
    version: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    id: Option<&'a str>,
    repeated: bool,
}

fn call<'a>(scanner: &mut Scanner<'a>) -> Result<Result<Call<'a>, InvalidCall<'a>>, Stop> {
    if scanner.token()? != b'{' {
        scanner.value()?;
        return Ok(Err(InvalidCall {
            reason: Reason::NotAnObject,
            id: None,
        }));
    }
    let start = scanner.position();
    let mut members = Members::default();
    let mut member_follows = scanner.enter()?;
    while member_follows {
        let slot = match scanner.key()?.as_ref() {
            "jsonrpc" => Some(&mut members.version),
            "method" => Some(&mut members.method),
            "params" => Some(&mut members.params),
            "id" => Some(&mut members.id),
            _ => None,
        };
        let value = scanner.value()?;
        if let Some(slot) = slot {
            members.repeated |= slot.replace(value).is_some();
        }
        member_follows = scanner.more()?;
    }
    Ok(members.check(scanner.slice_from(start)))
}

impl<'a> Members<'a> {
    fn check(self, raw: &'a str) -> Result<Call<'a>, InvalidCall<'a>> {
        let refuse = |reason, id| InvalidCall { reason, id };
        if self.repeated {
            return Err(refuse(Reason::DuplicateMember, None));
        }
        let id = match self.id.map(RawId::from_value) {
            Some(None) => return Err(refuse(Reason::Id, None)),
            Some(id) => id,
            None => None,
        };
        if self
            .version
            .is_some_and(|version| decode(version).as_deref() != Some("2.0"))
        {
            return Err(refuse(Reason::Version, id));
        }
        let method = self
            .method
            .and_then(decode)
            .ok_or_else(|| refuse(Reason::Method, id))?;
        let params = self.params.filter(|params| *params != "null");
        if params.is_some_and(|params| !params.starts_with(['[', '{'])) {
            return Err(refuse(Reason::Params, id));
        }
        Ok(Call {
            method,
            id,
            params,
            raw,
        })
    }
}

#[cfg(test)]
mod tests;
