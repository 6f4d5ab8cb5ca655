//! Tokens of a provider that serves its keys on loopback.
#![cfg(all(test, feature = "oidc"))]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tyrscale_access::{KeySource, Oidc, OidcRules, Role, unix_now};

const ISSUER: &str = "https://login.example";

/// A provider: it signs, and serves the key that proves it.
struct Provider {
    key: EncodingKey,
    url: String,
    server: JoinHandle<()>,
}

impl Provider {
    async fn start() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let point = pair.public_key_raw();
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": BASE64.encode(&point[1..33]),
            "y": BASE64.encode(&point[33..65]),
        }]});
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        Self {
            key: EncodingKey::from_ec_der(&pair.serialize_der()),
            url,
            server: tokio::spawn(serve(listener, Arc::new(keys.to_string()))),
        }
    }

    async fn oidc(&self) -> Oidc {
        Oidc::open(rules(self.url.parse().unwrap())).await.unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header {
            kid: Some("k1".to_owned()),
            ..Header::new(Algorithm::ES256)
        };
        encode(&header, claims, &self.key).unwrap()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, keys: Arc<String>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let keys = Arc::clone(&keys);
        tokio::spawn(async move {
            let mut head = [0; 2048];
            stream.read(&mut head).await.unwrap();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{keys}",
                keys.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
    }
}

fn rules(keys: KeySource) -> OidcRules {
    let roles = [("ops", Role::Operator), ("admins", Role::Admin)];
    OidcRules {
        issuer: ISSUER.to_owned(),
        audience: "tyrscale".to_owned(),
        keys,
        role_claim: "realm.roles".to_owned(),
        roles: roles.map(|(value, role)| (value.to_owned(), role)).into(),
    }
}

fn claims(change: impl FnOnce(&mut BTreeMap<&str, Value>)) -> Value {
    let mut claims = BTreeMap::from([
        ("iss", json!(ISSUER)),
        ("aud", json!(["tyrscale", "other"])),
        ("sub", json!("alice")),
        ("exp", json!(unix_now() + 600)),
        ("realm", json!({"roles": ["ops", "unknown"]})),
    ]);
    change(&mut claims);
    json!(claims)
}

#[tokio::test]
async fn a_token_of_the_provider_names_its_user_and_role() {
    let provider = Provider::start().await;
    let oidc = provider.oidc().await;
    let user = oidc.verify(&provider.sign(&claims(|_| {})), unix_now()).unwrap();
    assert_eq!((user.subject.as_str(), user.role), ("alice", Role::Operator));
    let both = claims(|claims| drop(claims.insert("realm", json!({"roles": ["admins", "ops"]}))));
    assert_eq!(
        oidc.verify(&provider.sign(&both), unix_now()).unwrap().role,
        Role::Admin
    );
}

#[tokio::test]
async fn tokens_of_others_for_others_or_out_of_time_are_refused() {
    let provider = Provider::start().await;
    let oidc = provider.oidc().await;
    let now = unix_now();
    let bad: [(&str, Value); 8] = [
        (
            "issuer",
            claims(|claims| drop(claims.insert("iss", json!("https://evil.example")))),
        ),
        (
            "audience",
            claims(|claims| drop(claims.insert("aud", json!("another")))),
        ),
        (
            "expired",
            claims(|claims| drop(claims.insert("exp", json!(now - 60)))),
        ),
        (
            "early",
            claims(|claims| drop(claims.insert("nbf", json!(now + 600)))),
        ),
        ("endless", claims(|claims| drop(claims.remove("exp")))),
        ("nobody", claims(|claims| drop(claims.remove("sub")))),
        ("roleless", claims(|claims| drop(claims.remove("realm")))),
        (
            "other role",
            claims(|claims| drop(claims.insert("realm", json!({"roles": ["x"]})))),
        ),
    ];
    for (what, claims) in bad {
        assert_eq!(oidc.verify(&provider.sign(&claims), now), None, "{what}");
    }
    let stranger = Provider::start().await;
    assert_eq!(oidc.verify(&stranger.sign(&claims(|_| {})), now), None);
    // A key that everybody can read must not serve as a secret.
    let header = Header {
        kid: Some("k1".to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    let forged = encode(&header, &claims(|_| {}), &EncodingKey::from_secret(b"k1")).unwrap();
    assert_eq!(oidc.verify(&forged, now), None);
    assert_eq!(oidc.verify("a.b.c", now), None);
}

#[tokio::test]
async fn keys_come_from_a_file_as_well_and_must_be_keys() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("keys.json");
    std::fs::write(&file, r#"{"keys": []}"#).unwrap();
    let source: KeySource = file.to_str().unwrap().parse().unwrap();
    assert!(Oidc::open(rules(source.clone())).await.is_ok());
    std::fs::write(&file, "none").unwrap();
    assert!(Oidc::open(rules(source)).await.is_err());
    let nowhere: KeySource = "http://127.0.0.1:1/keys".parse().unwrap();
    let opened = tokio::time::timeout(Duration::from_secs(10), Oidc::open(rules(nowhere))).await;
    assert!(opened.unwrap().is_err());
}
