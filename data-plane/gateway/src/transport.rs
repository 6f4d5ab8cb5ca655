//! Connections to upstreams: pooled HTTP/1.1, with TLS and through an HTTP CONNECT proxy where asked for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tower::Service;
use tyrscale_model::ProxyAddress;

use crate::address::basic;
use crate::config::Settings;

/// Most bytes of an upstream's answer read at once. A client that takes one such part within the write timeout
/// is not cut off.
const MAX_READ: usize = 128 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends requests to one upstream over its own pool of connections; clones share the pool.
pub(crate) type UpstreamClient = Client<Connector, Full<Bytes>>;

/// Makes the clients of upstreams.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    tls: Arc<ClientConfig>,
    connect_timeout: Duration,
    idle_timeout: Duration,
}

impl Transport {
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
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
        })
    }

    /// A client with an empty pool that dials directly or through `proxy`; `None` when the proxy's address
    /// cannot be dialled.
    pub(crate) fn client(&self, proxy: Option<&ProxyAddress>) -> Option<UpstreamClient> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&self.tls))
            .https_or_http()
            .enable_http1();
        let way = match proxy {
            None => Way::Direct(https.wrap_connector(tcp)),
            Some(proxy) => Way::Proxied(https.wrap_connector(tunnel(proxy, tcp)?)),
        };
        let connector = Connector {
            way,
            limit: self.connect_timeout,
        };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .http1_max_buf_size(MAX_READ)
            .build(connector);
        Some(client)
    }
}

fn tunnel(proxy: &ProxyAddress, tcp: HttpConnector) -> Option<Tunnel<HttpConnector>> {
    let address: Uri = format!("http://{}:{}", proxy.host(), proxy.port()).parse().ok()?;
    let tunnel = Tunnel::new(address, tcp);
    match proxy.expose_credentials() {
        Some(credentials) => Some(tunnel.with_auth(basic(credentials)?)),
        None => Some(tunnel),
    }
}

/// Dials an upstream within the connect timeout, which covers the name, TCP, the proxy and TLS.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    way: Way,
    limit: Duration,
}

#[derive(Debug, Clone)]
enum Way {
    Direct(HttpsConnector<HttpConnector>),
    Proxied(HttpsConnector<Tunnel<HttpConnector>>),
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.way {
            Way::Direct(connector) => connector.poll_ready(context),
            Way::Proxied(connector) => connector.poll_ready(context),
        }
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let dialling = match &mut self.way {
            Way::Direct(connector) => connector.call(target),
            Way::Proxied(connector) => connector.call(target),
        };
        let limit = self.limit;
        Box::pin(async move { tokio::time::timeout(limit, dialling).await? })
    }
}
