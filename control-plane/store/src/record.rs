//! What is written: records and the envelope that proves each of them.
//!
//! Every value is `BLAKE3-128(key ‖ body) ‖ format ‖ body`, body being a protobuf message, so a value that was
//! damaged or moved to another key is noticed.

use prost::Message;
use tyrscale_model::{Entry, Meta, Revision, UnixMillis, wire};

/// The layout of the store; a store with a higher number was made by a newer version.
pub(crate) const FORMAT: u32 = 1;

const ENVELOPE: u8 = 1;
const CHECKSUM: usize = 16;

/// A resource: its payload and meta.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct EntryRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: bytes::Bytes,
    #[prost(uint64, tag = "2")]
    pub(crate) create_revision: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) modify_revision: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) create_time_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) modify_time_ms: u64,
    #[prost(string, tag = "6")]
    pub(crate) modified_by: String,
}

impl EntryRecord {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self {
            payload: entry.payload.clone(),
            create_revision: entry.meta.create_revision.0,
            modify_revision: entry.meta.modify_revision.0,
            create_time_ms: entry.meta.create_time.0,
            modify_time_ms: entry.meta.modify_time.0,
            modified_by: entry.meta.modified_by.clone(),
        }
    }

    pub(crate) fn meta(&self) -> Meta {
        Meta {
            create_revision: Revision(self.create_revision),
            modify_revision: Revision(self.modify_revision),
            create_time: UnixMillis(self.create_time_ms),
            modify_time: UnixMillis(self.modify_time_ms),
            modified_by: self.modified_by.clone(),
        }
    }
}

/// One key that a revision touched.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct TouchRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
}

/// One revision of the log.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RevisionRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) time_ms: u64,
    #[prost(string, tag = "2")]
    pub(crate) author: String,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) touched: Vec<TouchRecord>,
    /// The hashes of the kinds after it, 32 bytes each, in the order of the kinds.
    #[prost(bytes = "vec", tag = "5")]
    pub(crate) hashes: Vec<u8>,
}

/// What the store is and where it stands.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct HeadRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) format: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) lineage: Vec<u8>,
    #[prost(uint64, tag = "3")]
    pub(crate) revision: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) hashes: Vec<u8>,
    /// The oldest revision in the log; 0 while there is none.
    #[prost(uint64, tag = "5")]
    pub(crate) log_start: u64,
}

fn checksum(key: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key);
    hasher.update(body);
    let mut sum = [0; CHECKSUM];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

/// The value to write under `key`.
pub(crate) fn seal(key: &[u8], record: &impl Message) -> Vec<u8> {
    let body = record.encode_to_vec();
    let mut value = Vec::with_capacity(CHECKSUM + 1 + body.len());
    value.extend_from_slice(&checksum(key, &body));
    value.push(ENVELOPE);
    value.extend_from_slice(&body);
    value
}

/// Reads a value written by [`seal`]; `None` when it is damaged.
pub(crate) fn unseal<R: Message + Default>(key: &[u8], value: &[u8]) -> Option<R> {
    let (sum, rest) = value.split_at_checked(CHECKSUM)?;
    let (envelope, body) = rest.split_first()?;
    if *envelope != ENVELOPE || sum != checksum(key, body) {
        return None;
    }
    R::decode(body).ok()
}

/// A resource of the model from its record.
pub(crate) fn entry_of(kind: tyrscale_model::Kind, record: &EntryRecord) -> Option<Entry> {
    let resource = wire::decode_payload(kind, &record.payload).ok()?;
    Some(Entry {
        resource,
        payload: record.payload.clone(),
        meta: record.meta(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head() -> HeadRecord {
        HeadRecord {
            format: 1,
            lineage: vec![7; 16],
            revision: 42,
            hashes: vec![1; 192],
            log_start: 1,
        }
    }

    #[test]
    fn a_value_is_read_back_under_its_own_key_only() {
        let value = seal(b"head", &head());
        assert_eq!(unseal::<HeadRecord>(b"head", &value), Some(head()));
        assert_eq!(unseal::<HeadRecord>(b"tail", &value), None);
    }

    proptest! {
        #[test]
        fn a_damaged_value_is_never_read(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in 0usize..64) {
            let mut value = seal(b"head", &head());
            let short = value.len().saturating_sub(cut + 1);
            prop_assert_eq!(unseal::<HeadRecord>(b"head", &value[..short]), None);
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert_eq!(unseal::<HeadRecord>(b"head", &value), None);
        }
    }
}
