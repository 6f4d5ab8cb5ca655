//! The layout of the file.
//!
//! ```text
//! "tyrstore" · format u32 · zstd( row* ) · BLAKE3 of all before, 32 bytes
//! row = length u32 · protobuf
//! ```
//!
//! Numbers are little-endian. Rows come in this order: the head; every resource; every revision above the floor, in
//! order, in the parts it lies in; every document; the end, which counts them. Contents are the bytes that the store
//! has, so what is encrypted there is encrypted here. There are secrets in it all the same: mode 0600.

use bytes::Bytes;

use crate::record::ImageRecord;

pub(super) const MAGIC: &[u8; 8] = b"tyrstore";
/// A file with a higher number was made by a newer version.
pub(super) const FORMAT: u32 = 1;
/// Magic and format, in bytes.
pub(super) const PREFIX: usize = 12;
/// In bytes.
pub(super) const CHECKSUM: usize = 32;
/// A longer row is not one of ours, in bytes: the parts of the largest revision fit.
pub(super) const MAX_ROW: usize = 1 << 30;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Row {
    #[prost(oneof = "RowPart", tags = "1, 2, 3, 4, 5")]
    pub(super) part: Option<RowPart>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum RowPart {
    #[prost(message, tag = "1")]
    Head(HeadRow),
    #[prost(message, tag = "2")]
    Resource(ResourceRow),
    #[prost(message, tag = "3")]
    Revision(RevisionRow),
    #[prost(message, tag = "4")]
    Document(DocumentRow),
    #[prost(message, tag = "5")]
    End(EndRow),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HeadRow {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) lineage: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    #[prost(uint64, tag = "3")]
    pub(super) floor: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) floor_hashes: Bytes,
    #[prost(uint64, tag = "5")]
    pub(super) taken_ms: u64,
    #[prost(bool, tag = "6")]
    pub(super) is_backup: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResourceRow {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(string, tag = "2")]
    pub(super) id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) image: Option<ImageRecord>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct RevisionRow {
    #[prost(uint64, tag = "1")]
    pub(super) revision: u64,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(super) parts: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct DocumentRow {
    #[prost(uint32, tag = "1")]
    pub(super) table: u32,
    #[prost(string, tag = "2")]
    pub(super) key: String,
    #[prost(uint64, tag = "3")]
    pub(super) stamp: u64,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) value: Bytes,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct EndRow {
    #[prost(uint64, tag = "1")]
    pub(super) resources: u64,
    #[prost(uint64, tag = "2")]
    pub(super) revisions: u64,
    #[prost(uint64, tag = "3")]
    pub(super) documents: u64,
}
