//! Opening the store, and what is served when it cannot be.

use std::{
    io::{self, Read as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tyrscale_model::Revision;
use tyrscale_store::{Store, StoreError, StoreOptions};

use crate::{
    backups::{Backups, make_directory, utc},
    config::{BackupArgs, ControlPlaneConfig},
    error::ControlPlaneError,
};

/// What to do about a store that does not answer.
const PATIENCE: &str = "start again, with a longer --verify-timeout-ms if its disk is slow";
/// How much of what the look at the store says is heard, in bytes.
const MAX_WORDS: u64 = 64 * 1024;
/// The exit code by which it says that the store is damaged.
pub(crate) const DAMAGED: u8 = 4;

/// A store that is served.
#[derive(Debug)]
pub(crate) enum Opened {
    /// As it is.
    Whole(Store),
    /// It is not; its newest verified backup is served in its place, and takes no writes.
    Backup(Store),
    /// It is not, and there is no backup that proves itself; the reason.
    Nothing(String),
}

/// Why a store is not opened.
#[derive(Debug)]
enum Fault {
    /// What it has is not what was acknowledged; how that shows.
    Damaged(String),
    /// The look at it did not end in this time, whatever it is like.
    Unanswered(Duration),
}

impl Fault {
    fn of(&self, data_dir: &Path) -> String {
        match self {
            Self::Damaged(reason) => StoreError::Damaged {
                path: data_dir.to_owned(),
                reason: reason.clone(),
            }
            .to_string(),
            Self::Unanswered(limit) => format!(
                "store {} did not answer in time ({} ms), whatever is in it",
                data_dir.display(),
                limit.as_millis()
            ),
        }
    }

    /// What is wrong, and what to do about it, when a backup is served.
    fn with_backup(&self, data_dir: &Path, backup: &Path, revision: Revision) -> String {
        let (place, file) = (data_dir.display(), backup.display());
        let todo = match self {
            Self::Damaged(_) => {
                format!("`tyrctl store restore {file} --data-dir {place}` makes a store of it")
            }
            Self::Unanswered(_) => PATIENCE.to_owned(),
        };
        let fault = self.of(data_dir);
        format!("{fault}; revision {revision} of its backup {file} is served: {todo}")
    }

    /// The same when there is none.
    fn without_backup(&self, data_dir: &Path) -> String {
        let place = data_dir.display();
        let todo = match self {
            Self::Damaged(_) => format!(
                "`tyrctl store adopt GATEWAY-DATA-DIR --data-dir {place}` makes a store of what a gateway runs"
            ),
            Self::Unanswered(_) => PATIENCE.to_owned(),
        };
        let fault = self.of(data_dir);
        format!("{fault}; there is no backup of it that proves itself: {todo}")
    }
}

/// Opens the store. One that is damaged is not mended, nor begun anew.
pub(crate) async fn open(
    config: &ControlPlaneConfig,
    options: StoreOptions,
) -> Result<Opened, ControlPlaneError> {
    #[cfg(feature = "etcd")]
    if let Some(store) = config.etcd.open(options.clone()).await? {
        make_data_directory(&config.data_dir)?;
        return Ok(Opened::Whole(store));
    }
    let looked = match is_lost(config) {
        true => Err(Fault::Damaged(
            "it is missing, and there are backups of it".to_owned(),
        )),
        false => look(&config.backups, &config.data_dir).await,
    };
    let opened = match looked {
        Ok(()) => Store::open(&config.data_dir, options.clone()).await,
        Err(fault) => return recover(config, options, fault).await,
    };
    match opened {
        Ok(store) => Ok(Opened::Whole(store)),
        Err(StoreError::Damaged { reason, .. }) => recover(config, options, Fault::Damaged(reason)).await,
        Err(error) => Err(error.into()),
    }
}

/// Keys lie in it beside the store; a store of sled makes it by itself.
fn make_data_directory(path: &Path) -> Result<(), ControlPlaneError> {
    make_directory(path).map_err(|source| ControlPlaneError::DataDirectory {
        directory: path.to_owned(),
        source,
    })
}

/// Whether there was a store that is not there any more.
fn is_lost(config: &ControlPlaneConfig) -> bool {
    !Store::is_in(&config.data_dir) && backups_of(config).has_any()
}

fn backups_of(config: &ControlPlaneConfig) -> Backups {
    Backups::new(
        config.backups.directory(&config.data_dir),
        config.backups.backup_keep,
    )
}

/// Looks at the store in a process of its own. An error says how it is damaged; what else is wrong with it shows when it is
/// opened.
async fn look(backups: &BackupArgs, data_dir: &Path) -> Result<(), Fault> {
    let Some(examiner) = backups.examiner.as_deref().filter(|_| Store::is_in(data_dir)) else {
        return Ok(());
    };
    let limit = backups.verify_timeout();
    let mut command = Command::new(examiner);
    command
        .args(["store", "verify", "--quick", "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (words, status) = match said(command, limit).await {
        Ok(Some(ended)) => ended,
        Ok(None) => return Err(Fault::Unanswered(limit)),
        Err(error) => {
            tracing::warn!(%error, "the store is opened without a look at it before");
            return Ok(());
        }
    };
    match status.code() {
        Some(code) if code == i32::from(DAMAGED) => {
            let last = words.lines().last().unwrap_or_default();
            let reason = last.split_once("is damaged: ");
            Err(Fault::Damaged(
                reason.map_or(last, |(_, reason)| reason).to_owned(),
            ))
        }
        Some(_) => Ok(()),
        None => Err(Fault::Damaged(format!(
            "its database ends the process that opens it ({status})"
        ))),
    }
}

/// What a process says to standard error until it ends, and how it ended; `None` when it does not end in time.
async fn said(mut command: Command, limit: Duration) -> io::Result<Option<(String, ExitStatus)>> {
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    let hearing = tokio::task::spawn_blocking(move || {
        let mut words = Vec::new();
        if let Some(errors) = errors {
            errors.take(MAX_WORDS).read_to_end(&mut words)?;
        }
        Ok::<_, io::Error>(String::from_utf8_lossy(&words).into_owned())
    });
    let heard = tokio::time::timeout(limit, hearing).await;
    if heard.is_err() {
        child.kill()?;
    }
    let status = tokio::task::spawn_blocking(move || child.wait());
    let status = status.await.map_err(io::Error::other)??;
    match heard {
        Ok(words) => Ok(Some((words.map_err(io::Error::other)??, status))),
        Err(_) => Ok(None),
    }
}

/// Serves the newest verified backup. It is of the store's own lineage and not ahead of it, so no subscriber is sent
/// what it has not had: one that has more is told to hold what it runs.
async fn recover(
    config: &ControlPlaneConfig,
    options: StoreOptions,
    fault: Fault,
) -> Result<Opened, ControlPlaneError> {
    let backups = backups_of(config);
    let lineage = Store::acknowledged_lineage(&config.data_dir);
    let finding = tokio::task::spawn_blocking(move || backups.newest(lineage));
    let found = finding
        .await
        .map_err(|error| StoreError::Unavailable(format!("backups could not be read: {error}")))?;
    let Some((path, archive)) = found else {
        let reason = fault.without_backup(&config.data_dir);
        tracing::error!(reason, "recovery mode: nothing is served");
        return Ok(Opened::Nothing(reason));
    };
    let reason = fault.with_backup(&config.data_dir, &path, archive.revision());
    tracing::error!(
        reason,
        "recovery mode: reads and subscribers are served, writes are refused"
    );
    make_data_directory(&config.data_dir)?;
    let taken = utc(archive.taken());
    tracing::error!(
        taken,
        "recovery mode: revocations since the backup was taken are not in it: tokens and nodes revoked since are let in \
         again"
    );
    let engine = Arc::new(archive.served_because(reason));
    Ok(Opened::Backup(Store::over(engine, options).await?))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[tokio::test]
    async fn a_store_that_does_not_answer_in_time_is_not_called_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
        store.close().await;
        let examiner = dir.path().join("examiner");
        fs::write(&examiner, "#!/bin/sh\nexec sleep 600\n").unwrap();
        fs::set_permissions(&examiner, fs::Permissions::from_mode(0o700)).unwrap();
        let backups = BackupArgs {
            verify_timeout_ms: 1,
            examiner: Some(examiner),
            ..BackupArgs::default()
        };
        let fault = look(&backups, dir.path()).await.unwrap_err();
        let (place, backup) = (dir.path(), Path::new("b.tyrstore"));
        for told in [
            fault.with_backup(place, backup, Revision(3)),
            fault.without_backup(place),
        ] {
            assert!(told.contains("did not answer in time (1 ms)"), "{told}");
            assert!(told.contains("--verify-timeout-ms"), "{told}");
            for wrong in ["damaged", "tyrctl store"] {
                assert!(!told.contains(wrong), "{told}");
            }
        }
    }
}
