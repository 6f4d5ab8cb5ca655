//! A store made of an archive, put in the place of what a directory holds.
//!
//! It is built in `building` within the directory. Then `building` becomes `restoring`, what was there is moved to a
//! directory `set-aside-…`, and the new files are moved to their places. A crash before leaves what was there; one after
//! leaves `restoring`, beside which nothing is opened, and the same command does it again.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tyrscale_model::{Revision, UnixMillis};

use super::{
    layout::{FORMAT, HeadRecord, Trees, Write},
    opening::{create_private, damaged, try_sled},
    wait_for_release,
    witness::{self, Note, Witness},
};
use crate::{
    Archive,
    engine::{DocumentWrite, Engine as _},
    error::StoreError,
    load::CHUNK,
    record::hashes_to_record,
};

const BUILDING: &str = "building";
/// While this is there the store is not whole.
pub(super) const RESTORING: &str = "restoring";
/// The files of a store; the directory holds others beside.
const FILES: [&str; 5] = ["db", "conf", "blobs", "lineage", witness::FILE];
const INDEXES: [&str; 2] = ["snap.", "damaged-snap."];
const CACHE: u64 = 16 * 1024 * 1024;

/// What becomes of a store that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    /// Nothing is done.
    Refused,
    /// It is moved aside.
    SetAside,
}

/// Makes the store of an archive in a directory. Returns where what was there is now.
pub(crate) fn install(
    dir: &Path,
    archive: &Archive,
    present: Present,
    now: UnixMillis,
) -> Result<Option<PathBuf>, StoreError> {
    let io = |error: io::Error| StoreError::io(dir, &error);
    create_private(dir).map_err(io)?;
    let _lock = lock(dir)?;
    let restoring = dir.join(RESTORING);
    let has_broken_off = restoring.exists();
    let there = files_of(dir).map_err(io)?;
    if present == Present::Refused && (has_broken_off || !there.is_empty()) {
        return Err(StoreError::Exists { path: dir.to_owned() });
    }
    let building = dir.join(BUILDING);
    remove_directory(&building).map_err(io)?;
    build(&building, archive)?;
    let aside = dir.join(format!("set-aside-{}", now.0 / 1000));
    let moved = replace(dir, &building, &there, &aside).map_err(io)?;
    Ok(moved.then_some(aside))
}

/// Moves what is built to where it belongs, and what is there aside.
fn replace(dir: &Path, building: &Path, there: &[PathBuf], aside: &Path) -> io::Result<bool> {
    let restoring = dir.join(RESTORING);
    remove_directory(&restoring)?;
    fs::rename(building, &restoring)?;
    File::open(dir)?.sync_all()?;
    if !there.is_empty() {
        create_private(aside)?;
    }
    for path in there {
        fs::rename(path, aside.join(path.file_name().unwrap_or_default()))?;
    }
    File::open(dir)?.sync_all()?;
    for path in files_of(&restoring)? {
        fs::rename(&path, dir.join(path.file_name().unwrap_or_default()))?;
    }
    File::open(dir)?.sync_all()?;
    remove_directory(&restoring)?;
    File::open(dir)?.sync_all()?;
    Ok(!there.is_empty())
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn files_of(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_ours = FILES.iter().any(|file| name == *file)
            || name
                .to_str()
                .is_some_and(|name| INDEXES.iter().any(|prefix| name.starts_with(prefix)));
        if is_ours {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// Keeps servers away while files are moved.
fn lock(dir: &Path) -> Result<Option<File>, StoreError> {
    let path = dir.join("db");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io(&path, &error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(StoreError::io(&path, &error)),
    }
}

fn build(dir: &Path, archive: &Archive) -> Result<(), StoreError> {
    let io = |error: io::Error| StoreError::io(dir, &error);
    create_private(dir).map_err(io)?;
    let head = head_of(archive);
    {
        let db = try_sled(dir, CACHE)?;
        let trees = Trees::of(&db).map_err(|error| damaged(dir, error))?;
        fill(&trees, archive, &head).map_err(|error| damaged(dir, error))?;
        db.flush().map_err(|error| damaged(dir, error))?;
    }
    wait_for_release(&dir.join("db"));
    Witness::create(dir, &Note::of(&head)).map_err(io)?;
    super::files::Files::of(dir).map_err(io)?;
    for path in files_of(dir).map_err(io)? {
        File::open(&path).and_then(|file| file.sync_all()).map_err(io)?;
    }
    File::open(dir).and_then(|file| file.sync_all()).map_err(io)
}

fn head_of(archive: &Archive) -> HeadRecord {
    let stamps = archive.documents.values().map(|(stamp, _)| stamp.0);
    HeadRecord {
        format: FORMAT,
        lineage: Bytes::copy_from_slice(&archive.head.lineage.0),
        revision: archive.head.revision.0,
        floor: archive.head.floor.0,
        floor_hashes: hashes_to_record(&archive.head.floor_hashes),
        // Not less than the revision, so that a note of 0 is that of an empty store only.
        stamp: stamps.max().unwrap_or(0).max(archive.head.revision.0),
        ..HeadRecord::default()
    }
}

fn fill(trees: &Trees, archive: &Archive, head: &HeadRecord) -> Result<(), sled::Error> {
    let failed = |error: crate::EngineError| sled::Error::Io(io::Error::other(error));
    for resources in archive.resources.chunks(1000) {
        let mut write = Write::default();
        for (key, image) in resources {
            write.resource(key, image);
        }
        trees.write(&write, head)?;
    }
    let mut next = archive.head.floor.next();
    while next <= archive.head.revision {
        let last = Revision(next.0.saturating_add(CHUNK - 1)).min(archive.head.revision);
        let mut write = Write::default();
        for record in archive.read_log(next, last).map_err(failed)? {
            write.log(&record);
        }
        trees.write(&write, head)?;
        next = last.next();
    }
    let mut write = Write::default();
    for ((table, key), (stamp, value)) in &archive.documents {
        let document = DocumentWrite {
            table: *table,
            key: key.clone(),
            value: Some(value.clone()),
            expected: None,
        };
        write.documents(std::slice::from_ref(&document), stamp.0);
    }
    trees.write(&write, head)
}
