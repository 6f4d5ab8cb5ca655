//! Tunnels through HTTP CONNECT proxies. Source: RFC 9110, section 9.3.6.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tyrscale_model::{HttpUrl, ProxyAddress};

use crate::address::basic;

/// Longest answer of a proxy, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// What a proxy is asked for. It holds the proxy's credentials, so it has no `Debug`.
pub(crate) struct Tunnel {
    /// The whole request.
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
        Some(Self { request })
    }

    /// Asks the proxy at the other end of `stream` for the tunnel; then the other end is the upstream.
    ///
    /// # Errors
    /// When the proxy refuses, or does not answer as HTTP asks for.
    pub(crate) async fn open<S>(&self, stream: &mut S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        stream.write_all(&self.request).await?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            // Upstreams do not speak first: what follows the head would be no part of a tunnel.
            if answer.len() >= MAX_ANSWER || memchr::memmem::find(&answer, b"\r\n\r\n").is_some() {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if grants(&answer) {
            Ok(())
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
}

/// Whether an answer's status is one of success.
fn grants(answer: &[u8]) -> bool {
    let one_one = answer.strip_prefix(b"HTTP/1.1 ");
    let status = one_one.or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
    matches!(status, Some([b'2', b'0'..=b'9', b'0'..=b'9', b' ' | b'\r', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a proxy's `answer`, and what it was asked.
    async fn ask(answer: &[u8], proxy: &str) -> (io::Result<()>, String) {
        let tunnel = Tunnel::new(&proxy.parse().unwrap(), &"https://n.example".parse().unwrap()).unwrap();
        let (mut near, mut far) = tokio::io::duplex(64 * 1024);
        far.write_all(answer).await.unwrap();
        let opened = async { tunnel.open(&mut near).await };
        let asked = async {
            let mut asked = String::new();
            while !asked.ends_with("\r\n\r\n") {
                asked.push(char::from(far.read_u8().await.unwrap()));
            }
            // The proxy has no more to say.
            far.shutdown().await.unwrap();
            asked
        };
        tokio::join!(opened, asked)
    }

    #[tokio::test]
    async fn a_proxy_is_asked_for_the_upstream_with_its_credentials() {
        let granted = b"HTTP/1.1 200 Connection established\r\nVia: p\r\n\r\n";
        let (opened, asked) = ask(granted, "user:pass@p:3128").await;
        opened.unwrap();
        assert_eq!(
            asked,
            "CONNECT n.example:443 HTTP/1.1\r\nhost: n.example:443\r\n\
             proxy-authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        );
        let (opened, asked) = ask(b"HTTP/1.0 204\r\n\r\n", "p:3128").await;
        opened.unwrap();
        assert!(!asked.contains("authorization"));
    }

    #[tokio::test]
    async fn anything_but_a_grant_is_no_tunnel() {
        let long = [b"HTTP/1.1 200 OK\r\n".as_slice(), &[b'a'; MAX_ANSWER]].concat();
        for answer in [
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".as_slice(),
            b"HTTP/1.1 200 OK\r\n\r\nearly",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
            b"",
            &long,
        ] {
            assert!(
                ask(answer, "p:3128").await.0.is_err(),
                "{}",
                answer.escape_ascii()
            );
        }
    }
}
