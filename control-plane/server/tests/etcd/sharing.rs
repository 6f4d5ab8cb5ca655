//! What one control plane knows, the others know: nodes, rollouts, leaders, weights.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};
use tyrscale_proto::v1::{
    self, RolloutState, coordination_service_client::CoordinationServiceClient,
    recommendation_service_client::RecommendationServiceClient, resource::Resource,
    status_service_client::StatusServiceClient,
};

use crate::replicas::{Etcd, LIMIT, Replica, runs, subscribe};

const ROUTE: &str = "00000000-0000-4000-8000-000000000001";
const UPSTREAMS: [&str; 2] = [
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
];

/// Asks again until the answer is as wanted.
pub(crate) async fn until<T, F>(ask: impl Fn() -> F, is: impl Fn(&T) -> bool) -> T
where
    F: Future<Output = T>,
    T: std::fmt::Debug,
{
    let mut last = None;
    let asking = async {
        loop {
            let answer = ask().await;
            if is(&answer) {
                return answer;
            }
            last = Some(answer);
            tokio::task::yield_now().await;
        }
    };
    let reached = timeout(LIMIT, asking).await;
    reached.unwrap_or_else(|_| panic!("it never gets there: {last:#?}"))
}

pub(crate) async fn nodes(channel: &Channel) -> Vec<String> {
    let mut client = StatusServiceClient::new(channel.clone());
    let listed = client.list_nodes(v1::ListNodesRequest {}).await.unwrap();
    let nodes = listed.into_inner().nodes.into_iter();
    let connected = nodes.filter(|node| node.connected_since.is_some());
    connected.map(|node| node.node.unwrap_or_default().id).collect()
}

pub(crate) async fn rollout(channel: &Channel) -> v1::Rollout {
    let mut client = StatusServiceClient::new(channel.clone());
    let got = client.get_rollout(v1::GetRolloutRequest { id: 0 }).await;
    got.map(|answer| answer.into_inner().rollout.unwrap_or_default())
        .unwrap_or_default()
}

async fn campaign(channel: &Channel, candidate: &str) -> v1::CampaignResponse {
    let mut client = CoordinationServiceClient::new(channel.clone());
    let request = v1::CampaignRequest {
        election: "recommender".to_owned(),
        candidate_id: candidate.to_owned(),
        ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        resign: false,
    };
    client.campaign(request).await.unwrap().into_inner()
}

async fn set_weight(channel: &Channel, token: u64, weight: f64) -> Result<v1::Version, Status> {
    let mut client = RecommendationServiceClient::new(channel.clone());
    let request = v1::SetWeightsRequest {
        route_id: ROUTE.to_owned(),
        weights: vec![v1::Weight {
            upstream_id: UPSTREAMS[0].to_owned(),
            weight,
            ..Default::default()
        }],
        fencing_token: Some(token),
        ..Default::default()
    };
    let answer = client.set_weights(request).await?.into_inner();
    Ok(answer.version.unwrap())
}

async fn weights_version(channel: &Channel) -> v1::Version {
    let mut client = RecommendationServiceClient::new(channel.clone());
    let listed = client.list_weights(v1::ListWeightsRequest::default()).await;
    listed.unwrap().into_inner().version.unwrap()
}

fn route_and_upstreams() -> Vec<Resource> {
    let route = v1::Route {
        id: ROUTE.to_owned(),
        host: "a.example".to_owned(),
        path: "/".to_owned(),
        ..Default::default()
    };
    let upstream = |id: &&str| {
        Resource::Upstream(v1::Upstream {
            id: (*id).to_owned(),
            route_id: ROUTE.to_owned(),
            target: Some(v1::upstream::Target::Address(v1::Address {
                scheme: "http".to_owned(),
                host: "node.example".to_owned(),
                port: 80,
                path: "/".to_owned(),
            })),
            weight: 50.0,
            ..Default::default()
        })
    };
    let upstreams = UPSTREAMS.iter().map(upstream);
    std::iter::once(Resource::Route(route)).chain(upstreams).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_are_listed_and_waited_for_on_another_and_go_when_it_dies() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    let channel = two.channel().await;
    let stop = CancellationToken::new();
    let mut status = subscribe("gw", &[&one], &stop);
    let revision = two.put("a", 1).await;
    runs(&mut status, revision).await;
    until(|| nodes(&channel), |nodes| *nodes == ["gw"]).await;
    let mut client = StatusServiceClient::new(channel.clone());
    let request = v1::WaitForRevisionRequest {
        revision,
        timeout_ms: 30_000,
    };
    let waited = client.wait_for_revision(request).await.unwrap().into_inner();
    assert!(waited.reached, "{waited:?}");
    one.kill().await;
    until(|| nodes(&channel), Vec::is_empty).await;
    stop.cancel();
    two.stop().await;
}

/// C80 among them: a rollout that waits holds no weights up.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_under_another_when_the_one_that_drives_dies() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    let (first, second) = (one.channel().await, two.channel().await);
    let stop = CancellationToken::new();
    let mut gateways = Vec::new();
    for (id, replica) in [("gw-1", &two), ("gw-2", &two), ("gw-3", &two)] {
        gateways.push(subscribe(id, &[replica], &stop));
    }
    let revision = one.put("a", 1).await;
    for gateway in &mut gateways {
        runs(gateway, revision).await;
    }
    until(|| nodes(&first), |nodes| nodes.len() == 3).await;
    let staged = two.put_by("b", 2, Some("1 3s, 2 3s")).await;
    let is_seen = |rollout: &v1::Rollout| rollout.acked.len() == 1;
    until(|| rollout(&first), is_seen).await;
    until(|| rollout(&second), is_seen).await;
    let at = |gateway: &tokio::sync::watch::Receiver<tyrscale_client::SubscriptionStatus>| {
        gateway.borrow().running.map(|version| version.revision.0)
    };
    let have_it = gateways.iter().filter(|gateway| at(gateway) == Some(staged));
    assert_eq!(have_it.count(), 1);
    let killed = Instant::now();
    // The first to start is the one that leads.
    one.kill().await;
    let done = |rollout: &v1::Rollout| rollout.state() == RolloutState::Succeeded;
    until(|| rollout(&second), done).await;
    let took = killed.elapsed();
    assert!(
        took < Duration::from_secs(25),
        "stages of 6 s and a takeover: {took:?}"
    );
    for gateway in &mut gateways {
        runs(gateway, staged).await;
        assert_eq!(gateway.borrow().updates_refused, 0);
    }
    stop.cancel();
    two.stop().await;
}

/// C97: who led and was silent for too long is refused, whichever control plane it asks.
#[tokio::test(flavor = "multi_thread")]
async fn c97_a_leader_of_the_past_is_refused_and_weights_are_one_line_on_all() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    let (first, second) = (one.channel().await, two.channel().await);
    two.apply(route_and_upstreams()).await;
    let old = campaign(&first, "old").await;
    assert!(old.leader);
    let version = set_weight(&second, old.fencing_token, 40.0).await.unwrap();
    until(|| weights_version(&first), |seen| *seen == version).await;
    assert!(!campaign(&second, "new").await.leader, "the lease still holds");
    // It is suspended for longer than its lease.
    let new = until(|| campaign(&second, "new"), |campaign| campaign.leader).await;
    assert!(new.fencing_token > old.fencing_token);
    let refused = set_weight(&first, old.fencing_token, 10.0).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let refused = set_weight(&second, old.fencing_token, 10.0).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    assert_eq!(weights_version(&second).await, version);
    one.stop().await;
    two.stop().await;
}
