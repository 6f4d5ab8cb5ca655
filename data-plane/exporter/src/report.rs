//! What goes up to the control plane.

use std::{sync::Arc, time::Instant};

use tyrscale_client::reporting::Report;
use tyrscale_model::wire;
use tyrscale_proto::v1;

use crate::sheet::{Board, Entry};

/// A report of at most `room` targets.
pub(crate) fn report(board: &Board, room: usize) -> Report {
    let now = tokio::time::Instant::now().into_std();
    let entries = board.entries().into_iter().take(room);
    Report {
        rpcs: entries.map(|entry| sample(&entry, now)).collect(),
        ..Report::default()
    }
}

fn sample(entry: &Arc<Entry>, now: Instant) -> v1::RpcSample {
    let sheet = entry.sheet();
    let values = &sheet.values;
    let age = |since: Option<Instant>| now.duration_since(since?).try_into().ok();
    let collectors = sheet.calls.iter().map(|(collector, calls)| {
        let failures = calls.failures.iter();
        v1::CollectorSample {
            collector: wire::collector_to_wire(*collector).into(),
            answered: calls.answered,
            failures: failures
                .map(|(reason, count)| (reason.name().to_owned(), *count))
                .collect(),
            healthy: calls.last_failure.is_none(),
        }
    });
    v1::RpcSample {
        rpc_id: entry.target.id.to_string(),
        collectors: collectors.collect(),
        latency: Some(sheet.latency.to_wire()),
        block_height: values.height.map(|(height, _)| height),
        height_age: age(values.height.map(|(_, read)| read)),
        head_age: age(values.rose),
        finalized_height: values.finalized,
        safe_height: values.safe,
        peers: values.peers,
        syncing: values.syncing,
        chain_matches: values.chain_matches,
        gas_price_wei: values.gas_price,
        txpool_pending: values.pool.map(|(pending, _)| pending),
        txpool_queued: values.pool.map(|(_, queued)| queued),
        oldest_state: values.oldest_state,
        backing_off: sheet.is_resting,
    }
}
