//! What nodes report, as others read it.

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tyrscale_proto::v1::{
    self, resource::Resource as Wire, telemetry::Telemetry as Of,
    telemetry_service_client::TelemetryServiceClient,
};

use crate::{
    plane::{LIMIT, Plane, id, network, route, rpc, upstream},
    reporter::{Reporter, upstream_sample},
};

/// A network with two rpcs, and a route with an upstream to the first.
async fn configured() -> Plane {
    let plane = Plane::start().await;
    let upstream = v1::Upstream {
        target: Some(v1::upstream::Target::RpcId(id(1))),
        ..upstream(30, 20, 1.0)
    };
    plane
        .put(vec![
            network("eth", 1),
            Wire::Rpc(rpc(1, "eth")),
            Wire::Rpc(rpc(2, "eth")),
            Wire::Route(route(20)),
            Wire::Upstream(upstream),
        ])
        .await;
    plane
}

fn rpc_sample(number: usize, height: u64) -> v1::RpcSample {
    v1::RpcSample {
        rpc_id: id(number),
        block_height: Some(height),
        collectors: vec![v1::CollectorSample {
            collector: v1::Collector::EthBlockNumber.into(),
            answered: 1,
            healthy: number == 1,
            ..Default::default()
        }],
        ..Default::default()
    }
}

async fn list(plane: &Plane, request: v1::ListTelemetryRequest) -> v1::ListTelemetryResponse {
    let mut client = TelemetryServiceClient::new(plane.channel.clone());
    client.list_telemetry(request).await.unwrap().into_inner()
}

/// All that is known, once `until` holds.
async fn watched(plane: &Plane, until: impl Fn(&[Of]) -> bool) -> Vec<Of> {
    let mut client = TelemetryServiceClient::new(plane.channel.clone());
    let request = v1::WatchTelemetryRequest {
        interval: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        ..Default::default()
    };
    let mut parts = client.watch_telemetry(request).await.unwrap().into_inner();
    let seen = async {
        loop {
            let part = parts.message().await.unwrap().unwrap();
            assert!(part.complete);
            let all: Vec<Of> = part
                .telemetry
                .into_iter()
                .filter_map(|one| one.telemetry)
                .collect();
            if until(&all) {
                return all;
            }
        }
    };
    timeout(LIMIT, seen).await.unwrap()
}

#[tokio::test]
async fn reports_of_all_nodes_are_merged_by_upstream_rpc_and_network() {
    let plane = configured().await;
    let mut one = Reporter::start(&plane.channel, "gw-1").await;
    let mut two = Reporter::start(&plane.channel, "gw-2").await;
    let mut exporter = Reporter::start(&plane.channel, "exporter").await;
    one.report(vec![upstream_sample(10, 2)], vec![]).await;
    two.report(vec![upstream_sample(5, 1)], vec![]).await;
    exporter
        .report(vec![], vec![rpc_sample(1, 100), rpc_sample(2, 97)])
        .await;
    let all = watched(&plane, |all| all.len() == 4).await;
    let [
        Of::Network(network),
        Of::Rpc(first),
        Of::Rpc(second),
        Of::Upstream(upstream),
    ] = &all[..]
    else {
        panic!("{all:?}")
    };
    assert_eq!(
        (upstream.requests, upstream.answered, upstream.failures["timeout"]),
        (18, 15, 3)
    );
    assert_eq!(
        (upstream.rpc_id.as_str(), upstream.network.as_str()),
        (id(1).as_str(), "eth")
    );
    assert_eq!(
        (upstream.nodes, upstream.healthy_nodes, upstream.in_flight),
        (2, 2, 2)
    );
    assert_eq!(upstream.latency.as_ref().unwrap().counts, [15]);
    assert_eq!((first.lag, second.lag), (Some(0), Some(3)));
    assert_eq!(
        (network.block_height, network.rpcs, network.healthy_rpcs),
        (Some(100), 2, 1)
    );
    assert_eq!((network.upstreams, network.requests), (1, 18));
    plane.stop().await;
}

