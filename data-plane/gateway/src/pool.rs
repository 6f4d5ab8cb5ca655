//! Connections to one upstream: used, kept while idle or shared, used again.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tyrscale_http1::{Client, HeadLimits, ResponseHead, ResponseLimits};
use tyrscale_model::{HttpUrl, ProxyAddress, Scheme, UpstreamProtocol};

use crate::config::Settings;
use crate::dial::{Destination, Dialler, Offer, Stream};
use crate::pool::http2::{Failed, Lane, Lanes};

mod head;
mod http2;

/// Most idle connections to one upstream that a worker keeps.
const MAX_IDLE: usize = 1024;
/// How often a request is sent again that the upstream says it has not looked at.
const MAX_UNPROCESSED: usize = 3;
/// Of an upstream's answer.
const LIMITS: ResponseLimits = ResponseLimits {
    head: HeadLimits {
        bytes: 64 * 1024,
        fields: 128,
    },
    max_trailer_bytes: 8 * 1024,
    max_interim: 8,
};

/// Makes the pools of upstreams.
#[derive(Debug, Clone)]
pub(crate) struct Transport {
    dialler: Dialler,
    idle_timeout: Duration,
    workers: usize,
}

/// Whose connections: each belongs to the runtime it was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Worker(usize);

/// A connection to an upstream, or the part of a shared one that an answer comes by.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1(Box<Http1>),
    Http2(http2::Answer),
}

/// A connection for one request at a time.
#[derive(Debug)]
pub(crate) struct Http1 {
    client: Client<Stream>,
    /// The address that was dialled.
    address: IpAddr,
}

/// The connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    destination: Destination,
    scheme: http::uri::Scheme,
    protocol: UpstreamProtocol,
    /// Whether connections are shared: told, or learnt from the last one.
    shares: AtomicBool,
    by_worker: Box<[Own]>,
    idle_timeout: Duration,
}

/// The connections of one worker.
#[derive(Debug, Default)]
struct Own {
    /// The latest last.
    idle: Mutex<Vec<Idle>>,
    lanes: Lanes,
    /// Held by the request that dials a connection for others as well.
    dialling: tokio::sync::Mutex<()>,
    /// How often that came to nothing.
    failed_dials: AtomicU64,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Http1>,
    since: Instant,
}

/// A connection that has just been made.
enum Opened {
    Http1(Box<Http1>),
    Http2(Lane),
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent, or nothing was looked at.
    NotSent,
    /// The connection failed after the request had been sent.
    Lost,
    /// It did, before any of the answer had come, and had been idle before: perhaps the upstream was just closing
    /// it, and has not seen the request.
    PerhapsUnseen,
}

/// What connections a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    IdleOrNew,
    New,
}

impl Worker {
    /// The runtime that configurations are applied on, which probes.
    pub(crate) const PROBES: Self = Self(0);

    /// A worker by its number, from 0.
    pub(crate) const fn new(number: usize) -> Self {
        Self(number.saturating_add(1))
    }
}

impl Transport {
    /// # Errors
    /// When TLS towards upstreams cannot be set up.
    pub(crate) fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        Ok(Self {
            dialler: Dialler::new(settings)?,
            idle_timeout: settings.idle_timeout,
            workers: settings.workers.get(),
        })
    }

    /// An empty pool for the upstream at `url`; `None` when it, or `proxy`, cannot be dialled.
    pub(crate) fn pool(
        &self,
        url: &HttpUrl,
        proxy: Option<&ProxyAddress>,
        protocol: UpstreamProtocol,
    ) -> Option<Pool> {
        let offer = match protocol {
            UpstreamProtocol::Auto => Offer::Both,
            UpstreamProtocol::Http1 => Offer::Http1,
            UpstreamProtocol::Http2 => Offer::Http2,
        };
        let (scheme, may_share) = match url.scheme() {
            Scheme::Http => (http::uri::Scheme::HTTP, protocol == UpstreamProtocol::Http2),
            Scheme::Https => (http::uri::Scheme::HTTPS, protocol != UpstreamProtocol::Http1),
        };
        Some(Pool {
            destination: self.dialler.destination(url, proxy, offer)?,
            scheme,
            protocol,
            // As long as it is not known, one connection shows it for all.
            shares: AtomicBool::new(may_share),
            by_worker: (0..=self.workers).map(|_| Own::default()).collect(),
            idle_timeout: self.idle_timeout,
        })
    }
}

