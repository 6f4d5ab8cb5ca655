//! The secret of a control plane, without which stored hashes of tokens and the audit log's chain cannot be made.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Where in the data directory it is kept.
const FILE: &str = "access.pepper";

/// 32 random bytes, kept in a file beside the store and not in it.
#[derive(Clone)]
pub struct Pepper([u8; 32]);

impl Pepper {
    /// Takes bytes that nobody else knows.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads it from `file`, or from the data directory, where it is made when it is not there; blocks.
    ///
    /// # Errors
    /// When it cannot be read or made, or has another length.
    pub fn read_or_make(file: Option<&Path>, data_dir: &Path) -> io::Result<Self> {
        let path = file.map_or_else(|| data_dir.join(FILE), Path::to_owned);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => make(&path)?.to_vec(),
            Err(error) => return Err(error),
        };
        let bytes = bytes.try_into().map_err(|_| {
            let message = format!("{} must hold exactly 32 bytes", path.display());
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        Ok(Self(bytes))
    }

    /// A key for one purpose.
    pub(crate) fn key(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, &self.0)
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pepper(***)")
    }
}

fn make(path: &Path) -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    write_private(path, &bytes)?;
    Ok(bytes)
}

/// Writes a file that only its owner may read, durably, in place of the one before; blocks.
///
/// # Errors
/// What the system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => fs::File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once_for_its_owner_alone() {
        let directory = tempfile::TempDir::new().unwrap();
        let made = Pepper::read_or_make(None, directory.path()).unwrap();
        let read = Pepper::read_or_make(None, directory.path()).unwrap();
        assert_eq!(made.0, read.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(directory.path().join(FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!format!("{made:?}").contains(&format!("{:?}", made.0)));
        let short = directory.path().join("short");
        fs::write(&short, b"secret").unwrap();
        assert!(Pepper::read_or_make(Some(&short), directory.path()).is_err());
        assert!(Pepper::read_or_make(Some(&directory.path().join("none")), directory.path()).is_err());
    }
}
