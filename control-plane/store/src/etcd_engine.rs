//! The store in an etcd cluster, for several control planes at once.
//!
//! A commit is one transaction that compares the head and moves it, so of two processes that commit at once one
//! wins and the other plans anew. Our revisions are our own: etcd's number every key of the cluster and begin anew
//! with a new one.

mod appending;
mod checkpoint;
mod importing;
mod keys;
mod members;
mod options;
mod watching;

pub(crate) use importing::import;
pub use options::EtcdOptions;

use std::{fmt, sync::Mutex};

use bytes::Bytes;
use tyrscale_etcd::{KeyValue, RangeRequest, TxnRequest};
use tyrscale_model::{KindHashes, Lineage, Revision};

use self::{
    keys::{EntryRecord, FORMAT, FloorRecord, HeadRecord, Keys, PartRecord, ValueRecord},
    members::Members,
};
use crate::{
    engine::{Append, Appended, Document, Engine, EngineError, Loaded, Stamp},
    log::LogRecord,
    record::{hashes_from_record, hashes_to_record},
    table::Table,
};

/// What one value holds at most, in bytes; etcd's limit of a request is 1.5 MiB.
const PIECE: usize = 512 * 1024;
/// How many revisions are replayed at a start, about.
const CHECKPOINT_EVERY: u64 = 1000;
/// How often a start begins again because another process compacted meanwhile.
const LOADS: u32 = 3;
/// Keys of one answer.
const PAGE: i64 = 256;

/// A store in etcd.
pub(crate) struct EtcdEngine {
    members: Members,
    keys: Keys,
    place: String,
    lineage: Lineage,
    /// The head as it was seen last, with etcd's revision of it.
    seen: Mutex<(Revision, i64)>,
}

impl fmt::Debug for EtcdEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdEngine")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Random bytes that no other write has.
fn token() -> Bytes {
    Bytes::copy_from_slice(uuid::Uuid::new_v4().as_bytes())
}

fn damaged(reason: impl Into<String>) -> EngineError {
    EngineError::Damaged(reason.into())
}

impl EtcdEngine {
    /// Opens or creates the store in a cluster. Blocks; must be called where a runtime is entered and blocking allowed.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`] when no member answers, or for bad options; [`EngineError::Damaged`].
    pub(crate) fn open(options: &EtcdOptions) -> Result<Self, EngineError> {
        options.check()?;
        let members = Members::new(options)?;
        let keys = Keys::new(&options.cluster);
        create(&members, &keys)?;
        let (head, at) = head_of(&members, &keys)?;
        if head.format > FORMAT {
            return Err(EngineError::Unavailable(format!(
                "it has format {}, made by a newer version; this one reads up to {FORMAT}",
                head.format
            )));
        }
        let lineage = head.lineage.as_ref().try_into().map(Lineage);
        Ok(Self {
            place: options.place(),
            lineage: lineage.map_err(|_| damaged("the head has no lineage"))?,
            seen: Mutex::new((Revision(head.revision), at)),
            members,
            keys,
        })
    }

    /// The head, also kept as the one seen. Reads of etcd see every write that was answered before them, so a head below
    /// one that was seen before is that of a cluster which was restored.
    fn look(&self) -> Result<(Revision, i64), EngineError> {
        let broken = |_| damaged("a write broke off");
        let (before, _) = *self.seen.lock().map_err(broken)?;
        let (head, at) = head_of(&self.members, &self.keys)?;
        if head.lineage != self.lineage.0.as_slice() {
            return Err(damaged(
                "the store in etcd was replaced by another; restart to take it",
            ));
        }
        if Revision(head.revision) < before {
            return Err(damaged(format!(
                "the store in etcd went back from revision {before} to {}; restart to take it",
                head.revision
            )));
        }
        let found = (Revision(head.revision), at);
        let mut seen = self.seen.lock().map_err(broken)?;
        // Others look meanwhile, and may have seen a newer one.
        if found.0 >= seen.0 {
            *seen = found;
        }
        Ok(found)
    }

    fn put(&self, key: Bytes, value: &impl prost::Message) -> Result<(), EngineError> {
        let request = TxnRequest {
            success: vec![keys::put(key, value)],
            ..TxnRequest::default()
        };
        self.members.repeatable(request).map(drop)
    }

