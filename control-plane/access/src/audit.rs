//! The audit log: what was written and what was refused, as a chain of durable records.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tyrscale_proto::v1::{AuditOutcome, AuditRecord};
use tyrscale_store::{Documents, Stamp, Store, StoreError};

use crate::chain::{ChainKey, End, Verdict, Walk};
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
    /// Opens the log and starts what writes it, which ends when every clone is gone. Records go to `lines` as well, as JSON.
    ///
    /// # Errors
    /// [`AccessError`] when the log's end cannot be read, or `lines` not be opened.
    pub async fn open(
        store: &Store,
        documents: Documents,
        pepper: &Pepper,
        lines: Option<&Path>,
    ) -> Result<(Self, JoinHandle<()>), AccessError> {
        let (stamp, end) = read_end(&documents).await?;
        let (entries, inbox) = mpsc::channel(QUEUE);
        let (publish, published) = watch::channel(end);
        let lines = lines.map(Lines::open).transpose()?;
        let key = ChainKey::of(pepper);
        let writer = Writer {
            store: store.clone(),
            documents: documents.clone(),
            key: key.clone(),
            stamp,
            publish,
            lines,
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
        if self.entries.send((entry, answer)).await.is_err() || written.await.ok().flatten().is_none() {
            tracing::error!("audit record could not be written");
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

    /// Walks along all records. `known` is the sequence number and hash of one, as it is known from elsewhere.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn verify(&self, known: Option<(u64, [u8; 32])>) -> Result<Verdict, AccessError> {
        let (_, stored) = read_end(&self.documents).await?;
        let known = known.map(|(sequence, hash)| End { sequence, hash });
        let mut walk = Walk::new(self.key.clone(), known);
        let mut after = String::new();
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

async fn read_end(documents: &Documents) -> Result<(Stamp, End), AccessError> {
    let Some(document) = documents.get(HEAD).await? else {
        return Ok((Stamp(0), End::BEGINNING));
    };
    let unreadable = || AccessError::Unreadable("the audit log's end");
    let head: AuditHead = read(&document.value, "the audit log's end")?;
    let end = End {
        sequence: head.sequence,
        hash: head.hash.try_into().map_err(|_| unreadable())?,
    };
    Ok((document.stamp, end))
}

/// The one task that writes.
struct Writer {
    store: Store,
    documents: Documents,
    key: ChainKey,
    /// Of the document that says where the log ends.
    stamp: Stamp,
    publish: watch::Sender<End>,
    lines: Option<Lines>,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::with_capacity(GROUP);
        while inbox.recv_many(&mut waiting, GROUP).await > 0 {
            let (mut records, answers): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
            let written = self.write(&mut records).await;
            if let Err(error) = &written {
                tracing::error!(%error, "audit records could not be written");
            }
            for (record, answer) in records.into_iter().zip(answers) {
                if let Some(lines) = self.lines.as_mut().filter(|_| written.is_ok()) {
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
            let head = AuditHead {
                sequence: end.sequence,
                hash: end.hash.to_vec(),
            };
            let head = head.encode_to_vec().into();
            writes.push(self.documents.write(HEAD, Some(head), Some(self.stamp)));
            match self.store.write_documents(writes).await {
                Ok(stamp) => {
                    self.stamp = stamp;
                    self.publish.send_replace(end);
                    return Ok(());
                }
                Err(StoreError::DocumentMoved { .. }) => {
                    let (stamp, end) = read_end(&self.documents).await?;
                    self.stamp = stamp;
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
}

/// The log as lines of JSON.
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, AccessError> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let file = options.open(path).map_err(|error| StoreError::Io {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// A line that cannot be written is logged: the record is in the store.
    fn write(&mut self, record: &AuditRecord) {
        let time = record.time.as_ref().and_then(|time| {
            let time = jiff::Timestamp::new(time.seconds, time.nanos).ok()?;
            Some(time.to_string())
        });
        let line = serde_json::json!({
            "sequence": record.sequence,
            "time": time,
            "subject": record.subject,
            "credential_id": record.credential_id,
            "peer": record.peer,
            "method": record.method,
            "outcome": record.outcome().as_str_name().trim_start_matches("AUDIT_OUTCOME_").to_ascii_lowercase(),
            "revision": record.revision,
            "request_id": record.request_id,
            "summary": record.summary,
            "hash": blake3::Hash::from_slice(&record.hash).ok().map(|hash| hash.to_hex().to_string()),
        });
        if let Err(error) = writeln!(self.file, "{line}") {
            tracing::error!(%error, path = %self.path.display(), "audit line could not be written");
        }
    }
}

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey(***)")
    }
}
