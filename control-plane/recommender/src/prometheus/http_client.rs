//! One HTTP exchange with Prometheus: bounded in time and size.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::{
    PrometheusError,
    args::{PrometheusArgs, PrometheusConfigError, PrometheusCredentials},
};

/// The largest answer taken, bytes.
const MAX_ANSWER: usize = 32 * 1024 * 1024;
/// How much of a refusal's text is passed on, characters.
const MAX_MESSAGE: usize = 500;

#[derive(Debug, Clone)]
pub(super) struct HttpClient {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
    credentials: Option<PrometheusCredentials>,
    timeout: Duration,
}

/// What Prometheus says when it refuses.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

impl HttpClient {
    pub(super) fn new(args: &PrometheusArgs) -> Result<Option<Self>, PrometheusConfigError> {
        let Some(uri) = &args.prometheus_url else {
            return Ok(None);
        };
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Some(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            base: base_of(uri).ok_or(PrometheusConfigError::InvalidUrl)?,
            credentials: args.credentials()?,
            timeout: args.timeout(),
        }))
    }

    /// Posts a form to a path of the API and gives the body of the answer.
    pub(super) async fn post(&self, path: &str, form: &[(&str, String)]) -> Result<Bytes, PrometheusError> {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pairs: Vec<String> = form
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/api/v1/{path}", self.base))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json");
        if let Some(credentials) = &self.credentials {
            request = request.header(header::AUTHORIZATION, credentials.header());
        }
        let body = Full::new(Bytes::from(pairs.join("&")));
        let request = request
            .body(body)
            .map_err(|error| PrometheusError::Unreachable(error.to_string()))?;
        let exchanged = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        exchanged.map_err(|_| PrometheusError::Timeout)?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Bytes, PrometheusError> {
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| {
            let why = if error.is_connect() {
                "no connection"
            } else {
                "the exchange broke off"
            };
            PrometheusError::Unreachable(why.to_owned())
        })?;
        let (status, body) = (answer.status(), answer.into_body());
        let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                PrometheusError::TooLarge(MAX_ANSWER)
            } else {
                PrometheusError::Unreachable("the answer broke off".to_owned())
            }
        })?;
        let body = body.to_bytes();
        if status == StatusCode::OK {
            return Ok(body);
        }
        let refusal: Option<Refusal> = serde_json::from_slice(&body).ok();
        let message = refusal.map_or_else(|| "no reason given".to_owned(), |refusal| refusal.error);
        Err(PrometheusError::Refused {
            status: status.as_u16(),
            message: message.chars().take(MAX_MESSAGE).collect(),
        })
    }
}

/// The URL without a slash at its end; `None` when it cannot be one of Prometheus.
fn base_of(uri: &Uri) -> Option<String> {
    let authority = uri.authority()?;
    let scheme = uri
        .scheme_str()
        .filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let is_plain = !authority.as_str().contains('@') && uri.query().is_none();
    is_plain.then(|| format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/')))
}
