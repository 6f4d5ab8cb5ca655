//! The options about keeping the store safe.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::ConfigError;

/// How the store is kept safe.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Directory of verified backups of the store; "backups" in the data directory when absent. Best on another disk.
    #[arg(long, env = "TYRSCALE_BACKUP_DIR", value_name = "DIRECTORY")]
    pub backup_dir: Option<PathBuf>,
    /// Milliseconds between two backups, the first at the start; 1000 to 604800000, or 0 for none.
    #[arg(long, env = "TYRSCALE_BACKUP_INTERVAL_MS", default_value_t = 3_600_000)]
    pub backup_interval_ms: u64,
    /// Backups kept, the newest; 1 to 1000.
    #[arg(long, env = "TYRSCALE_BACKUP_KEEP", default_value_t = 5)]
    pub backup_keep: usize,
    /// Milliseconds that the look at the store before it is opened may take; 1000 to 86400000. Then it is taken for out of
    /// order, and the newest backup is served.
    #[arg(long, env = "TYRSCALE_VERIFY_TIMEOUT_MS", default_value_t = 600_000)]
    pub verify_timeout_ms: u64,
    /// The program that looks at the store before it is opened, in a process of its own, with `store verify --quick`: its
    /// database may end a process over a damaged file, or never answer. None: the store is opened without that look.
    #[arg(skip)]
    pub examiner: Option<PathBuf>,
}

impl Default for BackupArgs {
    fn default() -> Self {
        Self {
            backup_dir: None,
            backup_interval_ms: 3_600_000,
            backup_keep: 5,
            verify_timeout_ms: 600_000,
            examiner: None,
        }
    }
}

impl BackupArgs {
    /// Where backups of the store in `data_dir` are.
    pub(crate) fn directory(&self, data_dir: &Path) -> PathBuf {
        self.backup_dir
            .clone()
            .unwrap_or_else(|| data_dir.join("backups"))
    }

    /// The time between two; `None` for none.
    pub(crate) fn interval(&self) -> Option<Duration> {
        (self.backup_interval_ms > 0).then(|| Duration::from_millis(self.backup_interval_ms))
    }

    /// How long the look at the store may take.
    pub(crate) const fn verify_timeout(&self) -> Duration {
        Duration::from_millis(self.verify_timeout_ms)
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let bad = |flag, rule: &str| {
            let rule = rule.to_owned();
            Err(ConfigError { flag, rule })
        };
        if self.backup_interval_ms != 0 && !(1000..=604_800_000).contains(&self.backup_interval_ms) {
            return bad("--backup-interval-ms", "must be 1000 to 604800000, or 0");
        }
        if !(1..=1000).contains(&self.backup_keep) {
            return bad("--backup-keep", "must be 1 to 1000");
        }
        if !(1000..=86_400_000).contains(&self.verify_timeout_ms) {
            return bad("--verify-timeout-ms", "must be 1000 to 86400000");
        }
        Ok(())
    }
}
