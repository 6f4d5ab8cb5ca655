//! The task that delivers: takes revisions and how gateways stand, keeps what is decided, says what nodes are to run.

mod ending;
mod orders;

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tyrscale_model::{Revision, RolloutPolicy, View, wire};
use tyrscale_store::{Head, Pin, Store, StoreError};

use super::{
    Command, Rollout, Shared, Targets,
    decide::{Action, Clock, Comparison, Event, NotNow, State},
    keeper::{KEPT, Keeper},
    record::{Standing, since_epoch},
    undo,
};
use crate::{
    fleet::Fleet,
    telemetry::{Served, Telemetry},
};

/// Between two looks at the gateways, which tell of every answer.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two looks at how requests fare.
const LOOK: Duration = Duration::from_secs(1);
/// Until what could not be kept is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How revisions are to be delivered, held.
type Announced = OwnedMutexGuard<super::Announcements>;

/// The rollout under way.
struct Active {
    rollout: Rollout,
    clock: Clock,
    /// What it leads to.
    head: Arc<Head>,
    /// What gateways had counted when the stage began.
    baseline: Served,
    /// Keeps what it would go back to.
    _pin: Pin,
}

pub(super) struct Driver {
    store: Store,
    fleet: Fleet,
    telemetry: Telemetry,
    shared: Arc<Shared>,
    keeper: Keeper,
    default: RolloutPolicy,
    heads: watch::Receiver<Arc<Head>>,
    newest: Arc<Head>,
    released: Arc<Head>,
    active: Option<Active>,
    standing: Standing,
    next_id: u64,
}

