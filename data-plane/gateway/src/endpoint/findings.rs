//! What the checks beside its health have found of a node: what it does wrong, and which questions that is about.

use std::sync::atomic::{AtomicU8, Ordering};

use tyrscale_model::{HealthCheck, WrongLogIndexes};

use crate::subject::Subject;

/// One thing that a node does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Finding {
    /// It has fewer peers than it should.
    FewPeers,
    /// It numbers the logs of a block wrongly.
    WrongLogIndexes,
    /// It returns less from a call than it should be able to.
    SmallCallResults,
}

/// Methods whose answers have logs.
const WITH_LOGS: [&str; 11] = [
    "alchemy_getTransactionReceipts",
    "consensus_getReceipts",
    "erigon_getBlockReceiptsByBlockHash",
    "erigon_getLatestLogs",
    "erigon_getLogs",
    "erigon_getLogsByHash",
    "eth_getBlockReceipts",
    "eth_getFilterLogs",
    "eth_getLogs",
    "eth_getTransactionReceipt",
    "parity_getBlockReceipts",
];
/// Methods that return what a contract does.
const CALLS: [&str; 3] = ["eth_call", "eth_callMany", "eth_simulateV1"];

impl Finding {
    pub(crate) const ALL: [Self; 3] = [Self::FewPeers, Self::WrongLogIndexes, Self::SmallCallResults];

    /// Stable name for logs and debug pages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::FewPeers => "few_peers",
            Self::WrongLogIndexes => "wrong_log_indexes",
            Self::SmallCallResults => "small_call_results",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// All that was found of one node; of most there is nothing.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Found twice in a row.
    found: AtomicU8,
    /// Found once.
    suspected: AtomicU8,
}

impl Findings {
    /// Notes what a check has found, which counts when it was found twice in a row. Returns whether it was otherwise before.
    pub(super) fn note(&self, finding: Finding, is_so: bool) -> bool {
        let bit = finding.bit();
        if !is_so {
            self.suspected.fetch_and(!bit, Ordering::Relaxed);
            return self.found.fetch_and(!bit, Ordering::Relaxed) & bit != 0;
        }
        let is_second = self.suspected.fetch_or(bit, Ordering::Relaxed) & bit != 0;
        is_second && self.found.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Whether this was found.
    pub(super) fn has(&self, finding: Finding) -> bool {
        self.found.load(Ordering::Relaxed) & finding.bit() != 0
    }

    /// Whether what was found speaks against asking the node about `subject`; `None`: about anything.
    #[inline]
    pub(super) fn speak_against(&self, subject: Option<&Subject<'_>>, rules: Option<&HealthCheck>) -> bool {
        if self.found.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let asks = |methods: &[&str]| {
            subject.is_some_and(|subject| subject.methods().iter().any(|method| methods.contains(method)))
        };
        let excludes = rules.is_some_and(|rules| rules.wrong_log_indexes == Some(WrongLogIndexes::Exclude));
        self.has(Finding::FewPeers)
            || self.has(Finding::SmallCallResults) && asks(&CALLS)
            || self.has(Finding::WrongLogIndexes) && excludes && asks(&WITH_LOGS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_twice_in_a_row_counts_until_it_is_found_otherwise() {
        let findings = Findings::default();
        let finding = Finding::SmallCallResults;
        assert!(!findings.note(finding, true));
        assert!(!findings.note(finding, false));
        assert!(!findings.note(finding, true));
        assert!(!findings.has(finding), "not in a row");
        assert!(findings.note(finding, true));
        assert!(findings.has(finding) && !findings.has(Finding::FewPeers));
        assert!(!findings.note(finding, true), "it is known");
        assert!(findings.note(finding, false));
        assert!(!findings.has(finding));
    }
}
