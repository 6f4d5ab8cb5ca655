//! The side towards clients: requests in, answers out, one after the other.

mod answer;
mod body;
mod close;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use answer::{AnswerError, AnswerLength};
pub use body::BodyError;
pub use request::RequestError;

use crate::chunked::Decoder;
use crate::drain::Drain;
use crate::head::{HeadLimits, Version};
use crate::timer::Timer;

/// How long and how much of everything; shared by all connections of a listener.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Of request heads.
    pub head: HeadLimits,
    /// Of the trailer section behind a chunked body, in bytes.
    pub max_trailer_bytes: usize,
    /// How long a connection may be silent between requests.
    pub idle_timeout: Duration,
    /// From a head's first byte to its last; also how long a fresh connection may be silent.
    pub head_timeout: Duration,
    /// From when a body is asked for to its last byte.
    pub body_timeout: Duration,
    /// How long a client may take nothing of what is sent to it.
    pub write_timeout: Duration,
    /// How long a client that has ended its sending side is believed to still wait for its answer.
    pub half_close_grace: Duration,
    /// How long a connection that we close is read on, so that the answer is not lost to a reset.
    pub linger_timeout: Duration,
    /// And how many bytes of it.
    pub linger_bytes: usize,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            max_trailer_bytes: 8 * 1024,
            idle_timeout: Duration::from_secs(75),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            half_close_grace: Duration::from_secs(5),
            linger_timeout: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
        }
    }
}

/// A connection from a client. It holds no buffer while it waits for a request.
///
/// [`next_request`](Self::next_request), [`read_body`](Self::read_body) and
/// [`respond`](Self::respond) follow each other until there is no next request; a long answer is streamed with
/// [`begin`](Self::begin), [`send`](Self::send) and [`finish`](Self::finish). Dropping the future of a method
/// leaves the connection closed where a part may have been sent, and as it was otherwise.
pub struct Server<IO> {
    io: IO,
    settings: Arc<ServerSettings>,
    drain: Drain,
    timer: Timer,
    /// Received, but not taken for anything yet.
    buffer: BytesMut,
    peer: Peer,
    phase: Phase,
    /// The body of the request being worked on.
    incoming: Incoming,
    /// What of the request decides how it is answered.
    asked: Asked,
    /// The head of an answer, until its first part goes with it.
    unsent: Vec<u8>,
}

/// What is known of the client.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Open,
    /// It sends no more, known since.
    HalfClosed(Instant),
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// For the first request.
    Fresh,
    /// For the next request.
    Waiting,
    /// A request waits for its answer.
    Requested,
    /// The answer is being sent.
    Streaming(Stream),
    /// All is answered, and the connection is to be closed.
    Answered,
    /// Nothing more is sent or received.
    Closed,
}

/// How much of a streamed answer is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Length(u64),
    Chunked,
    UntilClose,
    /// The request or the status allows no body.
    Omitted,
}

/// The part of a request's body that has not been read.
#[derive(Debug)]
enum Incoming {
    Ended,
    Length(u64),
    Chunked(Decoder),
    /// Where it ends is not known.
    Broken,
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    version: Version,
    keep_alive: bool,
    /// HEAD: the answer has no body.
    head_only: bool,
    /// The client waits before it sends the body.
    expects_continue: bool,
}

impl Asked {
    /// Of a request that could not be read.
    const UNKNOWN: Self = Self {
        version: Version::Http11,
        keep_alive: false,
        head_only: false,
        expects_continue: false,
    };
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Server<IO> {
    /// Nothing is read before a request is asked for.
    pub fn new(io: IO, settings: Arc<ServerSettings>, drain: Drain) -> Self {
        Self {
            io,
            settings,
            drain,
            timer: Timer::new(),
            buffer: BytesMut::new(),
            peer: Peer::Open,
            phase: Phase::Fresh,
            incoming: Incoming::Ended,
            asked: Asked::UNKNOWN,
            unsent: Vec::new(),
        }
    }

    /// The stream.
    pub const fn get_ref(&self) -> &IO {
        &self.io
    }

    /// The stream and what was read from it but not taken for anything, to go on in another way (see
    /// [`Rewind`](crate::Rewind)).
    pub fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.buffer.freeze())
    }
}

impl<IO> fmt::Debug for Server<IO> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("phase", &self.phase)
            .field("peer", &self.peer)
            .field("asked", &self.asked)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}
