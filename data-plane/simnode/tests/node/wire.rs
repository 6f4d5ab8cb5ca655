//! Codings, versions of HTTP, and TLS.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{GzDecoder, GzEncoder};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::generate_simple_self_signed;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tyrscale_simnode::{GzipAnswers, SimNode, SimNodeConfig};

use super::caller::{bounded, node_and_caller};

const BODY: &[u8] = br#"{"id":1,"method":"eth_chainId"}"#;

fn gzip(bytes: &[u8]) -> Bytes {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::fast())
        .read_to_end(&mut packed)
        .unwrap();
    packed.into()
}

#[tokio::test]
async fn gzip_is_taken_and_kept_as_it_came_or_refused() {
    let (node, caller) = node_and_caller().await;
    let request = || {
        Request::post(node.url())
            .header(CONTENT_ENCODING, "gzip")
            .body(Full::new(gzip(BODY)))
            .unwrap()
    };
    let answer = caller.exchange(request()).await.unwrap();
    assert_eq!(answer.json()["result"], "0x539");
    let captured = node.captured().pop().unwrap();
    assert_eq!(
        (&captured.body, &captured.decoded),
        (&gzip(BODY), &Bytes::from_static(BODY))
    );
    assert_eq!(captured.rpc_methods, ["eth_chainId"]);
    node.update_behavior(|it| it.refuses_gzip = true);
    let refused = caller.exchange(request()).await.unwrap();
    assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(node.hits(), 1);
}

#[tokio::test]
async fn answers_are_compressed_when_accepted_or_always() {
    let (node, caller) = node_and_caller().await;
    for (rule, accept, packed) in [
        (GzipAnswers::Never, "gzip", false),
        (GzipAnswers::WhenAccepted, "br, GZIP", true),
        (GzipAnswers::WhenAccepted, "identity", false),
        (GzipAnswers::Always, "identity", true),
    ] {
        node.update_behavior(|it| it.gzip_answers = rule);
        let request = Request::post(node.url())
            .header(ACCEPT_ENCODING, accept)
            .body(Full::new(Bytes::from_static(BODY)))
            .unwrap();
        let answer = caller.exchange(request).await.unwrap();
        assert_eq!(
            answer.headers.contains_key(CONTENT_ENCODING),
            packed,
            "{rule:?} {accept}"
        );
        let mut text = String::new();
        if packed {
            GzDecoder::new(answer.body.as_ref())
                .read_to_string(&mut text)
                .unwrap();
        } else {
            text = String::from_utf8(answer.body.to_vec()).unwrap();
        }
        assert!(text.ends_with(r#""result":"0x539"}"#), "{text}");
    }
}

#[tokio::test]
async fn http2_is_spoken_by_prior_knowledge() {
    let (node, _) = node_and_caller().await;
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = Request::post(node.url())
        .body(Full::new(Bytes::from_static(BODY)))
        .unwrap();
    let answer = bounded(client.request(request)).await.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    assert_eq!(node.captured()[0].version, Version::HTTP_2);
}

#[tokio::test]
async fn tls_is_spoken_with_the_given_certificate() {
    let certified = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let node = SimNode::start(SimNodeConfig {
        tls: Some(Arc::new(server)),
        ..SimNodeConfig::named("t")
    })
    .await
    .unwrap();
    assert!(node.url().starts_with("https://127.0.0.1:"));

    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(node.addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = bounded(TlsConnector::from(Arc::new(client)).connect(name, stream))
        .await
        .unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::post("https://localhost/")
        .body(Full::new(Bytes::from_static(BODY)))
        .unwrap();
    let answer = bounded(sender.send_request(request)).await.unwrap();
    let body = bounded(answer.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&body).unwrap(),
        json!({"jsonrpc": "2.0", "id": 1, "result": "0x539"})
    );
    driving.abort();
}
