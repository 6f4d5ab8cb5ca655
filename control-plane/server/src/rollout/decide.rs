//! What a rollout does next: pure. The time and how the gateways stand are arguments.
//!
//! It is told of events one after the other ([`Rollout::step`]) and decides by what is the case, not by what has just
//! happened, so an event that was missed changes nothing.

mod sight;
mod state;

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tyrscale_model::{OnHalt, Revision, RolloutPolicy, RolloutShare, UnixMillis, Version};

#[cfg(test)]
pub(crate) use sight::Fate;
pub(crate) use sight::{Comparison, Gateway};
pub(crate) use state::{Cause, State};

/// With fewer gateways than this a stage takes one more than the stage before.
const FEW: usize = 3;

/// A change on its way to the gateways. Everything but the clock is durable.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rollout {
    pub(crate) id: u64,
    /// What is rolled out, digest over everything.
    pub(crate) version: Version,
    /// What the others run.
    pub(crate) base: Revision,
    pub(crate) policy: RolloutPolicy,
    /// Index of the stage it is in; behind the last: all gateways.
    pub(crate) stage: usize,
    /// The gateways of the stages so far.
    pub(crate) members: BTreeSet<String>,
    pub(crate) state: State,
    /// Why it is in its state, for people.
    pub(crate) why: String,
    /// An operator gave it to all: nothing halts it.
    pub(crate) is_forced: bool,
    /// What it touched is to be restored by a new revision.
    pub(crate) is_revert_due: bool,
    pub(crate) reverted_by: Option<Revision>,
    pub(crate) started: UnixMillis,
    pub(crate) ended: Option<UnixMillis>,
}

/// Since when a stage is what it is. After a restart it begins anew.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) entered: Instant,
    /// Since when its gateways all run the change.
    settled: Option<Instant>,
}

impl Clock {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            entered: now,
            settled: None,
        }
    }
}

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Pause,
    Resume,
    Abort,
    Promote,
}

/// What a rollout is told.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// How the gateways stand, and how requests fare where that is known.
    Seen(&'a [Gateway], &'a [Comparison]),
    Told(Control),
    /// A revision restored what it touched.
    Undone(Revision),
    /// What it touched could not be restored, and why.
    NotUndone(String),
    /// A revision that does not wait takes its place.
    Overtaken(Revision),
}

/// What is to be done about an event, besides keeping the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    /// It halted.
    Halt(Cause),
}

/// An operator wants what the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rollout is not in a state to do so")]
pub(crate) struct NotNow;

impl Rollout {
    /// Whether every gateway is to have it.
    pub(crate) fn is_for_all(&self) -> bool {
        self.stage >= self.policy.stages.len()
    }

