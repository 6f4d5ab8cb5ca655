//! Connections to one upstream: used, kept while idle, used again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tyrscale_http1::{Client, HeadLimits, ResponseHead, ResponseLimits};
use tyrscale_model::{HttpUrl, ProxyAddress};

use crate::config::Settings;
use crate::dial::{Destination, Dialler, Stream};

/// Most idle connections to one upstream that a worker keeps.
const MAX_IDLE: usize = 1024;
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

/// A connection to an upstream.
#[derive(Debug)]
pub(crate) enum Connection {
    Http1(Client<Stream>),
}

/// The connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    destination: Destination,
    /// By worker, the latest last.
    idle: Box<[Mutex<Vec<Idle>>]>,
    idle_timeout: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// No connection: nothing was sent.
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
    pub(crate) fn pool(&self, url: &HttpUrl, proxy: Option<&ProxyAddress>) -> Option<Pool> {
        Some(Pool {
            destination: self.dialler.destination(url, proxy)?,
            idle: (0..=self.workers).map(|_| Mutex::default()).collect(),
            idle_timeout: self.idle_timeout,
        })
    }
}

impl Pool {
    /// Sends a request and waits for the head of its answer. `head` makes the request's head for each connection
    /// it is sent on: for another one only when the first, kept idle before, did not take the request whole.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub(crate) async fn exchange(
        &self,
        worker: Worker,
        which: Use,
        head: impl Fn() -> Vec<u8>,
        body: &Bytes,
    ) -> Result<(ResponseHead, Connection), NoAnswer> {
        let idle = match which {
            Use::IdleOrNew => self.take(worker),
            Use::New => None,
        };
        if let Some(Connection::Http1(mut client)) = idle
            && client.send(head(), body.clone()).await.is_ok()
        {
            return match client.response_head().await {
                Ok(answer) => Ok((answer, Connection::Http1(client))),
                Err(_) if client.answer_has_begun() => Err(NoAnswer::Lost),
                Err(_) => Err(NoAnswer::PerhapsUnseen),
            };
        }
        let stream = self.destination.dial().await.map_err(|_| NoAnswer::NotSent)?;
        let mut client = Client::new(stream, LIMITS);
        let sent = client.send(head(), body.clone()).await;
        sent.map_err(|_| NoAnswer::Lost)?;
        match client.response_head().await {
            Ok(answer) => Ok((answer, Connection::Http1(client))),
            Err(_) => Err(NoAnswer::Lost),
        }
    }

    /// Takes back a connection whose answer has been received, if it can be used again.
    pub(crate) fn put(&self, worker: Worker, connection: Connection) {
        let Connection::Http1(client) = &connection;
        if !client.is_reusable() {
            return;
        }
        if let Some(mut idle) = self.idle(worker)
            && idle.len() < MAX_IDLE
        {
            let since = Instant::now();
            idle.push(Idle { connection, since });
        }
    }

    /// Closes the worker's connections that have been idle for too long.
    pub(crate) fn sweep(&self, worker: Worker, now: Instant) {
        let Some(mut idle) = self.idle(worker) else { return };
        // The oldest are first.
        let old = idle.partition_point(|it| now.saturating_duration_since(it.since) >= self.idle_timeout);
        let closing: Vec<Idle> = idle.drain(..old).collect();
        drop(idle);
        drop(closing);
    }

    /// The connection that was used last, if the upstream has kept it open.
    fn take(&self, worker: Worker) -> Option<Connection> {
        loop {
            let Idle { connection, since } = self.idle(worker)?.pop()?;
            let Connection::Http1(mut client) = connection;
            if since.elapsed() < self.idle_timeout && client.is_fresh() {
                return Some(Connection::Http1(client));
            }
        }
    }

    fn idle(&self, worker: Worker) -> Option<MutexGuard<'_, Vec<Idle>>> {
        let idle = self.idle.get(worker.0)?;
        Some(idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Connection {
    /// The next part of the answer's body; `None` at its end, `Err` when it breaks off.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, NoAnswer> {
        let Self::Http1(client) = self;
        client.chunk().await.map_err(|_| NoAnswer::Lost)
    }

    /// How much of the body is still to come, where that is known.
    pub(crate) const fn remaining(&self) -> Option<u64> {
        let Self::Http1(client) = self;
        client.remaining()
    }
}
