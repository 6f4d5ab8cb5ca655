//! Bodies of answers: whole, or streamed from an upstream.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tyrscale_jsonrpc::Class;

use crate::attempt::{Attempt, Outcome};
use crate::config::Settings;

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it; empty once sent.
    Whole(Bytes),
    /// Large: its first part is here, the rest is still to come.
    Streaming(Box<Rest>),
}

/// What an upstream has begun to send. A task fetches it and holds the attempt, so that both end in time also
/// when the client's connection asks for nothing more.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Received but not passed on yet.
    held: Bytes,
    /// How much comes after `held`, where that is known.
    coming: Option<u64>,
    frames: mpsc::Receiver<Received>,
}

/// The next part of a body, or its end.
type Received = Result<Option<Frame<Bytes>>, Interrupted>;

/// An upstream stopped in the middle of a body, or the client took nothing for too long; the client's stream is
/// broken off, so that it cannot take the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off in the middle")]
pub(crate) struct Interrupted;

impl Rest {
    /// `held` followed by what still comes, as long as the upstream does not pause for longer than an attempt
    /// may, nor the client for longer than a write.
    pub(crate) fn new(held: Bytes, incoming: Incoming, attempt: Attempt, settings: &Settings) -> Self {
        let (sender, frames) = mpsc::channel(1);
        let coming = incoming.size_hint().exact();
        tokio::spawn(fetch(
            incoming,
            attempt,
            sender,
            settings.attempt_timeout,
            settings.write_timeout,
        ));
        Self { held, coming, frames }
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        self.frames.poll_recv(context).map(|received| match received {
            Some(Ok(frame)) => {
                let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
                self.coming = self.coming.map(|coming| coming.saturating_sub(length as u64));
                frame.map(Ok)
            }
            // Without an end told, this is none.
            Some(Err(Interrupted)) | None => Some(Err(Interrupted)),
        })
    }
}

/// Passes on what comes, and settles the attempt with the last of it. A client that leaves or stalls says
/// nothing about the upstream.
async fn fetch(
    mut incoming: Incoming,
    attempt: Attempt,
    client: mpsc::Sender<Received>,
    patience: Duration,
    write_timeout: Duration,
) {
    loop {
        let received = tokio::select! {
            () = client.closed() => return,
            received = timeout(patience, incoming.frame()) => received,
        };
        let (frame, ended) = match received {
            // With a known length nobody asks again once all has come.
            Ok(Some(Ok(frame))) => (Some(frame), incoming.is_end_stream().then_some(Outcome::Answered)),
            Ok(None) => (None, Some(Outcome::Answered)),
            Ok(Some(Err(_))) => (None, Some(Outcome::Faulted(Class::Lost))),
            Err(_) => (None, Some(Outcome::Faulted(Class::Timeout))),
        };
        let Some(outcome) = ended else {
            if pass_on(&client, Ok(frame), write_timeout).await {
                continue;
            }
            return;
        };
        attempt.settle(outcome);
        let end = match outcome {
            Outcome::Answered => Ok(None),
            Outcome::Faulted(_) => Err(Interrupted),
        };
        for part in frame.map(|frame| Ok(Some(frame))).into_iter().chain([end]) {
            if !pass_on(&client, part, write_timeout).await {
                return;
            }
        }
        return;
    }
}

/// Whether the client took it in time.
async fn pass_on(client: &mpsc::Sender<Received>, received: Received, write_timeout: Duration) -> bool {
    client.send_timeout(received, write_timeout).await.is_ok()
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
                match rest.coming {
                    Some(coming) => SizeHint::with_exact(coming.saturating_add(held)),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
