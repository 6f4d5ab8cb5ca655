//! The side towards upstreams: one request at a time, driven by the task that waits for its answer.
//!
//! No timeouts here: whoever waits for an upstream has a deadline of his own (see [`Timer`](crate::Timer)).

mod body;

use std::fmt;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::chunked::{ChunkError, Decoder};
use crate::framing::Framing;
use crate::head::{self, Asked, HeadError, HeadLimits, ParsedResponse, ResponseHead};
use crate::transport::{self, Outgoing};

/// How much of an answer is read besides its body.
#[derive(Debug, Clone, Copy)]
pub struct ResponseLimits {
    /// Of its head.
    pub head: HeadLimits,
    /// Of the trailer section behind a chunked body, in bytes.
    pub max_trailer_bytes: usize,
    /// Interim answers (1xx) before the answer.
    pub max_interim: u8,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self {
            head: HeadLimits::default(),
            max_trailer_bytes: 8 * 1024,
            max_interim: 8,
        }
    }
}

/// Why an upstream gave no answer, or not all of it. The connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The head is refused.
    #[error("the answer is refused: {0}")]
    Head(#[from] HeadError),
    /// The chunks of the body are malformed.
    #[error("the body of the answer is refused: {0}")]
    Chunk(#[from] ChunkError),
    /// More interim answers than the limit.
    #[error("too many interim answers")]
    Interim,
    /// The connection ended before the answer did.
    #[error("the connection ended before the answer did")]
    Ended,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] io::Error),
    /// Called in an order that makes no sense, or after an error.
    #[error("the connection is not ready for this")]
    OutOfTurn,
}

/// A connection to an upstream: [`send`](Self::send), [`response_head`](Self::response_head), then
/// [`chunk`](Self::chunk) until `None`; once more when it [is reusable](Self::is_reusable). It holds no buffer in
/// between. Dropping the future of a method before it is done leaves the connection of no use, but for `chunk`,
/// which may be asked again, and for [`is_fresh`](Self::is_fresh), which does not wait.
pub struct Client<IO> {
    io: IO,
    limits: ResponseLimits,
    /// Received, but not taken for anything yet.
    buffer: BytesMut,
    state: State,
    asked: Asked,
    keep_alive: bool,
    /// Whether a byte of the present answer has come.
    answer_begun: bool,
    /// Answers that were received whole.
    answered: u64,
    /// What the next read of a long body takes.
    read_size: usize,
    /// Whether the body of the last answer was long: the next one is likely to be, too.
    expects_long: bool,
}

#[derive(Debug)]
enum State {
    Ready,
    /// A request was sent.
    Sent,
    Body(Framed),
    /// The answer was received whole, and nothing can follow.
    Ended,
    /// Nothing is to be expected of the connection any more.
    Closed,
}

/// The part of an answer's body that has not been taken.
#[derive(Debug)]
enum Framed {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    /// A connection that has just been opened.
    pub fn new(io: IO, limits: ResponseLimits) -> Self {
        Self {
            io,
            limits,
            buffer: BytesMut::new(),
            state: State::Ready,
            asked: Asked::Other,
            keep_alive: true,
            answer_begun: false,
            answered: 0,
            read_size: body::FIRST_READ,
            expects_long: false,
        }
    }

