//! Bodies of answers: whole, or streamed from an upstream with the attempt that fetches them.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};
use tyrscale_jsonrpc::Fault;

use crate::attempt::{Attempt, Outcome};

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it; empty once sent.
    Whole(Bytes),
    /// Large: its first part is here, the rest is still to come.
    Streaming(Box<Rest>),
}

/// What an upstream has begun to send.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Received but not passed on yet.
    held: Bytes,
    incoming: Incoming,
    /// `None` once settled.
    attempt: Option<Attempt>,
    /// Ends when the upstream has sent nothing for `patience`.
    silence: Pin<Box<Sleep>>,
    patience: Duration,
}

/// An upstream stopped in the middle of a body; the client's connection is broken off, so that it cannot take
/// the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("upstream stopped in the middle of its answer")]
pub(crate) struct Interrupted;

impl Rest {
    /// `held` followed by what still comes, as long as no pause lasts longer than `patience`.
    pub(crate) fn new(held: Bytes, incoming: Incoming, attempt: Attempt, patience: Duration) -> Self {
        Self {
            held,
            incoming,
            attempt: Some(attempt),
            silence: Box::pin(tokio::time::sleep(patience)),
            patience,
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.attempt.take() {
            attempt.settle(outcome);
        }
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let Poll::Ready(received) = Pin::new(&mut self.incoming).poll_frame(context) else {
            ready!(self.silence.as_mut().poll(context));
            self.settle(Outcome::Faulted(Fault::Timeout));
            return Poll::Ready(Some(Err(Interrupted)));
        };
        self.silence.as_mut().reset(Instant::now() + self.patience);
        Poll::Ready(match received {
            Some(Ok(frame)) => {
                // With a known length nobody asks again once all has come.
                if self.incoming.is_end_stream() {
                    self.settle(Outcome::Answered);
                }
                Some(Ok(frame))
            }
            Some(Err(_)) => {
                self.settle(Outcome::Faulted(Fault::Lost));
                Some(Err(Interrupted))
            }
            None => {
                self.settle(Outcome::Answered);
                None
            }
        })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        let held = match self.get_mut() {
            Self::Whole(bytes) => bytes,
            Self::Streaming(rest) if rest.held.is_empty() => return rest.poll_rest(context),
            Self::Streaming(rest) => &mut rest.held,
        };
        let bytes = std::mem::take(held);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(rest) => {
                let held = rest.held.len() as u64;
                let coming = rest.incoming.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(coming.lower().saturating_add(held));
                if let Some(upper) = coming.upper() {
                    hint.set_upper(upper.saturating_add(held));
                }
                hint
            }
        }
    }
}
