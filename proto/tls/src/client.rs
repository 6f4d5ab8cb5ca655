//! TLS towards the control plane.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authorities::{AuthoritiesError, roots};
use crate::certificate::{CertificateError, CertificateFiles, Contents};

/// How a client proves who it is to the control plane, and knows that it is the control plane.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClientTlsArgs {
    /// PEM file of the authorities that certify the control plane; without it the public ones.
    #[arg(
        id = "control-plane-ca",
        long = "ca",
        global = true,
        env = "TYRSCALE_CA",
        value_name = "FILE"
    )]
    pub ca: Option<PathBuf>,
    /// PEM file of the certificate shown to the control plane and those that lead to its authority; needs --key.
    #[arg(
        id = "control-plane-cert",
        long = "cert",
        global = true,
        env = "TYRSCALE_CERT",
        value_name = "FILE",
        requires = "control-plane-key"
    )]
    pub cert: Option<PathBuf>,
    /// PEM file of the private key of --cert.
    #[arg(
        id = "control-plane-key",
        long = "key",
        global = true,
        env = "TYRSCALE_KEY",
        value_name = "FILE",
        requires = "control-plane-cert"
    )]
    pub key: Option<PathBuf>,
}

impl From<ClientTlsArgs> for ClientTls {
    fn from(args: ClientTlsArgs) -> Self {
        let pair = args.cert.zip(args.key);
        Self {
            ca: args.ca,
            pair: pair.map(|(certificate, key)| CertificateFiles { certificate, key }),
        }
    }
}

/// TLS towards the control plane, from files that are read at each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM: the authorities that certify the control plane; the public ones without it.
    pub ca: Option<PathBuf>,
    /// What this client shows, if asked.
    pub pair: Option<CertificateFiles>,
}

/// Why TLS towards the control plane cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum ClientTlsError {
    /// The authorities cannot be used.
    #[error(transparent)]
    Authorities(#[from] AuthoritiesError),
    /// The certificate or its key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// rustls refuses the configuration.
    #[error("tls cannot be configured")]
    Config(#[from] rustls::Error),
    /// The host of the address is no name a certificate can have.
    #[error("the host is no name that a certificate can have")]
    Name,
    /// The handshake failed.
    #[error("{0}")]
    Handshake(#[source] io::Error),
}

impl ClientTls {
    /// The configuration for a connection that speaks one of `protocols`; reads the files, so it blocks.
    ///
    /// # Errors
    /// [`ClientTlsError`] when a file cannot be used.
    pub fn config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, ClientTlsError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let mut config = match &self.pair {
            Some(files) => {
                let (chain, key) = pair(files)?;
                let refused = |source| CertificateError::Key {
                    file: files.key.clone(),
                    source,
                };
                builder.with_client_auth_cert(chain, key).map_err(refused)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    /// Shakes hands over `stream` with the control plane at `host`, with the files as they are now.
    ///
    /// # Errors
    /// [`ClientTlsError`] when a file cannot be used, or the control plane is not who it should be.
    pub async fn connect<S>(
        &self,
        host: &str,
        protocols: &'static [&'static [u8]],
        stream: S,
    ) -> Result<TlsStream<S>, ClientTlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(|_| ClientTlsError::Name)?;
        let own = self.clone();
        let config = tokio::task::spawn_blocking(move || own.config(protocols)).await;
        let config = config.map_err(|error| ClientTlsError::Handshake(io::Error::other(error)))??;
        let connector = TlsConnector::from(Arc::new(config));
        connector
            .connect(name, stream)
            .await
            .map_err(ClientTlsError::Handshake)
    }

    fn roots(&self) -> Result<RootCertStore, ClientTlsError> {
        let Some(file) = &self.ca else {
            return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        };
        let contents = std::fs::read(file).map_err(|source| AuthoritiesError::Unreadable {
            file: file.clone(),
            source,
        })?;
        Ok(roots(file, &contents)?)
    }
}

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn pair(files: &CertificateFiles) -> Result<Pair, CertificateError> {
    let contents = Contents::read(files)?;
    let not_pem = |file: &PathBuf, what| {
        let file = file.clone();
        move |source: pem::Error| CertificateError::NotPem { file, what, source }
    };
    Ok((
        contents
            .chain()
            .map_err(not_pem(&files.certificate, "certificate"))?,
        contents
            .private_key()
            .map_err(not_pem(&files.key, "private key"))?,
    ))
}
