//! The driver over a real store.

use std::time::Duration;

use tokio::{task::JoinHandle, time::timeout};
use tyrscale_model::{ChangeSet, Operation, Resource, Revision};
use tyrscale_store::{Committed, StoreOptions};

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
        Self::start_as(store, Leader::alone()).await
    }

    async fn start_as(store: &Store, leader: Leader) -> Self {
        let stop = CancellationToken::new();
        let default = RolloutPolicy::at_once();
        let started = Rollouts::start(
            store.clone(),
            (Fleet::new("s"), Telemetry::new(store.clone(), LIMIT)),
            leader,
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
        let change = ChangeSet {
            rollout: Some(policy.parse().unwrap()),
            ..change
        };
        committing(self.store.clone(), change).await.unwrap();
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

async fn committing(store: Store, change: ChangeSet) -> Result<Committed, StoreError> {
    let change = Arc::new(change);
    store.commit(move |_| Ok(Arc::clone(&change))).await
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
        operations: vec![Operation::put(Resource::Network(network))],
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

/// A leadership that lasts as long as the test.
fn leads(leader: &Leader, token: u64) {
    leader.set(Some((token, tokio::time::Instant::now() + 10 * LIMIT)));
}

/// Two control planes over one store; the one that leads is suspended, and goes on as if nothing had happened.
#[tokio::test]
async fn one_control_plane_drives_and_one_that_led_before_is_refused() {
    let (_dir, store) = store().await;
    let (first, second) = (Leader::candidate(), Leader::candidate());
    leads(&first, 1);
    let one = Plane::start_as(&store, first).await;
    let two = Plane::start_as(&store, second.clone()).await;
    committing(store.clone(), network(1)).await.unwrap();
    one.released(1).await;
    two.released(1).await;
    one.roll_out("1 1h", network(2)).await;
    let staged = two.staged().await;
    assert_eq!(
        (staged.id, staged.base),
        (1, Revision(1)),
        "it is driven by the other"
    );
    leads(&second, 2);
    // An order to one that follows reaches the one that leads, and what it decides is everybody's.
    two.rollouts.control(1, Control::Abort).await.unwrap();
    one.released(3).await;
    two.released(3).await;
    for plane in [&one, &two] {
        assert_eq!(plane.rollouts.get(1).unwrap().state(), v1::RolloutState::Reverted);
    }
    one.rollouts.freeze(Some("a holiday".to_owned())).await.unwrap();
    committing(store.clone(), network(4)).await.unwrap();
    one.rollouts.freeze(None).await.unwrap();
    two.released(4).await;
    let document = store
        .documents(tyrscale_store::Table::Switches)
        .get("rollout")
        .await
        .unwrap();
    let standing = <record::Standing as prost::Message>::decode(document.unwrap().value).unwrap();
    assert_eq!(standing.driver, 2, "the first one has not taken it back");
    one.stop().await;
    two.stop().await;
    store.close().await;
}

/// A revision waits for the control plane that leads, however long there is none.
#[tokio::test]
async fn without_a_leader_only_what_needs_no_stages_is_handed_out() {
    let (_dir, store) = store().await;
    let leader = Leader::candidate();
    let plane = Plane::start_as(&store, leader.clone()).await;
    committing(store.clone(), network(1)).await.unwrap();
    plane.released(1).await;
    plane.roll_out("1 1h", network(2)).await;
    committing(store.clone(), network(3)).await.unwrap();
    let other = Plane::start_as(&store, Leader::candidate()).await;
    other.released(1).await;
    plane.released(1).await;
    leads(&leader, 1);
    assert_eq!(plane.staged().await.version.revision, Revision(3));
    other.staged().await;
    plane.stop().await;
    other.stop().await;
    store.close().await;
}
