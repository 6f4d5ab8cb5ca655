//! Which of the control planes over one store acts for all of them: drives rollouts, ends weights, tidies up.
//!
//! The one that leads says so in the store again and again; once it has not for a while, as the others count it, another
//! one leads. Nobody relies on clocks that agree: what a leader writes also replaces what it read, so one that was
//! suspended, and does not know it, changes nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::coordination::Coordination;

/// The election; no client's election has a blank in its name.
const ELECTION: &str = "control plane";
/// How long a leader that is not heard of stays one.
const TTL: Duration = Duration::from_secs(6);
/// How long before that it stops to act.
const MARGIN: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(2);
/// How long giving it up may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A leadership: its token, and until when it surely holds; `None`: for good.
type Held = (u64, Option<Instant>);

/// Whether this control plane leads; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Leader {
    held: Arc<Mutex<Option<Held>>>,
}

impl Leader {
    /// Of the only control plane there is.
    pub(crate) fn alone() -> Self {
        Self {
            held: Arc::new(Mutex::new(Some((0, None)))),
        }
    }

    /// Of one of several; see [`Leader::campaign`].
    pub(crate) fn candidate() -> Self {
        Self { held: Arc::default() }
    }

    /// Whether there is no other control plane.
    pub(crate) fn is_alone(&self) -> bool {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(held, Some((_, None)))
    }

    /// The token of the leadership, while this control plane surely has it.
    pub(crate) fn token(&self) -> Option<u64> {
        let held = *self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (token, until) = held?;
        until.is_none_or(|until| Instant::now() < until).then_some(token)
    }

    /// Takes a leadership, or that it is another's.
    pub(crate) fn set(&self, held: Option<(u64, Instant)>) {
        let held = held.map(|(token, until)| (token, Some(until)));
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Tries to lead until `stop`, then gives it up.
    pub(crate) async fn campaign(self, coordination: Coordination, id: &str, stop: &CancellationToken) {
        let mut led = false;
        while !stop.is_cancelled() {
            let asked = Instant::now();
            match coordination.campaign(ELECTION, id, TTL).await {
                Ok(leadership) if leadership.is_own => {
                    self.set(Some((leadership.token, asked + TTL - MARGIN)));
                }
                Ok(_) => self.set(None),
                Err(error) => tracing::warn!(%error, "who leads the control planes cannot be told"),
            }
            let leads = self.token().is_some();
            if leads != led {
                tracing::info!(leads, "who leads the control planes has changed");
                led = leads;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(RENEW) => {}
            }
        }
        self.set(None);
        let resigning = tokio::time::timeout(GOODBYE, coordination.resign(ELECTION, id));
        if resigning.await.is_err() {
            tracing::debug!("the leadership ends by itself");
        }
    }
}
