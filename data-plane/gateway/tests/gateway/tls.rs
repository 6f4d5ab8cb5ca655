//! TLS towards clients.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tyrscale_gateway::{CertificateFiles, ServerTls};
use tyrscale_simnode::SimNode;

use super::harness::{HOST_NAME, Harness, bounded, call_body, eventually, node};

/// An authority whose certificates lie in a directory.
struct Authority {
    directory: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self {
            directory: TempDir::new().unwrap(),
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        }
    }

    /// Writes a certificate for `name` and its key, in place of those that were called `stem` before.
    fn issue(&self, stem: &str, name: &str) -> CertificateFiles {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.issuer)
            .unwrap();
        let write = |suffix: &str, text: String| {
            let file = Path::new(self.directory.path()).join(format!("{stem}.{suffix}"));
            fs::write(&file, text).unwrap();
            file
        };
        CertificateFiles {
            certificate: write("pem", certificate.pem()),
            key: write("key", key.serialize_pem()),
        }
    }

    /// A client that trusts the authority and offers these protocols.
    fn client(&self, versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// Serves `harness` with TLS at the address.
async fn with_tls(
    harness: &Harness,
    files: &[CertificateFiles],
    limit: Duration,
) -> (SocketAddr, Arc<ServerTls>) {
    let tls = Arc::new(ServerTls::new(files, limit).unwrap());
    tls.register(harness.gateway.metrics()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (gateway, shutdown) = (Arc::clone(&harness.gateway), harness.shutdown.clone());
    tokio::spawn({
        let tls = Arc::clone(&tls);
        async move { gateway.serve_tls(listener, tls, shutdown).await }
    });
    (addr, tls)
}

async fn connect(
    client: &TlsConnector,
    addr: SocketAddr,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await.unwrap();
    bounded(client.connect(ServerName::try_from(name).unwrap(), tcp)).await
}

fn request(path: &str) -> Request<Full<Bytes>> {
    let request = Request::post(format!("https://{HOST_NAME}{path}")).header("host", HOST_NAME);
    request.body(Full::new(call_body("eth_chainId"))).unwrap()
}

/// Calls over `stream` in the protocol that was agreed on; what the node of that name answered.
async fn call(stream: TlsStream<TcpStream>) -> String {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let stream = TokioIo::new(stream);
    let response = if is_http2 {
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        bounded(sender.send_request(request("/eth"))).await
    } else {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        bounded(sender.send_request(request("/eth"))).await
    };
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    let node = response.headers()["x-simnode"].to_str().unwrap().to_owned();
    bounded(response.into_body().collect()).await.unwrap();
    node
}

const LIMIT: Duration = Duration::from_secs(10);

async fn started(authority: &Authority) -> (SimNode, Harness, SocketAddr, Arc<ServerTls>) {
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let (addr, tls) = with_tls(&harness, &[authority.issue("a", HOST_NAME)], LIMIT).await;
    (node, harness, addr, tls)
}

#[tokio::test]
async fn clients_choose_the_protocol_and_the_plain_port_stays() {
    let authority = Authority::new();
    let (_node, harness, addr, _tls) = started(&authority).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (alpn, agreed) in [
            (&["h2", "http/1.1"][..], Some("h2")),
            (&["http/1.1"], Some("http/1.1")),
            (&[], None),
        ] {
            let client = authority.client(&[version], alpn);
            let stream = connect(&client, addr, HOST_NAME).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), agreed.map(str::as_bytes));
            assert_eq!(call(stream).await, "n");
        }
    }
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    let completed = [("outcome", "completed")];
    assert_eq!(harness.metric("tyrscale_tls_handshakes_total", &completed), 6.0);
    let by_scheme = |scheme| harness.metric("route_requests_total", &[("scheme", scheme)]);
    assert_eq!((by_scheme("https"), by_scheme("http")), (6.0, 1.0));
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_it_asks_for() {
    let authority = Authority::new();
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let files = [
        authority.issue("a", HOST_NAME),
        authority.issue("b", "*.b.example"),
    ];
    let (addr, _tls) = with_tls(&harness, &files, LIMIT).await;
    let client = authority.client(rustls::ALL_VERSIONS, &["http/1.1"]);
    for (name, is_shown) in [(HOST_NAME, true), ("x.b.example", true), ("b.example", false)] {
        assert_eq!(connect(&client, addr, name).await.is_ok(), is_shown, "{name}");
    }
}

#[tokio::test]
async fn a_session_is_resumed() {
    let authority = Authority::new();
    let (_node, _harness, addr, _tls) = started(&authority).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = authority.client(&[version], &["http/1.1"]);
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = connect(&client, addr, HOST_NAME).await.unwrap();
            assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
            // The ticket comes with the first bytes.
            call(stream).await;
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_losing_a_connection() {
    let authority = Authority::new();
    let (_node, harness, addr, tls) = started(&authority).await;
    let client = authority.client(rustls::ALL_VERSIONS, &["http/1.1"]);
    let open = connect(&client, addr, HOST_NAME).await.unwrap();
    authority.issue("a", "new.example");
    tls.refresh();
    assert!(connect(&client, addr, HOST_NAME).await.is_err());
    assert!(connect(&client, addr, "new.example").await.is_ok());
    assert_eq!(call(open).await, "n");
    let name = "tyrscale_tls_certificate_expiry_timestamp_seconds";
    assert!(harness.metric(name, &[("server_name", "new.example")]) > 0.0);
    assert_eq!(harness.metric(name, &[("server_name", HOST_NAME)]), 0.0);
}

#[tokio::test]
async fn files_are_looked_at_by_themselves() {
    let authority = Authority::new();
    let (_node, harness, addr, tls) = started(&authority).await;
    let _following = tls.follow_files();
    authority.issue("a", "new.example");
    let client = authority.client(rustls::ALL_VERSIONS, &["http/1.1"]);
    eventually(async || connect(&client, addr, "new.example").await.is_ok()).await;
    drop(harness);
}

#[tokio::test]
async fn a_handshake_that_fails_or_takes_too_long_is_counted_and_closed() {
    let authority = Authority::new();
    let node = node("n").await;
    let harness = Harness::in_front_of(&[&node]).await;
    let files = [authority.issue("a", HOST_NAME)];
    let (addr, _tls) = with_tls(&harness, &files, Duration::from_millis(50)).await;
    let counted = |outcome| harness.metric("tyrscale_tls_handshakes_total", &[("outcome", outcome)]);
    let mut plain = TcpStream::connect(addr).await.unwrap();
    plain.write_all(b"POST /eth HTTP/1.1\r\n\r\n").await.unwrap();
    eventually(async || counted("failed") == 1.0).await;
    let silent = TcpStream::connect(addr).await.unwrap();
    eventually(async || counted("timed_out") == 1.0).await;
    drop(silent);
    eventually(async || harness.metric("tyrscale_gateway_connections", &[]) == 0.0).await;
    assert_eq!(node.hits(), 0);
}
