//! The updates since a whole content, appended one after the other.
//!
//! Each is `length u32 · checksum 32 · body`, the body a `tyrscale.v1.Delta`, the checksum BLAKE3 over it. What
//! a crash left half written, or damaged since, ends the log.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tyrscale_model::{Row, Snapshot, Version, View, wire};
use tyrscale_proto::v1::Delta;

use crate::subscription::Update;

const CHECKSUM: usize = 32;
const HEADER: usize = 4 + CHECKSUM;

/// The record of an update that followed `base`.
pub(super) fn encode(base: &Version, update: &Update) -> Vec<u8> {
    let mut delta = Delta {
        base: Some(wire::version_to_wire(base)),
        target: Some(wire::version_to_wire(&update.version)),
        ..Delta::default()
    };
    for key in &update.changed {
        match update.snapshot.get(key) {
            Some(entry) => delta.upserts.push(wire::row_to_wire(&Row::of(entry))),
            None => delta.removals.push(wire::key_to_wire(key)),
        }
    }
    let body = delta.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.put_u32_le(u32::try_from(body.len()).unwrap_or(u32::MAX));
    bytes.put_slice(blake3::hash(&body).as_bytes());
    bytes.put_slice(&body);
    bytes
}

/// How far a log leads.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) snapshot: Snapshot,
    pub(super) records: u32,
    /// How much of the log is whole and follows; the rest is of no use.
    pub(super) length: usize,
    /// An update was left out because it is unwanted.
    pub(super) stopped: bool,
}

/// Follows the log from `start` as far as it is whole, up to an update that `is_unwanted`.
pub(super) fn replay(
    start: Snapshot,
    view: View,
    log: &[u8],
    is_unwanted: impl Fn(&Version) -> bool,
) -> Replayed {
    let mut replayed = Replayed {
        snapshot: start,
        records: 0,
        length: 0,
        stopped: false,
    };
    while let Some((delta, length)) = log.get(replayed.length..).and_then(next) {
        let Some(snapshot) = advance(&replayed.snapshot, view, &delta) else {
            break;
        };
        if is_unwanted(&snapshot.version(view)) {
            replayed.stopped = true;
            break;
        }
        replayed.snapshot = snapshot;
        replayed.records += 1;
        replayed.length += length;
    }
    replayed
}

fn next(mut rest: &[u8]) -> Option<(Delta, usize)> {
    let length = usize::try_from(rest.try_get_u32_le().ok()?).ok()?;
    let (sum, rest) = rest.split_at_checked(CHECKSUM)?;
    let body = rest.get(..length)?;
    if *blake3::hash(body).as_bytes() != sum {
        return None;
    }
    Some((Delta::decode(body).ok()?, HEADER + length))
}

/// The content after `delta`, if it follows and is what it should be.
fn advance(from: &Snapshot, view: View, delta: &Delta) -> Option<Snapshot> {
    let base = wire::version_from_wire(delta.base.as_ref()?)?;
    let target = wire::version_from_wire(delta.target.as_ref()?)?;
    if base != from.version(view) {
        return None;
    }
    let own = |row: Row| Row {
        payload: Bytes::copy_from_slice(&row.payload),
        ..row
    };
    let rows = delta.upserts.iter().map(|row| wire::row_from_wire(row).map(own));
    let removals = delta.removals.iter().map(wire::key_from_wire);
    let snapshot = from
        .advance(
            target.lineage,
            target.revision,
            rows.collect::<Option<_>>()?,
            &removals.collect::<Option<Vec<_>>>()?,
        )
        .ok()?;
    (snapshot.version(view) == target).then_some(snapshot)
}
