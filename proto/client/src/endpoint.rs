//! How the control plane is connected to.

use std::{io, time::Duration};

use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Error};
use tyrscale_tls::ClientTls;

use crate::ClientError;

const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Trailers carry broken rules.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// What gRPC is spoken over. Source: RFC 7301.
const PROTOCOLS: &[&[u8]] = &[b"h2"];

/// A control plane, and how to speak with it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    endpoint: Endpoint,
    host: String,
    /// For `https`.
    tls: Option<ClientTls>,
}

impl Server {
    /// A server at `http://host[:port]`, or at `https://host[:port]` with `tls`, whose death is noticed.
    ///
    /// # Errors
    /// [`ClientError::InvalidEndpoint`] for another form.
    pub(crate) fn new(uri: &Uri, connect_timeout: Duration, tls: &ClientTls) -> Result<Self, ClientError> {
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or(ClientError::InvalidEndpoint)?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(ClientError::InvalidEndpoint),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(ClientError::InvalidEndpoint);
        }
        // The transport would want to do TLS itself for https, with files read once; ours reads them each time.
        let plain = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(authority.clone())
            .path_and_query("/")
            .build()
            .map_err(|_| ClientError::InvalidEndpoint)?;
        let endpoint = Endpoint::new(plain)
            .map_err(|_| ClientError::InvalidEndpoint)?
            .origin(uri.clone())
            .connect_timeout(connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .http2_max_header_list_size(MAX_HEADER_LIST);
        Ok(Self {
            endpoint,
            host: authority.host().to_owned(),
            tls: is_tls.then(|| tls.clone()),
        })
    }

    /// The same, whose calls end without the head of an answer in time.
    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self {
            endpoint: self.endpoint.timeout(timeout),
            ..self
        }
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Connects; the channel connects again by itself, with the files of that time.
    pub(crate) async fn connect(&self) -> Result<Channel, Error> {
        let Some(tls) = self.tls.clone() else {
            return self.endpoint.connect().await;
        };
        let host = self.host.clone();
        let connector = tower::service_fn(move |uri: Uri| {
            let (tls, host) = (tls.clone(), host.clone());
            async move {
                let port = uri.port_u16().unwrap_or(443);
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((name, port)).await?;
                stream.set_nodelay(true)?;
                let stream = tls.connect(&host, PROTOCOLS, stream).await;
                stream.map(TokioIo::new).map_err(io::Error::other)
            }
        });
        self.endpoint.connect_with_connector(connector).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_endpoints_without_user_or_path_are_taken() {
        let server = |uri: &str| {
            let uri = uri.parse().unwrap();
            Server::new(&uri, Duration::from_secs(1), &ClientTls::default())
        };
        for (good, is_tls) in [
            ("http://127.0.0.1:8889", false),
            ("http://control-plane:8889/", false),
            ("http://[::1]:1", false),
            ("https://control-plane", true),
        ] {
            assert_eq!(server(good).unwrap().tls.is_some(), is_tls, "{good}");
        }
        for bad in [
            "ftp://h:1",
            "h:1",
            "/path",
            "http://user:key@h:1",
            "http://h:1/path",
            "http://h:1/?query",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }
}
