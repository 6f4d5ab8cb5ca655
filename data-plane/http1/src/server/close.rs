//! Clients that leave, and connections that we end.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{Peer, Phase, Server};
use crate::transport;

/// What one look takes while a request is worked on: usually nothing has come.
const GLANCE: usize = 1024;

/// What one read throws away.
const DISCARDED: usize = 4 * 1024;

impl<IO: AsyncRead + AsyncWrite + Unpin> Server<IO> {
    /// Resolves when the client has gone away while its request is worked on. A client that only ended its sending
    /// side may still read, and has a grace period. What comes meanwhile is kept for later, up to the size of a
    /// head. May be dropped and asked again.
    pub async fn closed(&mut self) {
        std::future::poll_fn(|context| self.poll_closed(context)).await;
    }

    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.peer {
                Peer::Gone => return Poll::Ready(()),
                Peer::HalfClosed(since) => {
                    ready!(
                        self.timer
                            .poll_at(since + self.settings.half_close_grace, context)
                    );
                    self.peer = Peer::Gone;
                }
                // More is not taken; then it cannot be seen that the client leaves.
                Peer::Open if self.buffer.len() >= self.settings.head.bytes => return Poll::Pending,
                Peer::Open => {
                    let read =
                        transport::poll_read_at_most::<GLANCE, IO>(&mut self.io, &mut self.buffer, context);
                    match ready!(read) {
                        Ok(0) => self.peer = Peer::HalfClosed(Instant::now()),
                        Ok(_) => {}
                        Err(_) => self.peer = Peer::Gone,
                    }
                }
            }
        }
    }

    /// Ends our side while no answer is on its way.
    pub(super) async fn shut(&mut self) {
        self.phase = Phase::Closed;
        let deadline = Instant::now() + self.settings.linger_timeout;
        std::future::poll_fn(|context| self.poll_shut(deadline, context)).await;
    }

    /// Ends our side, then reads on for a while: a stream that is closed with bytes unread is reset, and a reset
    /// can overtake the answer. Source: RFC 9112, section 9.6.
    pub(super) async fn linger(&mut self) {
        self.shut().await;
        let deadline = Instant::now() + self.settings.linger_timeout;
        let mut left = self.settings.linger_bytes;
        if matches!(self.peer, Peer::Open) {
            std::future::poll_fn(|context| self.poll_discard(&mut left, deadline, context)).await;
        }
    }

    fn poll_shut(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        match Pin::new(&mut self.io).poll_shutdown(context) {
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(_)) => {
                self.peer = Peer::Gone;
                Poll::Ready(())
            }
            Poll::Pending => self.timer.poll_at(deadline, context),
        }
    }

    fn poll_discard(&mut self, left: &mut usize, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        while *left > 0 {
            let mut space = [MaybeUninit::<u8>::uninit(); DISCARDED];
            let mut read = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.io).poll_read(context, &mut read) {
                Poll::Ready(Ok(())) if !read.filled().is_empty() => {
                    *left = left.saturating_sub(read.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.timer.poll_at(deadline, context),
            }
        }
        Poll::Ready(())
    }
}
