//! The last good content on disk, so that a subscriber serves before the control plane answers.
//!
//! A directory for one subscription, its files of mode 0600 because payloads hold secrets:
//!
//! | file | |
//! |---|---|
//! | `<lineage>-<revision>.snap` | a whole content ([`snapshot_file`]) |
//! | `<lineage>-<revision>.log` | the updates since ([`update_log`]) |
//! | `CURRENT` | the names of the generations, newest first, one a line |
//! | `attempt` | what the process has not proved to live with ([`trial`]) |
//!
//! An update is appended to the newest log, until it is no longer small beside its snapshot: then a new
//! generation begins, and of the earlier ones two are kept. Files are written under another name, synced and renamed,
//! so a crash leaves whole ones; the torn end of a log is cut.

mod snapshot_file;
mod trial;
mod update_log;

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use tyrscale_model::{Kind, Snapshot, Version, View};

use crate::subscription::Update;

pub(crate) use trial::Trial;

/// A larger file is not one of ours.
const MAX_FILE: u64 = 1 << 30;
const GENERATIONS: usize = 3;
/// A log of more records begins a new generation.
const MAX_RECORDS: u32 = 1_000;
/// So does one longer than this and than a quarter of its snapshot, in bytes.
const SMALL_LOG: u64 = 64 * 1024;

/// Where in its data directory a gateway keeps it.
const OF_GATEWAY: &str = "last-good";
const CURRENT: &str = "CURRENT";
const UNFINISHED: &str = "unfinished";
const DAMAGED: &str = "damaged.snap";

/// Why a generation gives no content.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("last good content could not be read")]
    Io(#[from] io::Error),
    /// It is not as it was written.
    #[error("last good content is damaged: {0}")]
    Damaged(&'static str),
    /// Another version made it.
    #[error("last good content has format {0}, made by another version")]
    OtherFormat(u32),
    /// It is not what this subscriber sees.
    #[error("last good content is of another view")]
    OtherView,
    /// It is not what a gateway sees.
    #[error("last good content is not a gateway's: who keeps it sees no routes or no upstreams")]
    OfNoGateway,
    /// It is not to be taken again.
    #[error("the process died with it")]
    Quarantined,
}

/// Why the directory of a subscriber gives no content.
#[derive(Debug, thiserror::Error)]
#[error("{} has no last good content", data_dir.display())]
pub struct LastGoodError {
    /// The directory.
    pub data_dir: PathBuf,
    /// What is wrong with the newest generation, if there is one.
    pub source: Option<LoadError>,
}

/// The newest content that a gateway keeps below its data directory and that proves itself, whatever it sees beside routes
/// and upstreams, and that is not in quarantine, whichever build died with it. It may run meanwhile.
///
/// # Errors
/// [`LastGoodError`] when there is none.
pub fn last_good_content(data_dir: &Path) -> Result<Snapshot, LastGoodError> {
    // Gateways keep it under another name than the rest.
    let of_gateway = data_dir.join(OF_GATEWAY);
    let directory = if of_gateway.exists() {
        of_gateway
    } else {
        data_dir.join(crate::follow::LAST_GOOD)
    };
    let trial = Trial::as_left(directory.clone());
    let mut kept = LastGood::over(directory, View::ALL, trial);
    let mut newest = None;
    for name in kept.generations() {
        let view = read_bounded(&kept.file(&name, "snap"))
            .map_err(LoadError::from)
            .and_then(|bytes| snapshot_file::view_of(&bytes));
        let loaded = view.and_then(|view| {
            kept.view = view;
            let snapshot = kept.load(&name)?;
            let is_of_gateway = view.contains(Kind::Route) && view.contains(Kind::Upstream);
            is_of_gateway.then_some(snapshot).ok_or(LoadError::OfNoGateway)
        });
        match loaded {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) => newest = newest.or(Some(error)),
        }
    }
    Err(LastGoodError {
        data_dir: data_dir.to_owned(),
        source: newest,
    })
}

/// The generation that updates are appended to.
#[derive(Debug, Clone)]
struct Tail {
    name: String,
    /// What its log leads to.
    version: Version,
    snapshot_bytes: u64,
    log_bytes: u64,
    records: u32,
}

/// A directory with the last good content of one subscription. All calls block.
#[derive(Debug)]
pub(crate) struct LastGood {
    directory: PathBuf,
    view: View,
    tail: Option<Tail>,
    pub(crate) trial: Trial,
}

impl LastGood {
    pub(crate) fn new(directory: PathBuf, view: View, build: &str) -> Self {
        let trial = Trial::open(directory.clone(), build);
        Self::over(directory, view, trial)
    }

    const fn over(directory: PathBuf, view: View, trial: Trial) -> Self {
        Self {
            trial,
            directory,
            view,
            tail: None,
        }
    }

