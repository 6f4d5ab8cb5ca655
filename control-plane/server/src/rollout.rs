//! Staged rollouts: how far a revision has got, and who is to run it.
//!
//! One task ([`driver`]) takes every new revision and how the gateways stand, and says what each node is to run
//! ([`targets`]). What a rollout does next is decided without I/O ([`decide`]); it is kept with the store, so that a
//! restart goes on from the stage ([`keeper`]). There is one rollout at a time: revisions made meanwhile wait and are
//! rolled out together after it. A rollback does not wait: it takes the place of any rollout.
//!
//! Of several control planes over one store one leads and drives; the others follow what it keeps. How a revision is to
//! reach the gateways is part of the revision, so all of them know it before any of them hands it out.

mod decide;
mod driver;
mod keeper;
mod record;
mod targets;
mod undo;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tyrscale_model::{RolloutPolicy, wire};
use tyrscale_proto::v1;
use tyrscale_store::{Store, StoreError};

use self::{decide::Rollout, driver::Driver};
use crate::{fleet::Fleet, leader::Leader, telemetry::Telemetry};

pub(crate) use self::{
    decide::{Cause, Control, Gateway, State},
    targets::Targets,
};

/// Commands that may wait.
const INBOX: usize = 16;
/// How many gateways a list of a rollout names.
const MAX_NAMED: usize = 100;

/// Why a rollout cannot be told something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RolloutError {
    #[error("there is no such rollout")]
    NotFound,
    #[error(transparent)]
    NotNow(#[from] decide::NotNow),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the control plane is stopping")]
    Stopping,
}

type Answer<T> = oneshot::Sender<Result<T, RolloutError>>;

/// What an operator wants.
#[derive(Debug)]
enum Command {
    /// Of a rollout; 0 is the newest.
    Control(u64, Control, Answer<()>),
    /// Stop all gateways at what they run, for a reason, or let them go on.
    Freeze(Option<String>, Answer<()>),
}

/// What people are shown.
#[derive(Debug, Default)]
struct Board {
    rollouts: BTreeMap<u64, Rollout>,
    freeze: v1::Freeze,
    /// How often rollouts halted since the start, by cause.
    halts: BTreeMap<&'static str, u64>,
}

impl Board {
    fn count_halt(&mut self, cause: Cause) {
        *self.halts.entry(cause.as_str()).or_default() += 1;
    }
}

#[derive(Debug)]
struct Shared {
    targets: watch::Sender<Arc<Targets>>,
    board: Mutex<Board>,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        // What is shown is never left half done.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rollouts; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Rollouts {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    fleet: Fleet,
}

impl Rollouts {
    /// Goes on from what the store holds, and gives the work to be run until `stop`. Revisions of which nothing else is
    /// said are delivered by `default`.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub(crate) async fn start(
        store: Store,
        (fleet, telemetry): (Fleet, Telemetry),
        leader: Leader,
        default: RolloutPolicy,
        stop: CancellationToken,
    ) -> Result<(Self, impl Future<Output = ()> + Send), StoreError> {
        let shared = Arc::new(Shared {
            targets: watch::Sender::new(Arc::new(Targets::newest(store.head()))),
            board: Mutex::default(),
        });
        let (commands, inbox) = mpsc::channel(INBOX);
        let of_gateways = (fleet.clone(), telemetry);
        let driver = Driver::resume(store, of_gateways, leader, Arc::clone(&shared), default).await?;
        let rollouts = Self {
            shared,
            commands,
            fleet,
        };
        Ok((rollouts, driver.run(inbox, stop)))
    }

    /// Tells what nodes are to run.
    pub(crate) fn targets(&self) -> watch::Receiver<Arc<Targets>> {
        self.shared.targets.subscribe()
    }

    /// Tells a rollout something; 0 is the newest.
    pub(crate) async fn control(&self, id: u64, control: Control) -> Result<v1::Rollout, RolloutError> {
        self.ask(|answer| Command::Control(id, control, answer)).await?;
        self.get(id).ok_or(RolloutError::NotFound)
    }

    /// Stops all gateways at what they run, for a reason, or lets them go on.
    pub(crate) async fn freeze(&self, reason: Option<String>) -> Result<v1::Freeze, RolloutError> {
        self.ask(|answer| Command::Freeze(reason, answer)).await?;
        Ok(self.frozen())
    }

    async fn ask(&self, command: impl FnOnce(Answer<()>) -> Command) -> Result<(), RolloutError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(command(answer)).await;
        sent.map_err(|_| RolloutError::Stopping)?;
        answered.await.map_err(|_| RolloutError::Stopping)?
    }

    /// Whether the fleet is frozen, and why.
    pub(crate) fn frozen(&self) -> v1::Freeze {
        self.shared.board().freeze.clone()
    }

    /// A rollout; 0 is the newest.
    pub(crate) fn get(&self, id: u64) -> Option<v1::Rollout> {
        let rollout = {
            let board = self.shared.board();
            let found = match id {
                0 => board.rollouts.last_key_value().map(|(_, rollout)| rollout),
                id => board.rollouts.get(&id),
            };
            found?.clone()
        };
        Some(self.show(&rollout))
    }

    /// The stage of the rollout under way, from 1, and its state.
    pub(crate) fn under_way(&self) -> Option<(usize, State)> {
        let board = self.shared.board();
        let newest = board.rollouts.values().next_back();
        newest
            .filter(|rollout| rollout.state.is_active())
            .map(|rollout| (rollout.stage + 1, rollout.state))
    }

    /// How often rollouts halted since the start, by cause.
    pub(crate) fn halts(&self) -> BTreeMap<&'static str, u64> {
        self.shared.board().halts.clone()
    }

    /// All that are kept, the newest first.
    pub(crate) fn list(&self) -> Vec<v1::Rollout> {
        let rollouts: Vec<Rollout> = self.shared.board().rollouts.values().rev().cloned().collect();
        rollouts.iter().map(|rollout| self.show(rollout)).collect()
    }

    fn show(&self, rollout: &Rollout) -> v1::Rollout {
        let mut shown = v1::Rollout {
            id: rollout.id,
            version: Some(wire::version_to_wire(&rollout.version)),
            state: record::state_to_wire(rollout.state).into(),
            stage: u32::try_from(rollout.stage + 1).unwrap_or(u32::MAX),
            stages: rollout
                .policy
                .stages
                .iter()
                .map(wire::rollout_stage_to_wire)
                .collect(),
            why: rollout.why.clone(),
            base_revision: rollout.base.0,
            reverted_by: rollout.reverted_by.map(|revision| revision.0),
            start_time: Some(wire::timestamp_to_wire(rollout.started)),
            end_time: rollout.ended.map(wire::timestamp_to_wire),
            ..v1::Rollout::default()
        };
        let gateways = self.fleet.gateways(&rollout.version);
        for gateway in gateways
            .into_iter()
            .filter(|gateway| rollout.includes(&gateway.id))
        {
            let list = match (&gateway.refused, gateway.runs) {
                (Some(_), _) => &mut shown.nacked,
                (None, true) => &mut shown.acked,
                (None, false) => &mut shown.pending,
            };
            if list.len() < MAX_NAMED {
                list.push(gateway.id);
            }
        }
        shown
    }
}

#[cfg(test)]
mod tests;
