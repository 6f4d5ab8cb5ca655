//! Making the store of an archive in a cluster that has none.
//!
//! Everything is written before the head, which one transaction writes unless another is there by then: what breaks off
//! before leaves no store, and the next import clears it away.

use std::{collections::BTreeMap, sync::Mutex};

use bytes::Bytes;
use tyrscale_etcd::TxnRequest;
use tyrscale_model::Revision;

use super::{
    EtcdEngine, EtcdOptions, has_head,
    keys::{self, CheckpointRecord, FORMAT, FloorRecord, HeadRecord, Keys, ValueRecord},
    members::Members,
    token,
};
use crate::{
    Archive,
    engine::{Engine as _, EngineError},
    load::CHUNK,
    record::hashes_to_record,
};

/// Whether a store was made: there may be one already.
pub(crate) fn import(options: &EtcdOptions, archive: &Archive) -> Result<bool, EngineError> {
    options.check()?;
    let engine = EtcdEngine {
        members: Members::new(options)?,
        keys: Keys::new(&options.cluster),
        place: options.place(),
        lineage: archive.head.lineage,
        seen: Mutex::new((Revision(0), 0)),
    };
    if has_head(&engine.members, &engine.keys)? {
        return Ok(false);
    }
    let everything = engine.keys.everything();
    engine.forget(everything.clone(), keys::end_of(&everything))?;
    engine.write_log(archive)?;
    engine.write_documents(archive)?;
    engine.write_head(archive)
}

impl EtcdEngine {
    fn write_log(&self, archive: &Archive) -> Result<(), EngineError> {
        let mut next = archive.head.floor.next();
        while next <= archive.head.revision {
            let last = Revision(next.0.saturating_add(CHUNK - 1)).min(archive.head.revision);
            for record in archive.read_log(next, last)? {
                let entry = self.entry_of(&record)?;
                self.put(self.keys.log(record.revision), &entry)?;
            }
            next = last.next();
        }
        Ok(())
    }

    /// Stamps are etcd's, so they are other ones, in the order they were in.
    fn write_documents(&self, archive: &Archive) -> Result<(), EngineError> {
        let mut documents: Vec<_> = archive.documents.iter().collect();
        documents.sort_by_key(|(_, (stamp, _))| *stamp);
        for ((table, key), (_, value)) in documents {
            let value = ValueRecord { bytes: value.clone() };
            self.put(self.keys.document(*table, key), &value)?;
        }
        Ok(())
    }

    fn write_head(&self, archive: &Archive) -> Result<bool, EngineError> {
        let token = token();
        let images: BTreeMap<_, _> = archive.resources.iter().cloned().collect();
        let checkpoint = CheckpointRecord {
            revision: archive.head.revision.0,
            parts: self.write_resources(archive.head.revision, &token, images)?,
            token,
        };
        let floor = FloorRecord {
            revision: archive.head.floor.0,
            hashes: hashes_to_record(&archive.head.floor_hashes),
        };
        let head = HeadRecord {
            format: FORMAT,
            lineage: Bytes::copy_from_slice(&archive.head.lineage.0),
            revision: archive.head.revision.0,
        };
        let request = TxnRequest {
            compare: vec![keys::written_at(self.keys.head(), 0)],
            success: vec![
                keys::put(self.keys.checkpoint(), &checkpoint),
                keys::put(self.keys.floor(), &floor),
                keys::put(self.keys.head(), &head),
            ],
            failure: Vec::new(),
        };
        let made = self.members.repeatable(request)?.succeeded;
        // An answer that was lost and asked for again finds its own head.
        Ok(made || self.required::<HeadRecord>(self.keys.head())? == head)
    }
}
