//! Reports upward of what a node sees: a stream of its own, so that a flood of samples cannot delay the configuration.
//!
//! There is no queue. Every report is made from the counters as they are when it is sent, and they count since the
//! node's boot: what is lost or late is in the next one.

use std::time::Duration;

use http::Uri;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tyrscale_model::{Name, RouteId, Traffic, UpstreamId};
use tyrscale_proto::v1::{self, telemetry_service_client::TelemetryServiceClient};
use tyrscale_tls::ClientTls;

use crate::{
    ClientError, NodeRole, Timing,
    uplink::{Uplink, UplinkError},
};

/// How long a report may take to be answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is asked for before the control plane has said anything.
const FIRST_SAMPLES: usize = 1_000;
/// The rarest and the most frequent reports the control plane may ask for.
const INTERVAL: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(600));

/// Who reports and where to.
#[derive(Debug, Clone)]
pub struct ReporterConfig {
    /// `http://host:port` or `https://host:port` of control planes, tried in turn; at least one.
    pub endpoints: Vec<Uri>,
    /// For control planes at `https`.
    pub tls: ClientTls,
    /// The node's id.
    pub node_id: String,
    /// What the node does.
    pub role: NodeRole,
    /// Intervals and limits of time.
    pub timing: Timing,
}

/// How an upstream's circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerLevel {
    /// Requests pass.
    Closed,
    /// Trials pass.
    HalfOpen,
    /// None pass.
    Open,
}

/// What a gateway sees of an upstream.
#[derive(Debug, Clone)]
pub struct UpstreamSample {
    /// Which.
    pub upstream: UpstreamId,
    /// Of this route.
    pub route: RouteId,
    /// Since the gateway's boot.
    pub traffic: Traffic,
    /// Requests that are not settled.
    pub in_flight: u32,
    /// Whether it takes traffic, by its checks.
    pub healthy: bool,
    /// Its circuit breaker.
    pub breaker: BreakerLevel,
    /// The height of its head, and how long ago that was seen.
    pub head: Option<(u64, Duration)>,
}

/// What a node sees at one moment.
#[derive(Debug, Default)]
pub struct Report {
    /// Of a gateway.
    pub upstreams: Vec<UpstreamSample>,
    /// Upstreams left out for want of room.
    pub left_out: u64,
    /// Of an exporter.
    pub rpcs: Vec<v1::RpcSample>,
}

/// The head of a network, as the exporters see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkHead {
    /// Which.
    pub network: Name,
    /// In blocks.
    pub height: u64,
    /// When it was read.
    pub seen: Instant,
}

/// The head of the rpc behind an upstream, as the exporters see it.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamHead {
    /// Which.
    pub upstream: UpstreamId,
    /// In blocks.
    pub height: u64,
    /// When it was read.
    pub seen: Instant,
}

/// How high exporters see the chain to be.
#[derive(Debug, Clone, Default)]
pub struct Heads {
    /// Of all networks.
    pub networks: Vec<NetworkHead>,
    /// Of the rpcs behind the upstreams that were in the last report.
    pub upstreams: Vec<UpstreamHead>,
}

