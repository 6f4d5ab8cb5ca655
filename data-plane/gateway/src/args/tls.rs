//! The options of TLS towards clients.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::args::duration;
use crate::config::ConfigError;
use crate::tls::CertificateFiles;

/// The options of TLS towards clients.
#[derive(Debug, Clone, clap::Args)]
pub struct TlsArgs {
    /// Where clients connect with TLS; needs --tls-cert and --tls-key.
    #[arg(long, env = "TYRSCALE_GATEWAY_TLS_LISTEN")]
    pub tls_listen: Option<SocketAddr>,
    /// PEM file of a certificate and those that lead to its authority; repeat it, with --tls-key, for more. A client
    /// is shown the one for the server name it asks for, else the first.
    #[arg(long = "tls-cert", env = "TYRSCALE_GATEWAY_TLS_CERTS", value_delimiter = ',')]
    pub certificates: Vec<PathBuf>,
    /// PEM file of the private key of the --tls-cert in the same place.
    #[arg(long = "tls-key", env = "TYRSCALE_GATEWAY_TLS_KEYS", value_delimiter = ',')]
    pub keys: Vec<PathBuf>,
    /// How long a TLS handshake with a client may take.
    #[arg(long, env = "TYRSCALE_GATEWAY_TLS_HANDSHAKE_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub tls_handshake_timeout: Duration,
}

/// How TLS is spoken with clients.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// What they may be shown, at least one; the first is for those that ask for none of them by name.
    pub certificates: Vec<CertificateFiles>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

impl TlsArgs {
    pub(crate) fn check(self) -> Result<Option<TlsConfig>, ConfigError> {
        if self.tls_handshake_timeout.is_zero() {
            return Err(ConfigError::Zero {
                option: "--tls-handshake-timeout",
            });
        }
        match (self.tls_listen, self.certificates.len(), self.keys.len()) {
            (None, 0, 0) => return Ok(None),
            (None, ..) => return Err(ConfigError::NoTlsListen),
            (Some(_), certificates, keys) if certificates == keys && keys > 0 => {}
            (Some(_), ..) => return Err(ConfigError::TlsPairs),
        }
        let pairs = self.certificates.into_iter().zip(self.keys);
        Ok(Some(TlsConfig {
            certificates: pairs
                .map(|(certificate, key)| CertificateFiles { certificate, key })
                .collect(),
            handshake_timeout: self.tls_handshake_timeout,
        }))
    }
}
