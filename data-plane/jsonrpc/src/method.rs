//! Methods and what the gateway has to know about them.

/// Whether a request may be sent to another upstream when the first may already have carried it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Replay {
    /// Carrying it out twice is the same as once: reads, and raw transactions, which are one by their hash.
    Safe,
    /// Carrying it out twice may change something twice, or nobody knows.
    Unsafe,
}

/// A method's properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// The method's name if it is a known one, else `other`: a label that clients cannot multiply.
    pub label: &'static str,
    /// Whether it may be sent again.
    pub replay: Replay,
    /// Its place among all labels, below [`COUNT`]: for tables of counts.
    pub index: u16,
}

/// How many labels there are, `other` included.
pub const COUNT: usize = KNOWN.len() + 1;

/// Every method that has a label, `other` the last of them.
#[must_use]
pub fn all() -> &'static [Method] {
    &METHODS
}

/// The properties of the method called `name`.
#[must_use]
pub fn lookup(name: &str) -> &'static Method {
    let mut slot = hash(name.as_bytes());
    while let Some(Some(method)) = SLOTS.get(slot).map(|place| METHODS.get(usize::from(*place))) {
        if method.label == name && method.label != OTHER {
            return method;
        }
        slot = (slot + 1) % SLOT_COUNT;
    }
    other()
}

/// What stands for all methods that are not known.
#[must_use]
pub const fn other() -> &'static Method {
    &METHODS[COUNT - 1]
}

const OTHER: &str = "other";

/// A few times as many as methods, so that most are found at once.
const SLOT_COUNT: usize = 1024;
/// In a slot without a method.
const EMPTY: u16 = u16::MAX;

/// All methods, each with its index.
#[expect(clippy::indexing_slicing, reason = "a wrong index does not compile here")]
static METHODS: [Method; COUNT] = {
    let mut methods = [once(OTHER); COUNT];
    let mut at = 0;
    while at < COUNT {
        if at < KNOWN.len() {
            methods[at] = KNOWN[at];
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are a few hundred")]
        let index = at as u16;
        methods[at].index = index;
        at += 1;
    }
    methods
};

/// The index of each known method at its hash, or in the first free slot after it.
#[expect(clippy::indexing_slicing, reason = "a wrong index does not compile here")]
static SLOTS: [u16; SLOT_COUNT] = {
    let mut slots = [EMPTY; SLOT_COUNT];
    let mut at = 0;
    while at < KNOWN.len() {
        let mut slot = hash(KNOWN[at].label.as_bytes());
        while slots[slot] != EMPTY {
            slot = (slot + 1) % SLOT_COUNT;
        }
        #[expect(clippy::cast_possible_truncation, reason = "there are a few hundred")]
        let index = at as u16;
        slots[slot] = index;
        at += 1;
    }
    slots
};

/// FNV-1a, folded to a slot. Clients who make names collide walk past a few slots more.
const fn hash(name: &[u8]) -> usize {
    let mut hash: u32 = 0x811c_9dc5;
    let mut rest = name;
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = after;
    }
    (hash ^ (hash >> 16)) as usize % SLOT_COUNT
}

const fn read(label: &'static str) -> Method {
    Method {
        label,
        replay: Replay::Safe,
        index: 0,
    }
}

const fn once(label: &'static str) -> Method {
    Method {
        label,
        replay: Replay::Unsafe,
        index: 0,
    }
}

