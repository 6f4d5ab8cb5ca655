//! Why a control plane does not run.

use std::{io, net::SocketAddr};

use tyrscale_access::{AccessError, PortTlsError};
use tyrscale_store::StoreError;
use tyrscale_telemetry::TelemetryError;

use crate::{config::ConfigError, secrets::SecretsError};

/// Why a control plane did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A flag breaks a rule.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address could not be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A socket that is listened on cannot be used.
    #[error("a listening socket cannot be used")]
    Socket(#[source] io::Error),
    /// Certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] PortTlsError),
    /// A file about access could not be read or written.
    #[error("access could not be set up: {0}")]
    Access(#[source] io::Error),
    /// Tokens, revoked nodes or the audit log could not be read.
    #[error(transparent)]
    Tokens(#[from] AccessError),
    /// The keys of the OpenID provider could not be had.
    #[cfg(feature = "oidc")]
    #[error(transparent)]
    Oidc(#[from] tyrscale_access::OidcError),
    /// The data directory could not be made.
    #[error("{} cannot be made", directory.display())]
    DataDirectory {
        /// Where.
        directory: std::path::PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Values of secrets cannot be sealed and opened.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is nothing to restore from.
    #[error("there is no backup that proves itself in {}", directory.display())]
    NoBackup {
        /// Where they should be.
        directory: std::path::PathBuf,
    },
    /// A backup is not to go on as the store it was made of.
    #[error(
        "{0} is a backup: more may have come after it, and run somewhere. `store restore {0}` makes a store of it that says \
         so; with --allow-backup it is imported all the same",
        file.display()
    )]
    BackupImported {
        /// Which.
        file: std::path::PathBuf,
    },
    /// What a gateway keeps on its disk is nothing to make a store of.
    #[error(transparent)]
    LastGood(#[from] tyrscale_client::LastGoodError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Metrics could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The descriptors for reflection could not be read.
    #[error("reflection could not be set up")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The descriptors for `/api/v2` could not be read.
    #[error("/api/v2 could not be set up")]
    Transcode(#[from] tyrscale_transcode::DescriptorError),
    /// The gRPC server failed.
    #[error("gRPC server failed")]
    Grpc(#[from] tonic::transport::Error),
}
