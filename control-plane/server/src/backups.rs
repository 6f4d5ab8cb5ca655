//! Backups of the store: files that were read back and proved, the newest few.

use std::{
    fs,
    future::Future,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_util::sync::CancellationToken;
use tyrscale_model::{Lineage, UnixMillis};
use tyrscale_store::{Archive, Store, StoreError, Verified};
use tyrscale_telemetry::{LabelledCounter, Metrics, TelemetryError, catalogue};

use crate::config::BackupArgs;

const PREFIX: &str = "store-";
const EXTENSION: &str = ".tyrstore";

/// A time of the wall clock, for people.
pub(crate) fn utc(time: UnixMillis) -> String {
    let time = i64::try_from(time.0).ok();
    let time = time.and_then(|time| jiff::Timestamp::from_millisecond(time).ok());
    time.unwrap_or_default().to_string()
}

/// The work of keeping backups of a store, which is done until `stop`. None are made of a store that takes no writes from
/// the start: it is a backup itself.
pub(crate) fn keep(
    args: &BackupArgs,
    data_dir: &Path,
    store: &Store,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, TelemetryError> {
    let backups = Backups::new(args.directory(data_dir), args.backup_keep);
    backups.observe(metrics)?;
    let outcomes = metrics.counter(&catalogue::STORE_BACKUPS_TOTAL)?;
    let interval = args.interval().filter(|_| store.is_ready().is_ok());
    let (store, stop) = (store.clone(), stop.clone());
    Ok(async move {
        if let Some(interval) = interval {
            backups.keep_making(store, interval, outcomes, stop).await;
        }
    })
}

/// The backups of one store.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    directory: PathBuf,
    keep: usize,
    /// When the newest was made, in milliseconds of Unix time; 0 before the first.
    newest: Arc<AtomicU64>,
}

impl Backups {
    /// Those in a directory, which need not be there.
    pub(crate) fn new(directory: PathBuf, keep: usize) -> Self {
        let newest = names(&directory).last().map_or(0, |(time, _)| *time);
        Self {
            directory,
            keep,
            newest: Arc::new(AtomicU64::new(newest)),
        }
    }

    /// Makes one at once, and then one each interval, until `stop`.
    pub(crate) async fn keep_making(
        self,
        store: Store,
        interval: Duration,
        outcomes: LabelledCounter<1>,
        stop: CancellationToken,
    ) {
        loop {
            let outcome = match self.make(&store).await {
                Ok((path, verified)) => {
                    tracing::info!(path = %path.display(), revision = %verified.revision, "store backed up");
                    "verified"
                }
                Err(error) => {
                    tracing::error!(%error, "store could not be backed up");
                    "failed"
                }
            };
            outcomes.add(1, [outcome]);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(interval) => {}
            }
        }
    }

    /// Makes one, and removes the oldest above the number to be kept.
    async fn make(&self, store: &Store) -> Result<(PathBuf, Verified), StoreError> {
        let failed = |error: io::Error| StoreError::Io {
            path: self.directory.clone(),
            message: error.to_string(),
        };
        make_directory(&self.directory).map_err(failed)?;
        // A clock that was set back does not make the newest the oldest.
        let time = now_ms().max(self.newest.load(Ordering::Relaxed) + 1);
        let path = self.directory.join(format!("{PREFIX}{time:014}{EXTENSION}"));
        let verified = store.write_backup(&path).await?;
        self.newest.store(time, Ordering::Relaxed);
        let names = names(&self.directory);
        for (_, name) in names.iter().take(names.len().saturating_sub(self.keep)) {
            if let Err(error) = fs::remove_file(self.directory.join(name)) {
                tracing::warn!(%error, name, "an old backup could not be removed");
            }
        }
        Ok((path, verified))
    }

    /// Whether there is any, whole or not.
    pub(crate) fn has_any(&self) -> bool {
        !names(&self.directory).is_empty()
    }

    /// The newest that proves itself, of this lineage if one is given. Blocks.
    pub(crate) fn newest(&self, lineage: Option<Lineage>) -> Option<(PathBuf, Archive)> {
        names(&self.directory).into_iter().rev().find_map(|(_, name)| {
            let path = self.directory.join(name);
            let proved = Archive::read(&path).and_then(|archive| archive.verify().map(|_| archive));
            match proved {
                Ok(archive) if lineage.is_none_or(|lineage| lineage == archive.lineage()) => {
                    Some((path, archive))
                }
                Ok(_) => None,
                Err(error) => {
                    tracing::warn!(%error, "a backup is passed over");
                    None
                }
            }
        })
    }

    /// Exports how old the newest is, once there is one.
    pub(crate) fn observe(&self, metrics: &Metrics) -> Result<(), TelemetryError> {
        let newest = Arc::clone(&self.newest);
        metrics.observe_gauge(&catalogue::STORE_BACKUP_AGE, move |gauge| {
            let newest = newest.load(Ordering::Relaxed);
            if newest > 0 {
                gauge.observe(
                    Duration::from_millis(now_ms().saturating_sub(newest)).as_secs_f64(),
                    [],
                );
            }
        })
    }
}

/// The files of a directory that are named as backups, oldest first, with the times in their names.
fn names(directory: &Path) -> Vec<(u64, String)> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut backups: Vec<_> = names
        .filter_map(|name| {
            let time = name.strip_prefix(PREFIX)?.strip_suffix(EXTENSION)?.parse().ok()?;
            Some((time, name))
        })
        .collect();
    backups.sort_unstable();
    backups
}

/// Makes a directory that is its owner's alone, where there is none.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700)
        .recursive(true)
        .create(path)
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use tyrscale_store::StoreOptions;

    use super::*;

    #[tokio::test]
    async fn the_newest_whole_ones_are_kept_and_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), StoreOptions::default())
            .await
            .unwrap();
        let place = dir.path().join("backups");
        let backups = Backups::new(place.clone(), 3);
        assert!(backups.newest(None).is_none());
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(backups.make(&store).await.unwrap().0);
        }
        fs::write(place.join("notes.txt"), "not a backup").unwrap();
        let kept: Vec<_> = names(&place)
            .into_iter()
            .map(|(_, name)| place.join(name))
            .collect();
        assert_eq!(kept, made[2..]);
        let again = Backups::new(place, 3);
        assert_eq!(again.newest(None).unwrap().0, made[4]);
        let lineage = store.head().snapshot.lineage();
        assert!(again.newest(Some(Lineage([9; 16]))).is_none());
        fs::write(&made[4], "damaged").unwrap();
        assert_eq!(again.newest(Some(lineage)).unwrap().0, made[3]);
        let next = again.make(&store).await.unwrap().0;
        assert!(next > made[4], "names rise");
    }
}
