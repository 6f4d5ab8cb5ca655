//! Taking what is kept, whoever kept it, and what needs no stages.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;
use tyrscale_model::{Revision, RolloutPolicy};
use tyrscale_store::{RevisionSummary, StoreError};

use super::{Clock, Driver, Rollout, State, undo};

impl Driver {
    /// Takes in the newest revision and what other control planes kept. A revision is looked at only with what was kept
    /// before it: a freeze holds it, whoever was told.
    pub(super) async fn take_in(&mut self) -> Result<(), StoreError> {
        self.newest = Arc::clone(&self.heads.borrow_and_update());
        if !self.leader.is_alone() {
            self.keeper.refresh().await?;
        }
        self.adopt().await;
        Ok(())
    }

    /// Makes what is kept the case here.
    pub(super) async fn adopt(&mut self) {
        self.show();
        let newest = self.newest.snapshot.revision();
        match self.keeper.active().cloned() {
            // Its revision is on its way to this control plane.
            Some(rollout) if rollout.version.revision > newest => {}
            Some(rollout) => self.adopt_active(rollout).await,
            None => {
                self.active = None;
                let standing = self.keeper.standing().released.map(Revision);
                let done = self.keeper.last().filter(|last| last.state == State::Succeeded);
                let released = standing.max(done.map(|done| done.version.revision));
                self.raise(released.filter(|released| *released <= newest)).await;
            }
        }
    }

    async fn adopt_active(&mut self, rollout: Rollout) {
        self.raise(Some(rollout.base)).await;
        match &mut self.active {
            Some(active) if active.rollout.id == rollout.id => {
                if active.rollout != rollout {
                    active.rollout = rollout;
                    active.clock = Clock::new(Instant::now());
                }
            }
            _ => {
                let head = self.head_at(rollout.version.revision).await;
                self.active = Some(self.activate(rollout, head));
            }
        }
    }

    /// Gateways are to run this revision at least.
    async fn raise(&mut self, released: Option<Revision>) {
        if let Some(released) = released.filter(|it| *it > self.released.snapshot.revision()) {
            self.released = self.head_at(released).await;
        }
    }

    /// Hands out what needs no stages; the rest is for who leads.
    pub(super) fn follow(&mut self) {
        let newest = self.newest.snapshot.revision();
        let is_held = self.is_frozen() || self.keeper.active().is_some();
        if !is_held && newest > self.released.snapshot.revision() && self.next_policy().0.is_at_once() {
            self.released = Arc::clone(&self.newest);
        }
        self.publish();
    }

    /// What gateways ran when the control plane ended, as far as it is known.
    pub(super) fn released_at_start(&self) -> Revision {
        let (standing, history) = (self.keeper.standing(), &self.newest.history);
        if let Some(active) = self.keeper.active() {
            return active.base;
        }
        let noted = standing.released.map(Revision);
        match noted.filter(|_| standing.is_exact || self.is_frozen()) {
            Some(noted) => noted,
            None => {
                let noted = noted.unwrap_or_default().max(history.floor());
                let later: Vec<_> = history.range(noted.next()..).collect();
                let rollback = later.iter().rposition(|summary| is_rollback(summary));
                let mut later = later.into_iter().skip(rollback.map_or(0, |at| at + 1));
                let staged = later.find(|summary| asks_for_stages(summary));
                let newest = self.newest.snapshot.revision();
                staged.map_or(newest, |staged| Revision(staged.revision.0 - 1))
            }
        }
    }

    /// A revision after this one that restores an earlier one, and does not wait.
    pub(super) fn overtaking(&self, after: Revision) -> Option<Revision> {
        let newest = self.newest.snapshot.revision();
        if newest <= after {
            return None;
        }
        let mut since = self.newest.history.range(after.next()..=newest);
        since
            .find(|summary| is_rollback(summary))
            .map(|rollback| rollback.revision)
    }

    /// How what is not released yet is to be delivered, and to whom first. What was reverted is over, and only what came
    /// beside it is left, for those first who had the bad change.
    pub(super) fn next_policy(&self) -> (RolloutPolicy, BTreeSet<String>) {
        let released = self.released.snapshot.revision();
        if self.overtaking(released).is_some() {
            return (RolloutPolicy::at_once(), BTreeSet::new());
        }
        let reverted = self.keeper.last().filter(|last| {
            last.state == State::Reverted && last.reverted_by.is_some_and(|revision| revision > released)
        });
        match reverted {
            Some(last) => (self.policy(last.version.revision), last.members.clone()),
            None => (self.policy(released), BTreeSet::new()),
        }
    }

    /// How what came after a revision is delivered: by the most careful policy that any of it asks for.
    fn policy(&self, from: Revision) -> RolloutPolicy {
        let to = self.newest.snapshot.revision();
        let mut policy = RolloutPolicy::at_once();
        let mut told = 0;
        let later = self.newest.history.range(from.next()..=to);
        for asked in later.filter_map(|summary| summary.rollout.clone()) {
            told += 1;
            policy = policy.more_careful(asked);
        }
        if to.0 - from.0 == told || self.default.is_at_once() || self.is_light(from) {
            return policy;
        }
        policy.more_careful(self.default.clone())
    }

    fn is_light(&self, from: Revision) -> bool {
        let keys = self.newest.history.touched_since(from);
        keys.is_some_and(|keys| undo::is_light(&self.released.snapshot, &self.newest.snapshot, &keys))
    }
}

/// Whether an operator restored an earlier revision with it. A rollout's own revert says how it is delivered.
fn is_rollback(summary: &RevisionSummary) -> bool {
    summary.reverts_to.is_some() && summary.rollout.is_none()
}

/// Whether it was asked to be delivered in stages.
pub(super) fn asks_for_stages(summary: &RevisionSummary) -> bool {
    summary
        .rollout
        .as_ref()
        .is_some_and(|policy| !policy.is_at_once())
}
