//! What one lane of a stream decides: a state machine without I/O. The time and what the server has are arguments.
//!
//! A subscriber runs a version. At most one update is in flight; its answer moves the state, sending never does.
//! So whatever is lost, refused or slow, the next update starts from what the subscriber is known to run, and
//! leads to the newest version.

use std::time::Duration;

use tokio::time::Instant;
use tyrscale_model::Version;
use tyrscale_proto::v1::{NackReason, SyncState};

use super::resume::{Offer, Resume, resume};

/// Between the starts of two updates to one subscriber. A change alone goes at once; of many, each update takes several.
const FLOOR: Duration = Duration::from_millis(40);
/// After the second refusal in a row; doubles with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(5);
/// The longest pause after refusals.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// An update to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Update {
    /// What it starts from; none: it is the whole.
    pub(crate) base: Option<Version>,
    pub(crate) target: Version,
}

/// What an acknowledgement meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged {
    /// The subscriber runs what it was sent.
    Proved,
    /// It runs something else.
    Diverged,
}

/// The update in flight was not answered in time, twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unanswered;

#[derive(Debug)]
struct InFlight {
    update: Update,
    deadline: Instant,
    stalled: bool,
}

/// How sure the server is of what the subscriber runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Footing {
    /// It is known.
    Firm,
    /// It is not; the whole is due, once.
    Shaken,
    /// The whole was sent for that reason.
    Repairing,
    /// It is wrong again: nothing more is sent.
    Lost,
}

#[derive(Debug)]
struct Refusal {
    version: Version,
    in_a_row: u32,
    not_before: Instant,
}

/// A version that cannot be sent.
#[derive(Debug)]
struct Unsendable {
    version: Version,
    obstacle: Obstacle,
}

/// Why an update cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) why: &'static str,
    /// When to try again; never is for what a newer version alone can help.
    pub(crate) until: Option<Instant>,
}

/// One lane of a subscriber's stream.
#[derive(Debug)]
pub(crate) struct Session {
    ack_deadline: Duration,
    /// What the subscriber died with, and does not take.
    quarantined: Vec<Version>,
    running: Option<Version>,
    in_flight: Option<InFlight>,
    footing: Footing,
    unsendable: Option<Unsendable>,
    refusal: Option<Refusal>,
    started: Option<Instant>,
    wake_at: Option<Instant>,
    state: SyncState,
    /// Why nothing is sent, while that is so.
    held: &'static str,
}

impl Session {
    /// A stream of a subscriber that has said what it runs.
    pub(crate) const fn new(
        have: Option<Version>,
        quarantined: Vec<Version>,
        ack_deadline: Duration,
    ) -> Self {
        Self {
            ack_deadline,
            quarantined,
            running: have,
            in_flight: None,
            footing: Footing::Firm,
            unsendable: None,
            refusal: None,
            started: None,
            wake_at: None,
            state: SyncState::NeverSent,
            held: "",
        }
    }

    pub(crate) const fn state(&self) -> SyncState {
        self.state
    }

    /// Whether an update awaits its answer.
    pub(crate) const fn is_in_flight(&self) -> bool {
        self.in_flight.is_some()
    }

