//! The simulated chain: heights, hashes, forks and the time blocks take. Pure; the caller brings the time.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Spacing of block timestamps, in milliseconds, when blocks are only made by hand.
const MANUAL_SPACING_MS: u64 = 12_000;
/// Depth of the `safe` block below the head.
const SAFE_DEPTH: u64 = 32;
/// Depth of the `finalized` block below the head.
const FINALIZED_DEPTH: u64 = 64;
/// How many blocks below the head are searched for a hash.
const HASH_WINDOW: u64 = 1_024;
/// How many forks are remembered; beyond it the oldest one becomes the original chain again.
const MAX_FORKS: usize = 256;
/// How many heights may be given a hash by hand; beyond it the lowest one gets its own again.
const MAX_GIVEN_HASHES: usize = 1_024;

/// A moment as the chain needs it: for growth and for block timestamps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// Monotonic time; blocks are made by it.
    pub(crate) instant: Instant,
    /// Wall clock in milliseconds since the Unix epoch; blocks are stamped with it.
    pub(crate) unix_ms: u64,
}

/// A hash of 32 bytes. It is a deterministic mix of what it names, not a Keccak digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHash([u8; 32]);

impl BlockHash {
    /// The hash as JSON-RPC data, such as `0x3f…`, 66 characters long.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0
            .iter()
            .fold(String::from("0x"), |hex, byte| hex + &format!("{byte:02x}"))
    }

    /// A hash of 32 equal bytes, recognised at a glance.
    #[must_use]
    pub fn filled(byte: u8) -> Self {
        Self([byte; 32])
    }

    fn mix(domain: u64, words: &[u64]) -> Self {
        let mut state = words
            .iter()
            .fold(domain, |state, word| scramble(state ^ scramble(*word)));
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_exact_mut(8) {
            state = scramble(state);
            chunk.copy_from_slice(&state.to_be_bytes());
        }
        Self(bytes)
    }

    /// A hash of arbitrary bytes, for transactions.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        // FNV-1a: stable across releases, which the standard library's hasher is not.
        let folded = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self::mix(1, &[folded])
    }
}

/// The output function of SplitMix64.
fn scramble(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A fork: from this height on, blocks have this fork's hashes.
#[derive(Debug, Clone, Copy)]
struct Fork {
    from: u64,
    number: u64,
}

/// What the node knows of its chain and tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    id: u64,
    height: u64,
    /// When the head was made: the growth clock and the head's timestamp.
    head_made: Now,
    block_time: Option<Duration>,
    /// Sorted by height, each above the one before.
    forks: Vec<Fork>,
    reorgs: u64,
    given_hashes: BTreeMap<u64, BlockHash>,
    /// Set by hand; else a distance below the head.
    pub(crate) safe: Option<u64>,
    /// Set by hand; else a distance below the head.
    pub(crate) finalized: Option<u64>,
    /// State below this height is pruned.
    pub(crate) lowest_state: u64,
    /// Blocks, receipts and logs below this height are pruned.
    pub(crate) lowest_block: u64,
    pub(crate) lag: u64,
    pub(crate) frozen: bool,
    pub(crate) syncing: bool,
    pub(crate) peers: u32,
}

