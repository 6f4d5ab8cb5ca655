//! Writing a revision, documents or both as one transaction.

use bytes::Bytes;
use tyrscale_etcd::TxnRequest;
use tyrscale_model::Revision;

use super::{
    EtcdEngine, PIECE, damaged,
    keys::{self, EntryRecord, FORMAT, HeadRecord, PartRecord, ValueRecord},
    token,
};
use crate::{
    engine::{Append, Appended, DocumentWrite, Engine as _, EngineError, Stamp},
    log::LogRecord,
};

/// How often a write whose outcome is not known is looked for and tried again.
const MAX_TRIES: u32 = 5;

impl EtcdEngine {
    /// The record as it goes into the log; what is too large for that is written now.
    pub(super) fn entry_of(&self, record: &LogRecord) -> Result<EntryRecord, EngineError> {
        let (parts, token) = (record.encode(), token());
        if parts.iter().map(Bytes::len).sum::<usize>() <= PIECE {
            return Ok(EntryRecord {
                token,
                parts,
                elsewhere: 0,
            });
        }
        let elsewhere = u32::try_from(parts.len()).map_err(|_| damaged("a revision has too many parts"))?;
        for (number, bytes) in parts.into_iter().enumerate() {
            let key = self.keys.part(record.revision, &token, number);
            self.put(key, &PartRecord { bytes })?;
        }
        Ok(EntryRecord {
            token,
            parts: Vec::new(),
            elsewhere,
        })
    }

    /// What stands in the way of an append that was not taken.
    fn obstacle(&self, append: &Append<'_>) -> Result<Option<Appended>, EngineError> {
        if let Some(record) = append.record {
            let (head, _) = self.look()?;
            if head.next() != record.revision {
                return Ok(Some(Appended::HeadMoved(head)));
            }
        }
        for write in append.documents {
            let Some(expected) = write.expected else { continue };
            let found = self.document(write.table, &write.key)?;
            if found.map(|document| document.stamp).unwrap_or_default() != expected {
                return Ok(Some(Appended::DocumentMoved {
                    table: write.table,
                    key: write.key.clone(),
                }));
            }
        }
        Ok(None)
    }

    /// Whether a write whose outcome was not told took place.
    fn took_place(&self, revision: Revision, token: &Bytes) -> Result<bool, EngineError> {
        let found = self.members.range(keys::get(self.keys.log(revision)))?.kvs.pop();
        let entry = found
            .map(|kv| keys::open::<EntryRecord>(&kv.key, &kv.value))
            .transpose()?;
        Ok(entry.is_some_and(|entry| entry.token == *token))
    }

    /// The transaction that writes it; none when the head that was seen last is not the one it follows. Which head
    /// that is and what is compared are read at once, since others look at the head meanwhile.
    fn transaction(
        &self,
        append: &Append<'_>,
        entry: Option<&EntryRecord>,
    ) -> Result<Option<TxnRequest>, EngineError> {
        let mut request = TxnRequest::default();
        if let (Some(record), Some(entry)) = (append.record, entry) {
            let (seen, at) = *self.seen.lock().map_err(|_| damaged("a write broke off"))?;
            if seen.next() != record.revision {
                return Ok(None);
            }
            let head = HeadRecord {
                format: FORMAT,
                lineage: Bytes::copy_from_slice(&self.lineage.0),
                revision: record.revision.0,
            };
            request.compare.push(keys::written_at(self.keys.head(), at));
            request
                .success
                .push(keys::put(self.keys.log(record.revision), entry));
            request.success.push(keys::put(self.keys.head(), &head));
        }
        for write in append.documents {
            self.add_document(write, &mut request);
        }
        Ok(Some(request))
    }

    fn add_document(&self, write: &DocumentWrite, request: &mut TxnRequest) {
        let key = self.keys.document(write.table, &write.key);
        if let Some(expected) = write.expected {
            let at = i64::try_from(expected.0).unwrap_or(i64::MAX);
            request.compare.push(keys::written_at(key.clone(), at));
        }
        request.success.push(match &write.value {
            Some(value) => keys::put(key, &ValueRecord { bytes: value.clone() }),
            None => keys::delete_range(key, Bytes::new()),
        });
    }

    /// Sends a transaction until its outcome is known.
    pub(super) fn settle(
        &self,
        append: &Append<'_>,
        entry: Option<&EntryRecord>,
    ) -> Result<Appended, EngineError> {
        let mut last = String::new();
        for _ in 0..MAX_TRIES {
            let sent = self
                .transaction(append, entry)?
                .map(|request| self.members.txn(request));
            match sent {
                Some(Ok(answer)) if answer.succeeded => {
                    let at = answer.header.map(|header| header.revision).unwrap_or_default();
                    if let Some(record) = append.record {
                        *self.seen.lock().map_err(|_| damaged("a write broke off"))? = (record.revision, at);
                    }
                    return Ok(Appended::Written(Stamp(u64::try_from(at).unwrap_or_default())));
                }
                // Not taken, or taken by the try before whose answer was lost.
                Some(Ok(_)) | None => {}
                Some(Err(status)) => last = format!("etcd: {:?}: {}", status.code(), status.message()),
            }
            if let (Some(record), Some(entry)) = (append.record, entry)
                && self.took_place(record.revision, &entry.token)?
            {
                let (_, at) = self.look()?;
                return Ok(Appended::Written(Stamp(u64::try_from(at).unwrap_or_default())));
            }
            if let Some(obstacle) = self.obstacle(append)? {
                return Ok(obstacle);
            }
        }
        Err(EngineError::Unavailable(last))
    }
}
