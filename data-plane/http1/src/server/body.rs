//! Bodies of requests, read whole.

use std::io;
use std::mem;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Incoming, Peer, Phase, Server};
use crate::chunked::{ChunkError, Decoded, Decoder};
use crate::transport::{self, Outgoing};

/// Memory is taken for so much of a body ahead, however long it says it is.
const AHEAD: usize = 64 * 1024;

/// Why a body was not received.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than asked for.
    #[error("the body is too large")]
    TooLarge,
    /// There is no room for what has come of it.
    #[error("there is no room for the body")]
    NoRoom,
    /// It took too long.
    #[error("the client took too long to send the body")]
    TooSlow,
    /// Its chunks are malformed.
    #[error(transparent)]
    Malformed(#[from] ChunkError),
    /// The client left in the middle of it.
    #[error("the client left in the middle of the body")]
    Incomplete,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
}

impl BodyError {
    /// What to answer before the connection is closed; `None` when nobody listens.
    #[must_use]
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::TooLarge => Some(StatusCode::PAYLOAD_TOO_LARGE),
            Self::NoRoom => Some(StatusCode::SERVICE_UNAVAILABLE),
            Self::TooSlow => Some(StatusCode::REQUEST_TIMEOUT),
            Self::Malformed(_) => Some(StatusCode::BAD_REQUEST),
            Self::Incomplete | Self::Io(_) => None,
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Server<IO> {
    /// The body of the request, whole; empty when it has none or it was read before. Trailers are dropped. A client
    /// that waits to be told to go on is told so.
    ///
    /// # Errors
    /// [`BodyError`]; the request can still be answered, and the connection ends after that.
    pub async fn read_body(&mut self, max_bytes: usize) -> Result<Bytes, BodyError> {
        self.read_body_within(max_bytes, |_| true).await
    }

    /// As [`read_body`](Self::read_body), asking `has_room` for each part of a body that does not come at once, with how
    /// much there is of it in all.
    ///
    /// # Errors
    /// [`BodyError`], as above.
    pub async fn read_body_within(
        &mut self,
        max_bytes: usize,
        mut has_room: impl FnMut(usize) -> bool,
    ) -> Result<Bytes, BodyError> {
        match mem::replace(&mut self.incoming, Incoming::Broken) {
            Incoming::Ended => {
                self.incoming = Incoming::Ended;
                Ok(Bytes::new())
            }
            Incoming::Length(length) => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= max_bytes)
                    .ok_or(BodyError::TooLarge)?;
                if self.buffer.len() < length {
                    self.receive_length(length, &mut has_room).await?;
                }
                self.incoming = Incoming::Ended;
                Ok(self.take(length))
            }
            Incoming::Chunked(decoder) => {
                let body = self.receive_chunks(decoder, max_bytes, &mut has_room).await?;
                self.incoming = Incoming::Ended;
                Ok(body)
            }
            Incoming::Broken => Err(BodyError::Incomplete),
        }
    }

    async fn receive_length(
        &mut self,
        length: usize,
        has_room: &mut impl FnMut(usize) -> bool,
    ) -> Result<(), BodyError> {
        self.tell_to_continue().await?;
        let mut deadline = None;
        loop {
            let missing = length.saturating_sub(self.buffer.len());
            if !has_room(self.buffer.len().min(length)) {
                return Err(BodyError::NoRoom);
            }
            if missing == 0 {
                return Ok(());
            }
            self.buffer.reserve(missing.min(AHEAD));
            self.receive(&mut deadline).await?;
        }
    }

    async fn receive_chunks(
        &mut self,
        mut decoder: Decoder,
        max_bytes: usize,
        has_room: &mut impl FnMut(usize) -> bool,
    ) -> Result<Bytes, BodyError> {
        let mut body = BytesMut::new();
        let mut deadline = None;
        loop {
            match decoder.decode(&mut self.buffer)? {
                Decoded::Data(data) if data.len() > max_bytes.saturating_sub(body.len()) => {
                    return Err(BodyError::TooLarge);
                }
                Decoded::Data(data) if !has_room(body.len().saturating_add(data.len())) => {
                    return Err(BodyError::NoRoom);
                }
                Decoded::Data(data) => body.extend_from_slice(&data),
                Decoded::End => return Ok(body.freeze()),
                Decoded::More => {
                    self.tell_to_continue().await?;
                    self.buffer.reserve(AHEAD);
                    self.receive(&mut deadline).await?;
                }
            }
        }
    }

    /// Source: RFC 9110, section 10.1.1. Not said when a part of the body has come already.
    async fn tell_to_continue(&mut self) -> Result<(), BodyError> {
        let expects = mem::replace(&mut self.asked.expects_continue, false);
        if !expects || !self.buffer.is_empty() {
            return Ok(());
        }
        let go_on = Outgoing::new(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Bytes::new(), b"");
        let phase = mem::replace(&mut self.phase, Phase::Closed);
        self.write(go_on).await.map_err(|_| BodyError::Incomplete)?;
        self.phase = phase;
        Ok(())
    }

    /// Reads what has come into the spare room of the buffer.
    async fn receive(&mut self, deadline: &mut Option<Instant>) -> Result<(), BodyError> {
        if !matches!(self.peer, Peer::Open) {
            return Err(BodyError::Incomplete);
        }
        std::future::poll_fn(|context| {
            match transport::poll_read_into(&mut self.io, &mut self.buffer, context) {
                Poll::Ready(Ok(0)) => Poll::Ready(Err(BodyError::Incomplete)),
                Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(BodyError::Io(error))),
                Poll::Pending => {
                    let timeout = self.settings.body_timeout;
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeout);
                    self.timer
                        .poll_at(deadline, context)
                        .map(|()| Err(BodyError::TooSlow))
                }
            }
        })
        .await
    }

    /// The first `length` bytes of the buffer, which has them.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        if length >= self.buffer.len() {
            mem::take(&mut self.buffer).freeze()
        } else {
            self.buffer.split_to(length).freeze()
        }
    }
}