/// The known methods, in the order of their names. Filters and subscriptions live on one upstream and hand
/// out each change once, so they are not repeated.
const KNOWN: &[Method] = &[
    once("admin_addPeer"),
    read("admin_nodeInfo"),
    read("admin_peers"),
    once("admin_removePeer"),
    read("bor_getAuthor"),
    read("bor_getCurrentValidators"),
    read("bor_getRootHash"),
    read("bor_getSnapshot"),
    read("debug_accountRange"),
    read("debug_getBadBlocks"),
    read("debug_getModifiedAccountsByHash"),
    read("debug_getModifiedAccountsByNumber"),
    read("debug_getRawBlock"),
    read("debug_getRawHeader"),
    read("debug_getRawReceipts"),
    read("debug_getRawTransaction"),
    once("debug_setHead"),
    read("debug_storageRangeAt"),
    read("debug_traceBlock"),
    read("debug_traceBlockByHash"),
    read("debug_traceBlockByNumber"),
    read("debug_traceCall"),
    read("debug_traceCallMany"),
    read("debug_traceTransaction"),
    read("erigon_blockNumber"),
    read("erigon_forks"),
    read("erigon_getBlockByTimestamp"),
    read("erigon_getBlockReceiptsByBlockHash"),
    read("erigon_getHeaderByHash"),
    read("erigon_getHeaderByNumber"),
    read("erigon_getLatestLogs"),
    read("erigon_getLogs"),
    read("erigon_getLogsByHash"),
    read("erigon_nodeInfo"),
    read("eth_accounts"),
    read("eth_baseFee"),
    read("eth_blobBaseFee"),
    read("eth_blockNumber"),
    read("eth_call"),
    read("eth_callMany"),
    read("eth_chainId"),
    read("eth_coinbase"),
    read("eth_config"),
    read("eth_createAccessList"),
    read("eth_estimateGas"),
    read("eth_feeHistory"),
    read("eth_gasPrice"),
    read("eth_getAccount"),
    read("eth_getBalance"),
    read("eth_getBlockByHash"),
    read("eth_getBlockByNumber"),
    read("eth_getBlockReceipts"),
    read("eth_getBlockTransactionCountByHash"),
    read("eth_getBlockTransactionCountByNumber"),
    read("eth_getCode"),
    once("eth_getFilterChanges"),
    read("eth_getFilterLogs"),
    read("eth_getHeaderByHash"),
    read("eth_getHeaderByNumber"),
    read("eth_getLogs"),
    read("eth_getProof"),
    read("eth_getRawTransactionByBlockHashAndIndex"),
    read("eth_getRawTransactionByBlockNumberAndIndex"),
    read("eth_getRawTransactionByHash"),
    read("eth_getStorageAt"),
    read("eth_getTransactionByBlockHashAndIndex"),
    read("eth_getTransactionByBlockNumberAndIndex"),
    read("eth_getTransactionByHash"),
    read("eth_getTransactionBySenderAndNonce"),
    read("eth_getTransactionCount"),
    read("eth_getTransactionReceipt"),
    read("eth_getUncleByBlockHashAndIndex"),
    read("eth_getUncleByBlockNumberAndIndex"),
    read("eth_getUncleCountByBlockHash"),
    read("eth_getUncleCountByBlockNumber"),
    read("eth_getWork"),
    read("eth_hashrate"),
    read("eth_maxPriorityFeePerGas"),
    read("eth_mining"),
    once("eth_newBlockFilter"),
    once("eth_newFilter"),
    once("eth_newPendingTransactionFilter"),
    read("eth_pendingTransactions"),
    read("eth_protocolVersion"),
    once("eth_sendBundle"),
    once("eth_sendPrivateTransaction"),
    read("eth_sendRawTransaction"),
    once("eth_sendRawTransactionConditional"),
    once("eth_sendRawTransactionSync"),
    once("eth_sendTransaction"),
    once("eth_sign"),
    once("eth_signTransaction"),
    once("eth_signTypedData"),
    once("eth_signTypedData_v4"),
    read("eth_simulateV1"),
    once("eth_submitHashrate"),
    once("eth_submitWork"),
    once("eth_subscribe"),
    read("eth_syncing"),
    once("eth_uninstallFilter"),
    once("eth_unsubscribe"),
    once("miner_start"),
    once("miner_stop"),
    read("net_listening"),
    read("net_peerCount"),
    read("net_version"),
    read("ots_getApiLevel"),
    read("ots_getBlockDetails"),
    read("ots_getBlockTransactions"),
    read("ots_getContractCreator"),
    read("ots_getInternalOperations"),
    read("ots_getTransactionBySenderAndNonce"),
    read("ots_getTransactionError"),
    read("ots_hasCode"),
    read("ots_searchTransactionsAfter"),
    read("ots_searchTransactionsBefore"),
    read("ots_traceTransaction"),
    read("parity_chain"),
    read("parity_enode"),
    read("parity_getBlockReceipts"),
    read("parity_netPeers"),
    read("parity_nextNonce"),
    read("parity_pendingTransactions"),
    read("parity_versionInfo"),
    once("personal_ecRecover"),
    once("personal_importRawKey"),
    once("personal_listAccounts"),
    once("personal_lockAccount"),
    once("personal_newAccount"),
    once("personal_sendTransaction"),
    once("personal_sign"),
    once("personal_signTransaction"),
    once("personal_unlockAccount"),
    read("rpc_modules"),
    read("trace_block"),
    read("trace_call"),
    read("trace_callMany"),
    read("trace_filter"),
    read("trace_get"),
    read("trace_rawTransaction"),
    read("trace_replayBlockTransactions"),
    read("trace_replayTransaction"),
    read("trace_transaction"),
    read("txpool_content"),
    read("txpool_contentFrom"),
    read("txpool_inspect"),
    read("txpool_status"),
    read("web3_clientVersion"),
    read("web3_sha3"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_strict_order() {
        assert!(KNOWN.is_sorted_by(|a, b| a.label < b.label));
    }

    #[test]
    fn every_known_method_is_found_under_its_own_name() {
        for (index, method) in all().iter().enumerate() {
            assert_eq!(lookup(method.label), method);
            assert_eq!(usize::from(method.index), index);
        }
    }

    #[test]
    fn reads_and_raw_transactions_may_be_repeated() {
        for name in [
            "eth_call",
            "eth_getLogs",
            "net_version",
            "trace_block",
            "eth_sendRawTransaction",
        ] {
            assert_eq!(lookup(name).replay, Replay::Safe, "{name}");
        }
    }

    #[test]
    fn what_acts_with_the_nodes_own_keys_or_state_is_not_repeated() {
        for name in [
            "eth_sendTransaction",
            "eth_sign",
            "personal_unlockAccount",
            "debug_setHead",
            "eth_newFilter",
        ] {
            assert_eq!(lookup(name).replay, Replay::Unsafe, "{name}");
        }
    }

    #[test]
    fn unknown_methods_share_one_label_and_are_not_repeated() {
        for name in ["", "ETH_CALL", "eth_call ", "evm_mine", "zzz", "other"] {
            let method = lookup(name);
            assert_eq!((method.label, method.replay), ("other", Replay::Unsafe), "{name}");
            assert_eq!(usize::from(method.index), COUNT - 1);
        }
    }
}
