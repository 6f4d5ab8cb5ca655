//! HTTP/2 connections to one upstream, each shared by several requests. Source: RFC 9113.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::{Request, response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

/// Most connections of one worker to one upstream; beyond what they take, requests wait for each other.
const MAX_LANES: usize = 16;
/// How much of one answer, and of all answers of a connection, an upstream may send ahead, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Largest part of an answer, and largest head, in bytes.
const MAX_FRAME: u32 = 128 * 1024;
const MAX_HEAD: u32 = 64 * 1024;
/// How often an upstream is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<Vec<Lane>>);

/// A connection.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    sender: SendRequest<Bytes>,
    /// The address that was dialled.
    address: IpAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Requests whose answers have not ended.
    in_flight: AtomicUsize,
    /// When the last of them ended.
    idle_since: Mutex<Instant>,
    /// Whether an answer has come on it.
    has_answered: AtomicBool,
}

/// Room for one request on a connection, until it is dropped.
#[derive(Debug)]
struct Slot(Arc<Shared>);

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    body: RecvStream,
    /// How much is still to come, where that was said.
    remaining: Option<u64>,
    _slot: Slot,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The upstream says that it has not looked at the request, or it was not sent.
    Unprocessed,
    /// The connection ended before any of the answer had come, after it had been of use: perhaps the upstream was
    /// just closing it.
    PerhapsUnseen,
    Lost,
}

impl Lanes {
    /// A connection with room for another request; when there is none, and cannot be more, the one with the least
    /// to do. Those that take no more requests are forgotten.
    pub(crate) fn pick(&self, is_current: impl Fn(IpAddr) -> bool) -> Option<Lane> {
        let mut lanes = self.lock();
        lanes.retain(|lane| lane.is_open() && is_current(lane.address));
        let room = lanes.iter().find(|lane| lane.has_room());
        if room.is_none() && lanes.len() < MAX_LANES {
            return None;
        }
        room.or_else(|| lanes.iter().min_by_key(|lane| lane.in_flight()))
            .cloned()
    }

    pub(crate) fn add(&self, lane: Lane) {
        self.lock().push(lane);
    }

    /// Lets go of connections without a request for longer than `idle_timeout`.
    pub(crate) fn sweep(&self, now: Instant, idle_timeout: Duration) {
        self.lock().retain(|lane| {
            let idle_since = *lane
                .shared
                .idle_since
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            lane.in_flight() > 0 || now.saturating_duration_since(idle_since) < idle_timeout
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    /// Begins to speak HTTP/2 over `stream`, which leads to `address`. A task of the caller's runtime drives the
    /// connection until it ends, or nobody holds it or an answer of it.
    ///
    /// # Errors
    /// When the stream fails at once.
    pub(crate) async fn open<S>(stream: S, address: IpAddr) -> Result<Self, h2::Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, mut connection) = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_frame_size(MAX_FRAME)
            .max_header_list_size(MAX_HEAD)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        let pings = connection.ping_pong();
        tokio::spawn(drive(connection, pings));
        Ok(Self {
            sender,
            address,
            shared: Arc::new(Shared {
                in_flight: AtomicUsize::new(0),
                idle_since: Mutex::new(Instant::now()),
                has_answered: AtomicBool::new(false),
            }),
        })
    }

    /// Sends a request and waits for the head of its answer. Dropped, the request is cancelled.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) async fn exchange(
        self,
        request: Request<()>,
        body: Bytes,
    ) -> Result<(response::Parts, Answer), Failed> {
        self.shared.in_flight.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(self.shared);
        let mut sender = self.sender.ready().await.map_err(|_| Failed::Unprocessed)?;
        let (answering, mut sending) = sender
            .send_request(request, body.is_empty())
            .map_err(|_| Failed::Unprocessed)?;
        let failed = |error: h2::Error| Failed::of(&error, slot.0.has_answered.load(Ordering::Relaxed));
        if !body.is_empty() {
            sending.send_data(body, true).map_err(failed)?;
        }
        let (head, body) = answering.await.map_err(failed)?.into_parts();
        slot.0.has_answered.store(true, Ordering::Relaxed);
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        let answer = Answer {
            remaining: length.and_then(|length| length.to_str().ok()?.parse().ok()),
            body,
            _slot: slot,
        };
        Ok((head, answer))
    }

    fn is_open(&self) -> bool {
        // A clone of its own waits for nothing: either it is ready or the connection is not to be used.
        matches!(self.sender.clone().ready().now_or_never(), Some(Ok(_)))
    }

    fn has_room(&self) -> bool {
        self.in_flight() < self.sender.current_max_send_streams()
    }

    fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
}

impl Answer {
    /// The next part; `None` at the end. Trailers are dropped.
    ///
    /// # Errors
    /// When it breaks off.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            let Some(part) = self.body.data().await else {
                return Ok(None);
            };
            let part = part.map_err(|_| Failed::Lost)?;
            self.body
                .flow_control()
                .release_capacity(part.len())
                .map_err(|_| Failed::Lost)?;
            self.remaining = self.remaining.map(|it| it.saturating_sub(part.len() as u64));
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
    }

    pub(crate) const fn remaining(&self) -> Option<u64> {
        self.remaining
    }
}

impl Failed {
    /// Sources: RFC 9113, sections 6.8 (GOAWAY) and 8.7 (request reliability).
    fn of(error: &h2::Error, has_answered: bool) -> Self {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        if error.is_remote() && (refused || error.is_go_away()) {
            Self::Unprocessed
        } else if error.is_io() && has_answered {
            Self::PerhapsUnseen
        } else {
            Self::Lost
        }
    }
}

/// Drives a connection to its end, or until the upstream does not say that it is still there.
async fn drive<S>(connection: Connection<S, Bytes>, pings: Option<PingPong>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "http/2 connection to an upstream failed");
            }
        }
        () = unanswered(pings) => tracing::debug!("http/2 connection to an upstream does not answer"),
    }
}

/// Waits until a ping is not answered in time.
async fn unanswered(pings: Option<PingPong>) {
    let Some(mut pings) = pings else {
        return std::future::pending().await;
    };
    loop {
        sleep(PING_INTERVAL).await;
        if !matches!(timeout(PING_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
