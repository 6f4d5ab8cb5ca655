//! A response body that can pause or break off.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::load::InFlight;

/// One thing a body does.
#[derive(Debug)]
enum Step {
    Send(Bytes),
    Pause(Duration),
    /// Sends these bytes one by one, with a pause between two. Always the last step.
    Trickle(Bytes, Duration),
    /// Lets the connection flush what was sent.
    Yield,
    /// Sends nothing more and does not end.
    Stall,
    Break,
}

/// A body made of steps. Its announced length is that of the whole answer, even if it breaks off earlier.
#[derive(Debug)]
pub(crate) struct SimBody {
    announced: u64,
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
    /// The request it answers.
    request: Option<InFlight>,
}

/// The pauses of a body.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pauses {
    /// Between head and body.
    pub(crate) start: Duration,
    /// In the middle of the body.
    pub(crate) middle: Duration,
}

impl SimBody {
    /// Sends `bytes`, with its pauses.
    pub(crate) fn whole(mut bytes: Bytes, pauses: Pauses) -> Self {
        let announced = length(&bytes);
        let mut steps = VecDeque::new();
        if !pauses.start.is_zero() {
            steps.extend([Step::Yield, Step::Pause(pauses.start)]);
        }
        if !pauses.middle.is_zero() {
            let head = bytes.split_to(bytes.len() / 2);
            steps.extend([Step::Send(head), Step::Yield, Step::Pause(pauses.middle)]);
        }
        steps.push_back(Step::Send(bytes));
        Self::new(announced, steps)
    }

    /// Announces `bytes`, sends the first `after_bytes` of them and then nothing.
    pub(crate) fn stalled(mut bytes: Bytes, after_bytes: usize) -> Self {
        let announced = length(&bytes);
        bytes.truncate(after_bytes);
        Self::new(announced, [Step::Send(bytes), Step::Yield, Step::Stall])
    }

    /// Sends `bytes` one by one.
    pub(crate) fn trickle(bytes: Bytes, every: Duration) -> Self {
        Self::new(length(&bytes), [Step::Trickle(bytes, every)])
    }

    /// The same body, which ends the request when it is sent whole or dropped.
    pub(crate) fn answering(mut self, request: InFlight) -> Self {
        self.request = Some(request);
        self
    }

    /// Announces `bytes`, sends the first `after_bytes` of them and closes the connection.
    pub(crate) fn broken(mut bytes: Bytes, after_bytes: usize) -> Self {
        let whole = length(&bytes);
        bytes.truncate(after_bytes);
        // Always more than is sent, so that even a body sent whole is seen to break.
        let announced = whole.max(length(&bytes) + 1);
        Self::new(announced, [Step::Send(bytes), Step::Yield, Step::Break])
    }

    fn new(announced: u64, steps: impl IntoIterator<Item = Step>) -> Self {
        let useful =
            |step: &Step| !matches!(step, Step::Send(bytes) | Step::Trickle(bytes, _) if bytes.is_empty());
        Self {
            announced,
            steps: steps.into_iter().filter(useful).collect(),
            pause: None,
            request: None,
        }
    }
}

impl Drop for SimBody {
    fn drop(&mut self) {
        if self.is_end_stream()
            && let Some(request) = self.request.take()
        {
            request.answered();
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Body for SimBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Pause(delay)) => self.pause = Some(Box::pin(tokio::time::sleep(delay))),
                Some(Step::Trickle(mut rest, every)) if rest.len() > 1 => {
                    let byte = rest.split_to(1);
                    self.steps.extend([
                        Step::Send(byte),
                        Step::Yield,
                        Step::Pause(every),
                        Step::Trickle(rest, every),
                    ]);
                }
                Some(Step::Trickle(last, _)) => self.steps.push_back(Step::Send(last)),
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(Step::Yield) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Step::Break) => return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into()))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.announced)
    }
}
