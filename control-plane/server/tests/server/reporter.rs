//! Nodes that report what they see.

use std::collections::BTreeMap;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Streaming, transport::Channel};
use tyrscale_proto::v1::{self, telemetry_service_client::TelemetryServiceClient};

use crate::plane::{LIMIT, id};

/// A node that reports.
pub(crate) struct Reporter {
    reports: mpsc::Sender<v1::StreamTelemetryRequest>,
    answers: Streaming<v1::StreamTelemetryResponse>,
    sequence: u64,
    node: String,
}

impl Reporter {
    pub(crate) async fn start(channel: &Channel, node: &str) -> Self {
        let (reports, requests) = mpsc::channel(1);
        let mut client = TelemetryServiceClient::new(channel.clone());
        let answers = client
            .stream_telemetry(ReceiverStream::new(requests))
            .await
            .unwrap();
        Self {
            reports,
            answers: answers.into_inner(),
            sequence: 0,
            node: node.to_owned(),
        }
    }

    pub(crate) async fn report(
        &mut self,
        upstreams: Vec<v1::UpstreamSample>,
        rpcs: Vec<v1::RpcSample>,
    ) -> v1::StreamTelemetryResponse {
        self.sequence += 1;
        let report = v1::StreamTelemetryRequest {
            node_id: self.node.clone(),
            boot_id: "1".to_owned(),
            sequence: self.sequence,
            upstreams,
            rpcs,
            ..Default::default()
        };
        self.reports.send(report).await.unwrap();
        let answer = timeout(LIMIT, self.answers.message())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(answer.acknowledged_sequence, self.sequence);
        answer
    }
}

/// Of upstream 30 of route 20.
pub(crate) fn upstream_sample(answered: u64, failed: u64) -> v1::UpstreamSample {
    v1::UpstreamSample {
        upstream_id: id(30),
        route_id: id(20),
        requests: answered + failed,
        answered,
        failures: BTreeMap::from([("timeout".to_owned(), failed)]),
        latency: Some(v1::LatencyHistogram {
            scale: 1,
            offset: -10,
            counts: vec![answered],
            ..Default::default()
        }),
        in_flight: 1,
        healthy: true,
        breaker: v1::BreakerState::Closed.into(),
        ..Default::default()
    }
}
