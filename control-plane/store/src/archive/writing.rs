//! Writing an archive.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use prost::Message as _;
use tyrscale_model::{KindHashes, Revision, UnixMillis};

use super::{
    ArchiveError,
    format::{DocumentRow, EndRow, FORMAT, HeadRow, MAGIC, ResourceRow, RevisionRow, Row, RowPart},
};
use crate::{
    Archive,
    engine::{Document, Engine},
    head::Head,
    load::CHUNK,
    log::Image,
    record::{ImageRecord, hashes_to_record},
    table::Table,
    verify::Verified,
};

const LEVEL: i32 = 3;

/// What a file says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note {
    /// When it is taken, by the wall clock.
    pub(crate) taken: UnixMillis,
    /// Whether the store goes on after it.
    pub(crate) is_backup: bool,
}

/// Writes what an engine holds to a file, reads it back, verifies it, and only then gives it its name. The head and the
/// documents are of one moment; the engine still has the log up to that head.
pub(crate) fn write(
    path: &Path,
    engine: &dyn Engine,
    head: &Head,
    documents: &[(Table, Document)],
    note: Note,
) -> Result<Verified, ArchiveError> {
    let unfinished = unfinished(path);
    let written = write_file(&unfinished, engine, (head, note), documents)
        .map_err(|cause| ArchiveError::Io {
            path: path.to_owned(),
            cause,
        })
        .and_then(|()| Archive::read(&unfinished)?.verify());
    let named = written.and_then(|verified| {
        let named = fs::rename(&unfinished, path).and_then(|()| sync_directory(path));
        named.map_err(|cause| ArchiveError::Io {
            path: path.to_owned(),
            cause,
        })?;
        Ok(verified)
    });
    if named.is_err() {
        // It may not be there; on a full disk it would only be in the way.
        fs::remove_file(&unfinished).ok();
    }
    named
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    path.with_file_name(name)
}

fn sync_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

fn write_file(
    path: &Path,
    engine: &dyn Engine,
    (head, note): (&Head, Note),
    documents: &[(Table, Document)],
) -> io::Result<()> {
    let mut file = Hashing::over(BufWriter::new(create(path)?));
    file.write_all(MAGIC)?;
    file.write_all(&FORMAT.to_le_bytes())?;
    let mut rows = zstd::Encoder::new(file, LEVEL)?;
    let counts = write_rows(&mut rows, engine, (head, note), documents)?;
    put(&mut rows, RowPart::End(counts))?;
    let file = rows.finish()?;
    let checksum = file.hasher.finalize();
    let mut file = file.inner;
    file.write_all(checksum.as_bytes())?;
    file.into_inner()?.sync_all()
}

fn write_rows(
    rows: &mut impl Write,
    engine: &dyn Engine,
    (head, note): (&Head, Note),
    documents: &[(Table, Document)],
) -> io::Result<EndRow> {
    let (snapshot, history) = (&head.snapshot, &head.history);
    let floor = history.floor();
    let floor_hashes = history.hashes_at(floor).unwrap_or_else(KindHashes::of_nothing);
    put(
        rows,
        RowPart::Head(HeadRow {
            lineage: snapshot.lineage().0.to_vec().into(),
            revision: snapshot.revision().0,
            floor: floor.0,
            floor_hashes: hashes_to_record(&floor_hashes),
            taken_ms: note.taken.0,
            is_backup: note.is_backup,
        }),
    )?;
    let mut counts = EndRow::default();
    for (key, entry) in snapshot.iter() {
        let row = ResourceRow {
            kind: key.kind.number().into(),
            id: key.id.to_string(),
            image: Some(ImageRecord::of(&Image::of(entry))),
        };
        put(rows, RowPart::Resource(row))?;
        counts.resources += 1;
    }
    let mut next = floor.next();
    while next <= snapshot.revision() {
        let last = Revision(next.0.saturating_add(CHUNK - 1)).min(snapshot.revision());
        for record in engine.read_log(next, last).map_err(io::Error::other)? {
            let row = RevisionRow {
                revision: record.revision.0,
                parts: record.encode(),
            };
            put(rows, RowPart::Revision(row))?;
            counts.revisions += 1;
        }
        next = last.next();
    }
    for (table, document) in documents {
        let row = DocumentRow {
            table: table.number().into(),
            key: document.key.clone(),
            stamp: document.stamp.0,
            value: document.value.clone(),
        };
        put(rows, RowPart::Document(row))?;
        counts.documents += 1;
    }
    Ok(counts)
}

fn put(rows: &mut impl Write, part: RowPart) -> io::Result<()> {
    let row = Row { part: Some(part) }.encode_to_vec();
    let length = u32::try_from(row.len()).map_err(|_| io::Error::other("a revision is too large"))?;
    rows.write_all(&length.to_le_bytes())?;
    rows.write_all(&row)
}

/// Hashes what passes.
struct Hashing<W> {
    inner: W,
    hasher: blake3::Hasher,
}

impl<W: Write> Hashing<W> {
    fn over(inner: W) -> Self {
        Self {
            inner,
            hasher: blake3::Hasher::new(),
        }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
