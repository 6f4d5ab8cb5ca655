//! What must outlive a restart, in one small file that is replaced as a whole.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::leases::Leases;

const FILE: &str = "coordination.json";
const DRAFT: &str = "coordination.json.new";

/// Why it is not on disk.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be used")]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

/// The file.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    directory: PathBuf,
}

impl Journal {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// What is kept; of no file, nothing.
    pub(super) fn read(&self) -> Result<Leases, JournalError> {
        let path = self.directory.join(FILE);
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Leases::default()),
            Err(error) => Err(error),
        };
        read.map_err(|source| JournalError { path, source })
    }

    /// Keeps it; when this returns it is on the disk.
    pub(super) async fn write(&self, leases: &Leases) -> Result<(), JournalError> {
        let directory = self.directory.clone();
        let text = serde_json::to_vec(leases).map_err(io::Error::from);
        let written = tokio::task::spawn_blocking(move || replace(&directory, &text?)).await;
        let written = written.unwrap_or_else(|error| Err(io::Error::other(error)));
        written.map_err(|source| JournalError {
            path: self.directory.join(FILE),
            source,
        })
    }
}

fn replace(directory: &Path, text: &[u8]) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let draft = directory.join(DRAFT);
    let mut file = File::create(&draft)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&draft, directory.join(FILE))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn what_was_written_is_read_and_a_damaged_file_is_an_error() {
        let directory = TempDir::new().unwrap();
        let journal = Journal::in_directory(&directory.path().join("new"));
        assert_eq!(journal.read().unwrap(), Leases::default());
        let mut leases = Leases::default();
        let ttl = Duration::from_secs(10);
        leases.campaign("r", "a", ttl, Instant::now()).unwrap();
        journal.write(&leases).await.unwrap();
        assert_eq!(journal.read().unwrap().token("r"), 1);
        fs::write(journal.directory.join(FILE), "{").unwrap();
        assert!(journal.read().is_err());
    }
}
