//! An engine in memory that several stores share, as replicas share a database.

use std::{
    collections::BTreeMap,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tyrscale_model::{Entry, KindHashes, Lineage, Revision, Snapshot};
use tyrscale_store::{
    Append, Appended, Document, DocumentWrite, Engine, EngineError, Loaded, LogRecord, Stamp, Table,
};

#[derive(Debug)]
struct Content {
    log: BTreeMap<Revision, LogRecord>,
    floor: Revision,
    floor_hashes: KindHashes,
    documents: BTreeMap<(Table, String), (Stamp, bytes::Bytes)>,
    stamp: u64,
}

#[derive(Debug)]
pub(crate) struct SharedEngine {
    content: Mutex<Content>,
    moved: Condvar,
    /// Fails every flush, and recovery.
    pub(crate) breaks: AtomicBool,
}

impl SharedEngine {
    pub(crate) fn new() -> Self {
        let content = Content {
            log: BTreeMap::new(),
            floor: Revision(0),
            floor_hashes: KindHashes::of_nothing(),
            documents: BTreeMap::new(),
            stamp: 0,
        };
        Self {
            content: Mutex::new(content),
            moved: Condvar::new(),
            breaks: AtomicBool::new(false),
        }
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap()
    }
}

impl Content {
    fn head(&self) -> Revision {
        self.log
            .last_key_value()
            .map_or(self.floor, |(revision, _)| *revision)
    }

    fn stamp_of(&self, write: &DocumentWrite) -> Stamp {
        let document = self.documents.get(&(write.table, write.key.clone()));
        document.map(|(stamp, _)| *stamp).unwrap_or_default()
    }
}

impl Engine for SharedEngine {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn is_shared(&self) -> bool {
        true
    }

    /// Gives no resources, so that the store replays the log.
    fn load(&self) -> Result<Loaded, EngineError> {
        let content = self.content();
        assert_eq!(content.floor, Revision(0), "it has no rows to start from");
        Ok(Loaded {
            lineage: Lineage([7; 16]),
            head: content.head(),
            floor: content.floor,
            floor_hashes: content.floor_hashes,
            entries_at: Revision(0),
            entries: Vec::<Entry>::new(),
        })
    }

    fn head(&self) -> Result<Revision, EngineError> {
        Ok(self.content().head())
    }

    fn read_log(&self, first: Revision, last: Revision) -> Result<Vec<LogRecord>, EngineError> {
        let records = self
            .content()
            .log
            .range(first..=last)
            .map(|(_, record)| record.clone())
            .collect();
        Ok(records)
    }

    fn append(&self, append: &Append<'_>) -> Result<Appended, EngineError> {
        let mut content = self.content();
        let head = content.head();
        if append.record.is_some_and(|record| record.revision != head.next()) {
            return Ok(Appended::HeadMoved(head));
        }
        for write in append.documents {
            if write
                .expected
                .is_some_and(|expected| expected != content.stamp_of(write))
            {
                return Ok(Appended::DocumentMoved {
                    table: write.table,
                    key: write.key.clone(),
                });
            }
        }
        content.stamp += 1;
        let stamp = Stamp(content.stamp);
        for write in append.documents {
            let key = (write.table, write.key.clone());
            match write.value.clone() {
                Some(value) => content.documents.insert(key, (stamp, value)),
                None => content.documents.remove(&key),
            };
        }
        if let Some(record) = append.record {
            // What is decoded is what was encoded, as with a real database.
            let decoded = LogRecord::decode(record.revision, &record.encode()).unwrap();
            content.log.insert(record.revision, decoded);
            self.moved.notify_all();
        }
        Ok(Appended::Written(stamp))
    }

    fn flush(&self) -> Result<(), EngineError> {
        if self.breaks.load(Ordering::SeqCst) {
            return Err(EngineError::Unavailable("the disk is full".to_owned()));
        }
        Ok(())
    }

    fn recover(&self) -> Result<(), EngineError> {
        self.flush()
    }

    fn wait_head(&self, after: Revision) -> Result<Option<Revision>, EngineError> {
        let waiting = |content: &mut Content| content.head() <= after;
        let waited = self
            .moved
            .wait_timeout_while(self.content(), Duration::from_millis(100), waiting);
        Ok(Some(waited.unwrap().0.head()))
    }

    fn compact(&self, floor: Revision, hashes: &KindHashes) -> Result<(), EngineError> {
        let mut content = self.content();
        content.log = content.log.split_off(&floor.next());
        content.floor = floor;
        content.floor_hashes = *hashes;
        Ok(())
    }

    fn document(&self, table: Table, key: &str) -> Result<Option<Document>, EngineError> {
        let content = self.content();
        let found = content.documents.get(&(table, key.to_owned()));
        Ok(found.map(|(stamp, value)| Document {
            key: key.to_owned(),
            stamp: *stamp,
            value: value.clone(),
        }))
    }

    fn documents(
        &self,
        table: Table,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, EngineError> {
        let content = self.content();
        let all = content.documents.iter();
        let chosen =
            all.filter(|((of, key), _)| *of == table && key.starts_with(prefix) && key.as_str() > after);
        let found = chosen.take(limit).map(|((_, key), (stamp, value))| Document {
            key: key.clone(),
            stamp: *stamp,
            value: value.clone(),
        });
        Ok(found.collect())
    }
}

/// What a snapshot says, for comparing.
pub(crate) fn proof(snapshot: &Snapshot) -> (Revision, KindHashes) {
    (snapshot.revision(), snapshot.hashes())
}