    /// Sends a request: `head` as [`request_head`](crate::request_head) makes it, and the body that it announces.
    /// When the upstream answers before it has taken all, sending stops; the answer can be read, and the
    /// connection is of no use after it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn send(&mut self, head: Vec<u8>, body: Bytes) -> Result<(), ClientError> {
        if !matches!(self.state, State::Ready) {
            return Err(ClientError::OutOfTurn);
        }
        self.state = State::Closed;
        self.answer_begun = false;
        self.asked = asked(&head);
        self.keep_alive = true;
        self.read_size = body::FIRST_READ;
        let mut outgoing = Outgoing::new(head, body, b"");
        std::future::poll_fn(|context| self.poll_send(&mut outgoing, context)).await?;
        self.state = State::Sent;
        Ok(())
    }

    fn poll_send(&mut self, outgoing: &mut Outgoing, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match outgoing.poll_write(&mut self.io, context) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            written => written,
        };
        // Not all was taken: perhaps because the answer is there already.
        while self.buffer.len() < self.limits.head.bytes {
            match self.poll_receive(context) {
                Poll::Ready(Ok(1..)) if has_final(&self.buffer) => {
                    self.keep_alive = false;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) if written.is_pending() => {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                _ => break,
            }
        }
        written
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let received = if self.expects_long {
            // Where it stays, at the cost of room that is taken while nothing has come yet.
            self.buffer.reserve(body::FIRST_READ);
            transport::poll_read_into(&mut self.io, &mut self.buffer, context)
        } else {
            transport::poll_read(&mut self.io, &mut self.buffer, context)
        };
        self.answer_begun |= matches!(received, Poll::Ready(Ok(1..)));
        received
    }

    /// The head of the answer. Interim answers are skipped.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn response_head(&mut self) -> Result<ResponseHead, ClientError> {
        if !matches!(self.state, State::Sent) {
            return Err(ClientError::OutOfTurn);
        }
        self.state = State::Closed;
        let mut interim = 0;
        let mut look = !self.buffer.is_empty();
        loop {
            while look && let Some(parsed) = self.parse()? {
                if !parsed.head.status.is_informational() {
                    return Ok(self.accept(parsed));
                }
                interim += 1;
                if interim > self.limits.max_interim {
                    return Err(ClientError::Interim);
                }
                look = !self.buffer.is_empty();
            }
            let before = self.buffer.len();
            if std::future::poll_fn(|context| self.poll_receive(context)).await? == 0 {
                return Err(ClientError::Ended);
            }
            // Nothing can have been decided before a line has ended.
            let received = self.buffer.get(before..).unwrap_or_default();
            look = received.contains(&b'\n') || self.buffer.len() >= self.limits.head.bytes;
        }
    }

    fn parse(&mut self) -> Result<Option<ParsedResponse>, HeadError> {
        head::parse_response(&mut self.buffer, self.limits.head, self.asked)
    }

    fn accept(&mut self, parsed: ParsedResponse) -> ResponseHead {
        self.keep_alive &= parsed.keep_alive;
        self.expects_long = matches!(parsed.framing, Framing::Length(body::LONG..));
        match parsed.framing {
            Framing::None => self.end(),
            Framing::Length(length) => self.state = State::Body(Framed::Length(length)),
            Framing::Chunked => {
                let decoder = Decoder::new(self.limits.max_trailer_bytes);
                self.state = State::Body(Framed::Chunked(decoder));
            }
            Framing::UntilClose => self.state = State::Body(Framed::UntilClose),
        }
        parsed.head
    }

    /// The answer is whole. Bytes beyond it belong to nothing that was asked for.
    fn end(&mut self) {
        self.answered = self.answered.saturating_add(1);
        self.state = if self.keep_alive && self.buffer.is_empty() {
            State::Ready
        } else {
            State::Ended
        };
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// Whether the last answer has been received whole and another request may be sent.
    pub const fn is_reusable(&self) -> bool {
        matches!(self.state, State::Ready)
    }

    /// Whether the upstream has neither closed nor said anything since. Looks without waiting, and makes no system
    /// call unless something came.
    pub fn is_fresh(&mut self) -> bool {
        let silent = self.is_reusable() && self.is_silent();
        if !silent {
            self.state = State::Closed;
        }
        silent
    }

    fn is_silent(&mut self) -> bool {
        // A task that has used up its turn would be told to wait without a look.
        let look = tokio::task::unconstrained(std::future::poll_fn(|context| {
            transport::poll_read_at_most::<1, IO>(&mut self.io, &mut self.buffer, context)
        }));
        pin!(look)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Whether a whole answer had been received before the present request. If so, and if no
    /// [answer has begun](Self::answer_has_begun), a failure may only mean that the upstream closed an idle
    /// connection.
    pub const fn was_used(&self) -> bool {
        self.answered > 0
    }

    /// Whether a byte of the answer to the present request has come.
    pub const fn answer_has_begun(&self) -> bool {
        self.answer_begun
    }

    /// How long the part of the body is that has not been taken: `None` when that is not known before its end.
    pub const fn remaining(&self) -> Option<u64> {
        match self.state {
            State::Body(Framed::Length(left)) => Some(left),
            State::Body(Framed::Chunked(_) | Framed::UntilClose) => None,
            State::Ready | State::Sent | State::Ended | State::Closed => Some(0),
        }
    }

    /// The stream and what was read from it but not taken for anything, as after an answer to CONNECT.
    pub fn into_parts(self) -> (IO, Bytes) {
        (self.io, self.buffer.freeze())
    }
}

/// Whether an answer begins in `received`, perhaps behind interim ones (1xx).
fn has_final(mut received: &[u8]) -> bool {
    const END: &[u8] = b"\r\n\r\n";
    while received.get(b"HTTP/1.1 ".len()) == Some(&b'1') {
        let Some(end) = received.windows(END.len()).position(|bytes| bytes == END) else {
            return false;
        };
        received = received.get(end.saturating_add(END.len())..).unwrap_or_default();
    }
    received.len() > b"HTTP/1.1 ".len()
}

/// How the answer is framed depends on the method.
fn asked(head: &[u8]) -> Asked {
    if head.starts_with(b"HEAD ") {
        Asked::Head
    } else if head.starts_with(b"CONNECT ") {
        Asked::Connect
    } else {
        Asked::Other
    }
}

impl<IO> fmt::Debug for Client<IO> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("state", &self.state)
            .field("answered", &self.answered)
            .field("buffered", &self.buffer.len())
            .finish_non_exhaustive()
    }
}