    /// A value that must be there.
    fn required<R: prost::Message + Default>(&self, key: Bytes) -> Result<R, EngineError> {
        let found = self.members.range(keys::get(key.clone()))?.kvs.pop();
        let kv = found.ok_or_else(|| damaged(format!("{} is missing", String::from_utf8_lossy(&key))))?;
        keys::open(&kv.key, &kv.value)
    }

    /// Removes the keys from `first` up to, but not with, `end`.
    fn forget(&self, first: Bytes, end: Bytes) -> Result<(), EngineError> {
        let request = TxnRequest {
            success: vec![keys::delete_range(first, end)],
            ..TxnRequest::default()
        };
        self.members.repeatable(request).map(drop)
    }

    fn floor(&self) -> Result<(FloorRecord, i64), EngineError> {
        let key = self.keys.floor();
        let found = self.members.range(keys::get(key))?.kvs.pop();
        let kv = found.ok_or_else(|| damaged("the floor is missing"))?;
        Ok((keys::open(&kv.key, &kv.value)?, kv.mod_revision))
    }

    fn load_once(&self) -> Result<Loaded, EngineError> {
        let (floor, _) = self.floor()?;
        let (entries_at, entries) = self.checkpointed()?;
        let (head, _) = self.look()?;
        Ok(Loaded {
            lineage: self.lineage,
            head,
            floor: Revision(floor.revision),
            floor_hashes: hashes_from_record(&floor.hashes)
                .ok_or_else(|| damaged("the floor has no hashes"))?,
            entries_at,
            entries,
        })
    }

    fn record(&self, revision: Revision, kv: &KeyValue) -> Result<LogRecord, EngineError> {
        let entry: EntryRecord = keys::open(&kv.key, &kv.value)?;
        let mut parts = entry.parts;
        for part in 0..entry.elsewhere as usize {
            let part: PartRecord = self.required(self.keys.part(revision, &entry.token, part))?;
            parts.push(part.bytes);
        }
        LogRecord::decode(revision, &parts).ok_or_else(|| damaged(format!("log/{revision} is damaged")))
    }

    /// Writes a checkpoint beside the commits, once in a while.
    fn checkpoint_if_due(&self, revision: Revision) {
        if !revision.0.is_multiple_of(CHECKPOINT_EVERY) {
            return;
        }
        if let Err(error) = self.write_checkpoint() {
            tracing::warn!(%error, "the resources could not be written down; the log stays longer");
        }
    }
}

/// Makes an empty store unless there is one.
fn create(members: &Members, keys: &Keys) -> Result<(), EngineError> {
    let head = HeadRecord {
        format: FORMAT,
        lineage: token(),
        revision: 0,
    };
    let floor = FloorRecord {
        revision: 0,
        hashes: hashes_to_record(&KindHashes::of_nothing()),
    };
    let request = TxnRequest {
        compare: vec![keys::written_at(keys.head(), 0)],
        success: vec![keys::put(keys.head(), &head), keys::put(keys.floor(), &floor)],
        failure: Vec::new(),
    };
    members.repeatable(request).map(drop)
}

/// Whether a cluster has a store. Blocks, as [`EtcdEngine::open`] does.
///
/// # Errors
/// [`EngineError::Unavailable`] when no member answers, or for bad options.
pub(crate) fn is_in(options: &EtcdOptions) -> Result<bool, EngineError> {
    options.check()?;
    has_head(&Members::new(options)?, &Keys::new(&options.cluster))
}

fn has_head(members: &Members, keys: &Keys) -> Result<bool, EngineError> {
    Ok(!members.range(keys::get(keys.head()))?.kvs.is_empty())
}

fn head_of(members: &Members, keys: &Keys) -> Result<(HeadRecord, i64), EngineError> {
    let found = members.range(keys::get(keys.head()))?.kvs.pop();
    let kv = found.ok_or_else(|| damaged("the head is missing"))?;
    Ok((keys::open(&kv.key, &kv.value)?, kv.mod_revision))
}

impl Engine for EtcdEngine {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn load(&self) -> Result<Loaded, EngineError> {
        let mut loaded = self.load_once()?;
        for _ in 1..LOADS {
            // The floor rises only after a checkpoint above it was written.
            if loaded.entries_at >= Revision(self.floor()?.0.revision) {
                break;
            }
            loaded = self.load_once()?;
        }
        Ok(loaded)
    }