#[tokio::test]
async fn what_is_reported_is_listed_in_pages_and_by_filter() {
    let plane = configured().await;
    let mut gateway = Reporter::start(&plane.channel, "gw-1").await;
    let mut exporter = Reporter::start(&plane.channel, "exporter").await;
    gateway.report(vec![upstream_sample(10, 2)], vec![]).await;
    exporter
        .report(vec![], vec![rpc_sample(1, 100), rpc_sample(2, 97)])
        .await;
    watched(&plane, |all| all.len() == 4).await;
    let page = list(
        &plane,
        v1::ListTelemetryRequest {
            page_size: 3,
            ..Default::default()
        },
    )
    .await;
    let rest = list(
        &plane,
        v1::ListTelemetryRequest {
            page_token: page.next_page_token,
            ..Default::default()
        },
    )
    .await;
    assert_eq!(
        (
            page.telemetry.len(),
            rest.telemetry.len(),
            rest.next_page_token.as_str()
        ),
        (3, 1, "")
    );
    let only = v1::TelemetryFilter {
        route_ids: vec![id(20)],
        ..Default::default()
    };
    let of_route = v1::ListTelemetryRequest {
        filter: Some(only),
        ..Default::default()
    };
    assert_eq!(list(&plane, of_route).await.telemetry.len(), 1);
    plane.stop().await;
}

#[tokio::test]
async fn a_node_is_told_how_to_report_and_how_high_the_networks_are() {
    let plane = configured().await;
    let mut exporter = Reporter::start(&plane.channel, "exporter").await;
    exporter.report(vec![], vec![rpc_sample(1, 100)]).await;
    watched(&plane, |all| !all.is_empty()).await;
    let mut gateway = Reporter::start(&plane.channel, "gw").await;
    let told = async {
        loop {
            let answer = gateway.report(vec![upstream_sample(1, 0)], vec![]).await;
            if !answer.networks.is_empty() {
                return answer;
            }
        }
    };
    let answer = timeout(LIMIT, told).await.unwrap();
    assert_eq!(answer.networks[0].block_height, 100);
    let heads: Vec<_> = answer
        .upstreams
        .iter()
        .map(|head| (&*head.upstream_id, head.block_height))
        .collect();
    assert_eq!(
        heads,
        [(&*id(30), 100)],
        "of the rpc behind the upstream that was reported"
    );
    assert_eq!(
        answer.interval,
        Some(prost_types::Duration {
            seconds: 0,
            nanos: 200_000_000
        })
    );
    assert_eq!(answer.max_samples, 10_000);
    plane.stop().await;
}

#[tokio::test]
async fn what_a_node_that_is_gone_saw_is_gone() {
    let plane = configured().await;
    let mut gateway = Reporter::start(&plane.channel, "gw").await;
    gateway.report(vec![upstream_sample(1, 0)], vec![]).await;
    watched(&plane, |all| all.len() == 2).await;
    assert!(plane.metrics().await.contains("tyrscale_telemetry_nodes 1"));
    drop(gateway);
    watched(&plane, <[Of]>::is_empty).await;
    let mut client = TelemetryServiceClient::new(plane.channel.clone());
    let resource = Some(v1::ResourceRef {
        kind: v1::Kind::Upstream.into(),
        id: id(30),
    });
    let gone = client.get_telemetry(v1::GetTelemetryRequest { resource }).await;
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    plane.stop().await;
}

#[tokio::test]
async fn bad_reports_and_questions_are_refused_by_name() {
    let plane = configured().await;
    let mut client = TelemetryServiceClient::new(plane.channel.clone());
    let (reports, requests) = mpsc::channel(1);
    let mut answers = client
        .stream_telemetry(ReceiverStream::new(requests))
        .await
        .unwrap()
        .into_inner();
    reports.send(v1::StreamTelemetryRequest::default()).await.unwrap();
    let refusal = timeout(LIMIT, answers.message()).await.unwrap().unwrap_err();
    assert_eq!(
        (refusal.code(), refusal.message().contains("node_id")),
        (Code::InvalidArgument, true)
    );
    let page = v1::ListTelemetryRequest {
        page_size: 1001,
        ..Default::default()
    };
    assert_eq!(
        client.list_telemetry(page).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let token = v1::ListTelemetryRequest {
        page_token: "x".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        client.list_telemetry(token).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let interval = v1::WatchTelemetryRequest {
        interval: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
        ..Default::default()
    };
    assert_eq!(
        client.watch_telemetry(interval).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    plane.stop().await;
}
