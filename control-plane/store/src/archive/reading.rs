//! Reading an archive.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use prost::Message as _;
use tyrscale_model::{Kind, Lineage, ResourceKey, Revision, UnixMillis};

use super::{
    ARCHIVED, Archive, ArchiveError, ArchiveHead,
    format::{CHECKSUM, EndRow, FORMAT, HeadRow, MAGIC, MAX_ROW, PREFIX, Row, RowPart},
};
use crate::{engine::Stamp, record::hashes_from_record, table::Table};

/// Why a file was not read, before it is told which.
enum Fault {
    Io(io::Error),
    Damaged(String),
    Newer(u32),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Damaged("it ends too early".to_owned()),
            io::ErrorKind::InvalidData | io::ErrorKind::Other => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Damaged(reason.into()))
}

impl Archive {
    /// Reads a file whose checksum is right. [`Archive::verify`] holds its content against itself.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub fn read(path: &Path) -> Result<Self, ArchiveError> {
        read(path).map_err(|fault| match fault {
            Fault::Io(cause) => ArchiveError::Io {
                path: path.to_owned(),
                cause,
            },
            Fault::Damaged(reason) => ArchiveError::Damaged {
                path: path.to_owned(),
                reason,
            },
            Fault::Newer(format) => ArchiveError::NewerFormat {
                path: path.to_owned(),
                format,
                supported: FORMAT,
            },
        })
    }
}

fn read(path: &Path) -> Result<Archive, Fault> {
    let mut file = File::open(path)?;
    let body = file
        .metadata()?
        .len()
        .checked_sub((PREFIX + CHECKSUM) as u64)
        .ok_or_else(|| Fault::Damaged("it is too short".to_owned()))?;
    let mut prefix = [0; PREFIX];
    file.read_exact(&mut prefix)?;
    let (magic, format) = prefix.split_at(MAGIC.len());
    if magic != MAGIC {
        return damaged("it does not begin as one");
    }
    let format = format.try_into().map_or(0, u32::from_le_bytes);
    if format > FORMAT {
        return Err(Fault::Newer(format));
    }
    prove(&mut file, &prefix, body)?;
    file.seek(SeekFrom::Start(PREFIX as u64))?;
    let mut rows = zstd::Decoder::new(BufReader::new(file.take(body)))?;
    let Some(RowPart::Head(head)) = next(&mut rows)? else {
        return damaged("it does not begin with the head");
    };
    let mut archive = Archive {
        path: path.to_owned(),
        head: read_head(&head)?,
        resources: Vec::new(),
        log: BTreeMap::new(),
        documents: BTreeMap::new(),
        refusal: ARCHIVED.to_owned(),
    };
    let end = archive.fill(&mut rows)?;
    let counted = EndRow {
        resources: archive.resources.len() as u64,
        revisions: archive.log.len() as u64,
        documents: archive.documents.len() as u64,
    };
    if end == counted {
        Ok(archive)
    } else {
        damaged("rows are missing")
    }
}

/// Whether the file is as it was written.
fn prove(file: &mut File, prefix: &[u8], body: u64) -> Result<(), Fault> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(prefix);
    io::copy(&mut Read::by_ref(file).take(body), &mut hasher)?;
    let mut checksum = [0; CHECKSUM];
    file.read_exact(&mut checksum)?;
    if hasher.finalize() == blake3::Hash::from_bytes(checksum) {
        Ok(())
    } else {
        damaged("its checksum is another")
    }
}

fn next(rows: &mut impl Read) -> Result<Option<RowPart>, Fault> {
    let mut length = [0; size_of::<u32>()];
    rows.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length as usize > MAX_ROW {
        return damaged("a row is too long");
    }
    let mut row = Vec::new();
    rows.take(length.into()).read_to_end(&mut row)?;
    match Row::decode(row.as_slice()) {
        Ok(row) => Ok(row.part),
        Err(_) => damaged("a row cannot be read"),
    }
}

fn read_head(row: &HeadRow) -> Result<ArchiveHead, Fault> {
    let lineage = row.lineage.as_ref().try_into().ok().map(Lineage);
    let hashes = hashes_from_record(&row.floor_hashes);
    let Some((lineage, floor_hashes)) = lineage.zip(hashes) else {
        return damaged("its head cannot be read");
    };
    Ok(ArchiveHead {
        lineage,
        revision: Revision(row.revision),
        floor: Revision(row.floor),
        floor_hashes,
        taken: UnixMillis(row.taken_ms),
        is_backup: row.is_backup,
    })
}

impl Archive {
    /// Takes rows in until the end.
    fn fill(&mut self, rows: &mut impl Read) -> Result<EndRow, Fault> {
        loop {
            match next(rows)? {
                Some(RowPart::Resource(row)) => {
                    let kind = i32::try_from(row.kind).ok().and_then(Kind::from_number);
                    let Some((kind, image)) = kind.zip(row.image) else {
                        return damaged(format!("it holds a resource of kind {}", row.kind));
                    };
                    let key = ResourceKey::new(kind, row.id);
                    self.resources.push((key, image.into_image()));
                }
                Some(RowPart::Revision(row)) => {
                    self.log.insert(Revision(row.revision), row.parts);
                }
                Some(RowPart::Document(row)) => {
                    let table = u8::try_from(row.table).ok().and_then(Table::from_number);
                    let Some(table) = table else {
                        return damaged(format!("it holds a document of table {}", row.table));
                    };
                    self.documents
                        .insert((table, row.key), (Stamp(row.stamp), row.value));
                }
                Some(RowPart::End(end)) => return Ok(end),
                Some(RowPart::Head(_)) | None => return damaged("it holds a row that does not belong"),
            }
        }
    }
}
