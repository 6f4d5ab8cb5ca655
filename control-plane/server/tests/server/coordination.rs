//! Members share the rpcs, and one candidate leads.

use std::collections::BTreeSet;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use tyrscale_proto::v1::{
    self, coordination_service_client::CoordinationServiceClient, resource::Resource as Wire,
};

use crate::plane::{LIMIT, Plane, deletion, id, network, rpc};

struct Member {
    requests: mpsc::Sender<v1::JoinRequest>,
    answers: Streaming<v1::JoinResponse>,
    share: BTreeSet<String>,
    id: String,
}

fn join(id: &str) -> v1::JoinRequest {
    v1::JoinRequest {
        member_set: "exporters".to_owned(),
        member_id: id.to_owned(),
        ttl: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    }
}

impl Member {
    async fn start(plane: &Plane, id: &str) -> Self {
        let (requests, stream) = mpsc::channel(1);
        let mut client = CoordinationServiceClient::new(plane.channel.clone());
        let answers = client
            .join(ReceiverStream::new(stream))
            .await
            .unwrap()
            .into_inner();
        requests.send(join(id)).await.unwrap();
        let mut member = Self {
            requests,
            answers,
            share: BTreeSet::new(),
            id: id.to_owned(),
        };
        member.next().await;
        member
    }

    async fn next(&mut self) {
        let answer = timeout(LIMIT, self.answers.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        self.share = answer.assigned_rpc_ids.into_iter().collect();
    }

    /// Renews while it waits until its share is as `until` wants it.
    async fn until(&mut self, until: impl Fn(&BTreeSet<String>) -> bool) {
        let limit = tokio::time::Instant::now() + LIMIT;
        while !until(&self.share) {
            self.requests.send(join(&self.id)).await.unwrap();
            let wait = std::time::Duration::from_millis(300);
            if let Ok(answer) = timeout(wait, self.answers.message()).await {
                self.share = answer.unwrap().unwrap().assigned_rpc_ids.into_iter().collect();
            }
            assert!(
                tokio::time::Instant::now() < limit,
                "{} has {:?}",
                self.id,
                self.share.len()
            );
        }
    }
}

async fn configured(rpcs: usize) -> Plane {
    let plane = Plane::start().await;
    let mut resources = vec![network("eth", 1)];
    resources.extend((0..rpcs).map(|number| Wire::Rpc(rpc(number, "eth"))));
    plane.put(resources).await;
    plane
}

#[tokio::test]
async fn members_share_all_rpcs_and_take_over_from_one_that_leaves_or_is_silent() {
    let plane = configured(60).await;
    let mut one = Member::start(&plane, "one").await;
    assert_eq!(one.share.len(), 60);
    let two = Member::start(&plane, "two").await;
    one.until(|share| share.len() < 60).await;
    assert!(one.share.is_disjoint(&two.share));
    assert_eq!(one.share.len() + two.share.len(), 60);
    // A new rpc is somebody's at once, and one that is deleted nobody's.
    plane.put(vec![Wire::Rpc(rpc(60, "eth"))]).await;
    plane.apply(vec![deletion(v1::Kind::Rpc, &id(0))]).await.unwrap();
    let leaving = v1::JoinRequest {
        leave: true,
        ..join("two")
    };
    two.requests.send(leaving).await.unwrap();
    let all: BTreeSet<String> = (1..=60).map(id).collect();
    one.until(|share| *share == all).await;
    // The next one is not even told that it is cut off.
    let three = Member::start(&plane, "three").await;
    assert!(!three.share.is_empty());
    drop(three);
    one.until(|share| share.len() < 60).await;
    one.until(|share| *share == all).await;
    assert!(plane.metrics().await.contains("tyrscale_exporter_members 1"));
    plane.stop().await;
}

#[tokio::test]
async fn a_member_that_breaks_a_rule_is_refused_by_name() {
    let plane = configured(1).await;
    for (bad, words) in [
        (
            v1::JoinRequest {
                member_set: "others".to_owned(),
                ..join("a")
            },
            "member_set",
        ),
        (
            v1::JoinRequest {
                member_id: String::new(),
                ..join("a")
            },
            "member_id",
        ),
        (
            v1::JoinRequest {
                capacity: 101,
                ..join("a")
            },
            "capacity",
        ),
        (
            v1::JoinRequest {
                ttl: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
                ..join("a")
            },
            "ttl",
        ),
    ] {
        let mut client = CoordinationServiceClient::new(plane.channel.clone());
        let requests = tokio_stream::iter([bad]);
        let mut answers = client.join(requests).await.unwrap().into_inner();
        let refusal = timeout(LIMIT, answers.message()).await.unwrap().unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument);
        assert!(refusal.message().contains(words), "{}", refusal.message());
    }
    plane.stop().await;
}

#[tokio::test]
async fn one_candidate_leads_and_the_next_has_a_higher_token() {
    let plane = configured(1).await;
    let mut client = CoordinationServiceClient::new(plane.channel.clone());
    let campaign = |candidate: &str, resign| v1::CampaignRequest {
        election: "recommender".to_owned(),
        candidate_id: candidate.to_owned(),
        ttl: None,
        resign,
    };
    let first = client.campaign(campaign("a", false)).await.unwrap().into_inner();
    assert_eq!(
        (first.leader, first.fencing_token, first.leader_id.as_str()),
        (true, 1, "a")
    );
    let second = client.campaign(campaign("b", false)).await.unwrap().into_inner();
    assert_eq!(
        (second.leader, second.fencing_token, second.leader_id.as_str()),
        (false, 1, "a")
    );
    assert!(second.renew_within.is_some());
    client.campaign(campaign("a", true)).await.unwrap();
    let next = client.campaign(campaign("b", false)).await.unwrap().into_inner();
    assert_eq!((next.leader, next.fencing_token), (true, 2));
    let nameless = v1::CampaignRequest::default();
    assert_eq!(
        client.campaign(nameless).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    plane.stop().await;
}
