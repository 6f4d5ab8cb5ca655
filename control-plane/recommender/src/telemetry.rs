//! The telemetry of the control plane, remembered: what it knows now, again and again, makes a history.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use tyrscale_client::{ClientError, ControlPlane};
use tyrscale_model::{RpcId, UnixMillis, UpstreamId};
use tyrscale_proto::v1::{self, telemetry::Telemetry as Known};
use tyrscale_scoring::{Distribution, HeightPoint, History, TrafficPoint, TrafficSeries};

use crate::{clock, connection::Endpoints, source::Subject};

/// Points kept of one upstream; the interval between them grows with how far back they must go.
const MAX_POINTS: u64 = 720;
/// How often the control plane is asked to tell.
const INTERVAL_S: i64 = 2;
/// Between two attempts to watch.
const RETRY: Duration = Duration::from_secs(1);
/// What is not told of for so long is forgotten, as a share of how far back the memory goes.
const FORGET: u64 = 2;

/// What was told of upstreams and rpcs over time.
#[derive(Debug)]
pub(crate) struct Memory {
    retention: u64,
    traffic: BTreeMap<UpstreamId, Vec<TrafficPoint>>,
    /// As gateways see them.
    heights: BTreeMap<UpstreamId, Vec<HeightPoint>>,
    /// As exporters read them.
    rpc_heights: BTreeMap<RpcId, Vec<HeightPoint>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            retention: 300_000,
            traffic: BTreeMap::new(),
            heights: BTreeMap::new(),
            rpc_heights: BTreeMap::new(),
        }
    }
}

impl Memory {
    /// Remembers so many milliseconds from now on.
    pub(crate) const fn retain(&mut self, milliseconds: u64) {
        self.retention = milliseconds;
    }

    /// Adds what is told at a time.
    pub(crate) fn add(&mut self, told: &[v1::Telemetry], now: UnixMillis) {
        for known in told.iter().filter_map(|told| told.telemetry.as_ref()) {
            match known {
                Known::Upstream(upstream) => self.add_upstream(upstream, now.0),
                Known::Rpc(rpc) => self.add_rpc(rpc, now.0),
                Known::Network(_) => {}
            }
        }
        self.forget(now.0);
    }

    fn add_upstream(&mut self, told: &v1::UpstreamTelemetry, now: u64) {
        let Ok(id) = told.upstream_id.parse::<UpstreamId>() else {
            return;
        };
        let spacing = self.retention / MAX_POINTS;
        push(
            self.traffic.entry(id).or_default(),
            traffic_of(told, now),
            spacing,
            |point| point.at,
        );
        if let Some(point) = height_of(told.block_height, told.height_age, 0, now) {
            push(self.heights.entry(id).or_default(), point, spacing, |point| {
                point.at
            });
        }
    }

    fn add_rpc(&mut self, told: &v1::RpcTelemetry, now: u64) {
        let Some(sample) = &told.sample else { return };
        let Ok(id) = sample.rpc_id.parse::<RpcId>() else {
            return;
        };
        let reported = milliseconds(told.age);
        if let Some(point) = height_of(sample.block_height, sample.height_age, reported, now) {
            let spacing = self.retention / MAX_POINTS;
            push(self.rpc_heights.entry(id).or_default(), point, spacing, |point| {
                point.at
            });
        }
    }

    fn forget(&mut self, now: u64) {
        let oldest = now.saturating_sub(self.retention.saturating_mul(FORGET));
        forget_before(&mut self.traffic, oldest, |point| point.at);
        forget_before(&mut self.heights, oldest, |point| point.at);
        forget_before(&mut self.rpc_heights, oldest, |point| point.at);
    }

    /// What is remembered of an upstream. The height is that which exporters read of its rpc, where they do.
    pub(crate) fn history(&self, subject: &Subject) -> History {
        let read = subject.rpc.and_then(|rpc| self.rpc_heights.get(&rpc));
        let heights = read.or_else(|| self.heights.get(&subject.upstream));
        let traffic = self.traffic.get(&subject.upstream);
        History {
            heights: heights.cloned().unwrap_or_default(),
            traffic: traffic.cloned().map(TrafficSeries).into_iter().collect(),
        }
    }
}

