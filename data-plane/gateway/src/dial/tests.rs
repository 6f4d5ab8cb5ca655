use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tyrscale_simnode::ConnectProxy;

use super::*;

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A dialler for which every name leads to `addresses`.
fn dialler(addresses: &[IpAddr], issuer: Option<&Issuer>) -> Dialler {
    let settings = Settings {
        upstream_authorities: issuer.iter().map(|it| it.der().clone()).collect(),
        connect_timeout: Duration::from_secs(5),
        ..Settings::default()
    };
    let addresses = addresses.to_vec();
    let resolver = Resolver::new(settings.dns_refresh, move |_| {
        Box::pin(std::future::ready(Ok(addresses.clone())))
    });
    Dialler {
        resolver: Arc::new(resolver),
        ..Dialler::new(&settings).unwrap()
    }
}

/// A TLS server that says one byte to each that has shaken hands; its port.
async fn tls_server(issuer: &Issuer, name: &str, alpn: &[&str]) -> u16 {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((V4, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"!").await.unwrap_or_default();
                // The client closes first.
                stream.read(&mut [0]).await.unwrap_or_default();
            }
        }
    });
    port
}

async fn dial(dialler: &Dialler, url: &str, offer: Offer) -> Result<Dialled, DialError> {
    let destination = dialler.destination(&url.parse().unwrap(), None, offer);
    destination.unwrap().dial().await
}

#[tokio::test]
async fn the_family_that_answers_is_used() {
    let listener = TcpListener::bind((V4, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for addresses in [[V6, V4], [V4, V6]] {
        let dialler = dialler(&addresses, None);
        let url = format!("http://n.example:{port}").parse().unwrap();
        let destination = dialler.destination(&url, None, Offer::Both).unwrap();
        let dialled = destination.dial().await.unwrap();
        assert_eq!((dialled.address, dialled.http2), (V4, false));
        assert!(destination.leads_to(V4) && !destination.leads_to([10, 0, 0, 1].into()));
    }
    drop(listener);
    let refused = dial(
        &dialler(&[V4], None),
        &format!("http://n.example:{port}"),
        Offer::Both,
    )
    .await;
    assert!(matches!(refused.unwrap_err(), DialError::Connect(_)));
    let nowhere = dial(&dialler(&[], None), "http://n.example", Offer::Both).await;
    assert!(matches!(nowhere.unwrap_err(), DialError::Name(_)));
}

#[tokio::test]
async fn the_version_of_http_is_agreed_on_in_the_handshake() {
    let issuer = authority();
    let dialler = dialler(&[V4], Some(&issuer));
    let both = tls_server(&issuer, "n.example", &["http/1.1", "h2"]).await;
    let old = tls_server(&issuer, "n.example", &["http/1.1"]).await;
    let none = tls_server(&issuer, "n.example", &[]).await;
    for (port, offer, is_http2) in [
        (both, Offer::Http1, Some(false)),
        (both, Offer::Http2, Some(true)),
        (old, Offer::Both, Some(false)),
        (old, Offer::Http2, None),
        (none, Offer::Both, Some(false)),
    ] {
        let dialled = dial(&dialler, &format!("https://n.example:{port}"), offer).await;
        assert_eq!(dialled.ok().map(|it| it.http2), is_http2, "{offer:?}");
    }
}

#[tokio::test]
async fn a_certificate_names_the_host_or_the_address() {
    let issuer = authority();
    let dialler = dialler(&[V4], Some(&issuer));
    let named = tls_server(&issuer, "n.example", &[]).await;
    let addressed = tls_server(&issuer, "127.0.0.1", &[]).await;
    for (host, port, is_good) in [
        ("n.example", named, true),
        ("other.example", named, false),
        ("127.0.0.1", named, false),
        ("127.0.0.1", addressed, true),
    ] {
        let dialled = dial(&dialler, &format!("https://{host}:{port}"), Offer::Both).await;
        match dialled {
            Ok(_) => assert!(is_good, "{host}"),
            Err(error) => assert!(!is_good && matches!(error, DialError::Tls(_)), "{host} {error}"),
        }
    }
}

#[tokio::test]
async fn a_session_with_an_upstream_is_resumed() {
    let issuer = authority();
    let dialler = dialler(&[V4], Some(&issuer));
    let port = tls_server(&issuer, "n.example", &[]).await;
    for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let dialled = dial(&dialler, &format!("https://n.example:{port}"), Offer::Both).await;
        let Stream::Tls(mut stream) = dialled.unwrap().stream else {
            panic!("no TLS");
        };
        assert_eq!(stream.get_ref().1.handshake_kind(), Some(expected));
        // The ticket comes with the first bytes.
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
    }
}

#[tokio::test]
async fn a_proxy_is_found_by_its_own_name() {
    let proxy = ConnectProxy::start().await.unwrap();
    let target = TcpListener::bind((V4, 0)).await.unwrap();
    let dialler = dialler(&[V6, V4], None);
    let url = format!("http://127.0.0.1:{}", target.local_addr().unwrap().port());
    let address = format!("proxy.example:{}", proxy.addr().port()).parse().unwrap();
    let destination = dialler.destination(&url.parse().unwrap(), Some(&address), Offer::Both);
    assert_eq!(destination.unwrap().dial().await.unwrap().address, V4);
}

#[tokio::test(start_paused = true)]
async fn all_steps_share_one_limit() {
    // It takes the connection and says nothing.
    let listener = TcpListener::bind((V4, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let began = tokio::time::Instant::now();
    let silent = dial(
        &dialler(&[V4], None),
        &format!("https://n.example:{port}"),
        Offer::Both,
    )
    .await;
    assert!(matches!(silent.unwrap_err(), DialError::TooSlow));
    assert_eq!(began.elapsed().as_secs(), 5);
}