impl Pool {
    /// Sends a request and waits for the head of its answer. `head` makes the request's head for each connection
    /// it is sent on, if that can be: for another one only when the first, kept idle before, did not take the
    /// request whole, or when the upstream says that it has not looked at it.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub(crate) async fn exchange(
        &self,
        worker: Worker,
        which: Use,
        now: Instant,
        head: impl Fn() -> Option<Vec<u8>>,
        body: &Bytes,
    ) -> Result<(ResponseHead, Connection), NoAnswer> {
        let own = self.by_worker.get(worker.0).ok_or(NoAnswer::NotSent)?;
        let head = || head().ok_or(NoAnswer::NotSent);
        if self.shares.load(Ordering::Relaxed) {
            return Box::pin(self.exchange_shared(own, &head()?, body)).await;
        }
        let idle = match which {
            Use::IdleOrNew => self.take(own, now),
            Use::New => None,
        };
        if let Some(mut connection) = idle
            && connection.client.send(head()?, body.clone()).await.is_ok()
        {
            return match connection.client.response_head().await {
                Ok(answer) => Ok((answer, Connection::Http1(connection))),
                Err(_) if connection.client.answer_has_begun() => Err(NoAnswer::Lost),
                Err(_) => Err(NoAnswer::PerhapsUnseen),
            };
        }
        match Box::pin(self.open(own)).await? {
            Opened::Http1(connection) => Box::pin(connection.exchange(head()?, body)).await,
            Opened::Http2(_) => Box::pin(self.exchange_shared(own, &head()?, body)).await,
        }
    }

    /// The same on a connection that other requests share.
    async fn exchange_shared(
        &self,
        own: &Own,
        head: &[u8],
        body: &Bytes,
    ) -> Result<(ResponseHead, Connection), NoAnswer> {
        for _ in 0..MAX_UNPROCESSED {
            let lane = match self.lane(own) {
                Some(lane) => lane,
                None => match self.open_for_all(own).await? {
                    Opened::Http1(connection) => return connection.exchange(head.to_vec(), body).await,
                    Opened::Http2(lane) => lane,
                },
            };
            let request = head::request(head, self.scheme.clone()).ok_or(NoAnswer::NotSent)?;
            return match lane.exchange(request, body.clone()).await {
                Ok((parts, answer)) => {
                    let head = head::response(&parts).ok_or(NoAnswer::Lost)?;
                    Ok((head, Connection::Http2(answer)))
                }
                Err(Failed::Unprocessed) => continue,
                Err(Failed::PerhapsUnseen) => Err(NoAnswer::PerhapsUnseen),
                Err(Failed::Lost) => Err(NoAnswer::Lost),
            };
        }
        Err(NoAnswer::NotSent)
    }

    /// Makes a connection. It is added to the worker's when it can be shared.
    async fn open(&self, own: &Own) -> Result<Opened, NoAnswer> {
        let dialled = self.destination.dial().await.map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(%error, source, "upstream cannot be connected to");
            NoAnswer::NotSent
        })?;
        let shares = dialled.http2 || self.protocol == UpstreamProtocol::Http2;
        self.shares.store(shares, Ordering::Relaxed);
        if !shares {
            return Ok(Opened::Http1(Box::new(Http1 {
                client: Client::new(dialled.stream, LIMITS),
                address: dialled.address,
            })));
        }
        let opened = Lane::open(dialled.stream, dialled.address).await;
        let lane = opened.map_err(|_| NoAnswer::NotSent)?;
        own.lanes.add(lane.clone());
        Ok(Opened::Http2(lane))
    }

    /// Makes a connection unless another request is about to; then waits for that one, and shares its fate.
    async fn open_for_all(&self, own: &Own) -> Result<Opened, NoAnswer> {
        let failed_before = own.failed_dials.load(Ordering::Relaxed);
        let dialling = own.dialling.lock().await;
        if let Some(lane) = self.lane(own) {
            return Ok(Opened::Http2(lane));
        }
        if own.failed_dials.load(Ordering::Relaxed) != failed_before {
            return Err(NoAnswer::NotSent);
        }
        if !self.shares.load(Ordering::Relaxed) {
            drop(dialling);
            return self.open(own).await;
        }
        let opened = self.open(own).await;
        if opened.is_err() {
            own.failed_dials.fetch_add(1, Ordering::Relaxed);
        }
        opened
    }

    fn lane(&self, own: &Own) -> Option<Lane> {
        own.lanes.pick(|address| self.destination.leads_to(address))
    }

    /// Takes back a connection whose answer has been received, if it can be used again.
    pub(crate) fn put(&self, worker: Worker, connection: Connection, now: Instant) {
        let Connection::Http1(connection) = connection else {
            return;
        };
        if !connection.client.is_reusable() {
            return;
        }
        if let Some(own) = self.by_worker.get(worker.0) {
            let mut idle = own.idle();
            if idle.len() < MAX_IDLE {
                idle.push(Idle {
                    connection,
                    since: now,
                });
            }
        }
    }

    /// Closes the worker's connections that have been idle for too long.
    pub(crate) fn sweep(&self, worker: Worker, now: Instant) {
        let Some(own) = self.by_worker.get(worker.0) else {
            return;
        };
        own.lanes.sweep(now, self.idle_timeout);
        let mut idle = own.idle();
        // The oldest are first.
        let old = idle.partition_point(|it| now.saturating_duration_since(it.since) >= self.idle_timeout);
        let closing: Vec<Idle> = idle.drain(..old).collect();
        drop(idle);
        drop(closing);
    }

    /// The connection that was used last, if the upstream has kept it open and its name still leads there.
    fn take(&self, own: &Own, now: Instant) -> Option<Box<Http1>> {
        loop {
            let Idle {
                mut connection,
                since,
            } = own.idle().pop()?;
            if now.saturating_duration_since(since) < self.idle_timeout
                && self.destination.leads_to(connection.address)
                && connection.client.is_fresh()
            {
                return Some(connection);
            }
        }
    }
}

impl Own {
    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Http1 {
    /// The first request on it, and the head of the answer.
    async fn exchange(
        mut self: Box<Self>,
        head: Vec<u8>,
        body: &Bytes,
    ) -> Result<(ResponseHead, Connection), NoAnswer> {
        let sent = self.client.send(head, body.clone()).await;
        sent.map_err(|_| NoAnswer::Lost)?;
        match self.client.response_head().await {
            Ok(answer) => Ok((answer, Connection::Http1(self))),
            Err(_) => Err(NoAnswer::Lost),
        }
    }
}

impl Connection {
    /// The next part of the answer's body; `None` at its end, `Err` when it breaks off.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        match self {
            Self::Http1(connection) => connection.client.chunk().await.map_err(|_| NoAnswer::Lost),
            Self::Http2(answer) => answer.part().await.map_err(|_| NoAnswer::Lost),
        }
    }

    /// How much of the body is still to come, where that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        match self {
            Self::Http1(connection) => connection.client.remaining(),
            Self::Http2(answer) => answer.remaining(),
        }
    }
}
