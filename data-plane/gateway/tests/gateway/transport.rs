//! Ways to an upstream: TLS, and a proxy.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tyrscale_gateway::Settings;
use tyrscale_model::{Resource, Upstream};
use tyrscale_simnode::{ConnectProxy, SimNode};

use super::harness::{HOST_NAME, Harness, node, route, route_id, rpc, settings, upstream};

/// An authority and a TLS server of its own in front of a node: the authority's certificate and the port.
async fn tls_in_front_of(node: &SimNode) -> (CertificateDer<'static>, u16, JoinHandle<()>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = node.addr();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut plain = TcpStream::connect(target).await.unwrap();
            tokio::spawn(async move {
                tokio::io::copy_bidirectional(&mut stream, &mut plain)
                    .await
                    .is_ok()
            });
        }
    });
    (authority.der().clone(), port, serving)
}

#[tokio::test]
async fn a_certificate_is_verified_against_the_given_authority() {
    let node = node("n").await;
    let (authority, port, serving) = tls_in_front_of(&node).await;
    let trusting = Settings {
        upstream_authorities: vec![authority],
        ..settings()
    };
    for (settings, host, status) in [
        (trusting.clone(), "localhost", StatusCode::OK),
        // The name is not the certificate's.
        (trusting, "127.0.0.1", StatusCode::BAD_GATEWAY),
        (settings(), "localhost", StatusCode::BAD_GATEWAY),
    ] {
        let url = format!("https://{host}:{port}/rpc");
        let harness = Harness::with_urls(settings, route(1, HOST_NAME), &[url]).await;
        assert_eq!(harness.client.call("eth_chainId").await.status, status, "{host}");
    }
    assert_eq!(node.hits(), 1);
    serving.abort();
}

/// Compatibility case 177.
#[tokio::test]
async fn a_proxy_is_asked_to_connect_with_its_credentials() {
    let node = node("n").await;
    let proxy = ConnectProxy::start_with_authorization(HeaderValue::from_static("Basic dXNlcjpwYXNz"))
        .await
        .unwrap();
    let mut harness = Harness::with_route(settings(), route(1, HOST_NAME), &[]).await;
    let through = |address: String| Upstream {
        proxy: Some(address.parse().unwrap()),
        ..upstream(1, route_id(1), 1.0)
    };
    harness.put([
        Resource::Rpc(rpc(1, &node.url())),
        Resource::Upstream(through(format!("user:pass@{}", proxy.addr()))),
    ]);
    assert_eq!(harness.client.call("eth_chainId").await.node(), "n");
    let asked = &proxy.requests()[0];
    assert_eq!(
        (asked.target.clone(), &asked.authorization),
        (node.addr().to_string(), &None)
    );
    assert!(!node.captured()[0].headers.contains_key("proxy-authorization"));
    harness.put([Resource::Upstream(through(format!(
        "user:wrong@{}",
        proxy.addr()
    )))]);
    assert_eq!(
        harness.client.call("eth_chainId").await.status,
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(node.hits(), 1);
}
