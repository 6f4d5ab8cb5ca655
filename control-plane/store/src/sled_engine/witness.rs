//! What was acknowledged, kept beside the database.
//!
//! sled takes a file that lost its end for an older one and says nothing. So how often something was written is noted
//! in a small file of its own, after each flush and before anybody is answered: a database that knows less has lost
//! what was acknowledged, and one that is blank has lost everything.
//!
//! The file has two slots that are written in turn, so that a torn write leaves the note before it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek as _, SeekFrom, Write as _},
    path::Path,
};

use bytes::Bytes;
use prost::Message as _;

use super::layout::HeadRecord;
use crate::record::{seal, unseal_message};

/// Its name.
pub(super) const FILE: &str = "acknowledged";
const DRAFT: &str = "acknowledged.new";
/// What a note is sealed for.
const KEY: &[u8] = b"acknowledged";
/// A slot lies in a block of its own.
const SLOT: usize = 4096;
const LENGTH: usize = size_of::<u16>();

/// What was acknowledged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Note {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) lineage: Bytes,
    #[prost(uint64, tag = "2")]
    pub(super) revision: u64,
    /// How many times something had been written.
    #[prost(uint64, tag = "3")]
    pub(super) stamp: u64,
}

impl Note {
    pub(super) fn of(head: &HeadRecord) -> Self {
        Self {
            lineage: head.lineage.clone(),
            revision: head.revision,
            stamp: head.stamp,
        }
    }

    fn slot(&self) -> Vec<u8> {
        let sealed = seal(KEY, &self.encode_to_vec());
        let mut slot = u16::try_from(sealed.len()).unwrap_or(0).to_le_bytes().to_vec();
        slot.extend_from_slice(&sealed);
        slot.resize(SLOT, 0);
        slot
    }

    fn read(slot: &[u8]) -> Option<Self> {
        let (length, rest) = slot.split_first_chunk::<LENGTH>()?;
        let sealed = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        unseal_message(KEY, sealed)
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    /// Where the next note goes: not over the newest.
    next: u64,
}

/// What is found where the file should be.
#[derive(Debug)]
pub(super) enum Found {
    /// No file.
    Missing,
    /// A file without a whole note.
    Unreadable,
    /// The newest note.
    Note(Note, Witness),
}

impl Witness {
    /// Reads what is there.
    pub(super) fn find(dir: &Path) -> io::Result<Found> {
        let mut file = match OpenOptions::new().read(true).write(true).open(dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Missing),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        Read::by_ref(&mut file)
            .take(2 * SLOT as u64)
            .read_to_end(&mut bytes)?;
        let notes = bytes.chunks(SLOT).zip(0..).filter_map(|(slot, at)| {
            let note = Note::read(slot)?;
            Some((note, at))
        });
        let newest = notes.max_by_key(|(note, _)| note.stamp);
        Ok(newest.map_or(Found::Unreadable, |(note, at): (Note, u64)| {
            Found::Note(note, Self { file, next: 1 - at })
        }))
    }

    /// Makes the file, whole or not at all.
    pub(super) fn create(dir: &Path, note: &Note) -> io::Result<Self> {
        let draft = dir.join(DRAFT);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(&draft)?;
        let slot = note.slot();
        file.write_all(&slot)?;
        file.write_all(&slot)?;
        file.sync_all()?;
        std::fs::rename(&draft, dir.join(FILE))?;
        File::open(dir)?.sync_all()?;
        Ok(Self { file, next: 1 })
    }

    /// Writes a note down. Once this returns it is on the disk.
    pub(super) fn note(&mut self, note: &Note) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.next * SLOT as u64))?;
        self.file.write_all(&note.slot())?;
        self.file.sync_data()?;
        self.next = 1 - self.next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn note(stamp: u64) -> Note {
        Note {
            lineage: Bytes::from_static(&[7; 16]),
            revision: stamp / 2,
            stamp,
        }
    }

    fn found(dir: &Path) -> Option<u64> {
        match Witness::find(dir).unwrap() {
            Found::Note(note, _) => Some(note.stamp),
            Found::Missing | Found::Unreadable => None,
        }
    }

    #[test]
    fn the_newest_note_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Witness::find(dir.path()).unwrap(), Found::Missing));
        let mut witness = Witness::create(dir.path(), &note(0)).unwrap();
        for stamp in 1..=5 {
            witness.note(&note(stamp)).unwrap();
            assert_eq!(found(dir.path()), Some(stamp));
        }
        let Found::Note(_, mut again) = Witness::find(dir.path()).unwrap() else {
            panic!("it has notes")
        };
        again.note(&note(6)).unwrap();
        assert_eq!(found(dir.path()), Some(6));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_torn_note_leaves_the_one_before(length in 0..SLOT, is_second in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let mut witness = Witness::create(dir.path(), &note(0)).unwrap();
            let last = 3 + u64::from(is_second);
            for stamp in 1..=last {
                witness.note(&note(stamp)).unwrap();
            }
            let torn = &note(last + 1).slot()[..length];
            witness.file.seek(SeekFrom::Start(witness.next * SLOT as u64)).unwrap();
            witness.file.write_all(torn).unwrap();
            let found = found(dir.path()).unwrap();
            prop_assert!(found == last || found == last + 1);
        }

        #[test]
        fn a_file_of_anything_is_no_note(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(FILE), &bytes).unwrap();
            prop_assert!(matches!(Witness::find(dir.path()).unwrap(), Found::Unreadable));
        }
    }
}
