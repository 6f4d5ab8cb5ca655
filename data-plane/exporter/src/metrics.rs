//! The metrics of the catalogue, read from the board at each scrape.

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;
use tyrscale_client::reporting::Heads;
use tyrscale_model::Collector;
use tyrscale_telemetry::{Gauge, Metric, Metrics, TelemetryError, catalogue};

use crate::sheet::{Board, Entry, Sheet};

/// What of a sheet a gauge shows at a moment; none: no series.
type Level = fn(&Sheet, std::time::Instant) -> Option<f64>;

const GAUGES: [(&Metric<Gauge, 4>, Level); 12] = [
    (&catalogue::RPC_UP, |sheet, _| {
        (!sheet.calls.is_empty()).then(|| sheet.is_up().into())
    }),
    (&catalogue::RPC_BLOCK_HEIGHT, |sheet, _| {
        sheet.values.height.map(|(height, _)| level(height))
    }),
    (&catalogue::RPC_BLOCK_HEIGHT_AGE_SECONDS, |sheet, now| {
        let read = sheet.values.height.map(|(_, read)| read);
        read.map(|read| now.duration_since(read).as_secs_f64())
    }),
    (&catalogue::RPC_HEAD_AGE_SECONDS, |sheet, now| {
        sheet
            .values
            .rose
            .map(|rose| now.duration_since(rose).as_secs_f64())
    }),
    (&catalogue::RPC_PEERS, |sheet, _| sheet.values.peers.map(level)),
    (&catalogue::RPC_SYNCING, |sheet, _| {
        sheet.values.syncing.map(f64::from)
    }),
    (&catalogue::RPC_CHAIN_MISMATCH, |sheet, _| {
        sheet.values.chain_matches.map(|matches| f64::from(!matches))
    }),
    (&catalogue::RPC_GAS_PRICE_WEI, |sheet, _| {
        sheet.values.gas_price.map(level)
    }),
    (&catalogue::RPC_FINALIZED_HEIGHT, |sheet, _| {
        sheet.values.finalized.map(level)
    }),
    (&catalogue::RPC_SAFE_HEIGHT, |sheet, _| {
        sheet.values.safe.map(level)
    }),
    (&catalogue::RPC_OLDEST_STATE_HEIGHT, |sheet, _| {
        sheet.values.oldest_state.map(level)
    }),
    (&catalogue::RPC_BACKING_OFF, |sheet, _| {
        Some(sheet.is_resting.into())
    }),
];

/// Registers every metric of the exporter that is read from its board. `heads` are those that all exporters see.
///
/// # Errors
/// [`TelemetryError`] when a metric is registered twice.
pub(crate) fn register(
    metrics: &Metrics,
    board: &Arc<Board>,
    heads: watch::Receiver<Heads>,
) -> Result<(), TelemetryError> {
    for (metric, level) in GAUGES {
        let board = Arc::clone(board);
        metrics.observe_gauge(metric, move |gauge| {
            let now = tokio::time::Instant::now().into_std();
            for entry in board.entries() {
                let value = level(&entry.sheet(), now);
                if let Some(value) = value {
                    gauge.observe(value, entry.target.labels.values());
                }
            }
        })?;
    }
    register_lag(metrics, board, heads)?;
    register_words(metrics, board)?;
    register_calls(metrics, board)?;
    let read = Arc::clone(board);
    metrics.observe_gauge(&catalogue::EXPORTER_RPCS, move |gauge| {
        let count = u64::try_from(read.entries().len()).unwrap_or(u64::MAX);
        gauge.observe(level(count), []);
    })
}

fn register_lag(
    metrics: &Metrics,
    board: &Arc<Board>,
    heads: watch::Receiver<Heads>,
) -> Result<(), TelemetryError> {
    let board = Arc::clone(board);
    metrics.observe_gauge(&catalogue::RPC_LAG_BLOCKS, move |gauge| {
        let mut best: BTreeMap<Arc<str>, u64> = board.heads();
        for head in &heads.borrow().networks {
            let own = best.entry(head.network.as_str().into()).or_default();
            *own = head.height.max(*own);
        }
        for entry in board.entries() {
            let height = entry.sheet().values.height;
            let best = best.get(&entry.target.labels.network);
            if let Some(((height, _), best)) = height.zip(best) {
                gauge.observe(level(best.saturating_sub(height)), entry.target.labels.values());
            }
        }
    })
}

/// Gauges with a further label.
fn register_words(metrics: &Metrics, board: &Arc<Board>) -> Result<(), TelemetryError> {
    let read = Arc::clone(board);
    metrics.observe_gauge(&catalogue::RPC_CLIENT_INFO, move |gauge| {
        for entry in read.entries() {
            let version = entry.sheet().values.client_version.clone();
            if let Some(version) = version {
                gauge.observe(1.0, and(&entry, [&version]));
            }
        }
    })?;
    let read = Arc::clone(board);
    metrics.observe_gauge(&catalogue::RPC_POOL_TRANSACTIONS, move |gauge| {
        for entry in read.entries() {
            let pool = entry.sheet().values.pool;
            if let Some((pending, queued)) = pool {
                gauge.observe(level(pending), and(&entry, ["pending"]));
                gauge.observe(level(queued), and(&entry, ["queued"]));
            }
        }
    })
}

fn register_calls(metrics: &Metrics, board: &Arc<Board>) -> Result<(), TelemetryError> {
    let read = Arc::clone(board);
    metrics.observe_counter(&catalogue::RPC_CALLS_TOTAL, move |counter| {
        for entry in read.entries() {
            let sheet = entry.sheet();
            for (collector, calls) in &sheet.calls {
                let collector = collector.as_str();
                counter.observe(calls.answered, and(&entry, [collector, "answered"]));
                for (reason, count) in &calls.failures {
                    counter.observe(*count, and(&entry, [collector, reason.name()]));
                }
            }
        }
    })?;
    let read = Arc::clone(board);
    metrics.observe_counter(&catalogue::RPC_CALLS_OVER_BUDGET_TOTAL, move |counter| {
        for entry in read.entries() {
            counter.observe(entry.sheet().over_budget, entry.target.labels.values());
        }
    })?;
    let read = Arc::clone(board);
    metrics.observe_histogram(&catalogue::RPC_CALL_DURATION_SECONDS, move || {
        let mut rows = Vec::new();
        let timed = |entry: &Arc<Entry>| entry.target.collectors.contains(&Collector::Latency);
        for entry in read.entries().into_iter().filter(timed) {
            let sheet = entry.sheet();
            for (collector, calls) in &sheet.calls {
                let labels = and(&entry, [collector.as_str()]).map(str::to_owned);
                rows.push((labels, calls.durations()));
            }
        }
        rows
    })
}

/// An rpc's labels and further ones.
fn and<'a, const MORE: usize, const ALL: usize>(entry: &'a Entry, more: [&'a str; MORE]) -> [&'a str; ALL] {
    let mut labels = entry.target.labels.values().into_iter().chain(more);
    std::array::from_fn(|_| labels.next().unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floating point")]
const fn level(value: u64) -> f64 {
    value as f64
}
