//! Gateways that report, as many as subscribe.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tyrscale_proto::v1::{self, telemetry_service_client::TelemetryServiceClient};

use super::{
    document::{Shape, route_id, upstream_id},
    plane::Plane,
};

/// Streams that share a connection.
const STREAMS: u32 = 100;
/// Until the control plane says how often, and while it does not.
const INTERVAL: Duration = Duration::from_secs(10);
/// Buckets with a count in each histogram.
const BUCKETS: u64 = 16;

/// Reporters; they stop when dropped.
#[derive(Debug)]
pub(crate) struct Reporters {
    _lives: JoinSet<anyhow::Result<()>>,
}

impl Reporters {
    /// `nodes` of them, each with `samples` upstreams, spread over one interval.
    pub(crate) async fn start(plane: &Plane, nodes: u32, samples: u32, shape: Shape) -> anyhow::Result<Self> {
        let mut lives = JoinSet::new();
        let mut channel = plane.connect().await?;
        for number in 0..nodes {
            if number > 0 && number.is_multiple_of(STREAMS) {
                channel = plane.connect().await?;
            }
            let first = Instant::now() + INTERVAL.mul_f64(f64::from(number) / f64::from(nodes));
            lives.spawn(report(channel.clone(), number, first, (samples, shape)));
        }
        Ok(Self { _lives: lives })
    }
}

async fn report(
    channel: Channel,
    number: u32,
    first: Instant,
    (samples, shape): (u32, Shape),
) -> anyhow::Result<()> {
    let (reports, outgoing) = mpsc::channel(1);
    sleep_until(first).await;
    let mut answers = TelemetryServiceClient::new(channel)
        .stream_telemetry(ReceiverStream::new(outgoing))
        .await?
        .into_inner();
    for sequence in 1.. {
        let sample = |place| {
            let upstream = number.wrapping_mul(samples).wrapping_add(place);
            sample(upstream % (shape.routes * shape.upstreams), shape, sequence)
        };
        let message = v1::StreamTelemetryRequest {
            node_id: format!("bench-{number}"),
            boot_id: "1".to_owned(),
            sequence,
            upstreams: (0..samples).map(sample).collect(),
            ..Default::default()
        };
        reports.send(message).await?;
        let Some(answer) = answers.message().await? else {
            break;
        };
        let interval = answer
            .interval
            .and_then(|interval| Duration::try_from(interval).ok());
        sleep_until(Instant::now() + interval.unwrap_or(INTERVAL)).await;
    }
    Ok(())
}

fn sample(upstream: u32, shape: Shape, sequence: u64) -> v1::UpstreamSample {
    let (route, place) = (upstream / shape.upstreams, upstream % shape.upstreams);
    let answered = sequence * 1_000;
    v1::UpstreamSample {
        upstream_id: upstream_id(route, place),
        route_id: route_id(route),
        requests: answered + sequence,
        answered,
        failures: BTreeMap::from([("timeout".to_owned(), sequence)]),
        latency: Some(v1::LatencyHistogram {
            scale: 2,
            offset: -40,
            counts: vec![answered / BUCKETS; 16],
            ..Default::default()
        }),
        in_flight: 3,
        healthy: true,
        breaker: v1::BreakerState::Closed.into(),
        block_height: Some(20_000_000 + sequence),
        height_age: Some(prost_types::Duration::default()),
    }
}
