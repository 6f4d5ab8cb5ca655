//! A whole content as one file.
//!
//! ```text
//! magic 8 · format u32 · view u32 · lineage 16 · revision u64 · digest 32 · body length u64 · checksum 32 · body
//! ```
//!
//! Numbers are little-endian. The view has one bit per kind number. The body is length-delimited
//! `tyrscale.v1.DiscoveryResource` messages with their payloads as they were sent. The checksum is BLAKE3 over
//! all the rest.

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tyrscale_model::{Digest, Kind, Lineage, Revision, Row, Snapshot, View, wire};
use tyrscale_proto::v1::DiscoveryResource;

use super::LoadError;

const MAGIC: &[u8; 8] = b"tyrscale";
const FORMAT: u32 = 1;
const CHECKSUM: usize = 32;
/// Where the view lies.
const VIEW: usize = 8 + 4;
/// Everything before the checksum.
const HEADER: usize = 8 + 4 + 4 + 16 + 8 + 32 + 8;

fn view_bits(view: View) -> u32 {
    view.kinds().fold(0, |bits, kind| bits | (1 << kind.number()))
}

/// What a file is of.
pub(super) fn view_of(bytes: &[u8]) -> Result<View, LoadError> {
    let (header, _) = bytes
        .split_at_checked(HEADER)
        .ok_or(LoadError::Damaged("header is cut off"))?;
    let mut bits = header.get(VIEW..).unwrap_or_default();
    let bits = bits.get_u32_le();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| bits & (1 << kind.number()) != 0)
        .collect();
    Ok(View::of(&kinds))
}

fn checksum(header: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

pub(super) fn encode(snapshot: &Snapshot, view: View) -> Vec<u8> {
    let mut body = Vec::new();
    for (_, entry) in snapshot.iter() {
        let row = Row::of(entry);
        body.put_slice(&wire::row_to_wire(&row).encode_length_delimited_to_vec());
    }
    let mut bytes = Vec::with_capacity(HEADER + CHECKSUM + body.len());
    bytes.put_slice(MAGIC);
    bytes.put_u32_le(FORMAT);
    bytes.put_u32_le(view_bits(view));
    bytes.put_slice(&snapshot.lineage().0);
    bytes.put_u64_le(snapshot.revision().0);
    bytes.put_slice(&snapshot.digest(view).0);
    bytes.put_u64_le(body.len() as u64);
    let sum = checksum(&bytes, &body);
    bytes.put_slice(&sum);
    bytes.put_slice(&body);
    bytes
}

pub(super) fn decode(bytes: &[u8], view: View) -> Result<Snapshot, LoadError> {
    let (mut header, rest) = bytes
        .split_at_checked(HEADER)
        .ok_or(LoadError::Damaged("header is cut off"))?;
    let (sum, body) = rest
        .split_at_checked(CHECKSUM)
        .ok_or(LoadError::Damaged("checksum is cut off"))?;
    let whole_header = header;
    let mut magic = [0; 8];
    header.copy_to_slice(&mut magic);
    if magic != *MAGIC {
        return Err(LoadError::Damaged("magic is wrong"));
    }
    let format = header.get_u32_le();
    if format != FORMAT {
        return Err(LoadError::OtherFormat(format));
    }
    if checksum(whole_header, body) != sum {
        return Err(LoadError::Damaged("checksum is wrong"));
    }
    if header.get_u32_le() != view_bits(view) {
        return Err(LoadError::OtherView);
    }
    let (mut lineage, mut digest) = ([0; 16], [0; 32]);
    header.copy_to_slice(&mut lineage);
    let revision = Revision(header.get_u64_le());
    header.copy_to_slice(&mut digest);
    if header.get_u64_le() != body.len() as u64 {
        return Err(LoadError::Damaged("length is wrong"));
    }
    let lineage = Lineage(lineage);
    let snapshot = Snapshot::empty(lineage)
        .advance(lineage, revision, decode_rows(body)?, &[])
        .map_err(|_| LoadError::Damaged("content is not valid"))?;
    if snapshot.digest(view) != Digest(digest) {
        return Err(LoadError::Damaged("digest is wrong"));
    }
    Ok(snapshot)
}

fn decode_rows(mut body: &[u8]) -> Result<Vec<Row>, LoadError> {
    let mut rows = Vec::new();
    while body.has_remaining() {
        let message = DiscoveryResource::decode_length_delimited(&mut body)
            .map_err(|_| LoadError::Damaged("body has no resource where one is due"))?;
        let row = wire::row_from_wire(&message).ok_or(LoadError::Damaged("resource has an unknown kind"))?;
        rows.push(Row {
            payload: Bytes::copy_from_slice(&row.payload),
            ..row
        });
    }
    Ok(rows)
}
