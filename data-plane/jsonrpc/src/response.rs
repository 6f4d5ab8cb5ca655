//! What the upstream answered, from its bytes.
//!
//! [`inspect`] judges a whole body. [`peek`] tells a result from an error by the first part of a body whose
//! rest is still to be streamed. Both are lenient about the envelope, as upstreams are about writing it: a
//! body is an answer when it has `result` or a non-null `error`, whatever `jsonrpc` and `id` say. A non-null
//! `error` wins over a `result` beside it, and may be anything: an object without a code, a text.

use crate::id::RawId;
use crate::scan::{Scanner, Stop, decode};

mod answered;
mod bare;
mod batch;

use answered::Whose;
pub(crate) use bare::bare_error;
pub use batch::{Items, NotABatch, are_distinct, batch_items, pair};

use batch::whole_batch;

/// Characters kept of an error's message.
const MAX_MESSAGE: usize = 512;

/// What the request leads one to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// One answer to one call.
    Single,
    /// An array of answers to a batch with at least one call that has an id.
    Batch,
    /// Nothing needs to come: a notification, or a batch of them.
    Nothing,
}

/// What an upstream's body is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A result, `null` included.
    Result,
    /// A JSON-RPC error.
    Error(RpcError),
    /// An array with at least one answer in it, for a batch.
    Batch,
    /// One error object for a whole batch.
    BatchRefused(RpcError),
    /// No body where none was needed.
    Empty,
    /// Nothing that answers the request.
    NotJsonRpc,
}

/// The error inside an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RpcError {
    /// `None` when absent or unreadable; a text such as `"-32000"` is read as its number.
    pub code: Option<i64>,
    /// The first 512 characters of the message; empty when there is none.
    pub message: String,
    /// The first 512 characters of what it says beside the message, unless that is hex; empty when nothing.
    pub detail: String,
}

/// One member of a batch's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// The id it answers.
    pub id: Option<RawId<'a>>,
    /// Its JSON text.
    pub raw: &'a str,
    /// [`Answer::Result`], [`Answer::Error`] or [`Answer::NotJsonRpc`].
    pub answer: Answer,
}

/// What was asked: what is expected of its answer.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is to come.
    pub expect: Expect,
    /// The id that the answer must carry; `None`: that of a batch or a notification, which is not looked at.
    pub id: Option<RawId<'a>>,
}

/// What a body is, and whether it is the answer to what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub answer: Answer,
    /// False when it is an answer to another call. A result must carry the id, in any spelling (`1.0`, `1`); an error
    /// may also do without, or carry `null`, for some are made before the request is read. What the beginning does
    /// not show is taken for right.
    pub is_ours: bool,
}

/// Judges a whole body. Cut short, it is no JSON-RPC.
#[must_use]
pub fn inspect(body: &[u8], expect: Expect) -> Answer {
    inspect_for(body, Asked { expect, id: None }).answer
}

/// Judges a whole body as the answer to what was asked.
#[must_use]
pub fn inspect_for(body: &[u8], asked: Asked<'_>) -> Seen {
    let Ok(text) = simdutf8::basic::from_utf8(body) else {
        return Answer::NotJsonRpc.into();
    };
    let mut scanner = Scanner::new(text, usize::MAX);
    match (scanner.token(), asked.expect) {
        (Err(_), Expect::Nothing) => Answer::Empty.into(),
        (Ok(b'{'), Expect::Single | Expect::Nothing) => whole_object(&mut scanner, asked.id),
        (Ok(b'{'), Expect::Batch) => for_batch(whole_object(&mut scanner, None)),
        (Ok(b'['), Expect::Batch | Expect::Nothing) => whole_batch(text).into(),
        _ => Answer::NotJsonRpc.into(),
    }
}

/// Judges a body by its first part; `None` when that is too short to tell.
///
/// The parts that make an answer must be there: a result that has begun and is not `null`, or an error with
/// its code and message. What follows can still be cut short, and a result already begun hides an error
/// behind it, so give it as much as can be held. A batch is judged whole: `None`, unless it cannot become
/// one.
#[must_use]
pub fn peek(head: &[u8], expect: Expect) -> Option<Answer> {
    peek_for(head, Asked { expect, id: None }).map(|seen| seen.answer)
}

/// As [`peek`], of the answer to what was asked.
#[must_use]
pub fn peek_for(head: &[u8], asked: Asked<'_>) -> Option<Seen> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_some() => return Some(Answer::NotJsonRpc.into()),
        Err(error) => head
            .get(..error.valid_up_to())
            .and_then(|valid| std::str::from_utf8(valid).ok())?,
    };
    let mut scanner = Scanner::new(text, usize::MAX);
    match (scanner.token().ok()?, asked.expect) {
        (b'{', Expect::Single | Expect::Nothing) => head_of_object(&mut scanner, asked.id),
        (b'{', Expect::Batch) => head_of_object(&mut scanner, None).map(for_batch),
        (b'[', Expect::Batch | Expect::Nothing) => match scanner.value() {
            Ok(_) | Err(Stop::End) => None,
            Err(Stop::Invalid | Stop::TooDeep) => Some(Answer::NotJsonRpc.into()),
        },
        _ => Some(Answer::NotJsonRpc.into()),
    }
}

