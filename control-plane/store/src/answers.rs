//! Requests that were given an id are done once: for a day, the same request gets the first answer again.

use bytes::Bytes;
use prost::Message as _;
use tyrscale_model::{Rejection, UnixMillis, Violation, ViolationCode};

use crate::{
    engine::{Document, DocumentWrite, Engine, EngineError, Stamp},
    record::AnswerRecord,
    table::Table,
};

/// For how long a request is known, in milliseconds.
const KNOWN_MS: u64 = 24 * 60 * 60 * 1000;
/// How many are looked at for expiry with each new one. More than one, so that the expired ones never pile up.
const SWEEP: usize = 4;

/// A request with an id: the same id with the same content is done once within 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId {
    /// The id, chosen by the client.
    pub id: String,
    /// A hash of what is asked for.
    pub fingerprint: [u8; 32],
}

/// What an earlier request of an id says about this one.
pub(crate) enum Known {
    /// Nothing: it may be done if the document with its id still has this stamp.
    New(Stamp),
    /// It was this request, and this is its answer.
    Answered(Bytes),
}

/// The place of the sweep among the ids.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    after: String,
}

pub(crate) fn look_up(
    engine: &dyn Engine,
    request: &RequestId,
    now: UnixMillis,
) -> Result<Result<Known, Rejection>, EngineError> {
    let Some(document) = engine.document(Table::Requests, &request.id)? else {
        return Ok(Ok(Known::New(Stamp::default())));
    };
    let answer = read(&document)?;
    if is_expired(&answer, now) {
        return Ok(Ok(Known::New(document.stamp)));
    }
    if answer.fingerprint.as_ref() == request.fingerprint {
        return Ok(Ok(Known::Answered(answer.answer)));
    }
    let message = "was used for another request within the last 24 hours";
    Ok(Err(
        Violation::new("request_id", ViolationCode::Invalid, message).into()
    ))
}

/// What to write so that the request is known, and what has expired.
pub(crate) fn remember(
    engine: &dyn Engine,
    sweep: &mut Sweep,
    request: &RequestId,
    stamp: Stamp,
    (answer, now): (Bytes, UnixMillis),
) -> Result<Vec<DocumentWrite>, EngineError> {
    let record = AnswerRecord {
        time_ms: now.0,
        fingerprint: Bytes::copy_from_slice(&request.fingerprint),
        answer,
    };
    let mut writes = vec![DocumentWrite {
        table: Table::Requests,
        key: request.id.clone(),
        value: Some(record.encode_to_vec().into()),
        expected: Some(stamp),
    }];
    let looked_at = engine.documents(Table::Requests, "", &sweep.after, SWEEP)?;
    sweep.after = match looked_at.last() {
        Some(last) if looked_at.len() == SWEEP => last.key.clone(),
        _ => String::new(),
    };
    for document in looked_at {
        if document.key != request.id && is_expired(&read(&document)?, now) {
            writes.push(DocumentWrite {
                table: Table::Requests,
                key: document.key,
                value: None,
                expected: None,
            });
        }
    }
    Ok(writes)
}

fn read(document: &Document) -> Result<AnswerRecord, EngineError> {
    AnswerRecord::decode(document.value.clone())
        .map_err(|_| EngineError::Damaged(format!("requests/{} is no answer", document.key)))
}

const fn is_expired(answer: &AnswerRecord, now: UnixMillis) -> bool {
    now.0 >= answer.time_ms.saturating_add(KNOWN_MS)
}
