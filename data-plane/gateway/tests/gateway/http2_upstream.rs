//! HTTP/2 towards upstreams.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tyrscale_gateway::Settings;
use tyrscale_model::{Resource, Upstream, UpstreamProtocol};

use super::harness::{HOST_NAME, Harness, bounded, eventually, route, route_id, rpc, settings, upstream};

/// An upstream that says which version of HTTP it was asked by, once it may.
struct Node {
    addr: SocketAddr,
    seen: Arc<Seen>,
    /// Ends the connections that are open, as the protocol asks for.
    go_away: Arc<Notify>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Node {
    async fn start(max_streams: u32, may_answer: Arc<Semaphore>, tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let go_away = Arc::<Notify>::default();
        let node = Self {
            addr,
            seen: Arc::clone(&seen),
            go_away: Arc::clone(&go_away),
        };
        tokio::spawn(async move {
            let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
            while let Ok((stream, _)) = listener.accept().await {
                seen.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, may_answer) = (Arc::clone(&seen), Arc::clone(&may_answer));
                let (tls, go_away) = (tls.clone(), Arc::clone(&go_away));
                tokio::spawn(async move {
                    let stream: Box<dyn Stream> = match tls {
                        None => Box::new(stream),
                        Some(tls) => Box::new(tls.accept(stream).await?),
                    };
                    serve(stream, max_streams, seen, may_answer, go_away).await;
                    Ok::<(), std::io::Error>(())
                });
            }
        });
        node
    }

    fn counts(&self) -> (usize, usize) {
        let count = |it: &AtomicUsize| it.load(Ordering::Relaxed);
        (count(&self.seen.connections), count(&self.seen.requests))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn serve(
    stream: Box<dyn Stream>,
    max_streams: u32,
    seen: Arc<Seen>,
    may_answer: Arc<Semaphore>,
    go_away: Arc<Notify>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, may_answer) = (Arc::clone(&seen), Arc::clone(&may_answer));
        async move { Ok::<_, Infallible>(answer(request, &seen, &may_answer).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(max_streams);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = go_away.notified() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.unwrap_or_default();
}

async fn answer(request: Request<Incoming>, seen: &Seen, may_answer: &Semaphore) -> Response<Full<Bytes>> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let version = if request.version() == Version::HTTP_2 {
        "2"
    } else {
        "1.1"
    };
    assert_eq!(request.uri().path(), "/rpc");
    let headers = request.headers();
    assert!(headers["content-type"] == "application/json" && !headers.contains_key("connection"));
    let asked = request.into_body().collect().await.unwrap().to_bytes();
    assert!(asked.starts_with(b"{"));
    may_answer.acquire().await.unwrap().forget();
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{version}"}}"#);
    Response::new(Full::new(body.into()))
}

/// A gateway whose only upstream is at `url`, spoken with in `protocol`.
async fn in_front_of(url: &str, protocol: UpstreamProtocol, settings: Settings) -> Harness {
    let mut harness = Harness::with_route(settings, route(1, HOST_NAME), &[]).await;
    harness.put([
        Resource::Rpc(rpc(1, url)),
        Resource::Upstream(Upstream {
            protocol,
            ..upstream(1, route_id(1), 1.0)
        }),
    ]);
    harness
}

fn unlimited() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1_000))
}

fn version(answer: &super::harness::Answer) -> String {
    answer.json()["result"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn requests_share_a_connection_up_to_the_upstreams_limit() {
    let may_answer = Arc::new(Semaphore::new(1));
    let node = Node::start(4, Arc::clone(&may_answer), None).await;
    let url = format!("http://{}/rpc", node.addr);
    let harness = in_front_of(&url, UpstreamProtocol::Http2, settings()).await;
    assert_eq!(version(&harness.client.call("eth_chainId").await), "2");
    let calls = join_all((0..8).map(|_| harness.client.call("eth_chainId")));
    let all_asked = async {
        eventually(async || node.counts().1 == 9).await;
        may_answer.add_permits(8);
    };
    let (answers, ()) = tokio::join!(calls, all_asked);
    assert!(answers.iter().all(|answer| version(answer) == "2"));
    assert_eq!(node.counts(), (2, 9));
    assert_eq!(harness.metric("upstream_total_requests", &[]), 9.0);
    assert_eq!(harness.metric("upstream_successes_total", &[]), 9.0);
    harness.idle().await;
}

#[tokio::test]
async fn a_connection_that_goes_away_finishes_and_another_takes_over() {
    let may_answer = Arc::new(Semaphore::new(0));
    let node = Node::start(100, Arc::clone(&may_answer), None).await;
    let url = format!("http://{}/rpc", node.addr);
    let harness = in_front_of(&url, UpstreamProtocol::Http2, settings()).await;
    let leaving = async {
        eventually(async || node.counts().1 == 1).await;
        node.go_away.notify_waiters();
        may_answer.add_permits(1);
    };
    let (answer, ()) = tokio::join!(harness.client.call("eth_chainId"), leaving);
    assert_eq!(answer.status, StatusCode::OK);
    may_answer.add_permits(10);
    for _ in 0..3 {
        assert_eq!(version(&harness.client.call("eth_chainId").await), "2");
    }
    assert_eq!(harness.metric("upstream_failures_total", &[]), 0.0);
}

/// An authority's certificate, and a server for `localhost` that offers these protocols.
fn tls(alpn: &[&str]) -> (CertificateDer<'static>, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    (issuer.der().clone(), config)
}

#[tokio::test]
async fn over_tls_the_handshake_decides_unless_the_configuration_does() {
    use UpstreamProtocol::{Auto, Http1, Http2};
    for (offered, protocol, expected) in [
        (&["h2", "http/1.1"][..], Auto, Some("2")),
        (&["h2", "http/1.1"], Http1, Some("1.1")),
        (&["http/1.1"], Auto, Some("1.1")),
        (&[], Auto, Some("1.1")),
        (&["h2"], Http2, Some("2")),
        (&["http/1.1"], Http2, None),
    ] {
        let (authority, config) = tls(offered);
        let node = Node::start(100, unlimited(), Some(config)).await;
        let trusting = Settings {
            upstream_authorities: vec![authority],
            ..settings()
        };
        let url = format!("https://localhost:{}/rpc", node.addr.port());
        let harness = in_front_of(&url, protocol, trusting).await;
        let answers = join_all((0..4).map(|_| harness.client.call("eth_chainId"))).await;
        for answer in answers {
            let spoken = (answer.status == StatusCode::OK).then(|| version(&answer));
            assert_eq!(spoken.as_deref(), expected, "{offered:?} {protocol:?}");
        }
        if expected == Some("2") {
            assert_eq!(node.counts(), (1, 4), "{offered:?} {protocol:?}");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http2_fails_alone() {
    let node = super::harness::node("good").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop::<TcpStream>(stream);
        }
    });
    let url = format!("http://{deaf}/rpc");
    let mut harness = in_front_of(&url, UpstreamProtocol::Http2, settings()).await;
    harness.put([
        Resource::Rpc(rpc(2, &node.url())),
        Resource::Upstream(upstream(2, route_id(1), 1.0)),
    ]);
    let calls = join_all((0..6).map(|_| harness.client.call("eth_chainId")));
    for answer in tokio::time::timeout(Duration::from_secs(10), calls)
        .await
        .unwrap()
    {
        assert_eq!(answer.node(), "good");
    }
    bounded(harness.idle()).await;
}