    fn head(&self) -> Result<Revision, EngineError> {
        self.look().map(|(head, _)| head)
    }

    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        let mut records = Vec::new();
        let mut next = first;
        while next <= last {
            let page = self.members.range(RangeRequest {
                key: self.keys.log(next),
                range_end: self.keys.log(last.next()),
                limit: PAGE,
            })?;
            for kv in &page.kvs {
                if kv.key != self.keys.log(next) {
                    return Err(damaged(format!("the log has no whole revision {next}")));
                }
                records.push(self.record(next, kv)?);
                next = next.next();
            }
            if page.kvs.is_empty() {
                return Err(damaged(format!("the log has no whole revision {next}")));
            }
        }
        Ok(records)
    }

    fn append(&self, append: &Append<'_>) -> Result<Appended, EngineError> {
        let entry = append.record.map(|record| self.entry_of(record)).transpose()?;
        let appended = self.settle(append, entry.as_ref())?;
        if let (Some(record), Appended::Written(_)) = (append.record, &appended) {
            self.checkpoint_if_due(record.revision);
        }
        Ok(appended)
    }

    fn flush(&self) -> Result<(), EngineError> {
        // A transaction that etcd has answered is on the disks of most members.
        Ok(())
    }

    fn recover(&self) -> Result<(), EngineError> {
        self.look().map(drop)
    }

    fn wait_head(&self, after: Revision) -> Result<Option<Revision>, EngineError> {
        let (head, at) = self.look()?;
        if head > after {
            return Ok(Some(head));
        }
        let key = self.keys.head();
        self.members
            .watch(|client| watching::changed(client, key, at + 1))?;
        self.head().map(Some)
    }

    fn compact(&self, floor: Revision, hashes: &KindHashes) -> Result<(), EngineError> {
        let (now, at) = self.floor()?;
        if Revision(now.revision) >= floor {
            return Ok(());
        }
        if self.checkpointed()?.0 < floor {
            self.write_checkpoint()?;
        }
        let record = FloorRecord {
            revision: floor.0,
            hashes: hashes_to_record(hashes),
        };
        let key = self.keys.floor();
        let request = TxnRequest {
            compare: vec![keys::written_at(key.clone(), at)],
            success: vec![keys::put(key, &record)],
            failure: Vec::new(),
        };
        if !self.members.repeatable(request)?.succeeded {
            // Another process compacts.
            return Ok(());
        }
        self.forget(self.keys.log(Revision(0)), self.keys.log(floor.next()))?;
        self.forget(self.keys.parts(Revision(0)), self.keys.parts(floor.next()))
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        let found = self
            .members
            .range(keys::get(self.keys.document(table, key)))?
            .kvs
            .pop();
        found.map(|kv| document(key.to_owned(), &kv)).transpose()
    }

    fn documents(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError> {
        let all = self.keys.document(table, "");
        let prefix = self.keys.document(table, prefix);
        // The first key behind `after`.
        let after = [self.keys.document(table, after).as_ref(), &[0]].concat();
        let mut first = Bytes::from(prefix.as_ref().max(after.as_slice()).to_vec());
        let mut found = Vec::new();
        while found.len() < limit {
            let page = self.members.range(RangeRequest {
                key: first,
                range_end: keys::end_of(&prefix),
                limit: i64::try_from(limit - found.len()).unwrap_or(PAGE).min(PAGE),
            })?;
            for kv in &page.kvs {
                let key = kv
                    .key
                    .get(all.len()..)
                    .and_then(|key| std::str::from_utf8(key).ok());
                let key = key.ok_or_else(|| damaged("a document has a key that is no text"))?;
                found.push(document(key.to_owned(), kv)?);
            }
            match page.kvs.last() {
                Some(last) if page.more => first = [last.key.as_ref(), &[0]].concat().into(),
                _ => break,
            }
        }
        Ok(found)
    }
}

fn document(key: String, kv: &KeyValue) -> Result<Document, EngineError> {
    let value: ValueRecord = keys::open(&kv.key, &kv.value)?;
    Ok(Document {
        key,
        stamp: Stamp(u64::try_from(kv.mod_revision).unwrap_or_default()),
        value: value.bytes,
    })
}
