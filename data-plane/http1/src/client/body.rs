//! Bodies of answers, taken as they come.

use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Client, ClientError, Framed, State};
use crate::chunked::Decoded;
use crate::transport;

/// What the first read of the rest of a body takes; each read that was filled doubles it.
pub(super) const FIRST_READ: usize = 16 * 1024;
/// From this length on it costs more to copy a body than to take room for it ahead.
pub(super) const LONG: u64 = 4 * 1024;
/// What a read takes at most: larger ones are no faster.
const LARGEST_READ: usize = 256 * 1024;

impl<IO: AsyncRead + AsyncWrite + Unpin> Client<IO> {
    /// The next part of the body, or `None` at its end. A small body that came with its head is one part, and not
    /// copied.
    ///
    /// # Errors
    /// [`ClientError`]; what was given before is only a part then.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        std::future::poll_fn(|context| self.poll_chunk(context)).await
    }

    /// See [`chunk`](Self::chunk).
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientError>> {
        loop {
            let taken = match self.state {
                State::Body(_) => self.take(),
                State::Ready | State::Ended => return Poll::Ready(Ok(None)),
                State::Sent | State::Closed => Err(ClientError::OutOfTurn),
            };
            match taken {
                Ok(None) if matches!(self.state, State::Body(_)) => {}
                Ok(taken) => return Poll::Ready(Ok(taken)),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
            match ready!(self.poll_more(context)) {
                Ok(0) if matches!(self.state, State::Body(Framed::UntilClose)) => self.end(),
                Ok(0) => return Poll::Ready(Err(self.fail(ClientError::Ended))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.fail(error.into()))),
            }
        }
    }

    /// The part of the body that is at the front of the buffer; `None` when there is nothing, or at the end.
    fn take(&mut self) -> Result<Option<Bytes>, ClientError> {
        let State::Body(framed) = &mut self.state else {
            return Ok(None);
        };
        match framed {
            Framed::Chunked(decoder) => match decoder.decode(&mut self.buffer)? {
                Decoded::Data(data) => Ok(Some(data)),
                Decoded::More => Ok(None),
                Decoded::End => {
                    self.end();
                    Ok(None)
                }
            },
            Framed::Length(_) | Framed::UntilClose if self.buffer.is_empty() => Ok(None),
            Framed::UntilClose => Ok(Some(self.buffer.split().freeze())),
            Framed::Length(left) => {
                let here = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(self.buffer.len());
                *left = left.saturating_sub(here as u64);
                let ended = *left == 0;
                let part = if ended && here == self.buffer.len() {
                    mem::take(&mut self.buffer)
                } else {
                    self.buffer.split_to(here)
                };
                if ended {
                    self.end();
                }
                Ok(Some(part.freeze()))
            }
        }
    }

    /// Reads more of the body, the more at once the more there was the last time.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let wanted = match self.state {
            State::Body(Framed::Length(left)) => {
                usize::try_from(left).unwrap_or(usize::MAX).min(self.read_size)
            }
            _ => self.read_size,
        };
        self.buffer.reserve(wanted);
        let read = ready!(transport::poll_read_into(&mut self.io, &mut self.buffer, context))?;
        if read >= self.read_size {
            self.read_size = self.read_size.saturating_mul(2).min(LARGEST_READ);
        }
        Poll::Ready(Ok(read))
    }

    fn fail(&mut self, error: ClientError) -> ClientError {
        self.state = State::Closed;
        error
    }
}
