//! Keys and values in etcd, below `/tyrscale/CLUSTER/`.
//!
//! | key | value |
//! |---|---|
//! | `head` | [`HeadRecord`]: whose log it is and how far it goes; every commit compares and moves it |
//! | `floor` | [`FloorRecord`]: where the log begins |
//! | `log/REVISION` | [`EntryRecord`]: the revision, whole or with the number of its parts |
//! | `parts/REVISION/TOKEN/PART` | a part of a large revision, written before; nothing until its revision is in the log |
//! | `checkpoint` | [`CheckpointRecord`]: a revision whose resources are all written down |
//! | `resources/REVISION/TOKEN/PART` | [`ResourcesRecord`]: some of them |
//! | `documents/TABLE/KEY` | a document; its stamp is etcd's revision of the key |

use bytes::Bytes;
use prost::Message;
use tyrscale_etcd::{Compare, PutRequest, RangeRequest, RequestOp, compare, request_op};
use tyrscale_model::Revision;

use crate::{
    engine::EngineError,
    record::{ImageRecord, seal, unseal_message},
    table::Table,
};

/// The layout; a cluster with a higher number was made by a newer version.
pub(super) const FORMAT: u32 = 1;

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HeadRecord {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) lineage: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct FloorRecord {
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) hashes: Bytes,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EntryRecord {
    /// Random; tells whose write it is, and where its parts are.
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) token: Bytes,
    /// The parts of the record, unless they are elsewhere.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) parts: Vec<Bytes>,
    /// How many parts are elsewhere.
    #[prost(uint32, tag = "3")]
    pub(super) elsewhere: u32,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct CheckpointRecord {
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) token: Bytes,
    #[prost(uint32, tag = "3")]
    pub(super) parts: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourcesRecord {
    #[prost(message, repeated, tag = "1")]
    pub(super) resources: Vec<ResourceRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceRecord {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) image: Option<ImageRecord>,
}

/// A piece of something large.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct PartRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) bytes: Bytes,
}

/// The value of a document.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct ValueRecord {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) bytes: Bytes,
}

/// The names of a cluster's keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(cluster: &str) -> Self {
        Self {
            prefix: format!("/tyrscale/{cluster}/"),
        }
    }

    fn key(&self, rest: std::fmt::Arguments<'_>) -> Bytes {
        format!("{}{rest}", self.prefix).into()
    }

    /// What every key begins with.
    pub(super) fn everything(&self) -> Bytes {
        self.prefix.clone().into()
    }

    pub(super) fn head(&self) -> Bytes {
        self.key(format_args!("head"))
    }

    pub(super) fn floor(&self) -> Bytes {
        self.key(format_args!("floor"))
    }

    pub(super) fn checkpoint(&self) -> Bytes {
        self.key(format_args!("checkpoint"))
    }

    pub(super) fn log(&self, revision: Revision) -> Bytes {
        self.key(format_args!("log/{:020}", revision.0))
    }

    /// All parts of revisions below `revision`, and those of `revision`, in this order.
    pub(super) fn parts(&self, revision: Revision) -> Bytes {
        self.key(format_args!("parts/{:020}/", revision.0))
    }

    pub(super) fn part(&self, revision: Revision, token: &[u8], part: usize) -> Bytes {
        self.key(format_args!("parts/{:020}/{}/{part:08}", revision.0, hex(token)))
    }

    pub(super) fn resources(&self, revision: Revision) -> Bytes {
        self.key(format_args!("resources/{:020}/", revision.0))
    }

    pub(super) fn resource_part(&self, revision: Revision, token: &[u8], part: usize) -> Bytes {
        self.key(format_args!(
            "resources/{:020}/{}/{part:08}",
            revision.0,
            hex(token)
        ))
    }

    pub(super) fn document(&self, table: Table, key: &str) -> Bytes {
        self.key(format_args!("documents/{table}/{key}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The first key after all that begin with `prefix`.
pub(super) fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end.into();
        }
    }
    // Nothing comes after: etcd's word for "to the end".
    Bytes::from_static(&[0])
}

pub(super) fn get(key: Bytes) -> RangeRequest {
    RangeRequest {
        key,
        ..RangeRequest::default()
    }
}

pub(super) fn put(key: Bytes, value: &impl Message) -> RequestOp {
    let value = seal(&key, &value.encode_to_vec()).into();
    RequestOp {
        request: Some(request_op::Request::RequestPut(PutRequest { key, value })),
    }
}

pub(super) fn delete_range(key: Bytes, range_end: Bytes) -> RequestOp {
    let delete = tyrscale_etcd::DeleteRangeRequest { key, range_end };
    RequestOp {
        request: Some(request_op::Request::RequestDeleteRange(delete)),
    }
}

/// That a key was last written by this change of etcd's; 0 for a key that is not there.
pub(super) fn written_at(key: Bytes, mod_revision: i64) -> Compare {
    Compare {
        result: compare::CompareResult::Equal.into(),
        target: compare::CompareTarget::Mod.into(),
        key,
        target_union: Some(compare::TargetUnion::ModRevision(mod_revision)),
    }
}

/// Reads a value that [`put`] wrote.
pub(super) fn open<R: Message + Default>(key: &[u8], value: &[u8]) -> Result<R, EngineError> {
    unseal_message(key, value)
        .ok_or_else(|| EngineError::Damaged(format!("{} is damaged", String::from_utf8_lossy(key))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_end_of_a_prefix_is_behind_all_that_begin_with_it(
            prefix in prop::collection::vec(any::<u8>(), 1..8),
            rest in prop::collection::vec(any::<u8>(), 0..8),
        ) {
            let end = end_of(&prefix);
            let key = [prefix.as_slice(), rest.as_slice()].concat();
            prop_assert!(key.as_slice() >= prefix.as_slice());
            let open = end.as_ref() == [0];
            prop_assert!(open || key.as_slice() < end.as_ref());
        }
    }
}
