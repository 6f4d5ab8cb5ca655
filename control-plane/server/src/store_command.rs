//! `store`: the store as it lies on the disk, while no control plane runs over it.

mod report;

use std::path::{Path, PathBuf};

use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
#[cfg(feature = "etcd")]
use clap::{error::ErrorKind, parser::ValueSource};
use tyrscale_client::last_good_content;
use tyrscale_model::Snapshot;
use tyrscale_store::{Archive, Store, StoreError, StoreOptions, Table, Verified};

pub use self::report::StoreReport;
use crate::{backups::Backups, error::ControlPlaneError, secrets::Keyless};

/// The exit code of [`StoreVerb::run`] failing with this error: 4 when the store, or a file, is damaged, else 1.
#[must_use]
pub const fn exit_code(error: &ControlPlaneError) -> u8 {
    match error {
        ControlPlaneError::Store(
            StoreError::Damaged { .. } | StoreError::Archive(tyrscale_store::ArchiveError::Damaged { .. }),
        ) => crate::opening::DAMAGED,
        _ => 1,
    }
}

/// What can be done with a store.
#[derive(Debug, Clone, Subcommand)]
pub enum StoreVerb {
    /// Writes everything to a file: resources, history and documents, as they are stored. Secrets in it are not masked.
    Export(Export),
    /// Makes the store of a file, with its lineage and revisions, where there is none: to move a store. Subscribers go on
    /// where they are.
    Import(Import),
    /// Proves a store or a file, row by row and revision by revision.
    Verify(Verify),
    /// Makes the store of a file, with a lineage of its own, in the place of the one that is there, which is moved aside.
    Restore(Restore),
    /// Makes the store of the content that a gateway keeps on its disk, in the place of the one that is there, which is
    /// moved aside.
    Adopt(Adopt),
}

/// Where a store is. One that is named on the command line counts for more than what the environment names.
#[derive(Debug, Clone)]
pub struct Place(Named);

#[derive(Debug, Clone, Args)]
struct Named {
    /// The directory of the store.
    #[arg(
        long,
        env = "TYRSCALE_CONTROL_PLANE_DATA_DIR",
        default_value = "./tyrscale-data/control-plane"
    )]
    data_dir: PathBuf,
    #[cfg(feature = "etcd")]
    #[command(flatten)]
    etcd: crate::etcd::EtcdArgs,
}

/// `store export`.
#[derive(Debug, Clone, Args)]
pub struct Export {
    /// The file to write; what is there is replaced once the new one is verified.
    file: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// `store import`.
#[derive(Debug, Clone, Args)]
pub struct Import {
    /// The file to read.
    file: PathBuf,
    /// Take a backup that a control plane made by itself, too. What came after it is lost, and subscribers that run it are
    /// held; `restore` is meant for that.
    #[arg(long)]
    allow_backup: bool,
    #[command(flatten)]
    place: Place,
}

/// `store verify`.
#[derive(Debug, Clone, Args)]
pub struct Verify {
    /// A file to prove, instead of a store.
    file: Option<PathBuf>,
    /// Prove what a start proves, and not each revision.
    #[arg(long, conflicts_with = "file")]
    quick: bool,
    #[command(flatten)]
    place: Place,
}

/// `store restore`.
#[derive(Debug, Clone, Args)]
pub struct Restore {
    /// The file to read; the newest verified one of the backups when absent.
    file: Option<PathBuf>,
    /// Where the backups are; "backups" in the data directory when absent.
    #[arg(long, env = "TYRSCALE_BACKUP_DIR", value_name = "DIRECTORY")]
    backup_dir: Option<PathBuf>,
    /// The directory of the store.
    #[arg(
        long,
        env = "TYRSCALE_CONTROL_PLANE_DATA_DIR",
        default_value = "./tyrscale-data/control-plane"
    )]
    data_dir: PathBuf,
}

/// `store adopt`.
#[derive(Debug, Clone, Args)]
pub struct Adopt {
    /// The data directory of a gateway.
    gateway_data_dir: PathBuf,
    /// The directory of the store.
    #[arg(
        long,
        env = "TYRSCALE_CONTROL_PLANE_DATA_DIR",
        default_value = "./tyrscale-data/control-plane"
    )]
    data_dir: PathBuf,
}

impl StoreVerb {
    /// Does it, and tells what is there now.
    ///
    /// # Errors
    /// [`ControlPlaneError`]; nothing was changed then.
    pub async fn run(self) -> Result<StoreReport, ControlPlaneError> {
        match self {
            Self::Export(Export { file, place }) => {
                let store = place.open().await?;
                let written = store.write_archive(&file).await;
                store.close().await;
                Ok(StoreReport::of(&file, &written?))
            }
            Self::Import(Import {
                file,
                allow_backup,
                place,
            }) => {
                let (archive, verified) = read(file.clone()).await?;
                if archive.is_backup() && !allow_backup {
                    return Err(ControlPlaneError::BackupImported { file });
                }
                place.import(archive).await?;
                Ok(StoreReport::of(&place.name(), &verified))
            }
            Self::Verify(Verify { file: Some(file), .. }) => {
                let (_, verified) = read(file.clone()).await?;
                Ok(StoreReport::of(&file, &verified))
            }
            Self::Verify(Verify { place, quick, .. }) => {
                let store = place.open().await?;
                let verified = if quick {
                    Ok(Verified::at_start(&store.head()))
                } else {
                    store.verify().await
                };
                store.close().await;
                Ok(StoreReport::of(&place.name(), &verified?))
            }
            Self::Restore(restore) => restore.run().await,
            Self::Adopt(Adopt {
                gateway_data_dir,
                data_dir,
            }) => {
                let snapshot = blocking(move || Ok(last_good_content(&gateway_data_dir)?)).await?;
                adopt(&snapshot, &data_dir).await
            }
        }
    }
}

