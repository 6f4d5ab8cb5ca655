//! Waiting for requests.

use std::io;
use std::task::Poll;

use bytes::BytesMut;
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Asked, Incoming, Peer, Phase, Server};
use crate::chunked::Decoder;
use crate::framing::{Framing, FramingError};
use crate::head::{self, HeadError, ParsedRequest, RequestHead};
use crate::transport;

/// What an HTTP/2 connection begins with, as far as it tells it from others. Source: RFC 9113, section 3.4.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

/// Why there is no request to work on.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection begins as one of HTTP/2. [`Server::into_parts`] gives what was read, to go on with it.
    #[error("the client speaks http/2")]
    Http2,
    /// The head is refused.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The head took too long.
    #[error("the client took too long to send a head")]
    TooSlow,
    /// The client left in the middle of a head.
    #[error("the client left in the middle of a head")]
    Incomplete,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
}

impl RequestError {
    /// What to answer before the connection is closed; `None` when nobody listens.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        Some(match self {
            Self::Head(HeadError::TooLarge | HeadError::TooManyFields) => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::Head(HeadError::Expectation) => StatusCode::EXPECTATION_FAILED,
            Self::Head(HeadError::Framing(FramingError::TransferEncoding)) => StatusCode::NOT_IMPLEMENTED,
            Self::Head(HeadError::Malformed(httparse::Error::Version)) | Self::Http2 => {
                StatusCode::HTTP_VERSION_NOT_SUPPORTED
            }
            Self::Head(_) => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Incomplete | Self::Io(_) => return None,
        })
    }
}

/// What ended a wait for bytes.
enum Woken {
    Received,
    /// The client sends no more.
    Ended,
    Failed(io::Error),
    Late,
    Draining,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Server<IO> {
    /// The next request; `None` when there is none, because the client has left, has been silent for too long, or
    /// was told with the answer before that the connection ends. Then the connection has been closed as well.
    ///
    /// # Errors
    /// [`RequestError`] when something came that is no request; [`respond`](Self::respond) may answer it.
    pub async fn next_request(&mut self) -> Result<Option<RequestHead>, RequestError> {
        match self.phase {
            Phase::Fresh | Phase::Waiting => {}
            Phase::Answered => {
                self.linger().await;
                return Ok(None);
            }
            Phase::Requested | Phase::Streaming(_) | Phase::Closed => {
                self.phase = Phase::Closed;
                return Ok(None);
            }
        }
        let request = self.receive_head().await;
        match &request {
            Ok(Some(_)) => {}
            Ok(None) => self.shut().await,
            Err(error) if error.status().is_some() => self.refuse_head(),
            Err(_) => self.phase = Phase::Closed,
        }
        request
    }

    async fn receive_head(&mut self) -> Result<Option<RequestHead>, RequestError> {
        let mut deadline = None;
        let mut look = true;
        loop {
            if self.buffer.is_empty() {
                // What held the last request is given back while nothing comes.
                self.buffer = BytesMut::new();
            } else if look && let Some(parsed) = self.parse()? {
                return Ok(Some(self.accept(parsed)));
            }
            let before = self.buffer.len();
            let begun = self.buffer.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            match self.wait(&mut deadline).await {
                Woken::Received => {}
                Woken::Ended | Woken::Late | Woken::Draining if !begun => return Ok(None),
                Woken::Failed(_) if !begun => return Ok(None),
                Woken::Ended | Woken::Draining => {
                    self.parse()?;
                    return Err(RequestError::Incomplete);
                }
                Woken::Failed(error) => return Err(RequestError::Io(error)),
                Woken::Late => return Err(RequestError::TooSlow),
            }
            if before == 0 {
                deadline = None;
            }
            // Nothing can have been decided before a line has ended.
            let received = self.buffer.get(before..).unwrap_or_default();
            look = received.contains(&b'\n') || self.buffer.len() >= self.settings.head.bytes || before == 0;
        }
    }

    fn parse(&mut self) -> Result<Option<ParsedRequest>, RequestError> {
        if self.phase == Phase::Fresh {
            if self.buffer.starts_with(HTTP2) {
                return Err(RequestError::Http2);
            }
            if HTTP2.starts_with(&self.buffer) {
                return Ok(None);
            }
        }
        Ok(head::parse_request(&mut self.buffer, self.settings.head)?)
    }

    /// Waits for bytes: for the head's rest as long as a head may take, for its first byte as long as a connection
    /// may be silent. The clock is read only when there is something to wait for.
    async fn wait(&mut self, deadline: &mut Option<Instant>) -> Woken {
        if !matches!(self.peer, Peer::Open) {
            return Woken::Ended;
        }
        let idle = self.buffer.is_empty();
        let timeout = if idle && self.phase == Phase::Waiting {
            self.settings.idle_timeout
        } else {
            self.settings.head_timeout
        };
        std::future::poll_fn(|context| {
            match transport::poll_read(&mut self.io, &mut self.buffer, context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Woken::Ended),
                Poll::Ready(Ok(_)) => return Poll::Ready(Woken::Received),
                Poll::Ready(Err(error)) => return Poll::Ready(Woken::Failed(error)),
                Poll::Pending => {}
            }
            if idle && self.drain.poll_begun(context).is_ready() {
                return Poll::Ready(Woken::Draining);
            }
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeout);
            self.timer.poll_at(deadline, context).map(|()| Woken::Late)
        })
        .await
    }

    fn accept(&mut self, parsed: ParsedRequest) -> RequestHead {
        self.incoming = match parsed.framing {
            Framing::None => Incoming::Ended,
            Framing::Length(length) => Incoming::Length(length),
            Framing::Chunked => Incoming::Chunked(Decoder::new(self.settings.max_trailer_bytes)),
            Framing::UntilClose => Incoming::Broken,
        };
        self.asked = Asked {
            version: parsed.head.version,
            // What follows a refused tunnel may have been meant for its other end.
            keep_alive: parsed.keep_alive && parsed.head.method != Method::CONNECT,
            head_only: parsed.head.method == Method::HEAD,
            expects_continue: parsed.expects_continue,
        };
        self.phase = Phase::Requested;
        parsed.head
    }

    /// Leaves nothing to do with what came but to say that it is refused.
    fn refuse_head(&mut self) {
        self.incoming = Incoming::Broken;
        self.asked = Asked::UNKNOWN;
        self.phase = Phase::Requested;
    }
}
