//! The keys that a provider publishes.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Uri;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How often keys are read.
const EVERY: Duration = Duration::from_secs(600);
/// The shortest time between two reads, however many unknown keys tokens name.
const AT_MOST: Duration = Duration::from_secs(10);
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const MAX_BODY: usize = 1024 * 1024;

/// Where keys are published, as a JWK set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At an address of `http` or `https`.
    Url(Uri),
}

impl FromStr for KeySource {
    type Err = http::uri::InvalidUri;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.starts_with("http://") || text.starts_with("https://") {
            true => text.parse().map(Self::Url),
            false => Ok(Self::File(text.into())),
        }
    }
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The file cannot be read.
    #[error("{file} cannot be read: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The address does not answer as it should.
    #[error("the provider's keys cannot be fetched: {0}")]
    Fetch(String),
    /// What was read is no JWK set.
    #[error("the provider's keys are no JWK set")]
    NotKeys(#[source] serde_json::Error),
}

impl KeySource {
    pub(super) async fn read(&self) -> Result<JwkSet, OidcError> {
        let bytes = match self {
            Self::File(file) => tokio::fs::read(file).await.map_err(|source| OidcError::File {
                file: file.clone(),
                source,
            })?,
            Self::Url(uri) => timeout(FETCH_TIMEOUT, fetch(uri.clone()))
                .await
                .unwrap_or_else(|_| Err(OidcError::Fetch("it does not answer in time".to_owned())))?,
        };
        serde_json::from_slice(&bytes).map_err(OidcError::NotKeys)
    }
}

async fn fetch(uri: Uri) -> Result<Vec<u8>, OidcError> {
    let failed = |error: &dyn std::fmt::Display| OidcError::Fetch(error.to_string());
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|error| failed(&error))?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<_, Empty<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get(uri).await.map_err(|error| failed(&error))?;
    if !response.status().is_success() {
        return Err(OidcError::Fetch(format!("the answer is {}", response.status())));
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
    let body = body.map_err(|error| failed(&error))?;
    Ok(body.to_bytes().to_vec())
}

/// Reads keys now and then, and soon after a token named one that is not known; never ends by itself.
pub(super) async fn refresh(source: KeySource, keys: Arc<RwLock<JwkSet>>, missing: Arc<Notify>) {
    loop {
        tokio::time::sleep(AT_MOST).await;
        // That nobody asked for another key is as good a reason.
        timeout(EVERY, missing.notified()).await.ok();
        match source.read().await {
            Ok(read) => *keys.write().unwrap_or_else(PoisonError::into_inner) = read,
            Err(error) => tracing::warn!(%error, "keys of the OpenID provider stay as they were"),
        }
    }
}
