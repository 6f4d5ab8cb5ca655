//! The control plane's metrics, wired to what they measure.

use std::sync::Arc;

use tyrscale_model::Lane;
use tyrscale_proto::v1::NackReason;
use tyrscale_store::Store;
use tyrscale_telemetry::{LabelledCounter, Metrics, Service, TelemetryError, catalogue};

use crate::{
    coordination::Coordination,
    fleet::Fleet,
    rollout::{Cause, Rollouts, State},
    telemetry::Telemetry,
    weights::Book,
};

/// What discovery streams count.
#[derive(Debug, Clone)]
pub(crate) struct DiscoveryMetrics {
    updates: LabelledCounter<2>,
    nacks: LabelledCounter<1>,
    digest_mismatches: LabelledCounter<0>,
}

impl DiscoveryMetrics {
    /// An update is sent.
    pub(crate) fn sent(&self, lane: Lane, is_delta: bool) {
        let kind = if is_delta { "delta" } else { "snapshot" };
        self.updates.add(1, [lane.as_str(), kind]);
    }

    /// An update was refused.
    pub(crate) fn refused(&self, reason: NackReason) {
        self.nacks.add(1, [reason_word(reason)]);
    }

    /// A digest was not the one sent.
    pub(crate) fn diverged(&self) {
        self.digest_mismatches.add(1, []);
    }
}

const fn reason_word(reason: NackReason) -> &'static str {
    match reason {
        NackReason::Unspecified => "unspecified",
        NackReason::Decode => "decode",
        NackReason::BaseMismatch => "base_mismatch",
        NackReason::DigestMismatch => "digest_mismatch",
        NackReason::Invalid => "invalid",
        NackReason::Unsupported => "unsupported",
        NackReason::Limit => "limit",
        NackReason::Crashed => "crashed",
        NackReason::Internal => "internal",
    }
}

/// Sets the metrics of one control plane up.
pub(crate) fn set_up(
    store: &Store,
    (fleet, (telemetry, coordination)): (&Fleet, (&Telemetry, &Coordination)),
    rollouts: &Rollouts,
    book: &Book,
) -> Result<(Arc<Metrics>, DiscoveryMetrics), TelemetryError> {
    let metrics = Metrics::new(Service::ControlPlane)?;
    let first = store.head().snapshot.revision().0;
    let read = store.clone();
    metrics.observe_counter(&catalogue::STORE_COMMITS_TOTAL, move |counter| {
        // Revisions are dense: each one since the start is one commit.
        counter.observe(read.head().snapshot.revision().0.saturating_sub(first), []);
    })?;
    let read = store.clone();
    metrics.observe_gauge(&catalogue::CONFIG_REVISION, move |gauge| {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 revisions")]
        gauge.observe(read.head().snapshot.revision().0 as f64, []);
    })?;
    let read = store.clone();
    metrics.observe_gauge(&catalogue::STORE_READY, move |gauge| {
        gauge.observe(f64::from(u8::from(read.is_ready().is_ok())), []);
    })?;
    let is_backup = f64::from(u8::from(store.is_ready().is_err()));
    metrics.observe_gauge(&catalogue::STORE_RECOVERY, move |gauge| {
        gauge.observe(is_backup, []);
    })?;
    let read = fleet.clone();
    metrics.observe_gauge(&catalogue::DISCOVERY_STREAMS, move |gauge| {
        gauge.observe(f64::from(u32::try_from(read.connected()).unwrap_or(u32::MAX)), []);
    })?;
    observe_weights(&metrics, book)?;
    observe_nodes(&metrics, telemetry, coordination)?;
    observe_rollouts(&metrics, rollouts)?;
    let discovery = DiscoveryMetrics {
        updates: metrics.counter(&catalogue::DISCOVERY_UPDATES_TOTAL)?,
        nacks: metrics.counter(&catalogue::DISCOVERY_NACKS_TOTAL)?,
        digest_mismatches: metrics.counter(&catalogue::DISCOVERY_DIGEST_MISMATCHES_TOTAL)?,
    };
    discovery.digest_mismatches.add(0, []);
    Ok((Arc::new(metrics), discovery))
}

/// Adds what nodes report and who is a member.
fn observe_nodes(
    metrics: &Metrics,
    telemetry: &Telemetry,
    coordination: &Coordination,
) -> Result<(), TelemetryError> {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    const fn level(count: usize) -> f64 {
        count as f64
    }
    let read = telemetry.clone();
    metrics.observe_gauge(&catalogue::TELEMETRY_NODES, move |gauge| {
        gauge.observe(level(read.reporting()), []);
    })?;
    let read = coordination.clone();
    metrics.observe_gauge(&catalogue::EXPORTER_MEMBERS, move |gauge| {
        gauge.observe(level(read.member_count()), []);
    })?;
    Ok(())
}

/// Adds how rollouts go.
fn observe_rollouts(metrics: &Metrics, rollouts: &Rollouts) -> Result<(), TelemetryError> {
    let read = rollouts.clone();
    metrics.observe_gauge(&catalogue::ROLLOUT_STAGE, move |gauge| {
        let stage = read.under_way().map_or(0, |(stage, _)| stage);
        gauge.observe(f64::from(u32::try_from(stage).unwrap_or(u32::MAX)), []);
    })?;
    let read = rollouts.clone();
    metrics.observe_gauge(&catalogue::ROLLOUT_STATE, move |gauge| {
        let now = read.under_way().map(|(_, state)| state);
        for state in State::ACTIVE {
            gauge.observe(f64::from(u8::from(now == Some(state))), [state.as_str()]);
        }
    })?;
    let read = rollouts.clone();
    metrics.observe_counter(&catalogue::ROLLOUT_HALTS_TOTAL, move |counter| {
        let halts = read.halts();
        for cause in Cause::ALL {
            let count = halts.get(cause.as_str()).copied().unwrap_or_default();
            counter.observe(count, [cause.as_str()]);
        }
    })?;
    let read = rollouts.clone();
    metrics.observe_gauge(&catalogue::FLEET_FROZEN, move |gauge| {
        gauge.observe(f64::from(u8::from(read.frozen().frozen)), []);
    })
}

fn observe_weights(metrics: &Metrics, book: &Book) -> Result<(), TelemetryError> {
    let read = book.clone();
    metrics.observe_gauge(&catalogue::WEIGHTS_REVISION, move |gauge| {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 revisions")]
        gauge.observe(read.head().weights.revision().0 as f64, []);
    })?;
    let read = book.clone();
    metrics.observe_gauge(&catalogue::RECOMMENDED_WEIGHTS, move |gauge| {
        let count = u32::try_from(read.head().weights.len()).unwrap_or(u32::MAX);
        gauge.observe(f64::from(count), []);
    })
}
