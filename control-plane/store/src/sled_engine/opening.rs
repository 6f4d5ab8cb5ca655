//! Opening a directory: what it is, whether it is new, and bringing older formats up.

use std::{
    fs,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Mutex,
};

use bytes::Bytes;
use tyrscale_model::{ContentDigest, Revision};

use super::{
    Open, SledEngine, Writing,
    files::Files,
    layout::{FORMAT, HeadRecord, Trees, Write},
};
use crate::{record::hashes_to_record, store::StoreError};

/// The numbers of the kinds that format 1 knew, in the order of its hashes.
const KINDS_OF_FORMAT_1: [u8; 6] = [1, 3, 4, 5, 6, 7];

pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<SledEngine, StoreError> {
    create_private(dir).map_err(|error| StoreError::io(dir, &error))?;
    let db = open_sled(dir, cache_bytes)?;
    let trees = Trees::of(&db).map_err(|error| damaged(dir, error))?;
    let marked = read_marker(dir)?;
    let head = match trees.head().map_err(|error| damaged(dir, error))? {
        Some(head) => head,
        None if trees.is_blank() && marked.is_none() => create(dir, &db, &trees)?,
        None => return Err(damaged(dir, "the head is missing")),
    };
    if head.format > FORMAT {
        return Err(StoreError::NewerFormat {
            path: dir.to_owned(),
            format: head.format,
            supported: FORMAT,
        });
    }
    match marked {
        Some(lineage) if lineage != head.lineage => {
            return Err(damaged(dir, "the lineage is another store's"));
        }
        Some(_) => {}
        None => write_marker(dir, &head.lineage)?,
    }
    let mut files = Files::of(dir).map_err(|error| StoreError::io(dir, &error))?;
    let head = if head.format == FORMAT {
        head
    } else {
        let raised = raise(&trees, head).map_err(|error| damaged(dir, error))?;
        db.flush().map_err(|error| damaged(dir, error))?;
        files.sync().map_err(|error| StoreError::io(dir, &error))?;
        raised
    };
    let last = trees.last_logged().map_err(|error| damaged(dir, error))?;
    if last.is_some_and(|last| last.0 > head.revision) {
        return Err(damaged(dir, "the log goes on beyond the head"));
    }
    trees
        .forget_log(Revision(head.floor))
        .map_err(|error| damaged(dir, error))?;
    Ok(SledEngine {
        dir: dir.to_owned(),
        open: Some(Open { db, trees }),
        writing: Mutex::new(Writing { head, files }),
    })
}

/// Brings format 1 up. Its log did not hold contents, so the history begins anew at the head; resources,
/// revision, lineage and digest stay.
fn raise(trees: &Trees, old: HeadRecord) -> Result<HeadRecord, sled::Error> {
    let mut hashes = Vec::new();
    for (kind, hash) in KINDS_OF_FORMAT_1.iter().zip(old.hashes_of_format_1.chunks(32)) {
        hashes.push(*kind);
        hashes.extend_from_slice(hash);
    }
    let head = HeadRecord {
        format: FORMAT,
        floor: old.revision,
        floor_hashes: hashes.into(),
        hashes_of_format_1: Bytes::new(),
        ..old
    };
    trees.write(&Write::default(), &head)?;
    tracing::info!(
        revision = head.revision,
        "store brought to format {FORMAT}; its history begins here"
    );
    Ok(head)
}
/// The rows hold URLs with their keys, so a directory made here is for its owner's eyes only. One that was there
/// is its owner's business.
fn create_private(dir: &Path) -> io::Result<()> {
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

/// sled panics on some damaged files, so the call is fenced.
fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, StoreError> {
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

/// The lineage, kept beside the database once it exists: a database that comes up blank beside it has lost its
/// content and is not a new store.
const MARKER: &str = "lineage";

fn read_marker(dir: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    let path = dir.join(MARKER);
    match fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(&path, &error)),
    }
}

fn write_marker(dir: &Path, lineage: &[u8]) -> Result<(), StoreError> {
    let (draft, path) = (dir.join("lineage.new"), dir.join(MARKER));
    let written = fs::File::create(&draft).and_then(|mut file| {
        file.write_all(lineage)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(dir)?.sync_all()
    });
    written.map_err(|error| StoreError::io(&path, &error))
}

fn damaged(dir: &Path, reason: impl ToString) -> StoreError {
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
        floor_hashes: hashes_to_record(&ContentDigest::default().hashes()),
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