    /// Whether a gateway is to have it.
    pub(crate) fn includes(&self, gateway: &str) -> bool {
        self.is_for_all() || self.members.contains(gateway)
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// [`NotNow`] when an operator wants what the state does not allow; nothing is changed.
    pub(crate) fn step(
        &mut self,
        clock: &mut Clock,
        event: Event<'_>,
        now: Instant,
    ) -> Result<Action, NotNow> {
        if !self.state.is_active() {
            return Err(NotNow);
        }
        match event {
            Event::Seen(gateways, comparisons) if self.state == State::Running => {
                return Ok(self.look(clock, gateways, comparisons, now));
            }
            Event::Seen(..) => {}
            Event::Told(control) => return self.obey(clock, control, now),
            Event::Undone(revision) => {
                self.state = State::Reverted;
                self.is_revert_due = false;
                self.reverted_by = Some(revision);
            }
            Event::NotUndone(why) => {
                self.is_revert_due = false;
                self.why = format!("{}; it could not be reverted: {why}", self.why);
            }
            Event::Overtaken(revision) => {
                self.state = State::Superseded;
                self.is_revert_due = false;
                self.why = format!("revision {revision} took its place");
            }
        }
        Ok(Action::Nothing)
    }

    fn obey(&mut self, clock: &mut Clock, control: Control, now: Instant) -> Result<Action, NotNow> {
        match (control, self.state) {
            (Control::Pause, State::Running) => {
                self.state = State::Paused;
                "paused by an operator".clone_into(&mut self.why);
            }
            (Control::Resume, State::Paused | State::Halted) => {
                self.state = State::Running;
                self.is_revert_due = false;
                self.why.clear();
                *clock = Clock::new(now);
            }
            (Control::Promote, _) => {
                self.state = State::Running;
                self.stage = self.policy.stages.len();
                self.is_forced = true;
                self.is_revert_due = false;
                "given to all by an operator".clone_into(&mut self.why);
                *clock = Clock::new(now);
            }
            (Control::Abort, _) => {
                self.state = State::Halted;
                "aborted by an operator".clone_into(&mut self.why);
                self.is_revert_due = true;
                return Ok(Action::Halt(Cause::Operator));
            }
            (Control::Pause | Control::Resume, _) => return Err(NotNow),
        }
        Ok(Action::Nothing)
    }

    fn look(
        &mut self,
        clock: &mut Clock,
        gateways: &[Gateway],
        comparisons: &[Comparison],
        now: Instant,
    ) -> Action {
        if !self.is_forced {
            let refusal = gateways
                .iter()
                .find_map(|gateway| Some(format!("{}: {}", gateway.id, gateway.refused.as_ref()?)));
            if let Some(why) = refusal {
                return self.halt(Cause::Refused, why);
            }
            if let Some(why) = comparisons.iter().find_map(Comparison::worse) {
                return self.halt(Cause::Worse, why);
            }
        }
        if self.is_for_all() {
            self.finish(clock, gateways, now);
            return Action::Nothing;
        }
        // Without any gateway it goes on in its time; the first ones to come are held to the stage it is in.
        if self.members.is_empty() && !gateways.is_empty() {
            self.members = self.choose(gateways);
            if !self.members.is_empty() {
                *clock = Clock::new(now);
            }
        }
        self.watch_stage(clock, gateways, now)
    }

    fn watch_stage(&mut self, clock: &mut Clock, gateways: &[Gateway], now: Instant) -> Action {
        let Some(stage) = self.policy.stages.get(self.stage) else {
            return Action::Nothing;
        };
        let bake = stage.bake;
        let is_overdue = now - clock.entered >= self.policy.stage_timeout;
        let mut stand = Stand::default();
        for member in &self.members {
            let known = gateways.iter().find(|gateway| gateway.id == *member);
            stand.count(member, known);
        }
        if is_overdue && let Some(silent) = stand.silent {
            return self.halt(Cause::Silent, format!("{silent} has not answered in time"));
        }
        if is_overdue && stand.running == 0 && stand.away.is_some() {
            let why = "no gateway of the stage is connected".to_owned();
            return self.halt(Cause::Away, why);
        }
        // Who is away may have died of it: the stage waits for it, but not longer than for an answer.
        let is_settled = match stand.away {
            Some(_) => is_overdue && stand.silent.is_none(),
            None => stand.silent.is_none(),
        };
        if !is_settled {
            clock.settled = None;
            return Action::Nothing;
        }
        let settled = *clock.settled.get_or_insert(now);
        if now - settled >= bake {
            self.stage += 1;
            *clock = Clock::new(now);
            if !self.is_for_all() {
                let next = self.choose(gateways);
                self.members.extend(next);
            }
        }
        Action::Nothing
    }

    fn finish(&mut self, clock: &Clock, gateways: &[Gateway], now: Instant) {
        let behind = gateways.iter().find(|gateway| {
            gateway.is_connected && !gateway.is_unable && !gateway.runs && gateway.refused.is_none()
        });
        match behind {
            None => self.state = State::Succeeded,
            Some(gateway) if now - clock.entered >= self.policy.stage_timeout => {
                self.state = State::Succeeded;
                self.why = format!("{} has not answered yet", gateway.id);
            }
            Some(_) => {}
        }
    }

    fn halt(&mut self, cause: Cause, why: String) -> Action {
        self.state = State::Halted;
        self.why = why;
        self.is_revert_due = self.policy.on_halt == OnHalt::Revert;
        Action::Halt(cause)
    }

    /// The gateways of the stage it is in: at least one if there are any, those that had it before first, then in an
    /// order that is another for each rollout, so that not the same ones are always the first.
    fn choose(&self, gateways: &[Gateway]) -> BTreeSet<String> {
        let mut candidates: Vec<&Gateway> = gateways
            .iter()
            .filter(|gateway| gateway.is_connected && !gateway.is_unable)
            .collect();
        candidates
            .sort_by_cached_key(|gateway| (!self.members.contains(&gateway.id), self.rank(&gateway.id)));
        let total = candidates.len();
        let Some(stage) = self.policy.stages.get(self.stage) else {
            return BTreeSet::new();
        };
        let wanted = match &stage.share {
            RolloutShare::Count(count) => usize::try_from(*count).unwrap_or(total),
            RolloutShare::Percent(percent) => part(*percent, total),
            RolloutShare::Label { name, value } => {
                candidates.sort_by_key(|gateway| gateway.labels.get(name) != Some(value));
                candidates
                    .iter()
                    .filter(|gateway| gateway.labels.get(name) == Some(value))
                    .count()
            }
        };
        let wanted = wanted.max(1);
        let wanted = if total < FEW {
            wanted.min(self.stage + 1)
        } else {
            wanted
        };
        candidates
            .iter()
            .take(wanted)
            .map(|gateway| gateway.id.clone())
            .collect()
    }

    fn rank(&self, gateway: &str) -> [u8; 8] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.id.to_le_bytes());
        hasher.update(gateway.as_bytes());
        let mut rank = [0; 8];
        hasher.finalize_xof().fill(&mut rank);
        rank
    }

    /// When to look again although nothing happened.
    pub(crate) fn look_at(&self, clock: &Clock) -> Option<Instant> {
        if self.state != State::Running {
            return None;
        }
        let bake = self
            .policy
            .stages
            .get(self.stage)
            .map_or(Duration::ZERO, |stage| stage.bake);
        let baked = clock.settled.map(|settled| settled + bake);
        Some(baked.unwrap_or(clock.entered + self.policy.stage_timeout))
    }
}

/// How the gateways of a stage stand.
#[derive(Debug, Default)]
struct Stand<'a> {
    running: usize,
    /// One that is connected and has not answered.
    silent: Option<&'a str>,
    /// One that is not connected.
    away: Option<&'a str>,
}

impl<'a> Stand<'a> {
    fn count(&mut self, id: &'a str, gateway: Option<&Gateway>) {
        match gateway.filter(|gateway| gateway.is_connected) {
            Some(gateway) if gateway.is_unable => {}
            Some(gateway) if gateway.runs => self.running += 1,
            Some(_) => self.silent = self.silent.or(Some(id)),
            None => self.away = self.away.or(Some(id)),
        }
    }
}

/// `percent` of `total`, rounded up.
fn part(percent: f64, total: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of a number of gateways, which is small"
    )]
    let part = (total as f64 * percent / 100.0).ceil() as usize;
    part.min(total)
}

#[cfg(test)]
mod tests;
