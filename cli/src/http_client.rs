//! A small HTTP client, for REST and for JSON-RPC endpoints.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, builderstates::WantsSchemes};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use tyrscale_client::ClientTls;

use crate::Failure;

/// The largest answer, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client that keeps connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer. Names no URL: it may hold a key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection could be made.
    #[error("no connection could be made")]
    Unreachable,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke before the answer")]
    Broken,
    /// It took too long.
    #[error("no answer within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    /// The answer is too large.
    #[error("the answer cannot be read or is too large")]
    Unreadable,
    /// TLS cannot be set up.
    #[error("tls cannot be set up")]
    Tls,
}

impl HttpClient {
    /// A client for http and https, with the public authorities.
    ///
    /// # Errors
    /// [`HttpError::Tls`] when TLS cannot be set up.
    pub(crate) fn new() -> Result<Self, HttpError> {
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|_| HttpError::Tls)?;
        Ok(Self::over(builder))
    }

    /// A client for https, with these authorities and this certificate.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the file that cannot be used.
    pub(crate) fn with_tls(tls: &ClientTls) -> Result<Self, Failure> {
        let config = tls.config(&[]);
        let config = config.map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(Self::over(HttpsConnectorBuilder::new().with_tls_config(config)))
    }

    fn over(builder: HttpsConnectorBuilder<WantsSchemes>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// Sends a request, its body if any as JSON, and reads the answer.
    pub(crate) async fn send(&self, request: Request<String>) -> Result<HttpAnswer, HttpError> {
        let (mut head, body) = request.into_parts();
        if !body.is_empty() {
            let json = HeaderValue::from_static("application/json");
            head.headers.insert(CONTENT_TYPE, json);
        }
        let request = Request::from_parts(head, Full::new(Bytes::from(body)));
        timeout(TIMEOUT, self.exchange(request))
            .await
            .unwrap_or(Err(HttpError::TimedOut))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<HttpAnswer, HttpError> {
        let response = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                HttpError::Unreachable
            } else {
                HttpError::Broken
            }
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body: body.map_err(|_| HttpError::Unreadable)?.to_bytes(),
        })
    }
}
