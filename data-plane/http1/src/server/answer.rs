//! Answers: whole in one write, or part by part.

use std::io;
use std::mem;
use std::task::Poll;

use bytes::{Buf, Bytes};
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{Incoming, Phase, Server, Stream};
use crate::chunked::{LAST_CHUNK, push_size};
use crate::encode::{self, Announced, Persistence};
use crate::fields::{Field, InvalidField};
use crate::framing::is_bodiless;
use crate::head::Version;
use crate::transport::Outgoing;

/// How long a streamed answer is going to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerLength {
    /// So many bytes.
    Known(u64),
    /// As long as it takes: in chunks, or until the connection ends for a client of HTTP/1.0.
    Unknown,
}

/// Why an answer was not sent whole. The connection is closed then, unless a field was invalid.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A field cannot be written; nothing was sent, and another answer may be.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// The client takes nothing.
    #[error("the client took nothing for too long")]
    TooSlow,
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[source] io::Error),
    /// More or fewer bytes than were announced.
    #[error("an answer of another length than announced")]
    Length,
    /// No request waits for this.
    #[error("nothing to answer")]
    OutOfTurn,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Server<IO> {
    /// Answers the request. Fields that are about the connection or the length are said by the connection itself
    /// and left out of `fields`; `Date` is added unless it is among them. The body is counted but not sent where
    /// the request (HEAD) or the status allows none.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn respond<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: Bytes,
    ) -> Result<(), AnswerError> {
        let whole = self.whole(status, fields, body)?;
        self.write_closing(whole).await?;
        self.answered();
        Ok(())
    }

    fn whole<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        body: Bytes,
    ) -> Result<Outgoing, AnswerError> {
        self.check_turn()?;
        let omitted = self.asked.head_only || is_bodiless(status);
        let announced = Announced::Length(body.len() as u64);
        let body = if omitted { Bytes::new() } else { body };
        let head = self.head(status, fields, announced, body.len())?;
        Ok(Outgoing::new(head, body, b""))
    }

    /// Begins an answer that is sent in parts. The head goes out with the first of them.
    ///
    /// # Errors
    /// [`AnswerError::Field`] or [`AnswerError::OutOfTurn`].
    pub fn begin<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        length: AnswerLength,
    ) -> Result<(), AnswerError> {
        self.check_turn()?;
        let omitted = self.asked.head_only || is_bodiless(status);
        let (stream, announced) = match (length, self.asked.version) {
            (AnswerLength::Known(length), _) => (Stream::Length(length), Announced::Length(length)),
            (AnswerLength::Unknown, Version::Http11) => (Stream::Chunked, Announced::Chunked),
            (AnswerLength::Unknown, Version::Http10) => (Stream::UntilClose, Announced::UntilClose),
        };
        if stream == Stream::UntilClose && !omitted {
            self.asked.keep_alive = false;
        }
        self.unsent = self.head(status, fields, announced, 0)?;
        self.phase = Phase::Streaming(if omitted { Stream::Omitted } else { stream });
        Ok(())
    }

    /// Sends a part, and waits until the connection has taken it.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn send(&mut self, part: Bytes) -> Result<(), AnswerError> {
        let Phase::Streaming(stream) = self.phase else {
            return Err(AnswerError::OutOfTurn);
        };
        if part.is_empty() || stream == Stream::Omitted {
            return Ok(());
        }
        let mut front = mem::take(&mut self.unsent);
        let (left, back): (_, &'static [u8]) = match stream {
            Stream::Length(left) => match left.checked_sub(part.len() as u64) {
                Some(left) => (Stream::Length(left), b""),
                None => return self.fail(AnswerError::Length),
            },
            Stream::Chunked => {
                push_size(&mut front, part.len());
                (stream, b"\r\n")
            }
            Stream::UntilClose | Stream::Omitted => (stream, b""),
        };
        self.write_closing(Outgoing::new(front, part, back)).await?;
        self.phase = Phase::Streaming(left);
        Ok(())
    }

    /// Ends an answer that was sent in parts.
    ///
    /// # Errors
    /// [`AnswerError`]; [`AnswerError::Length`] when less was sent than announced.
    pub async fn finish(&mut self) -> Result<(), AnswerError> {
        let Phase::Streaming(stream) = self.phase else {
            return Err(AnswerError::OutOfTurn);
        };
        let mut front = mem::take(&mut self.unsent);
        match stream {
            Stream::Length(1..) => return self.fail(AnswerError::Length),
            Stream::Chunked => front.extend_from_slice(LAST_CHUNK),
            Stream::Length(0) | Stream::UntilClose | Stream::Omitted => {}
        }
        if !front.is_empty() {
            self.write_closing(Outgoing::new(front, Bytes::new(), b""))
                .await?;
        }
        self.answered();
        Ok(())
    }

    /// Breaks off: nothing that could end the answer is sent any more, so the client sees that a part is missing.
    /// Only where the end of the connection is the end of the answer (HTTP/1.0 without a length) it takes more: the
    /// stream, which is given back, has to be reset rather than closed.
    pub fn abort(self) -> IO {
        self.io
    }

    /// Whether an answer has been begun and not ended.
    #[must_use]
    pub const fn is_answering(&self) -> bool {
        matches!(self.phase, Phase::Streaming(_))
    }

    fn check_turn(&self) -> Result<(), AnswerError> {
        match self.phase {
            Phase::Requested => Ok(()),
            _ => Err(AnswerError::OutOfTurn),
        }
    }

    fn head<'a>(
        &mut self,
        status: StatusCode,
        fields: impl IntoIterator<Item = Field<'a>>,
        announced: Announced,
        body: usize,
    ) -> Result<Vec<u8>, InvalidField> {
        self.skip_body();
        let may_go_on = matches!(self.incoming, Incoming::Ended) && !self.drain.has_begun();
        self.asked.keep_alive &= may_go_on;
        let persistence = Persistence {
            keep_alive: self.asked.keep_alive,
            version: self.asked.version,
        };
        encode::response_head(status, fields, announced, persistence, body)
    }

    /// A body that nobody asked for is skipped when it is here, else the connection cannot go on behind it.
    fn skip_body(&mut self) {
        if let Incoming::Length(length) = self.incoming
            && let Ok(length) = usize::try_from(length)
            && length <= self.buffer.len()
        {
            self.buffer.advance(length);
            self.incoming = Incoming::Ended;
        }
    }

    fn answered(&mut self) {
        self.phase = if self.asked.keep_alive {
            Phase::Waiting
        } else {
            Phase::Answered
        };
    }

    fn fail(&mut self, error: AnswerError) -> Result<(), AnswerError> {
        self.phase = Phase::Closed;
        Err(error)
    }

    /// Writes and leaves the connection closed, for the caller to open again when all went well.
    async fn write_closing(&mut self, outgoing: Outgoing) -> Result<(), AnswerError> {
        self.phase = Phase::Closed;
        self.write(outgoing).await
    }

    pub(super) async fn write(&mut self, mut outgoing: Outgoing) -> Result<(), AnswerError> {
        let mut deadline = None;
        std::future::poll_fn(|context| {
            match outgoing.poll_write(&mut self.io, context) {
                Poll::Ready(written) => return Poll::Ready(written.map_err(AnswerError::Io)),
                Poll::Pending => {}
            }
            if outgoing.take_progress() {
                deadline = None;
            }
            let timeout = self.settings.write_timeout;
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + timeout);
            self.timer
                .poll_at(deadline, context)
                .map(|()| Err(AnswerError::TooSlow))
        })
        .await
    }
}