impl From<Answer> for Seen {
    /// Nothing that could be another call's.
    fn from(answer: Answer) -> Self {
        Self {
            answer,
            is_ours: true,
        }
    }
}

fn whole_object(scanner: &mut Scanner<'_>, id: Option<RawId<'_>>) -> Seen {
    let mut envelope = Envelope::default();
    match envelope.read(scanner).and_then(|()| scanner.end()) {
        Ok(()) => envelope.whole(id),
        Err(_) => Answer::NotJsonRpc.into(),
    }
}

fn head_of_object(scanner: &mut Scanner<'_>, id: Option<RawId<'_>>) -> Option<Seen> {
    let mut envelope = Envelope::default();
    match envelope.read(scanner) {
        Ok(()) if scanner.end().is_ok() => Some(envelope.whole(id)),
        Ok(()) => Some(Answer::NotJsonRpc.into()),
        Err(Stop::End) => {
            let is_ours = id.is_none_or(|id| envelope.whose.may_be(id));
            envelope.foresee().map(|answer| Seen { answer, is_ours })
        }
        Err(Stop::Invalid | Stop::TooDeep) => Some(Answer::NotJsonRpc.into()),
    }
}

fn for_batch(seen: Seen) -> Seen {
    match seen.answer {
        Answer::Error(error) => Answer::BatchRefused(error).into(),
        _ => Answer::NotJsonRpc.into(),
    }
}

/// How much of a member has been seen. Ordered, so that a second `error` cannot take the first one back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Extent {
    #[default]
    Absent,
    Null,
    /// It has begun and is not `null`.
    Begun,
    Whole,
}

/// The members of an answer that mean something, as far as they have been read.
#[derive(Debug, Default)]
struct Envelope<'a> {
    id: Option<RawId<'a>>,
    whose: Whose<'a>,
    result: Extent,
    error: Extent,
    code: Option<i64>,
    message: Option<String>,
    detail: String,
}

impl<'a> Envelope<'a> {
    fn read(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let mut member_follows = scanner.enter()?;
        while member_follows {
            match scanner.key()?.as_ref() {
                "id" => {
                    self.id = RawId::from_value(scanner.value()?);
                    self.whose.on_id(self.id);
                }
                "result" => {
                    self.whose.on_result();
                    self.read_result(scanner)?;
                }
                "error" => self.read_error(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            member_follows = scanner.more()?;
        }
        Ok(())
    }

    fn read_result(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        if scanner.token()? == b'n' {
            scanner.value()?;
            self.result = Extent::Null;
        } else {
            self.result = Extent::Begun;
            scanner.value()?;
            self.result = Extent::Whole;
        }
        Ok(())
    }

    fn read_error(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        match scanner.token()? {
            b'n' => {
                scanner.value()?;
                self.error = self.error.max(Extent::Null);
                return Ok(());
            }
            b'{' => {
                self.error = self.error.max(Extent::Begun);
                self.read_error_object(scanner)?;
            }
            _ => self.message = Some(message(scanner.value()?)),
        }
        self.error = Extent::Whole;
        Ok(())
    }

    fn read_error_object(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Stop> {
        let mut member_follows = scanner.enter()?;
        while member_follows {
            let key = scanner.key()?;
            let value = scanner.value()?;
            match key.as_ref() {
                "code" => self.code = value.trim_matches('"').parse().ok(),
                "message" => self.message = Some(message(value)),
                "data" if !value.starts_with("\"0x") && value != "null" => self.detail = message(value),
                _ => {}
            }
            member_follows = scanner.more()?;
        }
        Ok(())
    }

    /// What a whole envelope is, as the answer to the call with that `id`.
    fn whole(self, id: Option<RawId<'_>>) -> Seen {
        let is_error = self.error >= Extent::Begun;
        let is_ours = id.is_none_or(|id| self.whose.is(id, is_error));
        Seen {
            answer: self.judge(),
            is_ours,
        }
    }

    /// What a whole envelope is.
    fn judge(self) -> Answer {
        match (self.error, self.result) {
            (Extent::Begun | Extent::Whole, _) => Answer::Error(self.into_error()),
            (_, Extent::Absent) => Answer::NotJsonRpc,
            _ => Answer::Result,
        }
    }

    /// What an envelope that goes on after what was read will be.
    fn foresee(self) -> Option<Answer> {
        match (self.error, self.result) {
            (Extent::Whole, _) => Some(Answer::Error(self.into_error())),
            (Extent::Begun, _) if self.code.is_some() && self.message.is_some() => {
                Some(Answer::Error(self.into_error()))
            }
            (Extent::Absent | Extent::Null, Extent::Begun) => Some(Answer::Result),
            _ => None,
        }
    }

    fn into_error(self) -> RpcError {
        RpcError {
            code: self.code,
            message: self.message.unwrap_or_default(),
            detail: self.detail,
        }
    }
}

fn message(value: &str) -> String {
    let text = decode(value).unwrap_or_else(|| value.into());
    text.chars().take(MAX_MESSAGE).collect()
}

#[cfg(test)]
mod tests;
