//! What is written: records and the envelope that proves each of them.
//!
//! Every value is `BLAKE3-128(key ‖ body) ‖ format ‖ body`, body being a protobuf message, so a value that was
//! damaged or moved to another key is noticed.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use tyrscale_model::{Kind, KindHashes, Meta, ResourceKey, Revision, UnixMillis};

use crate::log::{Image, LoggedOperation};

const ENVELOPE: u8 = 1;
const CHECKSUM: usize = 16;
/// A kind's number and its hash.
const KIND_HASH: usize = 33;

/// A resource: its payload and meta.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ImageRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) payload: Bytes,
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
    #[prost(btree_map = "string, string", tag = "7")]
    pub(crate) labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(crate) annotations: BTreeMap<String, String>,
    #[prost(string, tag = "9")]
    pub(crate) managed_by: String,
}

impl ImageRecord {
    pub(crate) fn of(image: &Image) -> Self {
        let Image { payload, meta } = image.clone();
        Self {
            payload,
            create_revision: meta.create_revision.0,
            modify_revision: meta.modify_revision.0,
            create_time_ms: meta.create_time.0,
            modify_time_ms: meta.modify_time.0,
            modified_by: meta.modified_by,
            labels: meta.labels,
            annotations: meta.annotations,
            managed_by: meta.managed_by,
        }
    }

    pub(crate) fn into_image(self) -> Image {
        Image {
            payload: self.payload,
            meta: Meta {
                create_revision: Revision(self.create_revision),
                modify_revision: Revision(self.modify_revision),
                create_time: UnixMillis(self.create_time_ms),
                modify_time: UnixMillis(self.modify_time_ms),
                modified_by: self.modified_by,
                labels: self.labels,
                annotations: self.annotations,
                managed_by: self.managed_by,
            },
        }
    }
}

/// What a revision did to one resource.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OperationRecord {
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(string, tag = "2")]
    pub(crate) id: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) before: Option<ImageRecord>,
    #[prost(message, optional, tag = "4")]
    pub(crate) after: Option<ImageRecord>,
}

impl OperationRecord {
    pub(crate) fn of(operation: &LoggedOperation) -> Self {
        Self {
            kind: operation.key.kind.number().into(),
            id: operation.key.id.to_string(),
            before: operation.before.as_ref().map(ImageRecord::of),
            after: operation.after.as_ref().map(ImageRecord::of),
        }
    }

    pub(crate) fn into_operation(self) -> Option<LoggedOperation> {
        let kind = Kind::from_number(i32::try_from(self.kind).ok()?)?;
        Some(LoggedOperation {
            key: ResourceKey::new(kind, self.id),
            before: self.before.map(ImageRecord::into_image),
            after: self.after.map(ImageRecord::into_image),
        })
    }
}

/// A part of the operations of a revision.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct OperationsRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) operations: Vec<OperationRecord>,
}

/// A revision without its operations.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct RevisionRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) time_ms: u64,
    #[prost(string, tag = "2")]
    pub(crate) actor: String,
    #[prost(string, tag = "3")]
    pub(crate) client: String,
    #[prost(string, tag = "4")]
    pub(crate) request_id: String,
    #[prost(string, tag = "5")]
    pub(crate) message: String,
    #[prost(btree_map = "string, string", tag = "6")]
    pub(crate) labels: BTreeMap<String, String>,
    #[prost(uint64, optional, tag = "7")]
    pub(crate) reverts_to: Option<u64>,
    #[prost(bytes = "bytes", tag = "8")]
    pub(crate) hashes: Bytes,
    /// How many parts of operations follow.
    #[prost(uint32, tag = "9")]
    pub(crate) parts: u32,
    /// How it is to reach the gateways, as the message of that name.
    #[prost(bytes = "bytes", optional, tag = "10")]
    pub(crate) rollout: Option<Bytes>,
}

/// A document.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct DocumentRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) stamp: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// The answer to a request that was given an id.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct AnswerRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) time_ms: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) fingerprint: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) answer: Bytes,
}

/// The hashes as kind and hash each, so that kinds may come later.
pub(crate) fn hashes_to_record(hashes: &KindHashes) -> Bytes {
    let mut bytes = Vec::with_capacity(Kind::ALL.len() * KIND_HASH);
    for (kind, hash) in Kind::ALL.into_iter().zip(&hashes.0) {
        bytes.push(kind.number());
        bytes.extend_from_slice(hash);
    }
    bytes.into()
}

/// Reads what [`hashes_to_record`] made; a kind it does not name had no resources.
pub(crate) fn hashes_from_record(bytes: &[u8]) -> Option<KindHashes> {
    let mut hashes = KindHashes::of_nothing();
    let (chunks, rest) = bytes.as_chunks::<KIND_HASH>();
    if !rest.is_empty() {
        return None;
    }
    for chunk in chunks {
        let (number, hash) = chunk.split_first()?;
        let place = Kind::ALL.iter().position(|kind| kind.number() == *number)?;
        hashes.0.get_mut(place)?.copy_from_slice(hash);
    }
    Some(hashes)
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
pub(crate) fn seal(key: &[u8], body: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(CHECKSUM + 1 + body.len());
    value.extend_from_slice(&checksum(key, body));
    value.push(ENVELOPE);
    value.extend_from_slice(body);
    value
}

/// The body of a value made by [`seal`]; `None` when it is damaged.
pub(crate) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let (sum, rest) = value.split_at_checked(CHECKSUM)?;
    let (envelope, body) = rest.split_first()?;
    (*envelope == ENVELOPE && sum == checksum(key, body)).then_some(body)
}

/// The message of a value made by [`seal`]; `None` when it is damaged.
pub(crate) fn unseal_message<R: Message + Default>(key: &[u8], value: &[u8]) -> Option<R> {
    R::decode(unseal(key, value)?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn document() -> DocumentRecord {
        DocumentRecord {
            stamp: 42,
            value: vec![7; 192].into(),
        }
    }

    #[test]
    fn a_value_is_read_back_under_its_own_key_only() {
        let value = seal(b"head", &document().encode_to_vec());
        assert_eq!(unseal_message(b"head", &value), Some(document()));
        assert_eq!(unseal_message::<DocumentRecord>(b"tail", &value), None);
    }

    #[test]
    fn hashes_of_a_kind_that_came_later_are_those_of_nothing() {
        let nothing = KindHashes::of_nothing();
        let mut content = tyrscale_model::ContentDigest::default();
        content.add(Kind::Network, "eth", b"payload");
        let bytes = hashes_to_record(&content.hashes());
        assert_eq!(hashes_from_record(&bytes), Some(content.hashes()));
        let earlier = &bytes[..KIND_HASH];
        let read = hashes_from_record(earlier).unwrap();
        assert_eq!(read.0[0], content.hashes().0[0]);
        assert_eq!(read.0[1..], nothing.0[1..]);
        assert_eq!(hashes_from_record(&bytes[1..]), None);
    }

    proptest! {
        #[test]
        fn a_damaged_value_is_never_read(at in any::<prop::sample::Index>(), bit in 0..8u8, cut in 0usize..64) {
            let mut value = seal(b"head", &document().encode_to_vec());
            let short = value.len().saturating_sub(cut + 1);
            prop_assert_eq!(unseal(b"head", &value[..short]), None);
            let at = at.index(value.len());
            value[at] ^= 1 << bit;
            prop_assert_eq!(unseal(b"head", &value), None);
        }
    }
}
