//! What an upstream's answer means: for the client, for the upstream, and for another attempt.
//!
//! One ordered table of rules ([`Vendor`]s' own first) gives every error and every body that is no answer a
//! [`Class`]; the class says what to do ([`Class::policy`]). A good result is recognised without the table.

use std::borrow::Cow;

use crate::class::{Class, Elsewhere};
use crate::method::Method;
use crate::response::{Answer, RpcError, bare_error};

mod index;
mod result;
mod rule;
mod table;
mod vendor;

pub use vendor::Vendor;

use index::Facts;
use rule::{Methods, Shape};

/// How much of a body that is no JSON-RPC is searched for what it says, in bytes.
const MAX_SEARCHED: usize = 4096;
/// Longest request that is compared with an answer to it, in bytes.
const MAX_COMPARED: usize = 64 * 1024;

/// What an upstream answered, and to what.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Whether the answer carries the id of what was asked ([`Seen::is_ours`](crate::response::Seen::is_ours)).
    pub is_ours: bool,
    /// The method that was called; [`crate::method::other`] for a batch.
    pub method: &'a Method,
    /// Who runs the upstream.
    pub vendor: Vendor,
    /// What the body is.
    pub answer: &'a Answer,
    /// The body, or as much of its beginning as was read.
    pub body: &'a [u8],
}

/// What to do with an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on as it came.
    Answer,
    /// The request's own error: pass it on, another upstream would say the same. See [`crate::revert`] and
    /// [`crate::transaction`] for what is put right on the way.
    Final(Class),
    /// Try another upstream if [`Class::retryable`] says so.
    Retry(Class),
}

impl From<Class> for Verdict {
    fn from(class: Class) -> Self {
        match class.policy().elsewhere {
            Elsewhere::Never => Self::Final(class),
            Elsewhere::IfSafe | Elsewhere::Always => Self::Retry(class),
        }
    }
}

/// The verdict on an answer; the same for the same answer, whatever came before.
#[must_use]
pub fn classify(observed: &Observed<'_>) -> Verdict {
    let is_good = (200..=299).contains(&observed.status);
    match observed.answer {
        Answer::Result | Answer::Error(_) if is_good && !observed.is_ours => Verdict::Retry(Class::BadBody),
        Answer::Result if is_good => result::hidden_error(observed).map_or(Verdict::Answer, Verdict::from),
        Answer::Batch | Answer::Empty if is_good => Verdict::Answer,
        _ => class(observed).into(),
    }
}

/// Whether what an answer tells of its upstream is told by the upstream itself: by status or code, or in words that are not
/// those of the `request`. Nodes repeat what clients write, and what tracers of clients say.
#[must_use]
pub fn is_own_word(observed: &Observed<'_>, request: &[u8]) -> bool {
    let said = Said::of(observed);
    let facts = said.facts(observed);
    let class = |rule: Option<&rule::Rule>| rule.map(|rule| rule.class);
    // With escapes any text may be written in many ways.
    let is_plain = request.len() <= MAX_COMPARED
        && !request.contains(&b'\\')
        && !Methods::Trace.include(observed.method);
    let compared = std::str::from_utf8(request).ok().filter(|_| is_plain);
    class(index::first_beside(&facts, compared)) == class(index::first(&facts))
}

/// The table in its order, for its documentation: what each rule recognises, and the class it gives.
pub fn rules() -> impl Iterator<Item = (&'static str, Class)> {
    table::rules().map(|rule| (rule.name, rule.class))
}

/// The class of what is not a good answer.
fn class(observed: &Observed<'_>) -> Class {
    let said = Said::of(observed);
    // The table ends with a rule without conditions.
    let class = index::first(&said.facts(observed)).map_or(Class::BadBody, |rule| rule.class);
    match observed.answer {
        Answer::BatchRefused(_) => of_batch(class),
        _ => class,
    }
}

/// An error for a whole batch says nothing about any of its calls; only what holds for all of them counts.
const fn of_batch(class: Class) -> Class {
    match class {
        Class::RateLimited
        | Class::Billing
        | Class::Unauthorized
        | Class::WrongChain
        | Class::UnsupportedMethod
        | Class::RequestTooLarge => class,
        _ => Class::BatchRefused,
    }
}

/// What the body says, and in which form.
#[derive(Debug)]
struct Said<'a> {
    shape: Shape,
    error: Cow<'a, RpcError>,
    page: String,
}

impl<'a> Said<'a> {
    fn of(observed: &Observed<'a>) -> Self {
        let silent = |shape| Self {
            shape,
            error: Cow::Owned(RpcError::default()),
            page: String::new(),
        };
        match observed.answer {
            Answer::Error(error) | Answer::BatchRefused(error) => Self {
                shape: Shape::ERROR,
                error: Cow::Borrowed(error),
                page: String::new(),
            },
            Answer::Result | Answer::Batch | Answer::Empty => silent(Shape::RESULT),
            Answer::NotJsonRpc => match bare_error(observed.body) {
                Some(error) => Self {
                    shape: Shape::BARE,
                    error: Cow::Owned(error),
                    page: String::new(),
                },
                None => Self {
                    page: beginning(observed.body),
                    ..silent(shape(observed.body))
                },
            },
        }
    }

    fn facts(&'a self, observed: &Observed<'a>) -> Facts<'a> {
        Facts {
            status: observed.status,
            method: observed.method,
            vendor: observed.vendor,
            shape: self.shape,
            code: self.error.code,
            message: if self.page.is_empty() {
                &self.error.message
            } else {
                &self.page
            },
            detail: &self.error.detail,
        }
    }
}

fn beginning(body: &[u8]) -> String {
    let head = body.get(..MAX_SEARCHED).unwrap_or(body);
    String::from_utf8_lossy(head).into_owned()
}

/// The shape of a body that is no JSON-RPC and no bare error.
fn shape(body: &[u8]) -> Shape {
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    let text = body.trim_ascii_start();
    match text.first() {
        None | Some(b'{' | b'[' | 0..=8) => Shape::NOTHING,
        Some(b'<') => Shape::PAGE,
        Some(_) if text.starts_with(&GZIP) => Shape::NOTHING,
        Some(_) => Shape::TEXT,
    }
}

#[cfg(test)]
mod tests;
