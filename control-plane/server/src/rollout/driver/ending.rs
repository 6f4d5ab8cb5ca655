//! How rollouts end: reverted, overtaken, or with all gateways.

use std::sync::Arc;

use tokio::time::Instant;
use tyrscale_model::{ChangeSet, OnHalt, RolloutPolicy};
use tyrscale_store::StoreError;

use super::{Active, Driver};
use crate::rollout::{
    decide::{Action, Event, State},
    undo,
};

/// Who reverts, for the log.
const AUTHOR: &str = "rollout";

impl Driver {
    /// A rollout that halted just before a restart was to be reverted.
    pub(super) async fn revert_unfinished(&mut self) -> Result<(), StoreError> {
        let is_due = self.active.as_ref().is_some_and(|active| {
            active.rollout.state == State::Halted && active.rollout.policy.on_halt == OnHalt::Revert
        });
        if is_due { self.revert().await } else { Ok(()) }
    }

    /// Restores what the rollout touched, or says why that cannot be.
    pub(super) async fn revert(&mut self) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        let (base, bad) = (self.released.snapshot.clone(), active.head.snapshot.clone());
        let keys = active
            .head
            .history
            .changed_since(active.rollout.base)
            .unwrap_or_default();
        let message = format!("revert rollout {}: {}", active.rollout.id, active.rollout.why);
        let reverts_to = Some(active.rollout.base);
        let committed = self.store.commit(move |newest| {
            Ok(ChangeSet {
                operations: undo::undo(&base, &bad, &keys, newest)?,
                author: AUTHOR.to_owned(),
                message: message.clone(),
                reverts_to,
                ..ChangeSet::default()
            })
        });
        match committed.await {
            Ok(committed) => {
                self.end_by(Event::Undone(committed.head.snapshot.revision()))
                    .await
            }
            Err(StoreError::Rejected(rejection)) => {
                tracing::error!(%rejection, "the change could not be reverted: an operator must decide");
                Box::pin(self.end_by(Event::NotUndone(rejection.to_string()))).await
            }
            Err(error) => Err(error),
        }
    }

    /// Takes an event in that ends the rollout, or says why it does not end.
    pub(super) async fn end_by(&mut self, event: Event<'_>) -> Result<(), StoreError> {
        let Some(active) = &self.active else { return Ok(()) };
        let (mut next, mut clock) = (active.rollout.clone(), active.clock);
        if next.step(&mut clock, event, Instant::now()).is_ok() {
            Box::pin(self.take_step(next, clock, Action::Nothing)).await?;
        }
        Ok(())
    }

    /// The rollout is over: all get what came of it, or, after one that was reverted, what else there is.
    pub(super) async fn conclude(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.take() else {
            return Ok(());
        };
        match active.rollout.state {
            State::Reverted => self.go_on_after_revert(&active).await,
            State::Superseded => Ok(()),
            _ => {
                self.note_released(&active.head).await?;
                self.released = active.head;
                Ok(())
            }
        }
    }

    /// What was committed while the bad change was on its way is still to be rolled out, beginning with those that
    /// had the bad change.
    async fn go_on_after_revert(&mut self, active: &Active) -> Result<(), StoreError> {
        let announcements = Arc::clone(&self.shared.announcements).lock_owned().await;
        self.newest = Arc::clone(&self.heads.borrow_and_update());
        let others = self.newest.snapshot.revision().0 - active.rollout.version.revision.0 > 1;
        let policy = if others {
            self.policy(&announcements)
        } else {
            RolloutPolicy::at_once()
        };
        if policy.is_at_once() {
            return self.release(Arc::clone(&self.newest), announcements).await;
        }
        self.begin(policy, active.rollout.members.clone(), announcements)
            .await
    }
}
