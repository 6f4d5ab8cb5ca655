//! A timer that is armed once for many deadlines.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep};

/// Registering a timer costs more than a request should. This one stays armed: a later deadline is found when it
/// fires, and it is armed anew only then, or when a deadline is earlier than what it is armed for. As long as
/// requests come, it fires about once in a timeout, whatever their number.
#[derive(Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer {
    /// A timer that is not armed yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { sleep: None }
    }

    /// Ready once `deadline` has passed.
    pub fn poll_at(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(context));
            if deadline <= sleep.deadline() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }

    /// What `work` gives, or `None` when `deadline` passes before. The timer is looked at only when `work` waits. The
    /// work is pinned where it is made, for a future that is passed on by value takes its room once more.
    pub async fn within<F: Future + Unpin>(&mut self, deadline: Instant, mut work: F) -> Option<F::Output> {
        std::future::poll_fn(|context| match Pin::new(&mut work).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_at(deadline, context).map(|()| None),
        })
        .await
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let armed = self.sleep.as_ref().map(|sleep| sleep.deadline());
        formatter.debug_tuple("Timer").field(&armed).finish()
    }
}
