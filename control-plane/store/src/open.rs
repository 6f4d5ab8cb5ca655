//! Opening a store and proving its content.

use std::{
    fs,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use tyrscale_model::{Kind, KindHashes, Lineage, ResourceKey, Revision, Snapshot};

use crate::{
    files::Files,
    head::{Head, History, Step},
    record::{FORMAT, HeadRecord},
    rows::{RowError, Rows, hashes_from_bytes, hashes_to_bytes},
    store::{StoreError, StoreOptions},
};

/// An open and proved store.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) db: sled::Db,
    pub(crate) rows: Rows,
    pub(crate) head: Head,
    pub(crate) record: HeadRecord,
    pub(crate) files: Files,
}

/// Opens or creates the store in a directory. Blocks.
pub(crate) fn open(dir: &Path, options: &StoreOptions) -> Result<Opened, StoreError> {
    create_private(dir).map_err(|error| StoreError::io(dir, &error))?;
    let db = open_sled(dir, options)?;
    let rows = Rows::of(&db).map_err(|error| damaged(dir, error))?;
    let marked = read_marker(dir)?;
    let record = match rows.head().map_err(|error| damaged(dir, error))? {
        Some(record) => record,
        None if rows.is_blank() && marked.is_none() => create(dir, &db, &rows)?,
        None => return Err(damaged(dir, "the head is missing")),
    };
    if record.format > FORMAT {
        return Err(StoreError::NewerFormat {
            path: dir.to_owned(),
            format: record.format,
            supported: FORMAT,
        });
    }
    match marked {
        Some(lineage) if lineage != record.lineage => {
            return Err(damaged(dir, "the lineage is another store's"));
        }
        Some(_) => {}
        None => write_marker(dir, &record.lineage)?,
    }
    let head = load(&rows, &record, options).map_err(|reason| damaged(dir, reason))?;
    let files = Files::of(dir).map_err(|error| StoreError::io(dir, &error))?;
    Ok(Opened {
        db,
        rows,
        head,
        record,
        files,
    })
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
fn open_sled(dir: &Path, options: &StoreOptions) -> Result<sled::Db, StoreError> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(options.cache_bytes)
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

fn create(dir: &Path, db: &sled::Db, rows: &Rows) -> Result<HeadRecord, StoreError> {
    let lineage = uuid::Uuid::new_v4();
    let record = HeadRecord {
        format: FORMAT,
        lineage: lineage.as_bytes().to_vec(),
        revision: 0,
        hashes: hashes_to_bytes(&tyrscale_model::ContentDigest::default().hashes()),
        log_start: 0,
    };
    let written = rows.put_head(&record).and_then(|()| db.flush());
    written.map_err(|error| damaged(dir, error))?;
    for path in [dir.join("db"), dir.to_owned()] {
        let synced = fs::File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|error| StoreError::io(&path, &error))?;
    }
    Ok(record)
}

/// Reads everything and proves it: each row by its checksum, all rows by the head's hashes, the log by its
/// density.
fn load(rows: &Rows, record: &HeadRecord, options: &StoreOptions) -> Result<Head, String> {
    let lineage = record
        .lineage
        .as_slice()
        .try_into()
        .map(Lineage)
        .map_err(|_| "the head has no lineage")?;
    let revision = Revision(record.revision);
    let entries: Vec<_> = rows
        .entries()
        .collect::<Result<_, RowError>>()
        .map_err(|error| error.to_string())?;
    let snapshot =
        Snapshot::restore(lineage, revision, entries).map_err(|rejection| rejection.to_string())?;
    let hashes = hashes_from_bytes(&record.hashes).ok_or("the head has no hashes")?;
    if snapshot.hashes() != hashes {
        return Err(
            "the resources are not those of the head: rows are missing or from another revision".into(),
        );
    }
    let history = load_history(rows, record, hashes, options)?;
    Ok(Head { snapshot, history })
}

fn load_history(
    rows: &Rows,
    record: &HeadRecord,
    hashes: KindHashes,
    options: &StoreOptions,
) -> Result<History, String> {
    let mut history = History::new(options.history);
    let mut expected = Revision(record.log_start);
    let mut last = None;
    for item in rows.log_from(expected) {
        let (revision, entry) = item.map_err(|error| error.to_string())?;
        if revision != expected {
            return Err(format!(
                "the log has revision {revision} where {expected} belongs"
            ));
        }
        let step_hashes = hashes_from_bytes(&entry.hashes).ok_or("a log record has no hashes")?;
        let keys = entry.touched.iter().filter_map(|touched| {
            let kind = Kind::from_number(i32::try_from(touched.kind).ok()?)?;
            Some(ResourceKey::new(kind, touched.id.as_str()))
        });
        history.push(
            revision,
            Step {
                keys: keys.collect(),
                hashes: step_hashes,
            },
        );
        last = Some((revision, step_hashes));
        expected = revision.next();
    }
    match last {
        None if record.revision == 0 => Ok(history),
        Some((revision, step_hashes)) if revision.0 == record.revision && step_hashes == hashes => {
            Ok(history)
        }
        _ => Err("the log does not end at the head".into()),
    }
}
