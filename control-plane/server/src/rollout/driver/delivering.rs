//! What the control plane that leads does: begins rollouts and moves them on.

use std::{collections::BTreeSet, sync::Arc};

use tokio::time::Instant;
use tyrscale_model::{RolloutPolicy, View};
use tyrscale_store::{Head, StoreError};

use super::{Driver, adopting::asks_for_stages};
use crate::rollout::{
    decide::{Action, Clock, Comparison, Event, NotNow, Rollout, State},
    record::{Standing, since_epoch},
};

impl Driver {
    /// Takes the newest revision and how the gateways stand, until nothing more is to be done about them.
    pub(super) async fn deliver(&mut self) -> Result<(), StoreError> {
        self.take_newest().await?;
        while self.look().await? {
            self.take_in().await?;
            self.take_newest().await?;
        }
        Ok(())
    }

    async fn take_newest(&mut self) -> Result<(), StoreError> {
        let newest = self.newest.snapshot.revision();
        if self.is_frozen() || newest == self.released.snapshot.revision() {
            self.publish();
            return Ok(());
        }
        if let Some(active) = &self.active {
            let Some(revision) = self.overtaking(active.rollout.version.revision) else {
                self.publish();
                return Ok(());
            };
            self.end_by(Event::Overtaken(revision)).await?;
            return self.release(Arc::clone(&self.newest)).await;
        }
        if self.keeper.active().is_some() {
            // Its revision is on its way to this control plane.
            return Ok(());
        }
        match self.next_policy() {
            (policy, _) if policy.is_at_once() => self.release(Arc::clone(&self.newest)).await,
            (policy, first) => self.begin(policy, first).await,
        }
    }

    /// Gives a revision to all.
    pub(super) async fn release(&mut self, head: Arc<Head>) -> Result<(), StoreError> {
        if self.is_to_be_noted(&head) {
            let standing = self.standing_at(&head);
            self.keep(standing, None).await?;
        }
        self.released = head;
        self.publish();
        Ok(())
    }

    /// Whether it does not follow from the revisions alone that this one is released.
    fn is_to_be_noted(&self, head: &Head) -> bool {
        if self.is_frozen() || !self.default.is_at_once() {
            return true;
        }
        let since = self.released.snapshot.revision().next()..=head.snapshot.revision();
        let mut since = head.history.range(since);
        since.any(|summary| asks_for_stages(summary) || summary.reverts_to.is_some())
    }

    /// What is remembered once this is what gateways run.
    pub(super) fn standing_at(&self, head: &Head) -> Standing {
        Standing {
            released: Some(head.snapshot.revision().0),
            is_exact: !self.default.is_at_once(),
            ..self.keeper.standing().clone()
        }
    }

    /// Begins to roll the newest revision out, first to those that run something later than the rest.
    async fn begin(&mut self, policy: RolloutPolicy, first: BTreeSet<String>) -> Result<(), StoreError> {
        let head = Arc::clone(&self.newest);
        let rollout = Rollout {
            id: self.keeper.next_id(),
            version: head.snapshot.version(View::ALL),
            base: self.released.snapshot.revision(),
            policy,
            stage: 0,
            members: first,
            state: State::Running,
            why: String::new(),
            is_forced: false,
            is_revert_due: false,
            reverted_by: None,
            started: since_epoch(),
            ended: None,
        };
        let standing = self.standing_at(&self.released);
        self.keep(standing, Some(&rollout)).await?;
        tracing::info!(rollout = rollout.id, revision = %rollout.version.revision, policy = %rollout.policy, "rollout begins");
        self.active = Some(self.activate(rollout, head));
        self.publish();
        Ok(())
    }

    /// Lets the rollout look at the gateways; whether there may be more to do.
    async fn look(&mut self) -> Result<bool, StoreError> {
        if self.is_frozen() {
            return Ok(false);
        }
        let Some(active) = &self.active else {
            return Ok(false);
        };
        let gateways = self.fleet.gateways(&active.rollout.version);
        let comparisons = Comparison::of(&self.telemetry.compared());
        let stepped = self.step(Event::Seen(&gateways, &comparisons)).await;
        stepped.unwrap_or(Ok(false))
    }

    /// Lets the rollout take an event in, keeps what it decides and does it. The outer error: the event was refused.
    pub(super) async fn step(&mut self, event: Event<'_>) -> Result<Result<bool, StoreError>, NotNow> {
        let Some(active) = &mut self.active else {
            return Err(NotNow);
        };
        let (mut next, mut clock) = (active.rollout.clone(), active.clock);
        let action = next.step(&mut clock, event, Instant::now())?;
        Ok(self.take_step(next, clock, action).await)
    }

    pub(super) async fn take_step(
        &mut self,
        mut next: Rollout,
        clock: Clock,
        action: Action,
    ) -> Result<bool, StoreError> {
        let Some(active) = &mut self.active else {
            return Ok(false);
        };
        if next == active.rollout {
            active.clock = clock;
            return Ok(false);
        }
        let is_over = !next.state.is_active();
        if is_over {
            next.ended = Some(since_epoch());
        }
        tracing::info!(rollout = next.id, stage = next.stage + 1, state = ?next.state, why = next.why, "rollout goes on");
        let head = Arc::clone(&active.head);
        let is_done = next.state == State::Succeeded;
        let standing = if is_done {
            self.standing_at(&head)
        } else {
            self.keeper.standing().clone()
        };
        self.keep(standing, Some(&next)).await?;
        if let Some(active) = &mut self.active {
            (active.rollout, active.clock) = (next, clock);
        }
        if is_over {
            self.active = None;
        }
        if is_done {
            self.released = head;
        }
        if let Action::Halt(cause) = action {
            self.shared.board().count_halt(cause);
            if self.leader.token().is_some() {
                Box::pin(self.revert_if_due()).await?;
            }
        }
        self.publish();
        Ok(true)
    }
}
