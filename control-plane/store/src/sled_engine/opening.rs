//! Opening a directory: what it is, whether it is new, and bringing older formats up.

use std::{
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use bytes::Bytes;
use tyrscale_model::{KindHashes, Revision};

use super::{
    Open, Writing,
    building::RESTORING,
    files::Files,
    layout::{FORMAT, HeadRecord, Trees, Write},
    witness::{Found, Note, Witness},
};
use crate::{error::StoreError, record::hashes_to_record};

/// The numbers of the kinds that format 1 knew, in the order of its hashes.
const KINDS_OF_FORMAT_1: [u8; 6] = [1, 3, 4, 5, 6, 7];

/// The database of a directory, and what its writer must know.
pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<(Open, Writing), StoreError> {
    create_private(dir).map_err(|error| StoreError::io(dir, &error))?;
    if dir.join(RESTORING).exists() {
        return Err(damaged(dir, "a restore into it broke off: restore again"));
    }
    let db = open_sled(dir, cache_bytes)?;
    let opened = catch_unwind(AssertUnwindSafe(|| prove(dir, db)));
    opened.unwrap_or_else(|_| Err(damaged(dir, "the database cannot be read")))
}

/// What an open database is, held against what was noted beside it.
fn prove(dir: &Path, db: sled::Db) -> Result<(Open, Writing), StoreError> {
    let trees = Trees::of(&db).map_err(|error| damaged(dir, error))?;
    let found = Witness::find(dir).map_err(|error| StoreError::io(dir, &error))?;
    let is_new = matches!(found, Found::Missing) && old_marker(dir)?.is_none();
    let head = match trees.head().map_err(|error| damaged(dir, error))? {
        Some(head) => head,
        None if trees.is_blank() && is_new => create(dir, &db, &trees)?,
        None => return Err(damaged(dir, "the head is missing")),
    };
    if head.format > FORMAT {
        return Err(StoreError::NewerFormat {
            path: dir.to_owned(),
            format: head.format,
            supported: FORMAT,
        });
    }
    let witness = witness(dir, found, &head)?;
    let mut files = Files::of(dir).map_err(|error| StoreError::io(dir, &error))?;
    let head = if head.format == FORMAT {
        head
    } else {
        let raised = raise(&trees, head).map_err(|error| damaged(dir, error))?;
        db.flush().map_err(|error| damaged(dir, error))?;
        files.sync().map_err(|error| StoreError::io(dir, &error))?;
        remove_old_marker(dir)?;
        raised
    };
    let last = trees.last_logged().map_err(|error| damaged(dir, error))?;
    if last.is_some_and(|last| last.0 > head.revision) {
        return Err(damaged(dir, "the log goes on beyond the head"));
    }
    trees
        .forget_log(Revision(head.floor))
        .map_err(|error| damaged(dir, error))?;
    let writing = Writing { head, files, witness };
    Ok((Open { db, trees }, writing))
}

/// What was noted beside the database, which must know all of it.
fn witness(dir: &Path, found: Found, head: &HeadRecord) -> Result<Witness, StoreError> {
    let io = |error: io::Error| StoreError::io(dir, &error);
    match found {
        Found::Note(note, _) if note.lineage != head.lineage => {
            Err(damaged(dir, "the lineage is another store's"))
        }
        Found::Note(note, _) if note.stamp > head.stamp => {
            let (told, has) = (note.revision, head.revision);
            let lost = note.stamp - head.stamp;
            Err(damaged(
                dir,
                format!(
                    "the last {lost} writes are lost: revision {told} was acknowledged, it ends at {has}"
                ),
            ))
        }
        Found::Note(_, witness) => Ok(witness),
        Found::Unreadable => Err(damaged(dir, "the note of what was acknowledged cannot be read")),
        // The process ended before the note of a new store was made: nothing was acknowledged.
        Found::Missing if head.format == FORMAT && head.stamp > 0 => {
            Err(damaged(dir, "the note of what was acknowledged is missing"))
        }
        Found::Missing => {
            if old_marker(dir)?.is_some_and(|lineage| lineage != head.lineage) {
                return Err(damaged(dir, "the lineage is another store's"));
            }
            Witness::create(dir, &Note::of(head)).map_err(io)
        }
    }
}

/// Brings earlier formats up. The log of format 1 did not hold contents, so its history begins anew at the head;
/// resources, revision, lineage and digest stay. Format 2 had no note of what was acknowledged.
fn raise(trees: &Trees, old: HeadRecord) -> Result<HeadRecord, sled::Error> {
    let mut head = old;
    if head.format == 1 {
        let mut hashes = Vec::new();
        for (kind, hash) in KINDS_OF_FORMAT_1.iter().zip(head.hashes_of_format_1.chunks(32)) {
            hashes.push(*kind);
            hashes.extend_from_slice(hash);
        }
        head.floor = head.revision;
        head.floor_hashes = hashes.into();
        head.hashes_of_format_1 = Bytes::new();
    }
    head.format = FORMAT;
    trees.write(&Write::default(), &head)?;
    tracing::info!(
        revision = head.revision,
        floor = head.floor,
        "store brought to format {FORMAT}"
    );
    Ok(head)
}

/// The rows hold URLs with their keys, so a directory made here is for its owner's eyes only. One that was there
/// is its owner's business.
pub(super) fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.recursive(true).create(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if fs::metadata(dir)?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %dir.display(), "others may look into the store's directory, which holds secrets");
        }
    }
    Ok(())
}

