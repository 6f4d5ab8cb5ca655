//! Opening the store, and what is served when it cannot be.

use std::{
    io::{self, Read as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tyrscale_store::{Store, StoreError, StoreOptions};

use crate::{
    backups::{Backups, make_directory},
    config::ControlPlaneConfig,
    error::ControlPlaneError,
};

/// How long the look at the store may take.
const LOOK_LIMIT: Duration = Duration::from_secs(60);
/// How much of what it says is heard, in bytes.
const MAX_WORDS: u64 = 64 * 1024;
/// The exit code by which it says that the store is damaged.
pub(crate) const DAMAGED: u8 = 4;

/// A store that is served.
#[derive(Debug)]
pub(crate) enum Opened {
    /// As it is.
    Whole(Store),
    /// It is damaged; its newest verified backup is served in its place, and takes no writes.
    Backup(Store),
    /// It is damaged, and there is no backup that proves itself; the reason.
    Nothing(String),
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
        true => Err("it is missing, and there are backups of it".to_owned()),
        false => look(config.backups.examiner.as_deref(), &config.data_dir).await,
    };
    let opened = match looked {
        Ok(()) => Store::open(&config.data_dir, options.clone()).await,
        Err(reason) => Err(StoreError::Damaged {
            path: config.data_dir.clone(),
            reason,
        }),
    };
    match opened {
        Ok(store) => Ok(Opened::Whole(store)),
        Err(error @ StoreError::Damaged { .. }) => recover(config, options, &error.to_string()).await,
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
async fn look(examiner: Option<&Path>, data_dir: &Path) -> Result<(), String> {
    let Some(examiner) = examiner.filter(|_| Store::is_in(data_dir)) else {
        return Ok(());
    };
    let mut command = Command::new(examiner);
    command
        .args(["store", "verify", "--quick", "--data-dir"])
        .arg(data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (words, status) = match said(command).await {
        Ok(Some(ended)) => ended,
        Ok(None) => {
            return Err(format!(
                "its database did not open within {} s",
                LOOK_LIMIT.as_secs()
            ));
        }
        Err(error) => {
            tracing::warn!(%error, "the store is opened without a look at it before");
            return Ok(());
        }
    };
    match status.code() {
        Some(code) if code == i32::from(DAMAGED) => {
            let last = words.lines().last().unwrap_or_default();
            Err(last
                .split_once("is damaged: ")
                .map_or(last, |(_, reason)| reason)
                .to_owned())
        }
        Some(_) => Ok(()),
        None => Err(format!("its database ends the process that opens it ({status})")),
    }
}

/// What a process says to standard error until it ends, and how it ended; `None` when it does not end in time.
async fn said(mut command: Command) -> io::Result<Option<(String, ExitStatus)>> {
    let mut child = command.spawn()?;
    let errors = child.stderr.take();
    let hearing = tokio::task::spawn_blocking(move || {
        let mut words = Vec::new();
        if let Some(errors) = errors {
            errors.take(MAX_WORDS).read_to_end(&mut words)?;
        }
        Ok::<_, io::Error>(String::from_utf8_lossy(&words).into_owned())
    });
    let heard = tokio::time::timeout(LOOK_LIMIT, hearing).await;
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
    damage: &str,
) -> Result<Opened, ControlPlaneError> {
    let backups = backups_of(config);
    let lineage = Store::acknowledged_lineage(&config.data_dir);
    let finding = tokio::task::spawn_blocking(move || backups.newest(lineage));
    let found = finding
        .await
        .map_err(|error| StoreError::Unavailable(format!("backups could not be read: {error}")))?;
    let directory = config.data_dir.display();
    let Some((path, archive)) = found else {
        let reason = format!(
            "{damage}; there is no backup of it that proves itself: `tyrctl store adopt GATEWAY-DATA-DIR --data-dir \
             {directory}` makes a store of what a gateway runs"
        );
        tracing::error!(reason, "recovery mode: nothing is served");
        return Ok(Opened::Nothing(reason));
    };
    let reason = format!(
        "{damage}; revision {} of its backup {file} is served: `tyrctl store restore {file} --data-dir {directory}` makes a \
         store of it",
        archive.revision(),
        file = path.display()
    );
    tracing::error!(
        reason,
        "recovery mode: reads and subscribers are served, writes are refused"
    );
    make_data_directory(&config.data_dir)?;
    let engine = Arc::new(archive.served_because(reason));
    Ok(Opened::Backup(Store::over(engine, options).await?))
}
