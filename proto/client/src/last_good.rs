//! The last good content on disk, so that a subscriber serves before the control plane answers.
//!
//! A directory holds two generations, each one file of mode 0600 (payloads hold secrets):
//!
//! ```text
//! magic 8 · format u32 · view u32 · lineage 16 · revision u64 · digest 32 · body length u64 · checksum 32 · body
//! ```
//!
//! Numbers are little-endian. The view has one bit per kind number. The body is length-delimited
//! `tyrscale.v1.DiscoveryResource` messages with their payloads as they were sent. The checksum is BLAKE3 over
//! all the rest. A file is written under another name, synced and renamed, so a crash leaves a whole one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tyrscale_model::{Digest, Lineage, Revision, Row, Snapshot, View, wire};
use tyrscale_proto::v1::DiscoveryResource;

const MAGIC: &[u8; 8] = b"tyrscale";
const FORMAT: u32 = 1;
const CHECKSUM: usize = 32;
/// Everything before the checksum.
const HEADER: usize = 8 + 4 + 4 + 16 + 8 + 32 + 8;
/// A larger file is not one of ours.
const MAX_FILE: u64 = 1 << 30;

const CURRENT: &str = "current.snap";
const PREVIOUS: &str = "previous.snap";
const UNFINISHED: &str = "unfinished.snap";
const DAMAGED: &str = "damaged.snap";

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    Current,
    Previous,
}

impl Generation {
    pub(crate) const NEWEST_FIRST: [Self; 2] = [Self::Current, Self::Previous];

    const fn file(self) -> &'static str {
        match self {
            Self::Current => CURRENT,
            Self::Previous => PREVIOUS,
        }
    }
}

/// Why a file gives no content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("last good content could not be read")]
    Io(#[from] io::Error),
    #[error("last good content is damaged: {0}")]
    Damaged(&'static str),
    #[error("last good content has format {0}, made by another version")]
    OtherFormat(u32),
    #[error("last good content is of another view")]
    OtherView,
}

/// A directory with the last good content of one subscription. All calls block.
#[derive(Debug)]
pub(crate) struct LastGood {
    directory: PathBuf,
    view: View,
}

impl LastGood {
    pub(crate) const fn new(directory: PathBuf, view: View) -> Self {
        Self { directory, view }
    }

    /// Makes `snapshot` the current generation and the current one the previous.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let unfinished = self.directory.join(UNFINISHED);
        // Not reused: an old file might be open to others.
        missing_is_fine(fs::remove_file(&unfinished))?;
        if let Err(error) = write_new(&unfinished, &encode(snapshot, self.view)) {
            // On a full disk it would only be in the way.
            missing_is_fine(fs::remove_file(&unfinished))?;
            return Err(error);
        }
        let current = self.directory.join(CURRENT);
        missing_is_fine(fs::rename(&current, self.directory.join(PREVIOUS)))?;
        fs::rename(&unfinished, &current)?;
        File::open(&self.directory)?.sync_all()
    }

    /// The content of a generation; `None` when there is no such file.
    pub(crate) fn load(&self, generation: Generation) -> Result<Option<Snapshot>, LoadError> {
        let path = self.directory.join(generation.file());
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        decode(&bytes, self.view).map(Some)
    }

    /// Moves a damaged file out of the way, for people to look at.
    pub(crate) fn set_aside(&self, generation: Generation) -> io::Result<()> {
        let path = self.directory.join(generation.file());
        fs::rename(path, self.directory.join(DAMAGED))
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn view_bits(view: View) -> u32 {
    view.kinds().fold(0, |bits, kind| bits | (1 << kind.number()))
}

fn checksum(header: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

fn encode(snapshot: &Snapshot, view: View) -> Vec<u8> {
    let mut body = Vec::new();
    for (key, entry) in snapshot.iter() {
        let row = Row {
            key: key.clone(),
            revision: entry.meta.modify_revision,
            payload: entry.payload.clone(),
        };
        body.put_slice(&wire::row_to_wire(&row).encode_length_delimited_to_vec());
    }
    let mut bytes = Vec::with_capacity(HEADER + CHECKSUM + body.len());
    bytes.put_slice(MAGIC);
    bytes.put_u32_le(FORMAT);
    bytes.put_u32_le(view_bits(view));
    bytes.put_slice(&snapshot.lineage().0);
    bytes.put_u64_le(snapshot.revision().0);
    bytes.put_slice(&snapshot.digest(view).0);
    bytes.put_u64_le(body.len() as u64);
    let sum = checksum(&bytes, &body);
    bytes.put_slice(&sum);
    bytes.put_slice(&body);
    bytes
}

fn decode(bytes: &[u8], view: View) -> Result<Snapshot, LoadError> {
    let (mut header, rest) = bytes
        .split_at_checked(HEADER)
        .ok_or(LoadError::Damaged("header is cut off"))?;
    let (sum, body) = rest
        .split_at_checked(CHECKSUM)
        .ok_or(LoadError::Damaged("checksum is cut off"))?;
    let whole_header = header;
    let mut magic = [0; 8];
    header.copy_to_slice(&mut magic);
    if magic != *MAGIC {
        return Err(LoadError::Damaged("magic is wrong"));
    }
    let format = header.get_u32_le();
    if format != FORMAT {
        return Err(LoadError::OtherFormat(format));
    }
    if checksum(whole_header, body) != sum {
        return Err(LoadError::Damaged("checksum is wrong"));
    }
    if header.get_u32_le() != view_bits(view) {
        return Err(LoadError::OtherView);
    }
    let (mut lineage, mut digest) = ([0; 16], [0; 32]);
    header.copy_to_slice(&mut lineage);
    let revision = Revision(header.get_u64_le());
    header.copy_to_slice(&mut digest);
    if header.get_u64_le() != body.len() as u64 {
        return Err(LoadError::Damaged("length is wrong"));
    }
    let lineage = Lineage(lineage);
    let snapshot = Snapshot::empty(lineage)
        .advance(lineage, revision, decode_rows(body)?, &[])
        .map_err(|_| LoadError::Damaged("content is not valid"))?;
    if snapshot.digest(view) != Digest(digest) {
        return Err(LoadError::Damaged("digest is wrong"));
    }
    Ok(snapshot)
}

fn decode_rows(mut body: &[u8]) -> Result<Vec<Row>, LoadError> {
    let mut rows = Vec::new();
    while body.has_remaining() {
        let message = DiscoveryResource::decode_length_delimited(&mut body)
            .map_err(|_| LoadError::Damaged("body has no resource where one is due"))?;
        let row = wire::row_from_wire(&message).ok_or(LoadError::Damaged("resource has an unknown kind"))?;
        rows.push(Row {
            payload: Bytes::copy_from_slice(&row.payload),
            ..row
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
