//! Connections to upstreams: made, through a proxy and with TLS where asked for.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tyrscale_model::{HttpUrl, ProxyAddress, Scheme};

use crate::config::Settings;
use crate::dial::tunnel::Tunnel;

mod stream;
mod tunnel;

pub(crate) use stream::Stream;

/// Knows the ways to upstreams.
#[derive(Debug, Clone)]
pub(crate) struct Dialler {
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

/// Where connections are made to, and how.
pub(crate) struct Destination {
    host: String,
    port: u16,
    tunnel: Option<Tunnel>,
    /// For `https`: whom the certificate has to name.
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    timeout: Duration,
}

impl Dialler {
    /// Trusts the usual public authorities, and those of the settings.
    ///
    /// # Errors
    /// When an authority of the settings is no certificate, or TLS cannot be set up.
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        for authority in &settings.upstream_authorities {
            roots.add(CertificateDer::clone(authority))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Arc::new(tls),
            timeout: settings.connect_timeout,
        })
    }

    /// The way to the host of `url`, directly or through `proxy`; `None` when a part of it cannot be dialled.
    pub(crate) fn destination(&self, url: &HttpUrl, proxy: Option<&ProxyAddress>) -> Option<Destination> {
        let host = without_brackets(url.host()).to_owned();
        let tls = match url.scheme() {
            Scheme::Http => None,
            Scheme::Https => Some((ServerName::try_from(host.clone()).ok()?, Arc::clone(&self.tls))),
        };
        let tunnel = match proxy {
            Some(proxy) => Some(Tunnel::new(proxy, url)?),
            None => None,
        };
        Some(Destination {
            host,
            port: url.port(),
            tunnel,
            tls,
            timeout: self.timeout,
        })
    }
}

impl Destination {
    /// Makes a connection within the connect timeout, which covers the name, TCP, the proxy and TLS.
    ///
    /// # Errors
    /// When there is none in time, or the other side is not who it should be.
    pub(crate) async fn dial(&self) -> io::Result<Stream> {
        tokio::time::timeout(self.timeout, self.connect())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    async fn connect(&self) -> io::Result<Stream> {
        let tcp = match &self.tunnel {
            None => connect(&self.host, self.port).await?,
            Some(tunnel) => {
                let (host, port) = tunnel.proxy();
                tunnel.open(connect(host, port).await?).await?
            }
        };
        let Some((name, config)) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name.clone(), tcp).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An IPv6 address as it stands outside of URLs.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}