    /// Why the state is [`SyncState::Held`]; empty otherwise.
    pub(crate) fn reason(&self) -> &'static str {
        if self.state == SyncState::Held {
            self.held
        } else {
            ""
        }
    }

    const fn hold(&mut self, why: &'static str) {
        self.state = SyncState::Held;
        self.held = why;
    }

    pub(crate) const fn running(&self) -> Option<Version> {
        self.running
    }

    /// What the welcome says. A subscriber told that it is in sync takes over the target's version.
    pub(crate) fn welcome(&mut self, offer: &Offer<'_>) -> (Resume, &'static str) {
        let (resume, why) = resume(self.running.as_ref(), offer);
        match resume {
            Resume::InSync => {
                self.running = Some(offer.target);
                self.state = SyncState::Synced;
            }
            Resume::Hold => self.hold(why),
            Resume::Delta | Resume::Snapshot => {}
        }
        (resume, why)
    }

    /// The next update, if one is due now. It counts as in flight from here.
    pub(crate) fn next_update(&mut self, offer: &Offer<'_>, now: Instant) -> Option<Update> {
        self.wake_at = None;
        if self.in_flight.is_some() {
            return None;
        }
        if self.footing == Footing::Lost {
            self.hold("its content was not ours twice");
            return None;
        }
        let base = self.base(offer)?;
        if let Some(obstacle) = self.obstacle(&offer.target, now) {
            self.hold(obstacle.why);
            self.wake_at = obstacle.until;
            return None;
        }
        if self
            .quarantined
            .iter()
            .any(|version| version.digest == offer.target.digest)
        {
            self.state = SyncState::Rejected;
            return None;
        }
        let is_repair = self.footing == Footing::Shaken;
        if let Some(refusal) = self.refusal.as_ref().filter(|_| !is_repair) {
            self.state = SyncState::Rejected;
            if refusal.version == offer.target {
                return None;
            }
        }
        let not_before = self.not_before(is_repair);
        if not_before.is_some_and(|earliest| earliest > now) {
            self.wake_at = not_before;
            return None;
        }
        let update = Update {
            base,
            target: offer.target,
        };
        self.started = Some(now);
        self.in_flight = Some(InFlight {
            update,
            deadline: now + self.ack_deadline,
            stalled: false,
        });
        if is_repair {
            self.footing = Footing::Repairing;
        }
        if self.state != SyncState::Diverged {
            self.state = SyncState::InFlight;
        }
        Some(update)
    }

    /// What the next update starts from; `None` when there is none to send.
    fn base(&mut self, offer: &Offer<'_>) -> Option<Option<Version>> {
        if self.footing == Footing::Shaken {
            return match offer.lacking {
                Some(lacking) => {
                    self.hold(lacking);
                    None
                }
                None => Some(None),
            };
        }
        let (resume, why) = resume(self.running.as_ref(), offer);
        match resume {
            // Only a welcome can hand over the version of another lineage without sending anything.
            Resume::InSync if self.running != Some(offer.target) => Some(None),
            Resume::InSync => {
                self.state = SyncState::Synced;
                None
            }
            Resume::Hold => {
                self.hold(why);
                None
            }
            Resume::Delta => Some(self.running),
            Resume::Snapshot => Some(None),
        }
    }

    fn not_before(&self, is_repair: bool) -> Option<Instant> {
        let refusal = self.refusal.as_ref().map(|refusal| refusal.not_before);
        if is_repair {
            None
        } else {
            self.floor().max(refusal)
        }
    }

    /// When the next update may begin at the earliest.
    fn floor(&self) -> Option<Instant> {
        self.started.map(|started| started + FLOOR)
    }

    /// Whether news can wait, since the session looks for it by itself soon: an update is in flight, or the next one is
    /// about to begin.
    pub(crate) fn is_settling(&self) -> bool {
        let is_about_to_begin = self.wake_at.is_some() && self.wake_at == self.floor();
        self.in_flight.is_some() || is_about_to_begin
    }

    /// The update in flight has left: the time to answer begins.
    pub(crate) fn sent(&mut self, now: Instant) {
        let deadline = now + self.ack_deadline;
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.deadline = deadline;
        }
    }

    /// The update in flight cannot be sent: the subscriber stays where it is until there is a newer version, or the
    /// obstacle may be gone.
    pub(crate) fn cannot_send(&mut self, obstacle: Obstacle) {
        let version = self.in_flight.take().map(|in_flight| in_flight.update.target);
        self.unsendable = version.map(|version| Unsendable { version, obstacle });
        self.hold(obstacle.why);
        self.wake_at = obstacle.until;
    }

    /// The update in flight cannot leave yet: it is asked for anew once it can.
    pub(crate) fn postpone(&mut self, why: &'static str) {
        (self.in_flight, self.started) = (None, None);
        if self.footing == Footing::Repairing {
            self.footing = Footing::Shaken;
        }
        self.hold(why);
    }

    /// What stands in the way of a version now.
    fn obstacle(&self, version: &Version, now: Instant) -> Option<Obstacle> {
        let unsendable = self.unsendable.as_ref()?;
        let stands = unsendable.obstacle.until.is_none_or(|until| until > now);
        (stands && unsendable.version == *version).then_some(unsendable.obstacle)
    }

    /// The subscriber answers the update in flight: it runs `running`, which could be read or not.
    pub(crate) fn ack(&mut self, running: Option<Version>) -> Acknowledged {
        let sent = self.in_flight.take().map(|in_flight| in_flight.update.target);
        self.running = running;
        if running.is_some() && running == sent {
            self.footing = Footing::Firm;
            self.refusal = None;
            self.state = SyncState::Synced;
            return Acknowledged::Proved;
        }
        (self.footing, self.state) = match self.footing {
            Footing::Firm => (Footing::Shaken, SyncState::Diverged),
            Footing::Shaken | Footing::Repairing | Footing::Lost => (Footing::Lost, SyncState::Held),
        };
        Acknowledged::Diverged
    }

    /// The subscriber refuses the update in flight and goes on with `running`. Gives the version it refused.
    pub(crate) fn nack(
        &mut self,
        running: Option<Version>,
        reason: NackReason,
        now: Instant,
    ) -> Option<Version> {
        let version = self.in_flight.take()?.update.target;
        self.running = running;
        self.state = SyncState::Rejected;
        let needs_whole = matches!(reason, NackReason::BaseMismatch | NackReason::DigestMismatch);
        if needs_whole && self.footing == Footing::Firm {
            self.footing = Footing::Shaken;
            return Some(version);
        }
        self.footing = Footing::Firm;
        let in_a_row = self
            .refusal
            .as_ref()
            .map_or(1, |refusal| refusal.in_a_row.saturating_add(1));
        self.refusal = Some(Refusal {
            version,
            in_a_row,
            not_before: now + backoff(in_a_row),
        });
        Some(version)
    }

    /// When to call [`Session::on_time`] and [`Session::next_update`] again if nothing happens before.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let deadline = self.in_flight.as_ref().map(|in_flight| in_flight.deadline);
        deadline.or(self.wake_at)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// [`Unanswered`] when the second deadline passed.
    pub(crate) fn on_time(&mut self, now: Instant) -> Result<(), Unanswered> {
        let Some(in_flight) = self
            .in_flight
            .as_mut()
            .filter(|in_flight| now >= in_flight.deadline)
        else {
            return Ok(());
        };
        if in_flight.stalled {
            return Err(Unanswered);
        }
        in_flight.stalled = true;
        in_flight.deadline = now + self.ack_deadline;
        self.state = SyncState::Stalled;
        Ok(())
    }

    /// Nothing is sent, for a reason that lies outside the lane.
    pub(crate) const fn hold_back(&mut self, why: &'static str) {
        if self.in_flight.is_none() {
            self.hold(why);
            self.wake_at = None;
        }
    }

    /// An update has been waiting to be sent for too long.
    pub(crate) const fn stall(&mut self) {
        self.state = SyncState::Stalled;
    }
}

/// How long to wait after so many refusals in a row: the first costs nothing, so that a repair is tried at once.
fn backoff(in_a_row: u32) -> Duration {
    let Some(doublings) = in_a_row.checked_sub(2) else {
        return Duration::ZERO;
    };
    FIRST_BACKOFF
        .saturating_mul(1 << doublings.min(8))
        .min(MAX_BACKOFF)
}

#[cfg(test)]
mod tests;
