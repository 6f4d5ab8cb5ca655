//! One call of a target over HTTP: bounded in time and size.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector, proxy::Tunnel},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;

use crate::{
    question::Reason,
    target::{Place, Proxy},
};

/// The largest answer, in bytes: a block with the hashes of its transactions fits.
const MAX_ANSWER: usize = 2 * 1024 * 1024;
/// Connections serve one round: most servers close idle ones after five seconds.
const IDLE: Duration = Duration::from_secs(3);
const JSON: &str = "application/json";
const AGENT: &str = concat!("tyrscale-exporter/", env!("CARGO_PKG_VERSION"));

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("tls cannot be set up")]
pub struct TlsUnusable;

type Direct = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;
type Proxied = Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>;

/// Proxies that connections are kept through; more make all of them be forgotten.
const MAX_PROXIES: usize = 64;

/// Asks targets, directly or through their proxies.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    direct: Direct,
    proxied: Arc<Mutex<HashMap<Proxy, Proxied>>>,
    limit: Duration,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    /// How long the target asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

impl Asker {
    /// For http and https, with the public authorities; a call may take `limit`.
    ///
    /// # Errors
    /// [`TlsUnusable`].
    pub(crate) fn new(limit: Duration) -> Result<Self, TlsUnusable> {
        Ok(Self {
            direct: client(tls(tcp(limit))?),
            proxied: Arc::default(),
            limit,
        })
    }

    /// What sends through a proxy.
    fn through(&self, proxy: &Proxy) -> Result<Proxied, TlsUnusable> {
        let mut known = self.proxied.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(proxy) {
            return Ok(client.clone());
        }
        let tunnel = Tunnel::new(proxy.uri.clone(), tcp(self.limit));
        let tunnel = match &proxy.authorization {
            Some(authorization) => tunnel.with_auth(authorization.clone()),
            None => tunnel,
        };
        let made = client(tls(tunnel)?);
        if known.len() >= MAX_PROXIES {
            known.clear();
        }
        known.insert(proxy.clone(), made.clone());
        Ok(made)
    }

    /// Sends a body and reads the answer.
    ///
    /// # Errors
    /// The [`Reason`] why there is none.
    pub(crate) async fn ask(&self, place: &Place, body: String) -> Result<Answered, Reason> {
        let answered = timeout(self.limit, self.exchange(place, body)).await;
        answered.unwrap_or(Err(Reason::Timeout))
    }

    async fn exchange(&self, place: &Place, body: String) -> Result<Answered, Reason> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(place.uri.clone())
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| Reason::NotSent)?;
        for (name, value) in &place.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = match &place.proxy {
            None => self.direct.request(request),
            Some(proxy) => {
                let client = self.through(proxy).map_err(|_| Reason::NotSent)?;
                client.request(request)
            }
        };
        let answer = answer.await.map_err(|error| match error.is_connect() {
            true => Reason::NotSent,
            false => Reason::Lost,
        })?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        Ok(Answered {
            status: head.status,
            retry_after: retry_after(&head.headers, SystemTime::now),
            body: body
                .map_err(|error| match error.downcast_ref::<LengthLimitError>() {
                    Some(_) => Reason::TooLarge,
                    None => Reason::Lost,
                })?
                .to_bytes(),
        })
    }
}

fn tcp(limit: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limit));
    tcp
}

fn tls<C>(connector: C) -> Result<HttpsConnector<C>, TlsUnusable> {
    Ok(HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
        .map_err(|_| TlsUnusable)?
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector))
}

fn client<C: Connect + Clone>(connector: C) -> Client<C, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1)
        .build(connector)
}

/// Source: RFC 9110, section 10.2.3.
fn retry_after(headers: &HeaderMap, now: impl Fn() -> SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now()).unwrap_or_default())
}
