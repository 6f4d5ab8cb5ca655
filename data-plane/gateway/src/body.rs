//! Bodies of answers: whole, or streamed from an upstream.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tyrscale_http1::Timer;
use tyrscale_jsonrpc::Class;

use crate::attempt::{Attempt, Outcome};
use crate::coding::Encoder;
use crate::pool::{Connection, Worker};

/// The body of an answer to a client.
#[derive(Debug)]
pub(crate) enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// Large: its first part is here, the rest is still to come.
    Streaming(Box<Rest>),
}

/// What an upstream has begun to send, and the attempt that is settled with the last of it. Dropped before, it
/// says nothing about the upstream: the client has left or stalls.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Received but not passed on yet.
    held: Bytes,
    /// `None` once all has come.
    connection: Option<Connection>,
    worker: Worker,
    /// `None` once settled.
    attempt: Option<Attempt>,
    /// How long the upstream may pause.
    patience: Duration,
    /// Compresses what is passed on; `None` where nothing does, and after the end.
    encoder: Option<Encoder>,
}

/// An upstream stopped in the middle of a body, or the client took nothing for too long; the client's stream is
/// broken off, so that it cannot take the part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off in the middle")]
pub(crate) struct Interrupted;

impl Rest {
    /// `held`, followed by what `connection` still gives.
    pub(crate) const fn new(
        held: Bytes,
        connection: Connection,
        worker: Worker,
        attempt: Attempt,
        patience: Duration,
    ) -> Self {
        Self {
            held,
            connection: Some(connection),
            worker,
            attempt: Some(attempt),
            patience,
            encoder: None,
        }
    }

    /// Compresses what is passed on from here.
    pub(crate) fn compress(&mut self) {
        self.encoder = Some(Encoder::new());
    }

    /// How much there is to come in all, where that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        if self.encoder.is_some() {
            return None;
        }
        let coming = self.connection.as_ref().map_or(Some(0), Connection::remaining)?;
        Some(coming.saturating_add(self.held.len() as u64))
    }

    /// The next part, `None` at the end.
    ///
    /// # Errors
    /// [`Interrupted`] when the upstream pauses for too long, or breaks off.
    pub(crate) async fn next(&mut self, timer: &mut Timer) -> Result<Option<Bytes>, Interrupted> {
        let part = self.receive(timer).await?;
        match (&mut self.encoder, part) {
            (None, part) => Ok(part),
            (Some(encoder), Some(part)) => encoder.part(&part).map(Some).ok_or(Interrupted),
            (Some(encoder), None) => {
                let end = encoder.end(&[]).ok_or(Interrupted)?;
                self.encoder = None;
                Ok(Some(end))
            }
        }
    }

    /// The next part as it comes.
    async fn receive(&mut self, timer: &mut Timer) -> Result<Option<Bytes>, Interrupted> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let deadline = Instant::now() + self.patience;
        let received = timer.within(deadline, pin!(connection.part())).await;
        let has_ended = connection.remaining() == Some(0);
        let part = match received {
            Some(Ok(part)) => part,
            Some(Err(_)) => return self.fail(Class::Lost),
            None => return self.fail(Class::Timeout),
        };
        // With a known length the end is known before anybody asks for it.
        if part.is_none() || has_ended {
            self.settle(Outcome::Answered);
        }
        Ok(part)
    }

    fn fail(&mut self, class: Class) -> Result<Option<Bytes>, Interrupted> {
        self.settle(Outcome::Faulted(class));
        Err(Interrupted)
    }

    fn settle(&mut self, outcome: Outcome) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        let now = Instant::now();
        if outcome == Outcome::Answered
            && let Some(connection) = self.connection.take()
        {
            attempt.endpoint().pool().put(self.worker, connection, now);
        }
        attempt.settle(outcome, now);
    }
}
