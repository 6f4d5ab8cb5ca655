//! That subscribers hold what the store holds, whatever happens on the way.

use std::sync::Arc;

use tonic::transport::Channel;
use tyrscale_proto::v1::{self, NackReason, apply_request::Part, resource::Resource};

use crate::{
    follower::Follower,
    plane::{Plane, connect, deletion, id, network, route, upsert, upstream},
};

#[tokio::test]
async fn c53_a_move_in_one_document_is_one_update() {
    let plane = Plane::start().await;
    let mut start: Vec<_> = (10..30).map(|number| Resource::Route(route(number))).collect();
    start.extend([Resource::Route(route(1)), Resource::Upstream(upstream(2, 1, 1.0))]);
    plane.put(start).await;
    let mut follower = Follower::synced(&plane.channel, "n").await;
    let document = vec![
        upsert(Resource::Upstream(upstream(3, 1, 1.0))),
        deletion(v1::Kind::Upstream, &id(2)),
    ];
    plane.apply(document).await.unwrap();
    let update = follower.follow().await;
    assert_eq!((update.upserts.len(), update.removals.len()), (1, 1));
    assert_eq!((&update.upserts[0].id, &update.removals[0].id), (&id(3), &id(2)));
    plane.stop().await;
}

#[tokio::test]
async fn a_change_outside_a_view_moves_its_revision_without_content() {
    let plane = Plane::start().await;
    plane
        .put(vec![network("eth", 1), Resource::Route(route(1))])
        .await;
    let hello = v1::Hello {
        selector: Some(v1::Selector {
            kinds: vec![v1::Kind::Network.into()],
            ..v1::Selector::default()
        }),
        ..crate::follower::hello("n", "boot")
    };
    let (mut follower, _) = Follower::greet(&plane.channel, hello).await;
    let whole = follower.receive().await;
    follower.running = Some(whole.target.clone());
    follower.ack(&whole).await;
    let version = plane.put(vec![Resource::Route(route(2))]).await;
    let update = follower.receive().await;
    assert_eq!((update.upserts.len(), update.removals.len()), (0, 0));
    assert_eq!(update.target.revision, version.revision);
    assert_eq!(update.target.digest, whole.target.digest);
    plane.stop().await;
}

/// Numbers that look random and come again with the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn transaction(dice: &mut Dice) -> Vec<Part> {
    let operations = dice.roll(4) + 1;
    let names: std::collections::BTreeSet<_> = (0..operations).map(|_| dice.roll(60)).collect();
    let part = |name: u64| upsert(network(&format!("n{name}"), dice.roll(1000) + 1));
    names.into_iter().map(part).collect()
}

/// Follows until it runs `last`, refusing one update in five, leaving and coming back now and then.
async fn wander(channel: Channel, node: String, mut dice: Dice, last: u64) -> Follower {
    let (mut follower, _) = Follower::connect(&channel, &node).await;
    while follower
        .running
        .as_ref()
        .is_none_or(|running| running.revision < last)
    {
        let update = follower.receive().await;
        let is_last = update.target.revision >= last;
        match dice.roll(10) {
            0 | 1 if !is_last => {
                let reason = if dice.roll(2) == 0 {
                    NackReason::BaseMismatch
                } else {
                    NackReason::Internal
                };
                follower.nack(&update, reason).await;
                // Pauses after refusals are long: a new stream begins without them.
                follower.reconnect(&channel, &node).await;
            }
            2 => {
                follower.reconnect(&channel, &node).await;
            }
            _ => {
                follower.apply(&update);
                follower.ack(&update).await;
            }
        }
    }
    follower
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c64_random_histories_end_with_equal_content_everywhere() {
    for seed in 1..=3 {
        let plane = Arc::new(Plane::start().await);
        let mut dice = Dice(seed);
        plane
            .put((0..60).map(|name| network(&format!("n{name}"), 1)).collect())
            .await;
        let writing = 150;
        // The last commit is told apart by its revision: every commit but the first adds a name of its own.
        let last = writing + 1;
        let wanderers: Vec<_> = (0..20)
            .map(|number| {
                let (grpc, dice) = (plane.grpc, Dice(seed * 1000 + number));
                tokio::spawn(
                    async move { wander(connect(grpc).await, format!("w{number}"), dice, last).await },
                )
            })
            .collect();
        for number in 0..writing {
            let mut parts = transaction(&mut dice);
            parts.push(upsert(network(&format!("mark{number}"), 1)));
            plane.apply(parts).await.unwrap();
        }
        let mut ends = Vec::new();
        for wanderer in wanderers {
            ends.push(wanderer.await.unwrap().running);
        }
        let mut client = v1::status_service_client::StatusServiceClient::new(plane.channel.clone());
        let head = client
            .list_nodes(v1::ListNodesRequest {})
            .await
            .unwrap()
            .into_inner()
            .head;
        for running in ends {
            assert_eq!(running, head, "seed {seed}");
        }
        let metrics = plane.metrics().await;
        assert!(
            metrics.contains("tyrscale_discovery_digest_mismatches_total 0"),
            "seed {seed}"
        );
        Arc::into_inner(plane).unwrap().stop().await;
    }
}