/// Values of secrets are sealed with keys that a gateway does not have: they count as unset.
async fn adopt(snapshot: &Snapshot, data_dir: &Path) -> Result<StoreReport, ControlPlaneError> {
    let mut archive = Archive::of_content(snapshot, tyrscale_store::now());
    let mut unset_secrets = Vec::new();
    if let Some(Keyless { names, document }) = Keyless::of(snapshot) {
        archive = archive.with_document(Table::Secrets, document.0, document.1);
        unset_secrets = names;
    }
    Ok(StoreReport {
        unset_secrets,
        ..replace(data_dir, archive).await?
    })
}

impl Restore {
    async fn run(self) -> Result<StoreReport, ControlPlaneError> {
        let archive = match self.file {
            Some(file) => read(file).await?.0,
            None => {
                let directory = self.backup_dir.unwrap_or_else(|| self.data_dir.join("backups"));
                let place = directory.clone();
                let newest = blocking(move || Ok(Backups::new(place, 1).newest(None))).await?;
                newest.ok_or(ControlPlaneError::NoBackup { directory })?.1
            }
        };
        let taken = archive.taken();
        let report = replace(&self.data_dir, archive.forked()).await?;
        Ok(report.of_a_time(taken))
    }
}

impl Args for Place {
    fn augment_args(command: clap::Command) -> clap::Command {
        Named::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Named::augment_args_for_update(command)
    }
}

impl FromArgMatches for Place {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = Named::from_arg_matches(matches)?;
        #[cfg(feature = "etcd")]
        let named = named.one_of(|flag| matches.value_source(flag) == Some(ValueSource::CommandLine))?;
        Ok(Self(named))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(feature = "etcd")]
impl Named {
    /// The store that is meant: of two that are named on the command line it is not known.
    fn one_of(mut self, is_on_command_line: impl Fn(&str) -> bool) -> Result<Self, clap::Error> {
        if is_on_command_line("data_dir") {
            if is_on_command_line("etcd") {
                let words = "--data-dir and --etcd name two stores: give one of them\n";
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, words));
            }
            self.etcd.etcd.clear();
        }
        Ok(self)
    }
}

impl Place {
    fn name(&self) -> PathBuf {
        #[cfg(feature = "etcd")]
        if let Some(name) = self.0.etcd.name() {
            return name.into();
        }
        self.0.data_dir.clone()
    }

    async fn open(&self) -> Result<Store, ControlPlaneError> {
        // Nothing is forgotten by looking.
        let options = StoreOptions {
            retention: tyrscale_store::Retention::EVERYTHING,
            ..StoreOptions::default()
        };
        #[cfg(feature = "etcd")]
        if let Some(etcd) = self.0.etcd.options() {
            return Ok(Store::open_existing_etcd(etcd, options).await?);
        }
        Ok(Store::open_existing(&self.0.data_dir, options).await?)
    }

    async fn import(&self, archive: Archive) -> Result<(), ControlPlaneError> {
        #[cfg(feature = "etcd")]
        if let Some(options) = self.0.etcd.options() {
            return Ok(Store::import_etcd(options, archive).await?);
        }
        Ok(Store::import(&self.0.data_dir, archive).await?)
    }
}

/// A file, proved.
async fn read(file: PathBuf) -> Result<(Archive, Verified), ControlPlaneError> {
    blocking(move || {
        let archive = Archive::read(&file).map_err(StoreError::from)?;
        let verified = archive.verify().map_err(StoreError::from)?;
        Ok((archive, verified))
    })
    .await
}

async fn replace(data_dir: &Path, archive: Archive) -> Result<StoreReport, ControlPlaneError> {
    let (archive, verified) = blocking(move || {
        let verified = archive.verify().map_err(StoreError::from)?;
        Ok((archive, verified))
    })
    .await?;
    let set_aside = Store::restore(data_dir, archive).await?;
    Ok(StoreReport {
        set_aside,
        ..StoreReport::of(data_dir, &verified)
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlPlaneError> + Send + 'static,
) -> Result<T, ControlPlaneError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| StoreError::Unavailable(error.to_string()))?
}

#[cfg(all(test, feature = "etcd"))]
mod tests {
    use super::*;

    #[test]
    fn a_directory_on_the_command_line_counts_for_more_than_a_cluster_of_the_environment() {
        let named = Named {
            data_dir: "data".into(),
            etcd: crate::etcd::EtcdArgs {
                etcd: vec!["http://127.0.0.1:2379".parse().unwrap()],
                etcd_cluster: "default".to_owned(),
                ..Default::default()
            },
        };
        let place = |flags: &[&str]| named.clone().one_of(|flag| flags.contains(&flag)).map(Place);
        assert_eq!(place(&["data_dir"]).unwrap().name(), Path::new("data"));
        for flags in [&[][..], &["etcd"]] {
            assert_eq!(
                place(flags).unwrap().name(),
                Path::new("etcd:default"),
                "{flags:?}"
            );
        }
        assert!(place(&["data_dir", "etcd"]).is_err());
    }
}
