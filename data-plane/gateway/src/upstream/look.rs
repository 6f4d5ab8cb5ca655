//! Looking at an answer's body until it is known what it is.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tyrscale_jsonrpc::response::{inspect_for, peek_for};
use tyrscale_jsonrpc::{Answer, Asked, Class, Expect, Seen};

use crate::coding::{Coding, Codings, Decoder, Undecodable, decode, looks_gzipped};
use crate::pool::Connection;
use crate::shedding::{Load, NoRoom, Room};

/// How much of an answer is held to tell a result from an error.
pub(super) const HEAD_BYTES: usize = 64 * 1024;

/// How much of an answer is held at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits<'l> {
    /// Most bytes, coded or not, when all of it has to be.
    pub(super) max_held: usize,
    /// Beside those of all others.
    pub(super) load: &'l Arc<Load>,
}

/// How an answer's body is to be read.
#[derive(Debug)]
pub(super) struct Reading<'l> {
    pub(super) asked: Asked<'l>,
    pub(super) limits: Limits<'l>,
    /// As its headers say.
    pub(super) codings: Codings,
    /// Whether all of it has to be held, whatever it is.
    pub(super) is_whole: bool,
    /// Whether it may be passed on as it came, if it is coded as its headers say.
    pub(super) may_pass: bool,
}

impl From<NoRoom> for Class {
    fn from(NoRoom: NoRoom) -> Self {
        Self::AnswerTooLarge
    }
}

/// What has been seen of a body.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) seen: Seen,
    /// What has come; not coded, if that is all.
    pub(super) held: Bytes,
    /// Whether nothing comes after `held`.
    pub(super) is_all: bool,
    pub(super) passing: Passing,
}

/// In which form a body is passed on.
#[derive(Debug)]
pub(super) enum Passing {
    Plain,
    /// What is held and what still comes is gzip.
    Gzip,
    /// All of it in gzip, as it came.
    WholeGzip(Bytes),
}

/// Reads a body until it is known what it is: to its end when that comes soon, and for a batch, whose members
/// are put in order, always. What is gzip without saying so, or twice, is undone all the same.
pub(super) async fn look(connection: &mut Connection, mut reading: Reading<'_>) -> Result<Looked, Class> {
    if reading.asked.expect != Expect::Batch && !reading.is_whole {
        reading.limits.max_held = reading.limits.max_held.max(HEAD_BYTES);
    }
    let max_held = reading.limits.max_held;
    if !reading.codings.is_empty() {
        return Box::pin(look_into(connection, Bytes::new(), reading)).await;
    }
    let mut held = Held::default();
    let mut room = Room::new(reading.limits.load);
    let mut next_look = HEAD_BYTES.min(max_held);
    while let Some(part) = connection.part().await.map_err(|_| Class::Lost)? {
        if looks_gzipped(&part) && matches!(held, Held::Nothing) {
            let untold = Reading {
                codings: vec![Coding::Gzip],
                may_pass: false,
                ..reading
            };
            return Box::pin(look_into(connection, part, untold)).await;
        }
        held.push(part);
        if held.bytes().len() < next_look {
            continue;
        }
        if !reading.is_whole
            && let Some(seen) = peek_for(held.bytes(), reading.asked)
        {
            return Ok(Looked {
                seen,
                held: room.hold(held.into_bytes()),
                is_all: connection.remaining() == Some(0),
                passing: Passing::Plain,
            });
        }
        if held.bytes().len() > max_held {
            return Err(Class::AnswerTooLarge);
        }
        // Doubling keeps the looking linear in what is looked at.
        next_look = held.bytes().len().saturating_mul(2).min(max_held);
        room.cover(next_look)?;
    }
    Ok(Looked {
        seen: inspect_for(held.bytes(), reading.asked),
        held: room.hold(held.into_bytes()),
        is_all: true,
        passing: Passing::Plain,
    })
}