    /// Keeps an update that was taken.
    pub(crate) fn save(&mut self, base: Option<&Version>, update: &Update) -> io::Result<()> {
        if let Some((base, tail)) = base
            .zip(self.tail.as_mut())
            .filter(|(base, tail)| tail.version == **base)
        {
            let record = update_log::encode(base, update);
            let log_bytes = tail.log_bytes + record.len() as u64;
            let is_small = log_bytes <= SMALL_LOG.max(tail.snapshot_bytes / 4);
            if is_small && tail.records < MAX_RECORDS {
                let path = self.directory.join(format!("{}.log", tail.name));
                if let Err(error) = append(&path, tail.log_bytes, &record) {
                    // How much of it is there is not known.
                    self.tail = None;
                    return Err(error);
                }
                tail.version = update.version;
                tail.log_bytes = log_bytes;
                tail.records += 1;
                return Ok(());
            }
        }
        self.save_whole(&update.snapshot)
    }

    /// Begins a generation.
    pub(crate) fn save_whole(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        self.tail = None;
        make_directory(&self.directory)?;
        let version = snapshot.version(self.view);
        let name = format!("{}-{}", version.lineage, version.revision);
        let bytes = snapshot_file::encode(snapshot, self.view);
        missing_is_fine(fs::remove_file(self.file(&name, "log")))?;
        self.replace(&format!("{name}.snap"), &bytes)?;
        let mut names = self.generations();
        names.retain(|other| *other != name);
        names.insert(0, name.clone());
        let surplus = names.split_off(names.len().min(GENERATIONS));
        self.replace(CURRENT, names.join("\n").as_bytes())?;
        for old in surplus {
            missing_is_fine(fs::remove_file(self.file(&old, "log")))?;
            missing_is_fine(fs::remove_file(self.file(&old, "snap")))?;
        }
        self.tail = Some(Tail {
            name,
            version,
            snapshot_bytes: bytes.len() as u64,
            log_bytes: 0,
            records: 0,
        });
        Ok(())
    }

    /// The names of the generations, newest first; none when there is no list, or it is not ours.
    pub(crate) fn generations(&self) -> Vec<String> {
        let list = read_bounded(&self.directory.join(CURRENT)).unwrap_or_default();
        let list = String::from_utf8(list).unwrap_or_default();
        let is_name = |name: &&str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte == b'-' || byte.is_ascii_alphanumeric())
        };
        list.lines()
            .filter(is_name)
            .map(str::to_owned)
            .take(GENERATIONS)
            .collect()
    }

    /// The content of a generation, with the updates since as far as they are whole and not in quarantine.
    pub(crate) fn load(&mut self, name: &str) -> Result<Snapshot, LoadError> {
        let bytes = read_bounded(&self.file(name, "snap"))?;
        let start = snapshot_file::decode(&bytes, self.view)?;
        if self.trial.is_quarantined(&start.version(self.view)) {
            return Err(LoadError::Quarantined);
        }
        let path = self.file(name, "log");
        let log = match read_bounded(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            log => log?,
        };
        let is_unwanted = |version: &Version| self.trial.is_quarantined(version);
        let replayed = update_log::replay(start, self.view, &log, is_unwanted);
        let torn = log.len() - replayed.length;
        if torn > 0 {
            tracing::warn!(
                bytes = torn,
                stopped = replayed.stopped,
                "the end of the log is not used"
            );
        }
        // The next save begins a generation when something newer is there that must not follow.
        self.tail = (!replayed.stopped).then(|| Tail {
            name: name.to_owned(),
            version: replayed.snapshot.version(self.view),
            snapshot_bytes: bytes.len() as u64,
            log_bytes: replayed.length as u64,
            records: replayed.records,
        });
        Ok(replayed.snapshot)
    }

    /// Moves a damaged snapshot out of the way, for people to look at.
    pub(crate) fn set_aside(&self, name: &str) -> io::Result<()> {
        fs::rename(self.file(name, "snap"), self.directory.join(DAMAGED))
    }

    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{name}.{extension}"))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let unfinished = self.directory.join(UNFINISHED);
        if let Err(error) = write_file(&unfinished, bytes, true) {
            // On a full disk it would only be in the way.
            missing_is_fine(fs::remove_file(&unfinished))?;
            return Err(error);
        }
        fs::rename(&unfinished, self.directory.join(name))?;
        File::open(&self.directory)?.sync_all()
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn write_file(path: &Path, bytes: &[u8], sync: bool) -> io::Result<()> {
    // Not reused: an old file might be open to others.
    missing_is_fine(fs::remove_file(path))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// Writes `record` at `end`, in the place of whatever was torn there.
fn append(path: &Path, end: u64, record: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.set_len(end)?;
    file.write_all(record)?;
    file.sync_data()
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests;