/// sled panics on some damaged files, so the call is fenced. Its `snap` files are only an index over the database: when
/// they are what is damaged, it opens without them.
fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    match try_sled(dir, cache_bytes) {
        Ok(db) => Ok(db),
        Err(StoreError::Damaged { .. }) if set_indexes_aside(dir).is_ok_and(|count| count > 0) => {
            tracing::warn!("the database's index was set aside as damaged; it is made anew");
            try_sled(dir, cache_bytes)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn try_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(cache_bytes)
        .flush_every_ms(None)
        .mode(sled::Mode::HighThroughput);
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) if error.to_string().contains("lock") => {
            Err(StoreError::Locked { path: dir.to_owned() })
        }
        Ok(Err(sled::Error::Io(error))) => Err(StoreError::io(dir, &error)),
        Ok(Err(error)) => Err(damaged(dir, error)),
        Err(_) => Err(damaged(dir, "the database cannot be read")),
    }
}

/// How many index files there were.
fn set_indexes_aside(dir: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if let Some(rest) = name.to_str().and_then(|name| name.strip_prefix("snap.")) {
            fs::rename(entry.path(), dir.join(format!("damaged-snap.{rest}")))?;
            count += 1;
        }
    }
    Ok(count)
}

/// What stores of earlier formats had beside them: the lineage.
const OLD_MARKER: &str = "lineage";

fn old_marker(dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = dir.join(OLD_MARKER);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(&path, &error)),
    }
}

fn remove_old_marker(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(OLD_MARKER);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io(&path, &error)),
        _ => Ok(()),
    }
}

pub(super) fn damaged(dir: &Path, reason: impl ToString) -> StoreError {
    StoreError::Damaged {
        path: dir.to_owned(),
        reason: reason.to_string(),
    }
}

fn create(dir: &Path, db: &sled::Db, trees: &Trees) -> Result<HeadRecord, StoreError> {
    let lineage = uuid::Uuid::new_v4();
    let head = HeadRecord {
        format: FORMAT,
        lineage: Bytes::copy_from_slice(lineage.as_bytes()),
        floor_hashes: hashes_to_record(&KindHashes::of_nothing()),
        ..HeadRecord::default()
    };
    let written = trees.write(&Write::default(), &head).and_then(|()| db.flush());
    written.map_err(|error| damaged(dir, error))?;
    for path in [dir.join("db"), dir.to_owned()] {
        let synced = fs::File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| StoreError::io(&path, &error))?;
    }
    Ok(head)
}
