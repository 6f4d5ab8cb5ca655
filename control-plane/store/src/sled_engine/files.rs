//! The fsyncs that sled leaves out.
//!
//! sled's flush writes its files but does not sync them. Records of more than 128 KiB go to files of their own
//! below `blobs`, written once and never changed.

use std::{
    collections::HashSet,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The files of an open database.
#[derive(Debug)]
pub(crate) struct Files {
    database: File,
    blobs: PathBuf,
    /// Blobs that are on the disk for certain.
    synced: HashSet<OsString>,
}

impl Files {
    /// The files below a store's directory, synced.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let mut files = Self {
            database: File::open(dir.join("db"))?,
            blobs: dir.join("blobs"),
            synced: HashSet::new(),
        };
        files.sync()?;
        Ok(files)
    }

    /// Once this returns, everything sled has written is on the disk.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.sync_blobs()?;
        self.database.sync_data()
    }

    fn sync_blobs(&mut self) -> io::Result<()> {
        let listing = match fs::read_dir(&self.blobs) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let present: HashSet<OsString> = listing
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<_>>()?;
        let mut is_new = false;
        for name in present.difference(&self.synced) {
            match File::open(self.blobs.join(name)) {
                Ok(blob) => blob.sync_all()?,
                // sled has removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            is_new = true;
        }
        if is_new {
            File::open(&self.blobs)?.sync_all()?;
        }
        self.synced = present;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_blobs_are_synced_once_and_vanished_ones_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("db"), b"").unwrap();
        let mut files = Files::of(dir.path()).unwrap();
        let blobs = dir.path().join("blobs");
        fs::create_dir(&blobs).unwrap();
        fs::write(blobs.join("1"), b"one").unwrap();
        files.sync().unwrap();
        assert_eq!(files.synced, HashSet::from(["1".into()]));
        fs::remove_file(blobs.join("1")).unwrap();
        fs::write(blobs.join("2"), b"two").unwrap();
        files.sync().unwrap();
        assert_eq!(files.synced, HashSet::from(["2".into()]));
    }
}
