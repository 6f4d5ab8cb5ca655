//! All subscribers, and what can be waited for.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tyrscale_client::SubscriptionStatus;
use tyrscale_model::Lane;

use super::{
    connection::{Received, Way},
    node::{self, Have, Progress, Shared},
    plane::Plane,
    prover,
};
use crate::histogram::Histogram;

/// The longest any wait may take.
const LIMIT: Duration = Duration::from_secs(180);
/// Between two tries of one subscriber.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two looks at how far all are.
const LOOK: Duration = Duration::from_millis(1);
/// Connections being made at once; the listener's queue holds no more.
const CONNECTING: usize = 256;

/// A fleet of subscribers.
pub(crate) struct Fleet {
    pub(crate) shared: Arc<Shared>,
    pub(crate) nodes: Vec<Arc<Progress>>,
    provers: Vec<watch::Receiver<SubscriptionStatus>>,
    lives: JoinSet<()>,
    /// Told to end the streams and open new ones.
    again: Arc<Notify>,
    stop: CancellationToken,
}

impl Fleet {
    /// Starts `count` that believe and `prove` that compute digests.
    pub(crate) fn start(plane: &Plane, count: u32, prove: u32) -> anyhow::Result<Self> {
        let ids = (0..count).map(|number| format!("bench-{number}"));
        let ways = ids.map(|id| Ok((plane.way_of(&id)?, id)));
        let ways = ways.collect::<anyhow::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            received: Received::default(),
        });
        let mut fleet = Self {
            nodes: (0..count).map(|_| Arc::default()).collect(),
            provers: Vec::new(),
            lives: JoinSet::new(),
            again: Arc::default(),
            stop: CancellationToken::new(),
            shared,
        };
        let gate = Arc::new(Semaphore::new(CONNECTING));
        for ((way, id), progress) in ways.into_iter().zip(fleet.nodes.clone()) {
            let life = live(
                fleet.shared.clone(),
                progress,
                (id, way),
                fleet.again.clone(),
                gate.clone(),
            );
            fleet.lives.spawn(life);
        }
        for number in 0..prove {
            let id = format!("bench-prover-{number}");
            let prover = prover::start(plane.endpoint_of(&id)?, id, &fleet.stop)?;
            fleet.provers.push(prover);
        }
        Ok(fleet)
    }

    /// Waits until all that read have acknowledged `revision` of a lane; when each did, counted from `start`.
    pub(crate) async fn reached(
        &self,
        lane: Lane,
        revision: u64,
        start: Instant,
    ) -> anyhow::Result<Histogram> {
        let reading = || {
            self.nodes
                .iter()
                .filter(|node| !node.stopped.load(Ordering::Relaxed))
        };
        // Each notes when it acknowledges: how often one looks does not count.
        let all = async {
            while !reading().all(|node| node.acknowledged(lane).0 >= revision) {
                tokio::time::sleep(LOOK).await;
            }
        };
        timeout(LIMIT, all).await.map_err(|_| {
            let behind = reading().filter(|node| node.acknowledged(lane).0 < revision);
            anyhow::anyhow!("{} subscribers did not reach revision {revision}", behind.count())
        })?;
        let start = start.saturating_duration_since(self.shared.began);
        let mut took = Histogram::default();
        for node in reading() {
            let at = Duration::from_nanos(node.acknowledged(lane).1);
            took.record(at.saturating_sub(start));
        }
        Ok(took)
    }

    /// Ends all streams; each opens a new one. Returns when the server has welcomed all of them.
    pub(crate) async fn reconnect(&self) -> anyhow::Result<()> {
        for node in &self.nodes {
            node.welcomed.store(false, Ordering::Relaxed);
        }
        self.again.notify_waiters();
        let all = async {
            while !self
                .nodes
                .iter()
                .all(|node| node.welcomed.load(Ordering::Relaxed))
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LIMIT, all)
            .await
            .map_err(|_| anyhow::anyhow!("not all subscribers were welcomed again"))
    }

    /// Bytes of messages and updates received by all.
    pub(crate) fn payload(&self) -> (u64, u64) {
        let sum = |of: fn(&Progress) -> u64| self.nodes.iter().map(|node| of(node)).sum();
        (
            sum(|node| node.payload.load(Ordering::Relaxed)),
            sum(|node| node.updates.load(Ordering::Relaxed)),
        )
    }

    /// Updates that a subscriber refused since its own digest was another.
    pub(crate) fn mismatches(&self) -> u64 {
        self.provers
            .iter()
            .map(|prover| prover.borrow().updates_refused)
            .sum()
    }

    /// Waits until every prover runs `revision`.
    pub(crate) async fn proved(&mut self, revision: u64) -> anyhow::Result<()> {
        for prover in &mut self.provers {
            let runs = prover.wait_for(|status| {
                status
                    .running
                    .is_some_and(|version| version.revision.0 >= revision)
            });
            timeout(LIMIT, runs).await??;
        }
        Ok(())
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn live(
    shared: Arc<Shared>,
    progress: Arc<Progress>,
    (id, way): (String, Way),
    again: Arc<Notify>,
    gate: Arc<Semaphore>,
) {
    let mut have = Have::new();
    loop {
        let slot = gate.acquire().await;
        let following = node::follow(&shared, &progress, (&id, &way), &mut have);
        let ended = tokio::select! {
            ended = following => ended,
            () = async {
                while !progress.welcomed.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                drop(slot);
                again.notified().await;
            } => continue,
        };
        if ended.is_err() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}
