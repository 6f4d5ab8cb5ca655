//! The driver over a real store.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tyrscale_model::{ChangeSet, Expectation, Operation, Resource};
use tyrscale_store::StoreOptions;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

struct Plane {
    store: Store,
    rollouts: Rollouts,
    stop: CancellationToken,
    driving: JoinHandle<()>,
}

impl Plane {
    async fn start(store: &Store) -> Self {
        let stop = CancellationToken::new();
        let default = RolloutPolicy::at_once();
        let started = Rollouts::start(
            store.clone(),
            (Fleet::new("s"), Telemetry::new(store.clone(), LIMIT)),
            default,
            stop.clone(),
        )
        .await;
        let (rollouts, driving) = started.unwrap();
        Self {
            store: store.clone(),
            rollouts,
            stop,
            driving: tokio::spawn(driving),
        }
    }

    async fn roll_out(&self, policy: &str, change: ChangeSet) {
        let commit = committing(self.store.clone(), change);
        self.rollouts
            .commit(policy.parse().unwrap(), commit)
            .await
            .unwrap();
    }

    /// Waits until a gateway without a stage is to run a revision.
    async fn released(&self, revision: u64) {
        let mut targets = self.rollouts.targets();
        let gateway = gateway();
        let is_released =
            |targets: &Arc<Targets>| targets.of(&gateway).head.snapshot.revision() == Revision(revision);
        let reached = timeout(LIMIT, targets.wait_for(is_released)).await;
        assert!(
            matches!(reached, Ok(Ok(_))),
            "revision {revision} is not released"
        );
    }

    async fn staged(&self) -> Rollout {
        let mut targets = self.rollouts.targets();
        let staged = targets.wait_for(|targets| targets.staged.is_some());
        let targets = timeout(LIMIT, staged).await.unwrap().unwrap();
        targets.staged.as_ref().unwrap().0.clone()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.driving.await.unwrap();
    }
}

async fn committing(store: Store, change: ChangeSet) -> Result<Outcome, StoreError> {
    let change = Arc::new(change);
    let committed = store.commit(move |_| Ok(Arc::clone(&change))).await;
    committed.map(Outcome::Done)
}

fn gateway() -> v1::Node {
    v1::Node {
        id: "gw".to_owned(),
        role: v1::NodeRole::Gateway.into(),
        ..Default::default()
    }
}

fn network(chain_id: u64) -> ChangeSet {
    let network = tyrscale_model::Network {
        name: "eth".parse().unwrap(),
        blockchain: "evm".parse().unwrap(),
        chain_id: chain_id.try_into().unwrap(),
    };
    ChangeSet {
        operations: vec![Operation::Upsert {
            resource: Resource::Network(network),
            expectation: Expectation::Any,
            etag: None,
        }],
        ..ChangeSet::default()
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
    (dir, store)
}

#[tokio::test]
async fn c81_a_rollback_takes_the_place_of_a_rollout_and_goes_to_all_at_once() {
    let (_dir, store) = store().await;
    let plane = Plane::start(&store).await;
    committing(store.clone(), network(1)).await.unwrap();
    plane.released(1).await;
    plane.roll_out("1 1h", network(2)).await;
    assert_eq!(plane.staged().await.base, Revision(1));
    plane.released(1).await;
    let rollback = ChangeSet {
        reverts_to: Some(Revision(1)),
        ..network(1)
    };
    committing(store.clone(), rollback).await.unwrap();
    plane.released(3).await;
    assert_eq!(
        plane.rollouts.get(0).unwrap().state(),
        v1::RolloutState::Superseded
    );
    plane.stop().await;
    store.close().await;
}

/// The policy is remembered before the revision is there.
#[tokio::test]
async fn a_revision_committed_just_before_a_crash_is_rolled_out_by_its_policy() {
    let (_dir, store) = store().await;
    let plane = Plane::start(&store).await;
    committing(store.clone(), network(1)).await.unwrap();
    plane.released(1).await;
    // The driver is gone before it sees the revision.
    plane.driving.abort();
    plane.roll_out("1 1h", network(2)).await;
    let next = Plane::start(&store).await;
    let staged = next.staged().await;
    assert_eq!((staged.base, staged.version.revision), (Revision(1), Revision(2)));
    next.released(1).await;
    next.stop().await;
    store.close().await;
}

#[tokio::test]
async fn a_change_that_changes_nothing_leaves_nothing_behind() {
    let (_dir, store) = store().await;
    let plane = Plane::start(&store).await;
    committing(store.clone(), network(1)).await.unwrap();
    plane.released(1).await;
    plane.roll_out("1 1h", network(1)).await;
    committing(store.clone(), network(2)).await.unwrap();
    plane.released(2).await;
    plane.stop().await;
    let next = Plane::start(&store).await;
    committing(store.clone(), network(3)).await.unwrap();
    next.released(3).await;
    assert!(next.rollouts.get(0).is_none());
    next.stop().await;
    store.close().await;
}
