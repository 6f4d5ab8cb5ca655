//! The audit log: what was written and what was refused, as a chain of durable records.

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tyrscale_proto::v1::{AuditOutcome, AuditRecord};
use tyrscale_store::{Documents, Stamp, Store, StoreError};

use crate::chain::{ChainKey, End, Verdict, Walk};
use crate::lines::{AuditFiles, Lines, OUTSIDE};
use crate::rows::{AuditHead, read};
use crate::{AccessError, Caller, Note, Pepper};

const RECORD: &str = "record/";
const HEAD: &str = "head";
/// How many records may wait to be written.
const QUEUE: usize = 1024;
/// How many records are written at once.
const GROUP: usize = 64;
/// How many records are read at once.
const PAGE: usize = 1000;
/// How often a write is tried again because another control plane wrote.
const MAX_TRIES: usize = 16;
const MAX_SUMMARY: usize = 1024;

/// How many of the oldest records are removed at once; with [`GROUP`] new ones it fits one transaction of etcd.
const REMOVED: u64 = 48;
/// How often a walk begins anew because records were removed under it.
const MAX_WALKS: usize = 8;

/// How an attempt ended.
pub type Outcome = AuditOutcome;

type Waiting = (AuditRecord, oneshot::Sender<Option<AuditRecord>>);

/// The audit log; clones share it.
#[derive(Debug, Clone)]
pub struct Audit {
    documents: Documents,
    key: ChainKey,
    entries: mpsc::Sender<Waiting>,
    end: watch::Receiver<End>,
}

impl Audit {
    /// Opens the log and starts what writes it, which ends when every clone is gone. About `keep` records are kept, the
    /// newest; 0: all. Records go to `lines` as well, as JSON.
    ///
    /// # Errors
    /// [`AccessError`] when the log's end cannot be read, or `lines` not be opened.
    pub async fn open(
        store: &Store,
        documents: Documents,
        pepper: &Pepper,
        (keep, lines): (u64, Option<AuditFiles>),
    ) -> Result<(Self, JoinHandle<()>), AccessError> {
        let Ends { stamp, floor, end } = read_ends(&documents).await?;
        let (entries, inbox) = mpsc::channel(QUEUE);
        let (publish, published) = watch::channel(end);
        let lines = lines.map(Lines::open).transpose()?;
        let key = ChainKey::of(pepper);
        let writer = Writer {
            store: store.clone(),
            documents: documents.clone(),
            key: key.clone(),
            stamp,
            floor,
            keep,
            publish,
            lines,
            is_failing: false,
        };
        let written = tokio::spawn(writer.run(inbox));
        let audit = Self {
            documents,
            key,
            entries,
            end: published,
        };
        Ok((audit, written))
    }

    /// Writes down an attempt; once this returns it is durable. When it cannot be written that is logged, for what was done
    /// is done.
    pub async fn record(&self, entry: AuditRecord) {
        let (answer, written) = oneshot::channel();
        match self.entries.send((entry, answer)).await {
            // Why it was not written the writer has logged.
            Ok(()) => drop(written.await),
            Err(_) => tracing::error!("audit record could not be written: the log is closed"),
        }
    }

    /// The first `limit` records from `first` on, which is at least 1.
    ///
    /// # Errors
    /// [`AccessError::Store`] or [`AccessError::Unreadable`].
    pub async fn list(&self, first: u64, limit: usize) -> Result<Vec<AuditRecord>, AccessError> {
        let after = match first.checked_sub(1) {
            None | Some(0) => String::new(),
            Some(before) => key_of(before),
        };
        let documents = self.documents.list(RECORD, &after, limit.min(PAGE)).await?;
        documents
            .iter()
            .map(|document| read(&document.value, "an audit record"))
            .collect()
    }

