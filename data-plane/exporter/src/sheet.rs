//! What is known of one target, and of all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tyrscale_model::{Collector, LatencyHistogram, RpcId};
use tyrscale_telemetry::{AtomicHistogram, HistogramSnapshot};

use crate::{
    question::{Reading, Reason},
    target::Target,
};

/// The last good values. A value goes when its collector can no longer tell it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    /// The height and when it was read.
    pub(crate) height: Option<(u64, Instant)>,
    /// When the height last rose.
    pub(crate) rose: Option<Instant>,
    pub(crate) peers: Option<u64>,
    pub(crate) syncing: Option<bool>,
    pub(crate) chain_matches: Option<bool>,
    pub(crate) gas_price: Option<u64>,
    pub(crate) client_version: Option<Arc<str>>,
    pub(crate) finalized: Option<u64>,
    pub(crate) safe: Option<u64>,
    /// Pending and queued.
    pub(crate) pool: Option<(u64, u64)>,
    pub(crate) oldest_state: Option<u64>,
}

/// One collector's calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) answered: u64,
    pub(crate) failures: BTreeMap<Reason, u64>,
    /// Why the last call failed.
    pub(crate) last_failure: Option<Reason>,
    duration: AtomicHistogram,
}

impl Calls {
    /// How long the answered ones took.
    pub(crate) fn durations(&self) -> HistogramSnapshot {
        self.duration.snapshot()
    }
}

/// What is known of a target.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) values: Values,
    pub(crate) calls: BTreeMap<Collector, Calls>,
    pub(crate) latency: LatencyHistogram,
    /// Calls that were due but for the budget.
    pub(crate) over_budget: u64,
    pub(crate) is_resting: bool,
}

impl Sheet {
    /// A call was answered.
    pub(crate) fn answered(&mut self, collector: Collector, took: Duration) {
        let calls = self.calls.entry(collector).or_default();
        calls.answered += 1;
        calls.last_failure = None;
        calls.duration.record(took);
        self.latency.record(took);
    }

    /// A call failed: what its collector told is no longer known, but heights, of which the age tells.
    pub(crate) fn failed(&mut self, collector: Collector, reason: Reason) {
        let calls = self.calls.entry(collector).or_default();
        *calls.failures.entry(reason).or_default() += 1;
        calls.last_failure = Some(reason);
        let values = &mut self.values;
        match collector {
            Collector::NetPeers => values.peers = None,
            Collector::EthSyncing => values.syncing = None,
            Collector::EthGasPrice => values.gas_price = None,
            Collector::FinalizedBlock => values.finalized = None,
            Collector::SafeBlock => values.safe = None,
            Collector::TxpoolStatus => values.pool = None,
            Collector::EthBlockNumber
            | Collector::EthChainId
            | Collector::ClientVersion
            | Collector::ArchiveDepth
            | Collector::Latency => {}
        }
    }

    /// Whether the last call of every collector was answered, and there was one.
    pub(crate) fn is_up(&self) -> bool {
        !self.calls.is_empty() && self.calls.values().all(|calls| calls.last_failure.is_none())
    }
}

impl Values {
    /// Takes what was read at `now` of a target that should be on `chain`.
    pub(crate) fn take(&mut self, reading: Reading, chain: Option<u64>, now: Instant) {
        match reading {
            Reading::Height(height) => {
                if self.height.is_none_or(|(before, _)| height > before) {
                    self.rose = Some(now);
                }
                self.height = Some((height, now));
            }
            Reading::Peers(peers) => self.peers = Some(peers),
            Reading::Syncing(is_syncing) => self.syncing = Some(is_syncing),
            Reading::ChainId(id) => self.chain_matches = chain.map(|chain| chain == id),
            Reading::GasPrice(price) => self.gas_price = Some(price),
            Reading::ClientVersion(version) => self.client_version = Some(version.into()),
            Reading::Finalized(height) => self.finalized = Some(height),
            Reading::Safe(height) => self.safe = Some(height),
            Reading::Pool { pending, queued } => self.pool = Some((pending, queued)),
            Reading::State { .. } => {}
        }
    }
}

/// A target and what is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) target: Target,
    sheet: Mutex<Sheet>,
}

impl Entry {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            sheet: Mutex::default(),
        }
    }

    pub(crate) fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All targets.
#[derive(Debug, Default)]
pub(crate) struct Board {
    entries: RwLock<BTreeMap<RpcId, Arc<Entry>>>,
}

impl Board {
    /// Every target there is now.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }

    pub(crate) fn put(&self, entry: Arc<Entry>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.insert(entry.target.id, entry);
    }

    pub(crate) fn remove(&self, id: RpcId) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.remove(&id);
    }

    /// The highest block read of each network from a target that is not on another chain.
    pub(crate) fn heads(&self) -> BTreeMap<Arc<str>, u64> {
        let mut heads: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for entry in self.entries() {
            let known = {
                let sheet = entry.sheet();
                let is_ours = sheet.values.chain_matches != Some(false);
                sheet.values.height.filter(|_| is_ours)
            };
            if let Some((height, _)) = known {
                let head = heads.entry(Arc::clone(&entry.target.labels.network)).or_default();
                *head = height.max(*head);
            }
        }
        heads
    }
}
