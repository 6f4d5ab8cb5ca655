//! What a node is told: its chain and its behaviour.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::SimNode;
use crate::behavior::Behavior;
use crate::canned::CannedAnswer;
use crate::chain::BlockHash;
use crate::fault::{Fault, RawResponse, RpcError};
use crate::service::{Shared, now};
use crate::traffic::CapturedRequest;

/// The chain.
impl SimNode {
    /// The height the node reports: the true one less the lag.
    #[must_use]
    pub fn head(&self) -> u64 {
        self.shared.state().chain.head()
    }

    /// The hash of the block at `height` on the node's current fork.
    #[must_use]
    pub fn block_hash(&self, height: u64) -> BlockHash {
        self.shared.state().chain.hash(height)
    }

    /// Sets the true height, up or down.
    pub fn set_height(&self, height: u64) {
        self.shared.state().chain.set_height(height, now());
    }

    /// Sets the chain's id; hashes change with it.
    pub fn set_chain_id(&self, id: u64) {
        self.shared.state().chain.set_id(id);
    }

    /// Sets the heights behind the tags `safe` and `finalized`; without them they follow the head.
    pub fn set_tags(&self, safe: impl Into<Option<u64>>, finalized: impl Into<Option<u64>>) {
        let mut state = self.shared.state();
        (state.chain.safe, state.chain.finalized) = (safe.into(), finalized.into());
    }

    /// Gives the block at `height` this hash.
    pub fn set_block_hash(&self, height: u64, hash: BlockHash) {
        self.shared.state().chain.give_hash(height, hash);
    }

    /// Prunes state below `height`: calls there are told that a trie node is missing.
    pub fn set_lowest_state(&self, height: u64) {
        self.shared.state().chain.lowest_state = height;
    }

    /// Prunes blocks and logs below `height`.
    pub fn set_lowest_block(&self, height: u64) {
        self.shared.state().chain.lowest_block = height;
    }

    /// Makes `blocks` blocks at once.
    pub fn mine(&self, blocks: u64) {
        self.shared.state().chain.mine(blocks, now());
    }

    /// Lets the node report and serve only blocks this many below its height.
    pub fn set_lag(&self, blocks: u64) {
        self.shared.state().chain.lag = blocks;
    }

    /// Gives the last `depth` blocks, and all later ones, new hashes at the same heights.
    pub fn reorg(&self, depth: u64) {
        self.shared.state().chain.reorg(depth);
    }

    /// Stops the chain from growing by itself; it catches up when let go.
    pub fn set_frozen(&self, frozen: bool) {
        self.shared.state().chain.frozen = frozen;
    }

    /// Sets whether `eth_syncing` says so.
    pub fn set_syncing(&self, syncing: bool) {
        self.shared.state().chain.syncing = syncing;
    }

    /// Sets what `net_peerCount` says.
    pub fn set_peers(&self, peers: u32) {
        self.shared.state().chain.peers = peers;
    }
}

/// The behaviour. Every change holds from the next request on.
impl SimNode {
    /// The present behaviour.
    #[must_use]
    pub fn behavior(&self) -> Behavior {
        self.shared.state().behavior.clone()
    }

    /// Replaces the whole behaviour; `Behavior::default()` heals the node.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.shared.state().behavior = behavior;
    }

    /// Changes part of the behaviour.
    pub fn update_behavior(&self, change: impl FnOnce(&mut Behavior)) {
        change(&mut self.shared.state().behavior);
    }

    /// Makes every request meet `fault`, or none.
    pub fn set_fault(&self, fault: impl Into<Option<Fault>>) {
        self.shared.state().behavior.fault = fault.into();
    }

    /// Makes requests that call `method` meet `fault`.
    pub fn set_method_fault(&self, method: impl Into<String>, fault: Fault) {
        self.shared
            .state()
            .behavior
            .method_faults
            .insert(method.into(), fault);
    }

    /// Waits before the head of every answer.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.state().behavior.latency = latency;
    }

    /// Makes the next `requests` requests meet `fault`. Scripts are played one after the other.
    pub fn fail_next(&self, requests: u32, fault: Fault) {
        self.shared.state().plan.fail_next(None, requests, fault);
    }

    /// Makes the next `requests` requests that call `method` meet `fault`; others pass.
    pub fn fail_next_of(&self, method: impl Into<String>, requests: u32, fault: Fault) {
        self.shared
            .state()
            .plan
            .fail_next(Some(method.into()), requests, fault);
    }

    /// Lets the next `passing` requests that call `method` pass, and makes the `requests` after them meet
    /// `fault`.
    pub fn fail_after_of(&self, method: impl Into<String>, passing: u32, requests: u32, fault: Fault) {
        self.shared
            .state()
            .plan
            .fail_after(Some(method.into()), passing, requests, fault);
    }

    /// Answers calls of `method` with these parameters, or with any, from the next request on. An answer given
    /// later goes before those given earlier.
    pub fn answer(
        &self,
        method: impl Into<String>,
        params: impl Into<Option<Value>>,
        outcome: Result<Value, RpcError>,
    ) {
        let canned = CannedAnswer {
            method: method.into(),
            params: params.into(),
            outcome,
        };
        self.shared.state().behavior.answers.insert(0, canned);
    }

    /// Asks `responder` for every answer no fault decides; where it says `None` the node answers itself.
    pub fn respond_with(
        &self,
        responder: impl Fn(&CapturedRequest) -> Option<RawResponse> + Send + Sync + 'static,
    ) {
        self.shared.state().responder = Some(Arc::new(responder));
    }

    /// Forgets faults, scripts, delays and the responder, and lets held requests go. The chain stays.
    pub fn heal(&self) {
        self.shared.heal();
    }

    /// Holds back every answer until [`SimNode::release`]. Requests are counted when they arrive.
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets the held answers go.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }
}

impl Shared {
    /// Forgets faults, scripts, delays and the responder, and lets held requests go.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.behavior = Behavior::default();
        state.plan.clear();
        state.responder = None;
        drop(state);
        self.held.send_replace(false);
    }
}
