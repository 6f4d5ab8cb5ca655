//! Master keys: what the data keys in the store are sealed with. They are kept outside of it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use tyrscale_access::write_private;

use super::{
    SecretsError,
    cipher::{self, KEY},
};

/// Where in the data directory one is kept that was made.
const FILE: &str = "secrets.key";
/// The most keys that are given at once.
const MAX: usize = 8;

/// One master key.
#[derive(Clone, PartialEq, Eq)]
struct MasterKey([u8; KEY]);

/// One or more master keys, the first of them in use; the others only open what was sealed with them before.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct MasterKeys(Vec<MasterKey>);

/// A text that holds no master keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must hold 1 to 8 keys of 64 hexadecimal digits, on lines of their own or parted by commas")]
pub(crate) struct MasterKeysError;

impl MasterKey {
    /// Tells it from others and says nothing of it.
    fn name(&self) -> [u8; 8] {
        let hash = blake3::derive_key("tyrscale 2025 secrets: name of a master key", &self.0);
        let mut name = [0; 8];
        name.copy_from_slice(hash.first_chunk::<8>().unwrap_or(&[0; 8]));
        name
    }
}

impl MasterKeys {
    /// None, which open nothing.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// The name of the one in use.
    pub(super) fn name(&self) -> [u8; 8] {
        self.0.first().map(MasterKey::name).unwrap_or_default()
    }

    /// Seals with the one in use.
    pub(super) fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let first = self.0.first().ok_or(SecretsError::Random)?;
        cipher::seal(&first.0, context, plain)
    }

    /// Opens with the one of this name.
    pub(super) fn open(&self, name: &[u8], context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SecretsError> {
        let named = self.0.iter().find(|key| key.name() == name);
        let key = named.ok_or_else(|| SecretsError::AnotherMaster { wanted: hex(name) })?;
        let opened = cipher::open(&key.0, context, sealed);
        opened.ok_or_else(|| SecretsError::Damaged("the keyring".to_owned()))
    }
}

impl FromStr for MasterKeys {
    type Err = MasterKeysError;

    fn from_str(text: &str) -> Result<Self, MasterKeysError> {
        let lines = text.split(['\n', ',']).map(str::trim);
        let keys = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| unhex(line).map(MasterKey).ok_or(MasterKeysError));
        let keys: Vec<MasterKey> = keys.collect::<Result<_, _>>()?;
        match keys.len() {
            1..=MAX => Ok(Self(keys)),
            _ => Err(MasterKeysError),
        }
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKeys({} keys)", self.0.len())
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; KEY]> {
    let mut bytes = [0; KEY];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != KEY || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let [high, low] = pair.map(digit);
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(bytes)
}

/// Where master keys are.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Given in the environment; wins.
    pub(crate) given: Option<MasterKeys>,
    /// A file that must be there.
    pub(crate) file: Option<PathBuf>,
    /// Where one is made when nothing else is said.
    pub(crate) data_dir: PathBuf,
}

impl Source {
    /// The keys; blocks. `may_make`: nothing was sealed yet, so one may be made.
    pub(super) fn read(&self, may_make: bool) -> io::Result<MasterKeys> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        let path = self.file.clone().unwrap_or_else(|| self.data_dir.join(FILE));
        match fs::read_to_string(&path) {
            Ok(text) => text.parse().map_err(|error: MasterKeysError| {
                let message = format!("{} {error}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, message)
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.file.is_none() && may_make => {
                make(&path)
            }
            Err(error) => {
                let path = path.display();
                let remedy =
                    "put its copy there, or give the key with --secrets-key-file or TYRSCALE_SECRETS_KEY";
                Err(io::Error::new(error.kind(), format!("{path}: {error}: {remedy}")))
            }
        }
    }
}

fn make(path: &Path) -> io::Result<MasterKeys> {
    let bytes = cipher::random::<KEY>().map_err(io::Error::other)?;
    write_private(path, format!("{}\n", hex(&bytes)).as_bytes())?;
    tracing::info!(path = %path.display(), "a master key of secrets was made: keep a copy apart from backups of the store");
    Ok(MasterKeys(vec![MasterKey(bytes)]))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn source(dir: &TempDir, file: Option<&str>) -> Source {
        Source {
            given: None,
            file: file.map(|file| dir.path().join(file)),
            data_dir: dir.path().to_owned(),
        }
    }

    #[test]
    fn keys_are_lines_of_hexadecimal_digits_and_never_shown() {
        let one = "00".repeat(KEY);
        let two = "Ff".repeat(KEY);
        let keys: MasterKeys = format!("# old and new\n{one}\n\n{two}\n").parse().unwrap();
        assert_eq!(keys, format!("{one},{two}").parse().unwrap());
        assert_eq!(format!("{keys:?}"), "MasterKeys(2 keys)");
        for bad in [
            "",
            "00",
            &format!("{one}0"),
            &"zz".repeat(KEY),
            &format!("{one}\n").repeat(MAX + 1),
        ] {
            assert!(bad.parse::<MasterKeys>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_is_made_once_for_its_owner_alone_and_never_in_place_of_a_lost_one() {
        let dir = TempDir::new().unwrap();
        assert!(
            source(&dir, None).read(false).is_err(),
            "something is sealed already"
        );
        let made = source(&dir, None).read(true).unwrap();
        assert_eq!(source(&dir, None).read(false).unwrap(), made);
        assert!(
            source(&dir, Some("other")).read(true).is_err(),
            "a file that is named must be there"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_an_earlier_key_sealed_opens_beside_the_newer_one() {
        let keys = |text: &str| text.parse::<MasterKeys>().unwrap();
        let (old, new) = ("11".repeat(KEY), "22".repeat(KEY));
        let sealed = keys(&old).seal(b"", b"plain").unwrap();
        let name = keys(&old).name();
        let both = keys(&format!("{new}\n{old}"));
        assert_eq!(both.open(&name, b"", &sealed).unwrap(), b"plain");
        assert_ne!(both.name(), name);
        let refused = keys(&new).open(&name, b"", &sealed).unwrap_err();
        assert!(matches!(refused, SecretsError::AnotherMaster { .. }));
    }
}