    /// The sequence number of the newest record, 0 without any.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.end.borrow().sequence
    }

    /// Waits for a record newer than the one of this sequence number, as long as this control plane writes any.
    pub async fn newer_than(&self, sequence: u64) {
        let mut end = self.end.clone();
        if end.wait_for(|end| end.sequence > sequence).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Walks along all records that are kept. `known` is the sequence number and hash of one, as it is known from elsewhere.
    ///
    /// # Errors
    /// [`AccessError::Store`]; [`AccessError::Invalid`] when the known one is not kept any more.
    pub async fn verify(&self, known: Option<(u64, [u8; 32])>) -> Result<Verdict, AccessError> {
        let known = known.map(|(sequence, hash)| End { sequence, hash });
        let mut verdict = self.walk(known).await?;
        for _ in 1..MAX_WALKS {
            let floor = read_ends(&self.documents).await?.floor;
            let was_removed = |(place, _): &(u64, String)| *place <= floor.sequence;
            if !verdict.broken.as_ref().is_some_and(was_removed) {
                break;
            }
            verdict = self.walk(known).await?;
        }
        Ok(verdict)
    }

    async fn walk(&self, known: Option<End>) -> Result<Verdict, AccessError> {
        let Ends {
            floor, end: stored, ..
        } = read_ends(&self.documents).await?;
        if known.is_some_and(|known| known.sequence < floor.sequence) {
            return Err(AccessError::Invalid {
                field: "known_sequence",
                rule: "must be that of a record which is kept, or of the last one before",
            });
        }
        let mut walk = Walk::new(self.key.clone(), floor, known);
        if let Some(broken) = walk.unlike_known() {
            return Ok(walk.verdict(Some(broken)));
        }
        let mut after = match floor.sequence {
            0 => String::new(),
            sequence => key_of(sequence),
        };
        loop {
            let documents = self.documents.list(RECORD, &after, PAGE).await?;
            let Some(last) = documents.last() else { break };
            after.clone_from(&last.key);
            for document in documents {
                let sequence = document
                    .key
                    .trim_start_matches(RECORD)
                    .parse()
                    .unwrap_or_default();
                if sequence > stored.sequence {
                    // It was written since the walk began.
                    return Ok(walk.finish(stored));
                }
                let record = AuditRecord::decode(document.value)
                    .map_err(|_| (sequence, "it cannot be read".to_owned()))
                    .and_then(|record| walk.step(&record));
                if let Err(broken) = record {
                    return Ok(walk.verdict(Some(broken)));
                }
            }
        }
        Ok(walk.finish(stored))
    }
}

/// An attempt, for the log.
#[must_use]
pub(crate) fn entry(caller: &Caller, method: &str, outcome: Outcome, note: Note, now_ms: i64) -> AuditRecord {
    let mut summary = note.summary;
    if let Some((end, _)) = summary.char_indices().nth(MAX_SUMMARY) {
        summary.truncate(end);
    }
    AuditRecord {
        sequence: 0,
        time: Some(prost_types::Timestamp {
            seconds: now_ms.div_euclid(1000),
            nanos: i32::try_from(now_ms.rem_euclid(1000) * 1_000_000).unwrap_or_default(),
        }),
        subject: caller.subject().to_owned(),
        credential_id: caller.credential.clone(),
        peer: caller.peer.clone(),
        method: method.to_owned(),
        outcome: outcome.into(),
        revision: note.revision,
        request_id: note.request_id,
        summary,
        hash: bytes::Bytes::new(),
    }
}

fn key_of(sequence: u64) -> String {
    format!("{RECORD}{sequence:020}")
}

/// Where the log begins and ends.
struct Ends {
    /// Of the document that says so.
    stamp: Stamp,
    /// The last record that was removed.
    floor: End,
    /// The newest.
    end: End,
}

async fn read_ends(documents: &Documents) -> Result<Ends, AccessError> {
    let Some(document) = documents.get(HEAD).await? else {
        return Ok(Ends {
            stamp: Stamp(0),
            floor: End::BEGINNING,
            end: End::BEGINNING,
        });
    };
    let unreadable = || AccessError::Unreadable("the audit log's end");
    let head: AuditHead = read(&document.value, "the audit log's end")?;
    let end = |sequence, hash: Vec<u8>| {
        let hash = hash.try_into().map_err(|_| unreadable())?;
        Ok::<_, AccessError>(End { sequence, hash })
    };
    Ok(Ends {
        stamp: document.stamp,
        floor: match head.floor_sequence {
            0 => End::BEGINNING,
            sequence => end(sequence, head.floor_hash)?,
        },
        end: end(head.sequence, head.hash)?,
    })
}

