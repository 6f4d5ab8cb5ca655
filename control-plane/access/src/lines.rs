//! The audit log as lines of JSON, in files of bounded number and size. The chain goes on from one file to the next.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tyrscale_proto::v1::{AuditOutcome, AuditRecord};
use tyrscale_store::StoreError;

use crate::{
    AccessError, Pepper,
    chain::{ChainKey, End, Verdict, Walk},
};

/// The number of a record that the store did not take: it has no place in the chain, and nothing proves it.
pub(crate) const OUTSIDE: u64 = 0;

/// Where the lines go, and how much of them is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFiles {
    /// The file that is written. A full one gets the number of its last record behind its name.
    pub path: PathBuf,
    /// Beyond so many bytes another one is begun; 0: never.
    pub max_bytes: u64,
    /// So many full ones are kept beside it, the newest.
    pub keep: usize,
}

/// A record as it is written.
#[derive(Serialize, Deserialize)]
struct Line {
    sequence: u64,
    time: Option<String>,
    subject: String,
    credential_id: String,
    peer: String,
    method: String,
    outcome: String,
    revision: u64,
    request_id: String,
    summary: String,
    hash: String,
}

const OUTCOME: &str = "AUDIT_OUTCOME_";

impl Line {
    fn of(record: &AuditRecord) -> Self {
        let time = record
            .time
            .as_ref()
            .and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok());
        let outcome = record.outcome().as_str_name().trim_start_matches(OUTCOME);
        let hash = blake3::Hash::from_slice(&record.hash);
        Self {
            sequence: record.sequence,
            time: time.map(|time| time.to_string()),
            subject: record.subject.clone(),
            credential_id: record.credential_id.clone(),
            peer: record.peer.clone(),
            method: record.method.clone(),
            outcome: outcome.to_ascii_lowercase(),
            revision: record.revision,
            request_id: record.request_id.clone(),
            summary: record.summary.clone(),
            hash: hash.map(|hash| hash.to_hex().to_string()).unwrap_or_default(),
        }
    }

    fn into_record(self) -> Option<AuditRecord> {
        let outcome = format!("{OUTCOME}{}", self.outcome.to_ascii_uppercase());
        let hash = blake3::Hash::from_hex(&self.hash).ok()?;
        let time = self.time.map(|time| time.parse::<jiff::Timestamp>());
        Some(AuditRecord {
            sequence: self.sequence,
            time: time.transpose().ok()?.map(|time| prost_types::Timestamp {
                seconds: time.as_second(),
                nanos: time.subsec_nanosecond(),
            }),
            subject: self.subject,
            credential_id: self.credential_id,
            peer: self.peer,
            method: self.method,
            outcome: AuditOutcome::from_str_name(&outcome)?.into(),
            revision: self.revision,
            request_id: self.request_id,
            summary: self.summary,
            hash: hash.as_bytes().to_vec().into(),
        })
    }
}

/// The file that is written.
pub(crate) struct Lines {
    files: AuditFiles,
    file: File,
    bytes: u64,
}

impl Lines {
    pub(crate) fn open(files: AuditFiles) -> Result<Self, AccessError> {
        let opened = open(&files.path).and_then(|file| Ok((file.metadata()?.len(), file)));
        let (bytes, file) = opened.map_err(|error| StoreError::Io {
            path: files.path.clone(),
            message: error.to_string(),
        })?;
        Ok(Self { files, file, bytes })
    }

    /// A line that cannot be written is logged.
    pub(crate) fn write(&mut self, record: &AuditRecord) {
        if let Err(error) = self.try_write(record) {
            tracing::error!(%error, path = %self.files.path.display(), "audit line could not be written");
        }
    }

    fn try_write(&mut self, record: &AuditRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line::of(record))?;
        line.push(b'\n');
        let length = line.len() as u64;
        let after = self.bytes + length;
        let is_full = |bound: u64| self.files.max_bytes > 0 && self.bytes > 0 && after > bound;
        // Files are named by the chain, so what is outside of it waits in one for the next record.
        if record.sequence == OUTSIDE {
            if is_full(self.files.max_bytes.saturating_mul(2)) {
                return Err(io::Error::other(
                    "it is full twice over while the store takes no records",
                ));
            }
        } else if is_full(self.files.max_bytes) {
            self.turn(record.sequence)?;
        }
        self.file.write_all(&line)?;
        self.bytes += length;
        Ok(())
    }

    /// Begins another file, of which `next` is the first record.
    fn turn(&mut self, next: u64) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(
            &self.files.path,
            full_name(&self.files.path, next.saturating_sub(1)),
        )?;
        self.file = open(&self.files.path)?;
        self.bytes = 0;
        let full = full_files(&self.files.path)?;
        for old in full.iter().take(full.len().saturating_sub(self.files.keep)) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

fn full_name(path: &Path, last: u64) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{last:020}"));
    path.with_file_name(name)
}

/// The full files beside the one that is written, the oldest first.
fn full_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let name = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut full = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_full = entry.file_name().to_str().is_some_and(|other| {
            let last = other.strip_prefix(&name);
            last.is_some_and(|last| last.len() == 20 && last.bytes().all(|byte| byte.is_ascii_digit()))
        });
        if is_full {
            full.push(entry.path());
        }
    }
    full.sort();
    Ok(full)
}

/// Walks along the lines of files, given in order or not, past those that the store did not take. The first record is where the walk begins, and is taken as it
/// is unless it is the first of all.
///
/// # Errors
/// [`AccessError::Store`] when a file cannot be read.
pub fn verify_lines(paths: &[PathBuf], pepper: &Pepper) -> Result<Verdict, AccessError> {
    let mut records = Vec::new();
    for path in paths {
        let unreadable = |message: String| StoreError::Io {
            path: path.clone(),
            message,
        };
        let io = |error: io::Error| unreadable(error.to_string());
        let file = BufReader::new(File::open(path).map_err(io)?);
        for (line, number) in file.lines().zip(1_u64..) {
            let line = line.map_err(io)?;
            let foreign = || unreadable(format!("line {number} is no audit record"));
            let line: Line = serde_json::from_str(&line).map_err(|_| foreign())?;
            if line.sequence != OUTSIDE {
                records.push(line.into_record().ok_or_else(foreign)?);
            }
        }
    }
    records.sort_by_key(|record| record.sequence);
    let begin = match records.first() {
        Some(first) if first.sequence > 1 => {
            let hash = first.hash.as_ref().try_into();
            let hash = hash.map_err(|_| AccessError::Unreadable("an audit record"))?;
            let sequence = first.sequence;
            records.remove(0);
            End { sequence, hash }
        }
        _ => End::BEGINNING,
    };
    let mut walk = Walk::new(ChainKey::of(pepper), begin, None);
    for record in &records {
        if let Err(broken) = walk.step(record) {
            return Ok(walk.verdict(Some(broken)));
        }
    }
    Ok(walk.verdict(None))
}