/// Reports until `shutdown`: `make` makes a report of at most so many samples. `heads` is told what exporters see.
///
/// # Errors
/// [`ClientError::NoEndpoint`], [`ClientError::InvalidEndpoint`] or [`ClientError::InvalidNodeId`], at once.
pub async fn run(
    config: ReporterConfig,
    mut make: impl FnMut(usize) -> Report,
    heads: watch::Sender<Heads>,
    shutdown: CancellationToken,
) -> Result<(), ClientError> {
    let mut uplink = Uplink::new(
        (&config.endpoints, &config.tls),
        &config.node_id,
        config.timing,
        "reports",
    )?;
    let reporter = Reporter {
        node_id: config.node_id,
        boot_id: format!("{:032x}", fastrand::u128(..)),
        role: config.role.to_wire(),
        boot: Instant::now(),
    };
    let keep = async {
        loop {
            let channel = uplink.connect().await;
            let ended = reporter.hold(channel, &mut make, &heads).await;
            uplink.ended(&ended.err().unwrap_or(UplinkError::Closed)).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = keep => {}
    }
    Ok(())
}

struct Reporter {
    node_id: String,
    boot_id: String,
    role: v1::NodeRole,
    boot: Instant,
}

impl Reporter {
    /// Reports on one stream until it ends.
    async fn hold(
        &self,
        channel: Channel,
        make: &mut impl FnMut(usize) -> Report,
        heads: &watch::Sender<Heads>,
    ) -> Result<(), UplinkError> {
        let (outbound, requests) = mpsc::channel(1);
        let mut client = TelemetryServiceClient::new(channel);
        let opening = client.stream_telemetry(ReceiverStream::new(requests));
        let mut answers = timeout(PATIENCE, opening)
            .await
            .map_err(|_| UplinkError::Silent)??
            .into_inner();
        let mut room = FIRST_SAMPLES;
        for sequence in 1.. {
            let report = self.message(sequence, make(room));
            outbound.send(report).await.map_err(|_| UplinkError::Closed)?;
            let answer = timeout(PATIENCE, answers.message())
                .await
                .map_err(|_| UplinkError::Silent)??;
            let answer = answer.ok_or(UplinkError::Closed)?;
            room = usize::try_from(answer.max_samples).unwrap_or(usize::MAX).max(1);
            let now = Instant::now();
            let networks = answer.networks.iter().filter_map(|head| network_head(head, now));
            let upstreams = answer
                .upstreams
                .iter()
                .filter_map(|head| upstream_head(head, now));
            heads.send_replace(Heads {
                networks: networks.collect(),
                upstreams: upstreams.collect(),
            });
            let (shortest, longest) = INTERVAL;
            let told = answer.interval.and_then(|told| Duration::try_from(told).ok());
            let interval = told.unwrap_or(longest).clamp(shortest, longest);
            tokio::select! {
                () = sleep(interval) => {}
                // Nothing is said unasked but that the stream ends.
                ended = answers.message() => return Err(ended.err().map_or(UplinkError::Closed, UplinkError::Status)),
            }
        }
        Ok(())
    }

    fn message(&self, sequence: u64, report: Report) -> v1::StreamTelemetryRequest {
        v1::StreamTelemetryRequest {
            node_id: self.node_id.clone(),
            boot_id: self.boot_id.clone(),
            sequence,
            uptime: self.boot.elapsed().try_into().ok(),
            upstreams: report.upstreams.into_iter().map(sample).collect(),
            samples_dropped: report.left_out,
            rpcs: report.rpcs,
            role: self.role.into(),
        }
    }
}

fn sample(sample: UpstreamSample) -> v1::UpstreamSample {
    let breaker = match sample.breaker {
        BreakerLevel::Closed => v1::BreakerState::Closed,
        BreakerLevel::HalfOpen => v1::BreakerState::HalfOpen,
        BreakerLevel::Open => v1::BreakerState::Open,
    };
    let failures = sample.traffic.failures.into_iter();
    v1::UpstreamSample {
        upstream_id: sample.upstream.to_string(),
        requests: sample.traffic.requests,
        failures: failures.map(|(class, count)| (class.into(), count)).collect(),
        latency: Some(sample.traffic.latency.to_wire()),
        in_flight: sample.in_flight,
        healthy: sample.healthy,
        breaker: breaker.into(),
        block_height: sample.head.map(|(height, _)| height),
        height_age: sample.head.and_then(|(_, age)| age.try_into().ok()),
        route_id: sample.route.to_string(),
        answered: sample.traffic.answered,
    }
}

fn network_head(message: &v1::NetworkHead, now: Instant) -> Option<NetworkHead> {
    Some(NetworkHead {
        network: message.network.parse().ok()?,
        height: message.block_height,
        seen: seen(message.height_age, now)?,
    })
}

fn upstream_head(message: &v1::UpstreamHead, now: Instant) -> Option<UpstreamHead> {
    Some(UpstreamHead {
        upstream: message.upstream_id.parse().ok()?,
        height: message.block_height,
        seen: seen(message.height_age, now)?,
    })
}

/// When that was which is so old.
fn seen(age: Option<prost_types::Duration>, now: Instant) -> Option<Instant> {
    let age = age.and_then(|age| Duration::try_from(age).ok());
    now.checked_sub(age.unwrap_or_default())
}