/// The same for a coded body that begins with `begun`.
async fn look_into(connection: &mut Connection, begun: Bytes, reading: Reading<'_>) -> Result<Looked, Class> {
    match decode_and_look(connection, begun, reading).await {
        Ok(looked) => looked,
        Err(Undecodable::TooLarge) => Err(Class::AnswerTooLarge),
        Err(Undecodable::Broken) => Ok(Looked::nothing()),
    }
}

/// It streams only in the form it came in.
async fn decode_and_look(
    connection: &mut Connection,
    begun: Bytes,
    reading: Reading<'_>,
) -> Result<Result<Looked, Class>, Undecodable> {
    let Reading {
        asked,
        limits: Limits { max_held, load },
        mut codings,
        may_pass,
        ..
    } = reading;
    let outer = codings.pop().unwrap_or(Coding::Gzip);
    let mut decoder = Decoder::new(outer, max_held);
    let mut held = Held::default();
    let mut room = Room::new(load);
    let mut next_look = HEAD_BYTES;
    let mut next = Some(begun);
    while let Some(part) = next {
        decoder.feed(&part)?;
        held.push(part);
        let decoded = decoder.decoded();
        if may_pass && decoded.len() >= next_look {
            if let Some(seen) = peek_for(decoded, asked) {
                return Ok(Ok(Looked {
                    seen,
                    held: room.hold(held.into_bytes()),
                    is_all: false,
                    passing: Passing::Gzip,
                }));
            }
            next_look = decoded.len().saturating_mul(2);
        }
        let both = held.bytes().len().saturating_add(decoded.len());
        if held.bytes().len() > max_held || room.cover(both).is_err() {
            return Err(Undecodable::TooLarge);
        }
        next = match connection.part().await {
            Ok(next) => next,
            Err(_) => return Ok(Err(Class::Lost)),
        };
    }
    let mut plain = decoder.finish()?;
    if looks_gzipped(&plain) && codings.is_empty() {
        codings.push(Coding::Gzip);
    }
    let is_once = codings.is_empty();
    if !is_once {
        plain = decode(&codings, &plain, max_held).await?;
    }
    let passing = if may_pass && is_once {
        Passing::WholeGzip(held.into_bytes())
    } else {
        Passing::Plain
    };
    Ok(Ok(Looked {
        seen: inspect_for(&plain, asked),
        held: room.hold(plain.into()),
        is_all: true,
        passing,
    }))
}

impl Looked {
    /// What cannot be read.
    pub(super) fn nothing() -> Self {
        Self {
            seen: Answer::NotJsonRpc.into(),
            held: Bytes::new(),
            is_all: true,
            passing: Passing::Plain,
        }
    }

    /// What has come, in the form in which it is passed on.
    pub(super) fn passed_on(self) -> Bytes {
        match self.passing {
            Passing::WholeGzip(body) => body,
            Passing::Plain | Passing::Gzip => self.held,
        }
    }

    /// What has come, as far as it is not coded.
    pub(super) fn plain(&self) -> &[u8] {
        match self.passing {
            Passing::Gzip => &[],
            Passing::Plain | Passing::WholeGzip(_) => &self.held,
        }
    }
}

/// The parts of a body one after the other; a body of one part, as most are, is not copied.
#[derive(Default)]
enum Held {
    #[default]
    Nothing,
    One(Bytes),
    Several(BytesMut),
}

impl Held {
    fn push(&mut self, part: Bytes) {
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(part),
            Self::One(first) => {
                let mut all = BytesMut::with_capacity(first.len().saturating_add(part.len()));
                all.extend_from_slice(&first);
                all.extend_from_slice(&part);
                Self::Several(all)
            }
            Self::Several(mut all) => {
                all.extend_from_slice(&part);
                Self::Several(all)
            }
        };
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::One(part) => part,
            Self::Several(all) => all,
        }
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Self::Nothing => Bytes::new(),
            Self::One(part) => part,
            Self::Several(all) => all.freeze(),
        }
    }
}
