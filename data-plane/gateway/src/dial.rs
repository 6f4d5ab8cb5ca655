//! The way to an upstream: its name resolved, its addresses raced, a proxy asked, TLS spoken.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tyrscale_model::{HttpUrl, ProxyAddress, Scheme};

use crate::config::Settings;
use crate::dial::resolver::{Host, Resolver, Unresolved};
use crate::dial::tls::ClientTls;
use crate::dial::tunnel::Tunnel;

mod race;
mod resolver;
mod stream;
mod tls;
mod tunnel;

pub(crate) use stream::Stream;
pub(crate) use tls::Offer;

/// Knows the ways to upstreams.
#[derive(Debug, Clone)]
pub(crate) struct Dialler {
    resolver: Arc<Resolver>,
    tls: ClientTls,
    timeout: Duration,
}

/// Where connections are made to, and how.
pub(crate) struct Destination {
    /// Of the upstream, or of the proxy in front of it.
    host: Arc<Host>,
    port: u16,
    tunnel: Option<Tunnel>,
    /// For `https`: whom the certificate has to name.
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
    timeout: Duration,
}

/// A connection that has been made.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) stream: Stream,
    /// The address that was reached: the upstream's or the proxy's.
    pub(crate) address: IpAddr,
    /// Whether HTTP/2 was agreed on.
    pub(crate) http2: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("name cannot be resolved")]
    Name(#[from] Unresolved),
    #[error("no address can be connected to")]
    Connect(#[source] io::Error),
    #[error("proxy makes no tunnel")]
    Proxy(#[source] io::Error),
    #[error("tls handshake failed")]
    Tls(#[source] io::Error),
    #[error("took too long")]
    TooSlow,
}

impl Dialler {
    /// Trusts the usual public authorities, and those of the settings.
    ///
    /// # Errors
    /// When an authority of the settings is no certificate, or TLS cannot be set up.
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        Ok(Self {
            resolver: Arc::new(Resolver::of_the_system(settings.dns_refresh)),
            tls: ClientTls::new(&settings.upstream_authorities)?,
            timeout: settings.connect_timeout,
        })
    }

    /// The way to the host of `url`, directly or through `proxy`; `None` when a part of it cannot be dialled.
    pub(crate) fn destination(
        &self,
        url: &HttpUrl,
        proxy: Option<&ProxyAddress>,
        offer: Offer,
    ) -> Option<Destination> {
        let tls = match url.scheme() {
            Scheme::Http => None,
            Scheme::Https => {
                let name = ServerName::try_from(without_brackets(url.host()).to_owned()).ok()?;
                Some((name, self.tls.offering(offer)))
            }
        };
        let (host, port) = match proxy {
            None => (url.host(), url.port()),
            Some(proxy) => (proxy.host(), proxy.port()),
        };
        let tunnel = match proxy {
            Some(proxy) => Some(Tunnel::new(proxy, url)?),
            None => None,
        };
        Some(Destination {
            host: self.resolver.host(without_brackets(host)),
            port,
            tunnel,
            tls,
            timeout: self.timeout,
        })
    }
}

impl Destination {
    /// Makes a connection within the connect timeout, which covers the name, TCP, the proxy and TLS. Dropped, it
    /// leaves nothing behind but what was learnt of the name.
    ///
    /// # Errors
    /// When there is none in time, or the other side is not who it should be.
    pub(crate) async fn dial(&self) -> Result<Dialled, DialError> {
        match tokio::time::timeout(self.timeout, self.connect()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(DialError::TooSlow),
        }
    }

    async fn connect(&self) -> Result<Dialled, DialError> {
        let addresses = self.host.addresses().await?;
        let connected = race::connect(&addresses, self.port).await;
        let (mut tcp, address) = connected.map_err(DialError::Connect)?;
        if let Some(tunnel) = &self.tunnel {
            tunnel.open(&mut tcp).await.map_err(DialError::Proxy)?;
        }
        let Some((name, config)) = &self.tls else {
            return Ok(Dialled {
                stream: Stream::Plain(tcp),
                address,
                http2: false,
            });
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector
            .connect(name.clone(), tcp)
            .await
            .map_err(DialError::Tls)?;
        Ok(Dialled {
            http2: stream.get_ref().1.alpn_protocol() == Some(tls::HTTP2),
            stream: Stream::Tls(Box::new(stream)),
            address,
        })
    }

    /// Whether its name still leads to `address`: a connection to another one is not to be used again.
    pub(crate) fn leads_to(&self, address: IpAddr) -> bool {
        self.host.leads_to(address)
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

/// An IPv6 address as it stands outside of URLs.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests;
