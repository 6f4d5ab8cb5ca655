//! The task that delivers: takes revisions and how gateways stand, keeps what is decided, says what nodes are to run.
//!
//! Where several control planes share the store, the one that leads decides ([`delivering`], [`ending`]). All of them
//! take what is kept ([`adopting`]), hand out by themselves what needs no stages, and take orders ([`orders`]).

mod adopting;
mod delivering;
mod ending;
mod orders;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Revision, RolloutPolicy};
use tyrscale_store::{Head, Pin, Store, StoreError};

use super::{
    Command, Rollout, Shared, Targets,
    decide::{Clock, State},
    keeper::Keeper,
    record::Standing,
    undo,
};
use crate::{fleet::Fleet, leader::Leader, telemetry::Telemetry};

/// Between two looks at the gateways, which tell of every answer.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at how requests fare, and at what other control planes keep.
const LOOK: Duration = Duration::from_secs(1);
/// As [`LOOK`], of who follows while a rollout is under way or about to begin.
const FOLLOW: Duration = Duration::from_millis(250);
/// Until what could not be kept is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The rollout under way.
struct Active {
    rollout: Rollout,
    clock: Clock,
    /// What it leads to.
    head: Arc<Head>,
    /// Keeps what it would go back to.
    _pin: Pin,
}

pub(super) struct Driver {
    store: Store,
    fleet: Fleet,
    telemetry: Telemetry,
    leader: Leader,
    shared: Arc<Shared>,
    keeper: Keeper,
    default: RolloutPolicy,
    heads: watch::Receiver<Arc<Head>>,
    newest: Arc<Head>,
    released: Arc<Head>,
    active: Option<Active>,
}

impl Driver {
    /// Goes on from what the store holds.
    pub(super) async fn resume(
        store: Store,
        (fleet, telemetry): (Fleet, Telemetry),
        leader: Leader,
        shared: Arc<Shared>,
        default: RolloutPolicy,
    ) -> Result<Self, StoreError> {
        let keeper = Keeper::read(&store).await?;
        let heads = store.subscribe();
        let newest = store.head();
        let mut driver = Self {
            keeper,
            default,
            heads,
            released: Arc::clone(&newest),
            newest,
            active: None,
            store,
            fleet,
            telemetry,
            leader,
            shared,
        };
        let released = driver.released_at_start();
        driver.released = driver.head_at(released).await;
        driver.adopt().await;
        driver.publish();
        Ok(driver)
    }

    /// Delivers until `stop`.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut nodes = self.fleet.subscribe();
        loop {
            nodes.borrow_and_update();
            let retry_at = match self.take_turn().await {
                Ok(()) => None,
                // Another control plane wrote: what it wrote is read first.
                Err(StoreError::DocumentMoved { .. }) => Some(Instant::now() + PAUSE),
                Err(error) => {
                    tracing::error!(%error, "rollout cannot be kept; nothing goes on until it can");
                    Some(Instant::now() + RETRY)
                }
            };
            let is_looking = self.active.is_some() && retry_at.is_none();
            let wake_at = retry_at.or_else(|| self.look_at());
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.heads.changed() => if changed.is_err() { return },
                Ok(()) = nodes.changed(), if is_looking => sleep(PAUSE).await,
                Some(command) = inbox.recv() => self.obey(command).await,
                () = sleep_until(wake_at.unwrap_or_else(Instant::now)), if wake_at.is_some() => {}
            }
        }
    }

    /// Takes in what there is, and does what is due.
    async fn take_turn(&mut self) -> Result<(), StoreError> {
        self.take_in().await?;
        let driver = self.keeper.standing().driver;
        // A higher number: somebody leads who came after this control plane, whatever that believes.
        let may_lead = |leadership: &u64| self.leader.is_alone() || *leadership >= driver;
        let Some(leadership) = self.leader.token().filter(may_lead) else {
            self.follow();
            return Ok(());
        };
        if driver != leadership {
            // From here on whoever led before is refused.
            let standing = Standing {
                driver: leadership,
                ..self.keeper.standing().clone()
            };
            self.keeper.keep(standing, None).await?;
        }
        self.revert_if_due().await?;
        self.deliver().await
    }

    /// When to look again although nothing happened.
    fn look_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let active = self.active.as_ref();
        let due = active.and_then(|active| active.rollout.look_at(&active.clock));
        let due = due.map(|due| due.clamp(now + PAUSE, now + LOOK));
        if self.leader.is_alone() {
            return due;
        }
        let is_behind = self.released.snapshot.revision() < self.newest.snapshot.revision();
        let is_waiting = self.leader.token().is_none() && (active.is_some() || is_behind);
        let again = now + if is_waiting { FOLLOW } else { LOOK };
        Some(due.map_or(again, |due| due.min(again)))
    }

    const fn is_frozen(&self) -> bool {
        self.keeper.standing().freeze.is_some()
    }

    /// The state at a revision; the newest when it is no longer to be had.
    async fn head_at(&self, revision: Revision) -> Arc<Head> {
        match self.store.at(revision).await {
            Ok(snapshot) => Arc::new(Head {
                snapshot,
                history: self.newest.history.clone(),
            }),
            Err(error) => {
                tracing::error!(%revision, %error, "what gateways run could not be found; they get the newest");
                Arc::clone(&self.newest)
            }
        }
    }

    fn activate(&self, rollout: Rollout, head: Arc<Head>) -> Active {
        Active {
            _pin: self.store.pin(rollout.base),
            rollout,
            clock: Clock::new(Instant::now()),
            head,
        }
    }

    /// Keeps a rollout, and what else is to be remembered.
    async fn keep(&mut self, standing: Standing, rollout: Option<&Rollout>) -> Result<(), StoreError> {
        self.keeper.keep(standing, rollout).await?;
        self.show();
        Ok(())
    }

    fn show(&self) {
        let mut board = self.shared.board();
        board.rollouts = self.keeper.rollouts();
        board.freeze = self.keeper.standing().freeze.clone().unwrap_or_default();
    }

    fn publish(&self) {
        // Once all are to have it, there is nobody to hold it against.
        let on_trial = self.active.as_ref().filter(|active| !active.rollout.is_for_all());
        let stage = on_trial.and_then(|active| {
            let kept_at = self.keeper.kept_at(active.rollout.id)?;
            Some((kept_at, &active.rollout.members))
        });
        self.telemetry.try_out(stage);
        let staged = self
            .active
            .as_ref()
            .map(|active| (active.rollout.clone(), Arc::clone(&active.head)));
        self.shared.targets.send_replace(Arc::new(Targets {
            newest: Arc::clone(&self.newest),
            released: Arc::clone(&self.released),
            staged,
            is_frozen: self.is_frozen(),
        }));
    }
}
