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

/// One thing a body does.
#[derive(Debug)]
enum Step {
    Send(Bytes),
    Pause(Duration),
    /// Lets the connection flush what was sent.
    Yield,
    Break,
}

/// A body made of steps. Its announced length is that of the whole answer, even if it breaks off earlier.
#[derive(Debug)]
pub(crate) struct SimBody {
    announced: u64,
    steps: VecDeque<Step>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl SimBody {
    /// Sends `bytes`, with a pause in the middle when `delay` is not zero.
    pub(crate) fn whole(mut bytes: Bytes, delay: Duration) -> Self {
        let announced = length(&bytes);
        if delay.is_zero() {
            return Self::new(announced, [Step::Send(bytes)]);
        }
        let head = bytes.split_to(bytes.len() / 2);
        Self::new(
            announced,
            [
                Step::Send(head),
                Step::Yield,
                Step::Pause(delay),
                Step::Send(bytes),
            ],
        )
    }

    /// Announces `bytes`, sends the first `after_bytes` of them and closes the connection.
    pub(crate) fn broken(mut bytes: Bytes, after_bytes: usize) -> Self {
        let whole = length(&bytes);
        bytes.truncate(after_bytes);
        // Always more than is sent, so that even a body sent whole is seen to break.
        let announced = whole.max(length(&bytes) + 1);
        Self::new(announced, [Step::Send(bytes), Step::Yield, Step::Break])
    }

    fn new<const N: usize>(announced: u64, steps: [Step; N]) -> Self {
        let useful = |step: &Step| !matches!(step, Step::Send(bytes) if bytes.is_empty());
        Self {
            announced,
            steps: steps.into_iter().filter(useful).collect(),
            pause: None,
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