impl Driver {
    /// Goes on from what the store holds.
    pub(super) async fn resume(
        store: Store,
        (fleet, telemetry): (Fleet, Telemetry),
        shared: Arc<Shared>,
        default: RolloutPolicy,
    ) -> Result<Self, StoreError> {
        let keeper = Keeper::new(&store);
        let (rollouts, standing) = (keeper.rollouts().await?, keeper.standing().await?);
        let heads = store.subscribe();
        let newest = store.head();
        let mut driver = Self {
            keeper,
            default,
            heads,
            released: Arc::clone(&newest),
            newest,
            active: None,
            next_id: rollouts.last().map_or(1, |rollout| rollout.id + 1),
            standing,
            store,
            fleet,
            telemetry,
            shared,
        };
        let active = rollouts.iter().find(|rollout| rollout.state.is_active()).cloned();
        let base = active.as_ref().map(|rollout| rollout.base);
        let kept = driver.standing.released.map(Revision);
        if let Some(revision) = base.or(kept) {
            driver.released = driver.head_at(revision).await;
        }
        {
            let mut board = driver.shared.board();
            board.rollouts = rollouts
                .into_iter()
                .map(|rollout| (rollout.id, rollout))
                .collect();
            board.freeze = driver.standing.freeze.clone().unwrap_or_default();
        }
        if let Some(rollout) = active {
            let head = driver.head_at(rollout.version.revision).await;
            driver.active = Some(driver.activate(rollout, head));
        }
        driver.publish();
        Ok(driver)
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
            baseline: self.telemetry.served(),
        }
    }

    /// Delivers until `stop`.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Command>, stop: CancellationToken) {
        let mut nodes = self.fleet.subscribe();
        if let Err(error) = self.revert_unfinished().await {
            tracing::error!(%error, "a rollout that halted before the start could not be reverted");
        }
        loop {
            nodes.borrow_and_update();
            let retry_at = match self.deliver().await {
                Ok(()) => None,
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

    /// When to look again although nothing happened.
    fn look_at(&self) -> Option<Instant> {
        let active = self.active.as_ref()?;
        let (due, now) = (active.rollout.look_at(&active.clock)?, Instant::now());
        Some(due.clamp(now + PAUSE, now + LOOK))
    }

    fn is_frozen(&self) -> bool {
        self.standing.freeze.is_some()
    }

    /// Takes the newest revision and how the gateways stand, until nothing more is to be done about them.
    async fn deliver(&mut self) -> Result<(), StoreError> {
        self.take_newest().await?;
        while self.look().await? {
            self.take_newest().await?;
        }
        Ok(())
    }

    async fn take_newest(&mut self) -> Result<(), StoreError> {
        let announcements = Arc::clone(&self.shared.announcements).lock_owned().await;
        self.newest = Arc::clone(&self.heads.borrow_and_update());
        let newest = self.newest.snapshot.revision();
        if self.is_frozen() || newest == self.released.snapshot.revision() {
            self.publish();
            return Ok(());
        }
        let after = match &self.active {
            Some(active) => active.rollout.version.revision,
            None => self.released.snapshot.revision(),
        };
        let overtaking = self.overtaking(after);
        match (overtaking, self.active.is_some()) {
            (Some(revision), is_active) => {
                if is_active {
                    self.end_by(Event::Overtaken(revision)).await?;
                }
                self.release(Arc::clone(&self.newest), announcements).await
            }
            (None, true) => {
                self.publish();
                Ok(())
            }
            (None, false) => {
                let policy = self.policy(&announcements);
                if policy.is_at_once() {
                    self.release(Arc::clone(&self.newest), announcements).await
                } else {
                    self.begin(policy, BTreeSet::new(), announcements).await
                }
            }
        }
    }

    /// A revision after this one that restores an earlier one, and does not wait.
    fn overtaking(&self, after: Revision) -> Option<Revision> {
        let newest = self.newest.snapshot.revision();
        if newest <= after {
            return None;
        }
        let mut since = self.newest.history.range(after.next()..=newest);
        let rollback = since.find(|summary| summary.reverts_to.is_some())?;
        Some(rollback.revision)
    }

    /// How what came since the last release is delivered: by the most careful policy that any of it asks for.
    fn policy(&self, announcements: &super::Announcements) -> RolloutPolicy {
        let (from, to) = (self.released.snapshot.revision(), self.newest.snapshot.revision());
        let mut policy = RolloutPolicy::at_once();
        let mut announced = 0;
        for asked in announcements.range(from.next()..=to).map(|(_, policy)| policy) {
            announced += 1;
            policy = policy.more_careful(asked.clone());
        }
        // Of a revision committed just before a restart only this is known.
        if let Some(Ok(asked)) = self.standing.asked.as_ref().map(wire::rollout_policy_from_wire) {
            policy = policy.more_careful(asked);
        }
        let is_all_announced = to.0 - from.0 == announced;
        if is_all_announced || self.default.is_at_once() || self.is_light() {
            return policy;
        }
        policy.more_careful(self.default.clone())
    }

    fn is_light(&self) -> bool {
        let keys = self
            .newest
            .history
            .changed_since(self.released.snapshot.revision());
        keys.is_some_and(|keys| undo::is_light(&self.released.snapshot, &self.newest.snapshot, &keys))
    }

    /// Gives a revision to all.
    async fn release(&mut self, head: Arc<Head>, mut announcements: Announced) -> Result<(), StoreError> {
        let revision = head.snapshot.revision();
        self.note_released(&head).await?;
        announcements.retain(|announced, _| *announced > revision);
        self.released = head;
        self.publish();
        Ok(())
    }

    /// Remembers what gateways run, where a restart must not take the newest for it.
    async fn note_released(&mut self, head: &Head) -> Result<(), StoreError> {
        let is_needed = !self.default.is_at_once() || self.is_frozen();
        let standing = Standing {
            released: is_needed.then_some(head.snapshot.revision().0),
            asked: None,
            freeze: self.standing.freeze.clone(),
        };
        self.keep_standing(standing).await
    }

    async fn keep_standing(&mut self, standing: Standing) -> Result<(), StoreError> {
        let is_announced = self.shared.is_announced.swap(false, Ordering::AcqRel);
        if !is_announced && standing == self.standing {
            return Ok(());
        }
        let kept = self.keeper.keep_standing(&standing).await;
        if kept.is_err() {
            self.shared.is_announced.store(is_announced, Ordering::Release);
        }
        kept?;
        self.standing = standing;
        Ok(())
    }

    /// Begins to roll the newest revision out, first to those that run something later than the rest.
    async fn begin(
        &mut self,
        policy: RolloutPolicy,
        first: BTreeSet<String>,
        mut announcements: Announced,
    ) -> Result<(), StoreError> {
        let head = Arc::clone(&self.newest);
        let rollout = Rollout {
            id: self.next_id,
            version: head.snapshot.version(View::ALL),
            base: self.released.snapshot.revision(),
            policy,
            stage: 0,
            members: first,
            state: State::Running,
            why: String::new(),
            is_forced: false,
            reverted_by: None,
            started: since_epoch(),
            ended: None,
        };
        self.keep(&rollout).await?;
        self.next_id += 1;
        let standing = Standing {
            released: Some(rollout.base.0),
            asked: None,
            freeze: self.standing.freeze.clone(),
        };
        tracing::info!(rollout = rollout.id, revision = %rollout.version.revision, policy = %rollout.policy, "rollout begins");
        announcements.retain(|announced, _| *announced > rollout.version.revision);
        self.active = Some(self.activate(rollout, head));
        self.keep_standing(standing).await?;
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
        let (rollout, baseline) = (&active.rollout, &active.baseline);
        let gateways = self.fleet.gateways(&rollout.version);
        let comparisons = if rollout.is_for_all() {
            Vec::new()
        } else {
            let has_it = |node: &str| rollout.includes(node);
            Comparison::of(&self.telemetry.served().compare(baseline, has_it))
        };
        self.step(Event::Seen(&gateways, &comparisons))
            .await
            .unwrap_or(Ok(false))
    }

    /// Lets the rollout take an event in, keeps what it decides and does it. The outer error: the event was refused.
    async fn step(&mut self, event: Event<'_>) -> Result<Result<bool, StoreError>, NotNow> {
        let Some(active) = &mut self.active else {
            return Err(NotNow);
        };
        let (mut next, mut clock) = (active.rollout.clone(), active.clock);
        let action = next.step(&mut clock, event, Instant::now())?;
        Ok(self.take_step(next, clock, action).await)
    }

    async fn take_step(
        &mut self,
        mut next: Rollout,
        clock: Clock,
        action: Action,
    ) -> Result<bool, StoreError> {
        let Some(active) = &mut self.active else {
            return Ok(false);
        };
        if clock.entered != active.clock.entered {
            active.baseline = self.telemetry.served();
        }
        if next == active.rollout {
            active.clock = clock;
            return Ok(false);
        }
        if !next.state.is_active() {
            next.ended = Some(since_epoch());
        }
        tracing::info!(rollout = next.id, stage = next.stage + 1, state = ?next.state, why = next.why, "rollout goes on");
        self.keep(&next).await?;
        let is_over = !next.state.is_active();
        if let Some(active) = &mut self.active {
            (active.rollout, active.clock) = (next, clock);
        }
        if is_over {
            self.conclude().await?;
        }
        if let Action::Halt { cause, reverts } = action {
            self.shared.board().count_halt(cause);
            if reverts {
                self.revert().await?;
            }
        }
        self.publish();
        Ok(true)
    }

    async fn keep(&self, rollout: &Rollout) -> Result<(), StoreError> {
        self.keeper.keep(rollout).await?;
        let forgotten = {
            let mut board = self.shared.board();
            board.rollouts.insert(rollout.id, rollout.clone());
            let is_full = board.rollouts.len() > KEPT;
            if is_full { board.rollouts.pop_first() } else { None }
        };
        match forgotten {
            Some((id, _)) => self.keeper.forget(id).await,
            None => Ok(()),
        }
    }

    fn publish(&self) {
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
