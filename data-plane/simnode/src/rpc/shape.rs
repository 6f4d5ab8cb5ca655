//! The ways a node answers a batch.

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::{Outcome, Reply, to_bytes};
use crate::fault::RpcError;

/// How a node answers a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum BatchShape {
    /// One answer for each call, in their order.
    InOrder,
    /// One answer for each call, the last one first.
    Reversed,
    /// The last call gets no answer.
    WithoutLast,
    /// After all answers one more, under an id nobody used.
    WithStranger,
    /// Every answer bears the id of the first call.
    OneId,
    /// Ids are written as strings.
    StringIds,
    /// This one error instead of an array.
    OneError(RpcError),
}

/// The batch's answer.
pub(super) fn write(mut replies: Vec<Reply<'_>>, shape: &BatchShape) -> Vec<u8> {
    match shape {
        BatchShape::InOrder => to_bytes(&replies),
        BatchShape::Reversed => {
            replies.reverse();
            to_bytes(&replies)
        }
        BatchShape::WithoutLast => {
            replies.pop();
            to_bytes(&replies)
        }
        BatchShape::WithStranger => {
            let stranger = to_raw_value(&"stranger").ok();
            let mut replies: Vec<Reply<'_>> = replies;
            replies.push(Reply {
                jsonrpc: "2.0",
                id: stranger.as_deref(),
                outcome: Outcome::Result(json!("0xdead")),
            });
            to_bytes(&replies)
        }
        BatchShape::OneId => {
            let first = replies.first().and_then(|reply| reply.id);
            for reply in &mut replies {
                reply.id = first;
            }
            to_bytes(&replies)
        }
        BatchShape::StringIds => write_string_ids(replies),
        BatchShape::OneError(error) => to_bytes(&Reply {
            jsonrpc: "2.0",
            id: None,
            outcome: Outcome::Error(error.clone()),
        }),
    }
}

fn write_string_ids(replies: Vec<Reply<'_>>) -> Vec<u8> {
    let text = |id: &RawValue| match serde_json::from_str(id.get()) {
        Ok(Value::String(text)) => text,
        _ => id.get().to_owned(),
    };
    let ids: Vec<Option<Box<RawValue>>> = replies
        .iter()
        .map(|reply| to_raw_value(&text(reply.id?)).ok())
        .collect();
    let mut replies: Vec<Reply<'_>> = replies;
    for (reply, id) in replies.iter_mut().zip(&ids) {
        reply.id = id.as_deref();
    }
    to_bytes(&replies)
}
