//! A change is held to how requests fare on all gateways, whichever control plane they report to.

use std::collections::BTreeMap;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Streaming, transport::Channel};
use tyrscale_proto::v1::{self, RolloutState, telemetry_service_client::TelemetryServiceClient};

use crate::{
    replicas::{Etcd, LIMIT, Replica, runs, subscribe, subscribe_as},
    sharing::{nodes, rollout, until},
};

/// A gateway that reports what it counted of one upstream.
struct Reporter {
    node: &'static str,
    reports: mpsc::Sender<v1::StreamTelemetryRequest>,
    answers: Streaming<v1::StreamTelemetryResponse>,
    sequence: u64,
}

impl Reporter {
    async fn start(channel: &Channel, node: &'static str) -> Self {
        let (reports, requests) = mpsc::channel(1);
        let mut client = TelemetryServiceClient::new(channel.clone());
        let answers = client.stream_telemetry(ReceiverStream::new(requests)).await;
        Self {
            node,
            reports,
            answers: answers.unwrap().into_inner(),
            sequence: 0,
        }
    }

    /// Reports what came since its start.
    async fn report(&mut self, answered: u64, failed: u64) {
        self.sequence += 1;
        let sample = v1::UpstreamSample {
            upstream_id: "00000000-0000-4000-8000-000000000002".to_owned(),
            route_id: "00000000-0000-4000-8000-000000000001".to_owned(),
            requests: answered + failed,
            answered,
            failures: BTreeMap::from([("timeout".to_owned(), failed)]),
            ..Default::default()
        };
        let report = v1::StreamTelemetryRequest {
            node_id: self.node.to_owned(),
            boot_id: "1".to_owned(),
            sequence: self.sequence,
            upstreams: vec![sample],
            ..Default::default()
        };
        self.reports.send(report).await.unwrap();
        let answer = timeout(LIMIT, self.answers.message()).await;
        let answer = answer.unwrap().unwrap().unwrap();
        assert_eq!(answer.acknowledged_sequence, self.sequence);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fares_worse_on_the_gateways_of_another_control_plane_is_reverted() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    // The first to start is the one that leads.
    let (leads, other) = (one.channel().await, two.channel().await);
    let stop = CancellationToken::new();
    let mut near = subscribe("near", &[&one], &stop);
    let mut far = subscribe_as("far", &[("canary", "true")], &[&two], &stop);
    let mut reports_near = Reporter::start(&leads, "near").await;
    let mut reports_far = Reporter::start(&other, "far").await;
    let revision = one.put("a", 1).await;
    runs(&mut near, revision).await;
    runs(&mut far, revision).await;
    until(|| nodes(&leads), |nodes| nodes.len() == 2).await;
    reports_near.report(1_000, 0).await;
    reports_far.report(1_000, 0).await;

    let staged = one.put_by("b", 2, Some("label canary=true 60s")).await;
    runs(&mut far, staged).await;
    // What comes soon after another report is passed over, so they go on.
    let reporting = async {
        loop {
            reports_near.report(3_000, 2).await;
            reports_far.report(1_500, 500).await;
        }
    };
    let is_over = |rollout: &v1::Rollout| rollout.state() == RolloutState::Reverted;
    let seen = tokio::select! {
        rollout = until(|| rollout(&leads), is_over) => rollout,
        () = reporting => unreachable!("they report without end"),
    };
    assert!(
        seen.why.starts_with("50.0% of 1000 requests to route"),
        "{}",
        seen.why
    );
    runs(&mut far, seen.reverted_by.unwrap()).await;
    runs(&mut near, seen.reverted_by.unwrap()).await;
    stop.cancel();
    one.stop().await;
    two.stop().await;
}
