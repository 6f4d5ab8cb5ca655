//! Files of certificates and keys, for their owner alone.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::Failure;

/// Where a certificate and its key are.
#[derive(Debug)]
pub(super) struct Paths {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Paths {
    pub(super) fn of(dir: &Path, stem: &str) -> Self {
        Self {
            certificate: dir.join(format!("{stem}.crt")),
            key: dir.join(format!("{stem}.key")),
        }
    }

    /// Writes both where neither is.
    pub(super) fn write_new(&self, certificate: &str, key: &str) -> Result<(), Failure> {
        if let Some(there) = [&self.certificate, &self.key]
            .into_iter()
            .find(|path| path.exists())
        {
            return Err(Failure::Usage(format!(
                "{} is there already: what it has certified needs it",
                there.display()
            )));
        }
        self.write(certificate, key)
    }

    /// Writes both, in place of those before; who reads them meanwhile sees whole files.
    pub(super) fn write(&self, certificate: &str, key: &str) -> Result<(), Failure> {
        write_private(&self.key, key)?;
        write_private(&self.certificate, certificate)
    }

    /// Reads both.
    pub(super) fn read(&self) -> Result<(String, String), Failure> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path).map_err(|source| Failure::File {
                path: path.clone(),
                source,
            })
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    let write = || -> io::Result<()> {
        if let Some(directory) = path.parent() {
            create_private(directory)?;
        }
        let draft = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600);
        }
        let mut file = options.open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write().map_err(|error| Failure::Refused(format!("cannot write {}: {error}", path.display())))
}

fn create_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.recursive(true).create(directory)
}
