//! The sockets a control plane serves.

use std::{io, os::fd::AsFd as _};

use tokio::net::TcpListener;
use tyrscale_store::Store;

use crate::{config::ControlPlaneConfig, error::ControlPlaneError};

/// The sockets a control plane serves.
#[derive(Debug)]
pub struct Listeners {
    /// The gRPC services.
    pub grpc: TcpListener,
    /// The REST shim.
    pub rest: TcpListener,
    /// The admin endpoints, if wanted.
    pub admin: Option<TcpListener>,
}

impl Listeners {
    /// Says what is served where.
    pub(super) fn tell(&self, config: &ControlPlaneConfig, store: &Store) {
        tracing::info!(
            revision = %store.head().snapshot.revision(),
            grpc = self.grpc.local_addr().ok().map(tracing::field::display),
            rest = self.rest.local_addr().ok().map(tracing::field::display),
            tls = config.access.tls_cert.is_some(),
            tokens = config.access.tokens,
            "control plane serves"
        );
    }

    /// Whether it is safe to serve there.
    pub(super) fn check(&self, config: &ControlPlaneConfig) -> Result<(), ControlPlaneError> {
        for (flag, listener) in [("--grpc-listen", &self.grpc), ("--rest-listen", &self.rest)] {
            if let Ok(address) = listener.local_addr() {
                config.access.check_listener(flag, address)?;
            }
        }
        Ok(())
    }

    /// The same sockets for somebody else.
    pub(super) fn try_clone(&self) -> Result<Self, ControlPlaneError> {
        let clone = |listener: &TcpListener| {
            let clone = || -> io::Result<TcpListener> {
                let socket = listener.as_fd().try_clone_to_owned()?;
                TcpListener::from_std(socket.into())
            };
            clone().map_err(ControlPlaneError::Socket)
        };
        Ok(Self {
            grpc: clone(&self.grpc)?,
            rest: clone(&self.rest)?,
            admin: self.admin.as_ref().map(clone).transpose()?,
        })
    }

    /// Listens where the configuration says.
    ///
    /// # Errors
    /// [`ControlPlaneError::Listen`] naming the address.
    pub async fn bind(config: &ControlPlaneConfig) -> Result<Self, ControlPlaneError> {
        let bind = async |address| {
            let listener = TcpListener::bind(address).await;
            listener.map_err(|source| ControlPlaneError::Listen { address, source })
        };
        Ok(Self {
            grpc: bind(config.grpc_listen).await?,
            rest: bind(config.rest_listen).await?,
            admin: match config.admin_listen {
                Some(address) => Some(bind(address).await?),
                None => None,
            },
        })
    }
}
