//! What operators tell rollouts and the fleet.

use std::sync::Arc;

use tokio::time::Instant;
use tyrscale_model::wire;
use tyrscale_proto::v1;
use tyrscale_store::StoreError;

use super::Driver;
use crate::rollout::{
    Command, RolloutError,
    decide::{Clock, Control, Event, NotNow},
    record::{Standing, since_epoch},
};

impl Driver {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Control(id, control, answer) => {
                let outcome = self.control(id, control).await;
                // Who asked may be gone.
                answer.send(outcome).ok();
            }
            Command::Freeze(reason, answer) => {
                let outcome = self.freeze(reason).await.map_err(RolloutError::from);
                answer.send(outcome).ok();
            }
        }
    }

    async fn control(&mut self, id: u64, control: Control) -> Result<(), RolloutError> {
        let newest = self.shared.board().rollouts.last_key_value().map(|(id, _)| *id);
        let id = if id == 0 {
            newest.ok_or(RolloutError::NotFound)?
        } else {
            id
        };
        if !self.shared.board().rollouts.contains_key(&id) {
            return Err(RolloutError::NotFound);
        }
        if self.active.as_ref().is_none_or(|active| active.rollout.id != id) {
            return Err(NotNow.into());
        }
        self.step(Event::Told(control)).await??;
        Ok(())
    }

    async fn freeze(&mut self, reason: Option<String>) -> Result<(), StoreError> {
        let _announcements = Arc::clone(&self.shared.announcements).lock_owned().await;
        let freeze = reason.map(|reason| v1::Freeze {
            frozen: true,
            reason,
            since: Some(wire::timestamp_to_wire(since_epoch())),
        });
        let standing = Standing {
            released: Some(self.released.snapshot.revision().0),
            asked: self.keeper.standing().await?.asked,
            freeze,
        };
        self.keep_standing(standing).await?;
        if let Some(active) = &mut self.active {
            active.clock = Clock::new(Instant::now());
        }
        self.shared.board().freeze = self.standing.freeze.clone().unwrap_or_default();
        self.publish();
        Ok(())
    }
}