impl Chain {
    pub(crate) fn new(id: u64, height: u64, block_time: Option<Duration>, now: Now) -> Self {
        Self {
            id,
            height,
            head_made: now,
            block_time: block_time.filter(|time| !time.is_zero()),
            forks: Vec::new(),
            reorgs: 0,
            given_hashes: BTreeMap::new(),
            safe: None,
            finalized: None,
            lowest_state: 0,
            lowest_block: 0,
            lag: 0,
            frozen: false,
            syncing: false,
            peers: 25,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn set_id(&mut self, id: u64) {
        self.id = id;
    }

    /// The true height, before the lag.
    pub(crate) fn height(&self) -> u64 {
        self.height
    }

    /// The height the node reports.
    pub(crate) fn head(&self) -> u64 {
        self.height.saturating_sub(self.lag)
    }

    /// Makes the blocks that are due. A frozen chain makes none and catches up when it thaws.
    pub(crate) fn advance(&mut self, now: Now) {
        let Some(block_time) = self.block_time.filter(|_| !self.frozen) else {
            return;
        };
        let elapsed = now.instant.saturating_duration_since(self.head_made.instant);
        let blocks = elapsed.as_nanos() / block_time.as_nanos();
        let remainder = elapsed.as_nanos() % block_time.as_nanos();
        if blocks == 0 {
            return;
        }
        let since_head = Duration::from_nanos(u64::try_from(remainder).unwrap_or(0));
        self.height = self
            .height
            .saturating_add(u64::try_from(blocks).unwrap_or(u64::MAX));
        self.head_made = Now {
            instant: now.instant.checked_sub(since_head).unwrap_or(now.instant),
            unix_ms: now.unix_ms.saturating_sub(millis(since_head)),
        };
    }

    pub(crate) fn set_height(&mut self, height: u64, now: Now) {
        self.height = height;
        self.head_made = now;
    }

    pub(crate) fn mine(&mut self, blocks: u64, now: Now) {
        self.set_height(self.height.saturating_add(blocks), now);
    }

    /// Replaces the last `depth` blocks, and all that will follow, by blocks with other hashes.
    pub(crate) fn reorg(&mut self, depth: u64) {
        if depth == 0 {
            return;
        }
        let from = self.height.saturating_add(1).saturating_sub(depth);
        self.reorgs += 1;
        self.forks.retain(|fork| fork.from < from);
        self.forks.push(Fork {
            from,
            number: self.reorgs,
        });
        if self.forks.len() > MAX_FORKS {
            self.forks.remove(0);
        }
    }

    /// Gives the block at `height` this hash, whatever fork it is on.
    pub(crate) fn give_hash(&mut self, height: u64, hash: BlockHash) {
        self.given_hashes.insert(height, hash);
        if self.given_hashes.len() > MAX_GIVEN_HASHES {
            self.given_hashes.pop_first();
        }
    }

    pub(crate) fn hash(&self, height: u64) -> BlockHash {
        if let Some(given) = self.given_hashes.get(&height) {
            return *given;
        }
        let fork = self
            .forks
            .iter()
            .rev()
            .find(|fork| fork.from <= height)
            .map_or(0, |fork| fork.number);
        BlockHash::mix(0, &[self.id, fork, height])
    }

    /// The height a block parameter names: a tag or a quantity. `None` when it is neither.
    /// Source: Ethereum execution APIs, "Block parameter".
    pub(crate) fn resolve(&self, reference: &str) -> Option<u64> {
        match reference {
            "latest" | "pending" => Some(self.head()),
            "safe" => Some(
                self.safe
                    .unwrap_or_else(|| self.head().saturating_sub(SAFE_DEPTH)),
            ),
            "finalized" => Some(
                self.finalized
                    .unwrap_or_else(|| self.head().saturating_sub(FINALIZED_DEPTH)),
            ),
            "earliest" => Some(0),
            quantity => u64::from_str_radix(quantity.strip_prefix("0x")?, 16).ok(),
        }
    }

    /// The block at `height`, or `None` above the reported head and among the pruned.
    pub(crate) fn block(&self, height: u64) -> Option<Value> {
        (self.lowest_block..=self.head())
            .contains(&height)
            .then(|| self.block_object(height))
    }

    /// The block with this hash, searched among the last 1,024.
    pub(crate) fn block_by_hash(&self, hash: &str) -> Option<Value> {
        let head = self.head();
        let height = (head.saturating_sub(HASH_WINDOW)..=head)
            .rev()
            .find(|height| self.hash(*height).to_hex().eq_ignore_ascii_case(hash))?;
        Some(self.block_object(height))
    }

    /// What `eth_syncing` says: `false`, or how far the node has come.
    pub(crate) fn sync_status(&self) -> Value {
        if !self.syncing {
            return Value::Bool(false);
        }
        json!({
            "startingBlock": "0x0",
            "currentBlock": quantity(self.head()),
            "highestBlock": quantity(self.height.max(self.head().saturating_add(1))),
        })
    }

    /// Seconds since the Unix epoch; blocks are spaced evenly below the head.
    fn timestamp(&self, height: u64) -> u64 {
        let spacing = self.block_time.map_or(MANUAL_SPACING_MS, millis);
        let age = self.height.saturating_sub(height).saturating_mul(spacing);
        self.head_made.unix_ms.saturating_sub(age) / 1_000
    }

    fn block_object(&self, height: u64) -> Value {
        let parent = height
            .checked_sub(1)
            .map_or_else(|| zeros(32), |parent_height| self.hash(parent_height).to_hex());
        json!({
            "number": quantity(height),
            "hash": self.hash(height).to_hex(),
            "parentHash": parent,
            "nonce": zeros(8),
            "sha3Uncles": zeros(32),
            "logsBloom": zeros(256),
            "transactionsRoot": zeros(32),
            "stateRoot": zeros(32),
            "receiptsRoot": zeros(32),
            "mixHash": zeros(32),
            "miner": zeros(20),
            "difficulty": "0x0",
            "extraData": "0x",
            "size": "0x21c",
            "gasLimit": "0x1c9c380",
            "gasUsed": "0x0",
            "baseFeePerGas": "0x3b9aca00",
            "timestamp": quantity(self.timestamp(height)),
            "transactions": [],
            "uncles": [],
        })
    }
}

/// A number as a JSON-RPC quantity. Source: Ethereum JSON-RPC, "Hex encoding".
pub(crate) fn quantity(number: u64) -> String {
    format!("{number:#x}")
}

fn zeros(bytes: usize) -> String {
    format!("0x{}", "00".repeat(bytes))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
