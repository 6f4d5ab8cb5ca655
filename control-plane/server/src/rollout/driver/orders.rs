//! What operators tell rollouts and the fleet. Every control plane takes orders, and keeps them for the one that leads.

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

/// How often an order is tried again because another control plane wrote meanwhile.
const TRIES: usize = 5;

impl Driver {
    pub(super) async fn obey(&mut self, command: Command) {
        match command {
            Command::Control(id, control, answer) => {
                let mut outcome = self.control(id, control).await;
                for _ in 1..TRIES {
                    if !matches!(
                        outcome,
                        Err(RolloutError::Store(StoreError::DocumentMoved { .. }))
                    ) {
                        break;
                    }
                    outcome = self.control(id, control).await;
                }
                // Who asked may be gone.
                answer.send(outcome).ok();
            }
            Command::Freeze(reason, answer) => {
                let mut outcome = self.freeze(reason.as_ref()).await;
                for _ in 1..TRIES {
                    if !matches!(outcome, Err(StoreError::DocumentMoved { .. })) {
                        break;
                    }
                    outcome = self.freeze(reason.as_ref()).await;
                }
                answer.send(outcome.map_err(RolloutError::from)).ok();
            }
        }
    }

    async fn control(&mut self, id: u64, control: Control) -> Result<(), RolloutError> {
        self.take_in().await?;
        let rollouts = self.keeper.rollouts();
        let newest = rollouts.last_key_value().map(|(id, _)| *id);
        let id = if id == 0 {
            newest.ok_or(RolloutError::NotFound)?
        } else {
            id
        };
        if !rollouts.contains_key(&id) {
            return Err(RolloutError::NotFound);
        }
        if self.active.as_ref().is_none_or(|active| active.rollout.id != id) {
            return Err(NotNow.into());
        }
        self.step(Event::Told(control)).await??;
        Ok(())
    }

    async fn freeze(&mut self, reason: Option<&String>) -> Result<(), StoreError> {
        self.take_in().await?;
        let freeze = reason.map(|reason| v1::Freeze {
            frozen: true,
            reason: reason.clone(),
            since: Some(wire::timestamp_to_wire(since_epoch())),
        });
        let standing = Standing {
            freeze,
            ..self.standing_at(&self.released)
        };
        self.keep(standing, None).await?;
        if let Some(active) = &mut self.active {
            active.clock = Clock::new(Instant::now());
        }
        self.publish();
        Ok(())
    }
}
