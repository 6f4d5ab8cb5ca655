//! Tunnels through HTTP CONNECT proxies. Source: RFC 9110, section 9.3.6.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tyrscale_model::{HttpUrl, ProxyAddress};

use super::without_brackets;
use crate::address::basic;

/// Longest answer of a proxy, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// The way to one upstream through a proxy. It holds the proxy's credentials, so it has no `Debug`.
pub(crate) struct Tunnel {
    host: String,
    port: u16,
    /// The whole request for the tunnel.
    request: Vec<u8>,
}

impl Tunnel {
    /// `None` when the credentials cannot stand in a header.
    pub(crate) fn new(proxy: &ProxyAddress, target: &HttpUrl) -> Option<Self> {
        let target = format!("{}:{}", target.host(), target.port());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n").into_bytes();
        if let Some(credentials) = proxy.expose_credentials() {
            request.extend_from_slice(b"proxy-authorization: ");
            request.extend_from_slice(basic(credentials)?.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");

        Some(Self {
            host: without_brackets(proxy.host()).to_owned(),
            port: proxy.port(),
            request,
        })
    }

    /// Host and port of the proxy.
    pub(crate) fn proxy(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// Asks the proxy at the other end of `stream` to connect it to the upstream.
    ///
    /// # Errors
    /// When the proxy refuses, or does not answer as HTTP asks for.
    pub(crate) async fn open(&self, mut stream: TcpStream) -> io::Result<TcpStream> {
        stream.write_all(&self.request).await?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            // Upstreams do not speak first: what follows the head would be no part of a tunnel.
            let is_too_much =
                answer.len() > MAX_ANSWER || memchr::memmem::find(&answer, b"\r\n\r\n").is_some();
            if is_too_much || stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        match answer.get(..10) {
            Some(b"HTTP/1.1 2" | b"HTTP/1.0 2") => Ok(stream),
            _ => Err(io::ErrorKind::PermissionDenied.into()),
        }
    }
}
