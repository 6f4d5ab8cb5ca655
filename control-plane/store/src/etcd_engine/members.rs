//! Calls to the members of an etcd cluster: whichever answers.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Handle, time::Instant};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tyrscale_etcd::{
    RangeRequest, RangeResponse, TxnRequest, TxnResponse, kv_client::KvClient, watch_client::WatchClient,
};
use tyrscale_tls::ClientTls;

use super::EtcdOptions;
use crate::engine::EngineError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest one member may take to answer. A new leader is elected within about two seconds.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);
/// How long the members are asked in turn.
const ASK_FOR: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(100);
/// etcd's own limit of a request, and room.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// The members, in the order given.
#[derive(Debug)]
pub(super) struct Members {
    channels: Vec<Channel>,
    /// The one that answered last.
    current: AtomicUsize,
    runtime: Handle,
}

impl Members {
    /// Connections to all, made when they are needed. Must be called within a runtime.
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, EngineError> {
        let channels = options.endpoints.iter().map(|uri| channel(uri, &options.tls));
        Ok(Self {
            channels: channels.collect::<Result<_, _>>()?,
            current: AtomicUsize::new(0),
            runtime: Handle::current(),
        })
    }

    /// Reads keys.
    pub(super) fn range(&self, request: RangeRequest) -> Result<RangeResponse, EngineError> {
        self.retried(|channel| {
            let request = request.clone();
            async move { kv(channel).range(request).await.map(tonic::Response::into_inner) }
        })
    }

    /// A transaction that reads, or that may be run twice.
    pub(super) fn repeatable(&self, request: TxnRequest) -> Result<TxnResponse, EngineError> {
        self.retried(|channel| {
            let request = request.clone();
            async move { kv(channel).txn(request).await.map(tonic::Response::into_inner) }
        })
    }

    /// A transaction that is sent once: after an error it may have taken place, or may yet.
    pub(super) fn txn(&self, request: TxnRequest) -> Result<TxnResponse, Status> {
        let channel = self.channel();
        self.runtime.block_on(async {
            let mut client = kv(channel);
            let sent = tokio::time::timeout(CALL_TIMEOUT, client.txn(request));
            let answer = sent
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("etcd did not answer")));
            if answer.is_err() {
                self.turn();
            }
            answer.map(tonic::Response::into_inner)
        })
    }

    /// Runs `wait` with a client for watches of the member that answers.
    pub(super) fn watch<T, F>(&self, wait: impl FnOnce(WatchClient<Channel>) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let client = WatchClient::new(self.channel());
        self.runtime.block_on(wait(client)).map_err(|status| {
            self.turn();
            unavailable(&status)
        })
    }

    /// Asks one member after the other until one answers.
    fn retried<T, F>(&self, call: impl Fn(Channel) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        self.runtime.block_on(async {
            let until = Instant::now() + ASK_FOR;
            loop {
                let answer = tokio::time::timeout(CALL_TIMEOUT, call(self.channel())).await;
                let status = match answer {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(status)) if is_final(status.code()) => return Err(unavailable(&status)),
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("etcd did not answer"),
                };
                self.turn();
                if Instant::now() >= until {
                    return Err(unavailable(&status));
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    #[expect(clippy::expect_used, reason = "options without endpoints are refused before")]
    fn channel(&self) -> Channel {
        let current = self.current.load(Ordering::Relaxed);
        let mut all = self.channels.iter().cycle().skip(current);
        all.next().expect("there is a member").clone()
    }

    fn turn(&self) {
        let next = (self.current.load(Ordering::Relaxed) + 1) % self.channels.len();
        self.current.store(next, Ordering::Relaxed);
    }
}

/// Whether another member would say the same.
const fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidArgument | Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented
    )
}

fn unavailable(status: &Status) -> EngineError {
    let reason = format!("etcd: {:?}: {}", status.code(), status.message());
    match status.code() {
        // Its quota of space is used up; it says the same of too many requests.
        Code::ResourceExhausted if status.message().contains("database space exceeded") => {
            EngineError::Full(reason)
        }
        _ => EngineError::Unavailable(reason),
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel)
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

fn channel(uri: &Uri, tls: &ClientTls) -> Result<Channel, EngineError> {
    let bad = |rule: &str| EngineError::Unavailable(format!("the address of etcd must {rule}"));
    let authority = uri
        .authority()
        .ok_or_else(|| bad("be http://host:port or https://host:port"))?;
    if authority.as_str().contains('@') {
        return Err(bad("name no user"));
    }
    let host = authority.host().to_owned();
    let is_tls = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(bad("be http://host:port or https://host:port")),
    };
    // The connector does TLS itself, with the files as they are then.
    let plain = format!("http://{authority}");
    let endpoint = Endpoint::from_shared(plain)
        .map_err(|_| bad("be http://host:port or https://host:port"))?
        .origin(uri.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(5))
        .tcp_nodelay(true);
    if !is_tls {
        return Ok(endpoint.connect_lazy());
    }
    let tls = tls.clone();
    let connector = tower::service_fn(move |uri: Uri| {
        let (tls, host) = (tls.clone(), host.clone());
        async move {
            let port = uri.port_u16().unwrap_or(443);
            let name = host.trim_start_matches('[').trim_end_matches(']');
            let stream = TcpStream::connect((name, port)).await?;
            let stream = tls.connect(&host, &[b"h2"], stream).await;
            stream.map(TokioIo::new).map_err(std::io::Error::other)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}
