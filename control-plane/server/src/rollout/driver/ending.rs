//! How rollouts end before their last stage: reverted or overtaken.

use tokio::time::Instant;
use tyrscale_model::{ChangeSet, Restoration, RolloutPolicy};
use tyrscale_store::{Committed, StoreError};

use super::Driver;
use crate::rollout::{
    decide::{Action, Event, Rollout},
    record::since_epoch,
    undo,
};

/// Who reverts, for the log.
const AUTHOR: &str = "rollout";

impl Driver {
    /// Restores what a halted rollout touched, or says why that cannot be. The revision and the end of the rollout are
    /// written as one, and only if nobody else wrote of it.
    pub(super) async fn revert_if_due(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.as_ref().filter(|active| active.rollout.is_revert_due) else {
            return Ok(());
        };
        let rollout = active.rollout.clone();
        let (base, bad) = (self.released.snapshot.clone(), active.head.snapshot.clone());
        let keys = active
            .head
            .history
            .touched_since(rollout.base)
            .unwrap_or_default();
        let message = format!("revert rollout {}: {}", rollout.id, rollout.why);
        let reverts_to = Some(rollout.base);
        let plan = move |newest: &_| {
            let Restoration { operations, notes } = undo::undo(&base, &bad, &keys, newest)?;
            Ok(ChangeSet {
                operations,
                notes,
                author: AUTHOR.to_owned(),
                message: message.clone(),
                reverts_to,
                rollout: Some(RolloutPolicy::at_once()),
                ..ChangeSet::default()
            })
        };
        let (keeper, clock) = (self.keeper.clone(), active.clock);
        let beside = move |committed: &Committed| {
            let (mut ended, mut clock) = (rollout.clone(), clock);
            let undone = Event::Undone(committed.head.snapshot.revision());
            // It is under way, so it takes the event.
            ended.step(&mut clock, undone, Instant::now()).ok();
            ended.ended = Some(since_epoch());
            keeper.writes(keeper.standing(), Some(&ended))
        };
        match self.store.commit_beside(plan, beside).await {
            Ok(committed) => {
                tracing::info!(revision = %committed.head.snapshot.revision(), "the rollout is reverted");
                self.keeper.refresh().await?;
                self.newest = committed.head;
                self.adopt().await;
                Ok(())
            }
            Err(StoreError::Rejected(rejection)) => {
                tracing::error!(%rejection, "the change could not be reverted: an operator must decide");
                self.end_by(Event::NotUndone(rejection.to_string())).await
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an event in that ends the rollout, or says why it does not end.
    pub(super) async fn end_by(&mut self, event: Event<'_>) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        let (mut next, mut clock): (Rollout, _) = (active.rollout.clone(), active.clock);
        if next.step(&mut clock, event, Instant::now()).is_ok() {
            Box::pin(self.take_step(next, clock, Action::Nothing)).await?;
        }
        Ok(())
    }
}
