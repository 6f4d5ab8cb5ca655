//! Why probes fail, and how often.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a probe did not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    NotSent,
    /// The connection broke before the whole answer had come.
    Lost,
    /// No whole answer in time.
    Timeout,
    /// A status that is not the one of a good answer.
    Status,
    /// The upstream asks to be left alone: says nothing about its health.
    RateLimited,
    /// More than a probe's answer may be.
    TooLarge,
    /// No JSON-RPC.
    NotJsonRpc,
    /// A JSON-RPC error.
    RpcError,
    /// A result that cannot be: a height that is no quantity, or above all that chains reach.
    BadResult,
    /// The node says that it is syncing.
    Syncing,
    /// Its height is below that of the others by more than the route tolerates.
    Behind,
    /// Its height is so far above the others' that it is not believed.
    Ahead,
    /// It answers for another chain than that of its network.
    WrongChain,
    /// It has fewer peers than the route asks for.
    FewPeers,
    /// The logs of a block are not numbered from 0 without gaps.
    WrongLogIndexes,
    /// A call returns less than the route asks for.
    SmallCallResults,
}

impl Failure {
    pub(crate) const ALL: [Self; 16] = [
        Self::NotSent,
        Self::Lost,
        Self::Timeout,
        Self::Status,
        Self::RateLimited,
        Self::TooLarge,
        Self::NotJsonRpc,
        Self::RpcError,
        Self::BadResult,
        Self::Syncing,
        Self::Behind,
        Self::Ahead,
        Self::WrongChain,
        Self::FewPeers,
        Self::WrongLogIndexes,
        Self::SmallCallResults,
    ];

    /// Stable name for metrics, logs and debug pages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::NotJsonRpc => "not_json_rpc",
            Self::RpcError => "rpc_error",
            Self::BadResult => "bad_result",
            Self::Syncing => "syncing",
            Self::Behind => "behind",
            Self::Ahead => "ahead",
            Self::WrongChain => "wrong_chain",
            Self::FewPeers => "few_peers",
            Self::WrongLogIndexes => "wrong_log_indexes",
            Self::SmallCallResults => "small_call_results",
        }
    }
}

/// How many probes of an upstream did not go well, by reason.
#[derive(Debug, Default)]
pub(crate) struct FailureCounts([AtomicU64; Failure::ALL.len()]);

impl FailureCounts {
    pub(crate) fn add(&self, failure: Failure) {
        if let Some(count) = self.0.get(failure as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every reason with its count.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Failure, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Failure::ALL.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_count_of_its_own() {
        let counts = FailureCounts::default();
        for (times, failure) in (1..).zip(Failure::ALL) {
            (0..times).for_each(|_| counts.add(failure));
        }
        let each: Vec<_> = counts.each().collect();
        let expected: Vec<_> = Failure::ALL.into_iter().zip(1..).collect();
        assert_eq!(each, expected);
    }
}
