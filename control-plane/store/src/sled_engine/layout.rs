//! Keys, values and transactions over sled's trees.

use bytes::Bytes;
use prost::Message as _;
use sled::{
    Transactional,
    transaction::{ConflictableTransactionError, TransactionError},
};
use tyrscale_model::{ResourceKey, Revision};

use super::{damaged, unavailable};
use crate::{
    engine::{DocumentWrite, EngineError},
    log::{Image, LogRecord},
    record::{DocumentRecord, seal, unseal, unseal_message},
    table::Table,
};

/// The layout of the store; a store with a higher number was made by a newer version.
pub(super) const FORMAT: u32 = 3;

const HEAD: &[u8] = b"head";
const REVISION: usize = size_of::<u64>();
/// How many rows one batch removes.
const BATCH: usize = 1000;

/// What the store is and where it stands.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct HeadRecord {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) lineage: Bytes,
    #[prost(uint64, tag = "3")]
    pub(super) revision: u64,
    /// Of format 1: 32 bytes for each of its kinds, in their order.
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) hashes_of_format_1: Bytes,
    /// The oldest revision whose content can be had.
    #[prost(uint64, tag = "6")]
    pub(super) floor: u64,
    /// The hashes of the content at the floor.
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) floor_hashes: Bytes,
    /// How many times something was written.
    #[prost(uint64, tag = "9")]
    pub(super) stamp: u64,
}

/// The trees of an open database.
#[derive(Debug, Clone)]
pub(super) struct Trees {
    pub(super) meta: sled::Tree,
    pub(super) current: sled::Tree,
    pub(super) log: sled::Tree,
    pub(super) documents: sled::Tree,
}

/// Rows to be written in one transaction.
#[derive(Default)]
pub(super) struct Write {
    current: sled::Batch,
    log: sled::Batch,
    documents: sled::Batch,
}

fn entry_key(key: &ResourceKey) -> Vec<u8> {
    let mut bytes = vec![key.kind.number()];
    bytes.extend_from_slice(key.id.as_bytes());
    bytes
}

pub(super) fn document_key(table: Table, key: &str) -> Vec<u8> {
    let mut bytes = vec![table.number()];
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

fn log_key(revision: Revision, part: u32) -> Vec<u8> {
    let mut key = revision.0.to_be_bytes().to_vec();
    key.extend_from_slice(&part.to_be_bytes());
    key
}

impl Write {
    /// A revision: its record, and the rows it changes.
    pub(super) fn revision(&mut self, record: &LogRecord) {
        self.log(record);
        for operation in &record.operations {
            match &operation.after {
                Some(image) => self.resource(&operation.key, image),
                None => self.current.remove(entry_key(&operation.key)),
            }
        }
    }

    /// The record of a revision.
    pub(super) fn log(&mut self, record: &LogRecord) {
        for (part, body) in (0..).zip(record.encode()) {
            let key = log_key(record.revision, part);
            let value = seal(&key, &body);
            self.log.insert(key, value);
        }
    }

    /// A row.
    pub(super) fn resource(&mut self, key: &ResourceKey, image: &Image) {
        let key = entry_key(key);
        let value = seal(&key, &image.encode());
        self.current.insert(key, value);
    }

    pub(super) fn documents(&mut self, writes: &[DocumentWrite], stamp: u64) {
        for write in writes {
            let key = document_key(write.table, &write.key);
            match &write.value {
                Some(value) => {
                    let record = DocumentRecord {
                        stamp,
                        value: value.clone(),
                    };
                    let value = seal(&key, &record.encode_to_vec());
                    self.documents.insert(key, value);
                }
                None => self.documents.remove(key),
            }
        }
    }
}

impl Trees {
    pub(super) fn of(db: &sled::Db) -> Result<Self, sled::Error> {
        Ok(Self {
            meta: db.open_tree("meta")?,
            current: db.open_tree("current")?,
            log: db.open_tree("log")?,
            documents: db.open_tree("documents")?,
        })
    }

    /// The head, or `None` in a new store.
    pub(super) fn head(&self) -> Result<Option<HeadRecord>, EngineError> {
        let Some(value) = self.meta.get(HEAD).map_err(unavailable)? else {
            return Ok(None);
        };
        let head = unseal_message(HEAD, &value).ok_or_else(|| damaged("meta/head"))?;
        Ok(Some(head))
    }

    /// Whether nothing at all was ever written.
    pub(super) fn is_blank(&self) -> bool {
        [&self.meta, &self.current, &self.log, &self.documents]
            .iter()
            .all(|tree| tree.is_empty())
    }

    /// Writes the rows and the head: all or none.
    pub(super) fn write(&self, write: &Write, head: &HeadRecord) -> Result<(), sled::Error> {
        let head = seal(HEAD, &head.encode_to_vec());
        let trees = (&self.meta, &self.current, &self.log, &self.documents);
        let outcome = trees.transaction(|(meta, current, log, documents)| {
            current.apply_batch(&write.current)?;
            log.apply_batch(&write.log)?;
            documents.apply_batch(&write.documents)?;
            meta.insert(HEAD, head.as_slice())?;
            Ok::<(), ConflictableTransactionError<sled::Error>>(())
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(TransactionError::Storage(error) | TransactionError::Abort(error)) => Err(error),
        }
    }

    /// The records of a range, each proved and none missing.
    pub(super) fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        let mut records = Vec::new();
        let mut revision = first;
        let mut parts: Vec<Bytes> = Vec::new();
        let mut wanted = 0;
        for row in self.log.range(log_key(first, 0)..=log_key(last, u32::MAX)) {
            let (key, value) = row.map_err(unavailable)?;
            let part = u32::try_from(parts.len()).unwrap_or(u32::MAX);
            if key.as_ref() != log_key(revision, part).as_slice() {
                return Err(hole(revision));
            }
            let body = unseal(&key, &value).ok_or_else(|| damaged(format_args!("log/{revision}")))?;
            if parts.is_empty() {
                wanted = LogRecord::parts_of(body).ok_or_else(|| damaged(format_args!("log/{revision}")))?;
            }
            parts.push(Bytes::copy_from_slice(body));
            if part == wanted {
                let record = LogRecord::decode(revision, &parts);
                records.push(record.ok_or_else(|| damaged(format_args!("log/{revision}")))?);
                parts.clear();
                revision = revision.next();
            }
        }
        if revision == last.next() && parts.is_empty() {
            Ok(records)
        } else {
            Err(hole(revision))
        }
    }

    /// Removes what the log holds up to a revision.
    pub(super) fn forget_log(&self, floor: Revision) -> Result<(), sled::Error> {
        loop {
            let mut batch = sled::Batch::default();
            let mut count = 0;
            for key in self.log.range(..floor.next().0.to_be_bytes()).keys().take(BATCH) {
                batch.remove(key?);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            self.log.apply_batch(batch)?;
        }
    }

    /// The last revision that the log has anything of.
    pub(super) fn last_logged(&self) -> Result<Option<Revision>, EngineError> {
        let Some((key, _)) = self.log.last().map_err(unavailable)? else {
            return Ok(None);
        };
        let revision = key.first_chunk::<REVISION>().copied().map(u64::from_be_bytes);
        revision.map(Revision).map(Some).ok_or_else(|| damaged("log"))
    }
}

fn hole(revision: Revision) -> EngineError {
    EngineError::Damaged(format!("the log has no whole revision {revision}"))
}