/// Adds a point in the order of time; one too close to the last takes its place.
fn push<T>(points: &mut Vec<T>, point: T, spacing: u64, at: impl Fn(&T) -> u64) {
    if points.last().is_some_and(|last| at(last) > at(&point)) {
        return;
    }
    let before_last = points.len().checked_sub(2).and_then(|place| points.get(place));
    let is_close = match (before_last, points.last()) {
        (_, Some(last)) if at(last) == at(&point) => true,
        (Some(before), Some(last)) => at(last) - at(before) < spacing,
        _ => false,
    };
    if is_close {
        points.pop();
    }
    points.push(point);
}

fn forget_before<K: Ord, T>(all: &mut BTreeMap<K, Vec<T>>, oldest: u64, at: impl Fn(&T) -> u64) {
    all.retain(|_, points| {
        let gone = points.partition_point(|point| at(point) < oldest);
        points.drain(..gone);
        !points.is_empty()
    });
}

fn milliseconds(duration: Option<prost_types::Duration>) -> u64 {
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration.map_or(0, |duration| {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    })
}

fn height_of(
    height: Option<u64>,
    age: Option<prost_types::Duration>,
    reported: u64,
    now: u64,
) -> Option<HeightPoint> {
    let at = now.checked_sub(milliseconds(age).saturating_add(reported))?;
    Some(HeightPoint { at, height: height? })
}

#[expect(clippy::cast_precision_loss, reason = "counters are far below 2^52")]
fn traffic_of(told: &v1::UpstreamTelemetry, now: u64) -> TrafficPoint {
    let failures: u64 = told.failures.values().sum();
    let throttled = told.failures.get("rate_limited").copied().unwrap_or_default();
    let mut point = TrafficPoint {
        at: now,
        answered: told.answered as f64,
        failures: failures as f64,
        throttled: throttled as f64,
        ..TrafficPoint::default()
    };
    if let Some(histogram) = &told.latency {
        point.latency_sum = histogram.sum_seconds;
        point.latency_count = histogram.counts.iter().sum::<u64>() as f64 + histogram.zero as f64;
        point.latency = distribution_of(histogram);
    }
    point
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bound is a positive number of microseconds, and is cut to what fits"
)]
fn distribution_of(histogram: &v1::LatencyHistogram) -> Distribution {
    let width = f64::from(histogram.scale.clamp(-8, 8)).exp2();
    let bound = |index: i32| ((f64::from(index) + 1.0) / width).exp2() * 1e6;
    let indices = (0..).map(|place: i32| histogram.offset.saturating_add(place));
    let counted = indices.zip(&histogram.counts).filter(|(_, count)| **count > 0);
    let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
    for (index, count) in counted {
        *buckets.entry(bound(index) as u64).or_default() += *count as f64;
    }
    if histogram.zero > 0 {
        *buckets.entry(0).or_default() += histogram.zero as f64;
    }
    Distribution { buckets }
}

/// Watches the control plane's telemetry into `memory` until `stop`, over whichever control plane answers.
pub(crate) async fn watch(endpoints: Endpoints, memory: Arc<Mutex<Memory>>, stop: CancellationToken) {
    let mut endpoints = endpoints;
    loop {
        let watched = async {
            let control_plane = endpoints.connect().await?;
            follow(&control_plane, &memory).await
        };
        tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = watched => tracing::debug!(%error, "telemetry cannot be watched"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn follow(
    control_plane: &ControlPlane,
    memory: &Mutex<Memory>,
) -> Result<std::convert::Infallible, ClientError> {
    let request = v1::WatchTelemetryRequest {
        filter: Some(v1::TelemetryFilter {
            kinds: vec![v1::Kind::Rpc.into(), v1::Kind::Upstream.into()],
            ..v1::TelemetryFilter::default()
        }),
        interval: Some(prost_types::Duration {
            seconds: INTERVAL_S,
            nanos: 0,
        }),
    };
    let mut stream = control_plane
        .telemetry()
        .watch_telemetry(request)
        .await?
        .into_inner();
    let mut told = Vec::new();
    while let Some(part) = stream.message().await? {
        told.extend(part.telemetry);
        if part.complete {
            let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.add(&told, clock::now());
            told.clear();
        }
    }
    Err(ClientError::Call(tonic::Status::unavailable("the stream ended")))
}

#[cfg(test)]
mod tests;
