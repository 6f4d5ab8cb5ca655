//! TLS towards upstreams.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

/// How many upstreams' sessions are kept to be resumed.
const SESSIONS: usize = 1024;

/// The name of HTTP/2 in ALPN. Source: RFC 9113, section 3.2.
pub(crate) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Which versions of HTTP an upstream is offered in the TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    Both,
    Http1,
    Http2,
}

/// The ways to speak TLS with upstreams, one for each [`Offer`]. All resume the sessions of all.
#[derive(Debug, Clone)]
pub(crate) struct ClientTls {
    both: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl ClientTls {
    /// Trusts the usual public authorities and `authorities`.
    ///
    /// # Errors
    /// When an authority is no certificate, or TLS cannot be set up.
    pub(crate) fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        let offering = |versions: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            both: offering(&[HTTP2, HTTP1]),
            http1: offering(&[HTTP1]),
            http2: offering(&[HTTP2]),
        })
    }

    pub(crate) fn offering(&self, offer: Offer) -> Arc<ClientConfig> {
        Arc::clone(match offer {
            Offer::Both => &self.both,
            Offer::Http1 => &self.http1,
            Offer::Http2 => &self.http2,
        })
    }
}
