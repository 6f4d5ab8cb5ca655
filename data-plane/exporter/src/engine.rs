//! Which targets are measured: those of the configuration that are in this exporter's share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use tyrscale_client::membership::Share;
use tyrscale_model::{RpcId, Snapshot};

use crate::{
    round::{Bench, measure},
    sheet::{Board, Entry},
    target::Target,
};

/// A target under measurement, until it is dropped.
struct Measured {
    entry: Arc<Entry>,
    _task: AbortOnDropHandle<()>,
}

/// Keeps the right targets under measurement.
pub(crate) struct Engine {
    bench: Arc<Bench>,
    board: Arc<Board>,
    measured: BTreeMap<RpcId, Measured>,
}

impl Engine {
    pub(crate) fn new(bench: Bench, board: Arc<Board>) -> Self {
        Self {
            bench: Arc::new(bench),
            board,
            measured: BTreeMap::new(),
        }
    }

    /// Follows content and share for ever. Without a share from the control plane within `patience` everything is
    /// measured: better twice than not at all.
    pub(crate) async fn follow(
        mut self,
        mut content: watch::Receiver<Option<Snapshot>>,
        mut share: watch::Receiver<Option<Share>>,
        patience: Duration,
    ) {
        let mut is_alone = false;
        let mut alone = std::pin::pin!(sleep(patience));
        loop {
            let snapshot = content.borrow_and_update().clone();
            let own = share.borrow_and_update().clone();
            if let Some(snapshot) = snapshot
                && (own.is_some() || is_alone)
            {
                self.reconcile(&snapshot, own.as_ref());
            }
            tokio::select! {
                changed = content.changed() => if changed.is_err() { return },
                changed = share.changed() => if changed.is_err() { return },
                () = &mut alone, if !is_alone => {
                    is_alone = true;
                    if own.is_none() {
                        tracing::warn!("no share of the rpcs was told: all are measured");
                    }
                }
            }
        }
    }

    fn reconcile(&mut self, snapshot: &Snapshot, share: Option<&Share>) {
        let is_own = |id: &RpcId| share.is_none_or(|share| share.rpcs.contains(id));
        let rpcs = snapshot.rpcs().filter(|rpc| is_own(&rpc.id));
        let wanted: BTreeMap<RpcId, Target> = rpcs.map(|rpc| (rpc.id, Target::of(rpc, snapshot))).collect();
        let board = &self.board;
        self.measured.retain(|id, _| {
            let stays = wanted.contains_key(id);
            if !stays {
                board.remove(*id);
            }
            stays
        });
        for (id, target) in wanted {
            if self
                .measured
                .get(&id)
                .is_some_and(|known| known.entry.target == target)
            {
                continue;
            }
            let entry = Arc::new(Entry::new(target));
            self.board.put(Arc::clone(&entry));
            let task = tokio::spawn(measure(Arc::clone(&self.bench), Arc::clone(&entry)));
            let _task = AbortOnDropHandle::new(task);
            self.measured.insert(id, Measured { entry, _task });
        }
        tracing::info!(rpcs = self.measured.len(), "rpcs are measured");
    }
}