/// The one task that writes.
struct Writer {
    store: Store,
    documents: Documents,
    key: ChainKey,
    /// Of the document that says where the log ends.
    stamp: Stamp,
    /// The last record that was removed.
    floor: End,
    /// How many records are kept, about; 0: all.
    keep: u64,
    publish: watch::Sender<End>,
    lines: Option<Lines>,
    /// Whether the last records could not be written: that is logged once, until some can.
    is_failing: bool,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while inbox.recv_many(&mut waiting, GROUP).await > 0 {
            let (mut records, answers): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
            let written = self.write(&mut records).await;
            match &written {
                Ok(()) => self.is_failing = false,
                Err(error) if !self.is_failing => {
                    tracing::error!(%error, "audit records cannot be written");
                    self.is_failing = true;
                }
                Err(_) => {}
            }
            for (mut record, answer) in records.into_iter().zip(answers) {
                if written.is_err() {
                    // Another one gets its place in the chain.
                    record.sequence = OUTSIDE;
                    record.hash = bytes::Bytes::new();
                }
                if let Some(lines) = &mut self.lines {
                    lines.write(&record);
                }
                // Nobody may be waiting any more.
                answer.send(written.is_ok().then_some(record)).ok();
            }
        }
    }

    /// Writes records and the log's end with them, all or nothing.
    async fn write(&mut self, records: &mut [AuditRecord]) -> Result<(), AccessError> {
        for _ in 0..MAX_TRIES {
            let mut end = *self.publish.borrow();
            let mut writes = Vec::with_capacity(records.len() + 1);
            for record in records.iter_mut() {
                end = self.key.append(end, record);
                let value = record.encode_to_vec().into();
                writes.push(
                    self.documents
                        .write(&key_of(record.sequence), Some(value), Some(Stamp(0))),
                );
            }
            let floor = self.next_floor(end).await?;
            for sequence in self.floor.sequence + 1..=floor.sequence {
                writes.push(self.documents.write(&key_of(sequence), None, None));
            }
            let head = AuditHead {
                sequence: end.sequence,
                hash: end.hash.to_vec(),
                floor_sequence: floor.sequence,
                floor_hash: floor.hash.to_vec(),
            };
            let head = head.encode_to_vec().into();
            writes.push(self.documents.write(HEAD, Some(head), Some(self.stamp)));
            match self.store.write_documents(writes).await {
                Ok(stamp) => {
                    self.stamp = stamp;
                    self.floor = floor;
                    self.publish.send_replace(end);
                    return Ok(());
                }
                Err(StoreError::DocumentMoved { .. }) => {
                    let Ends { stamp, floor, end } = read_ends(&self.documents).await?;
                    self.stamp = stamp;
                    self.floor = floor;
                    self.publish.send_replace(end);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(
            StoreError::Unavailable("other control planes write the audit log all the time".to_owned())
                .into(),
        )
    }

    /// The last record that is to be removed when the log ends there.
    async fn next_floor(&self, end: End) -> Result<End, AccessError> {
        let kept = end.sequence - self.floor.sequence;
        if self.keep == 0 || kept < self.keep.saturating_add(REMOVED) {
            return Ok(self.floor);
        }
        let sequence = self.floor.sequence + REMOVED;
        let Some(document) = self.documents.get(&key_of(sequence)).await? else {
            // The log is broken there, which shows as long as nothing is removed.
            return Ok(self.floor);
        };
        let record: AuditRecord = read(&document.value, "an audit record")?;
        let hash = record.hash.as_ref().try_into();
        let hash = hash.map_err(|_| AccessError::Unreadable("an audit record"))?;
        Ok(End { sequence, hash })
    }
}

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(***)")
    }
}
