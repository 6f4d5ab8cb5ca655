//! The classes of what can come of an attempt at an upstream, and what each of them asks for.

use crate::method::{Kind, Replay};

/// What an upstream's failure, or the error it answered, means.
///
/// Ordered by how telling it is: when every attempt failed, the greatest is reported, whatever order they came
/// in (see [`most_telling`]). Lowest is what one upstream lacks, then what its operator must mend, then what may
/// pass by waiting, then what the client can mend; what settles the request for good is greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The upstream does not have the block or state: pruned, or not there yet. Reported only when all say so.
    MissingData,
    /// The upstream does not serve the method.
    UnsupportedMethod,
    /// The upstream does not know a block tag such as `safe`.
    UnsupportedTag,
    /// The upstream serves another chain.
    WrongChain,
    /// The upstream does not accept the gateway's credentials.
    Unauthorized,
    /// The upstream's plan is used up or does not suffice.
    Billing,
    /// A redirect or a 4xx of which the cause is not clear.
    Refused,
    /// The upstream answered a batch with one error.
    BatchRefused,
    /// No connection: nothing was sent.
    NotSent,
    /// The upstream takes no more requests for a while.
    RateLimited,
    /// A good status with a body that does not answer the request, or stops in the middle.
    BadBody,
    /// The answer contradicts the request or what is known of the chain.
    Untrue,
    /// 5xx, an internal error, or a proxy in front of the upstream that does not reach it.
    Server,
    /// The connection broke after the request had been sent, at least in part.
    Lost,
    /// No answer in time after the request had been sent.
    Timeout,
    /// An answer longer than may be held.
    AnswerTooLarge,
    /// The node gave the work up after a time of its own.
    NodeTimeout,
    /// A JSON-RPC error that no rule knows.
    Unknown,
    /// An error about the request that another implementation might not share.
    AmbiguousRequest,
    /// The request has more bytes than the upstream takes.
    RequestTooLarge,
    /// The fee is above what this node's operator allows.
    FeeCap,
    /// The transaction pool of this node is full or closed.
    PoolFull,
    /// More addresses or topics than this upstream takes in one filter.
    TooManyAddresses,
    /// More blocks or results than this upstream serves at once.
    RangeTooLarge,
    /// The sequencer limits this sender; every upstream leads to the same sequencer.
    SenderLimited,
    /// The request is wrong, wherever it is sent.
    InvalidRequest,
    /// The bytes of the transaction are wrong.
    BadTransaction,
    /// The rules of the chain refuse the transaction.
    TransactionRejected,
    /// The account cannot pay for the transaction.
    InsufficientFunds,
    /// A transaction with the same nonce and a better price is in the pool.
    Underpriced,
    /// The nonce was used; perhaps by this very transaction.
    NonceTooLow,
    /// The virtual machine stopped the call.
    Halted,
    /// The contract reverted the call.
    Reverted,
    /// The pool has this very transaction: a success.
    AlreadyKnown,
}

/// Whether another upstream may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Elsewhere {
    /// No: the answer would be the same.
    Never,
    /// Only when doing it twice does no harm: this one may have carried the request out.
    IfSafe,
    /// Yes: this one certainly did not carry the request out.
    Always,
}

/// What an attempt does to the standing of its upstream (breaker, health, score).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The upstream did its work, or the fault lies elsewhere.
    Nobody,
    /// Only how long it took counts.
    Latency,
    /// A failure of the upstream if another one answers the same request, else the request's own doing.
    IfAnotherAnswers,
    /// A failure of the upstream.
    Upstream,
}

/// For how long the upstream is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// Not at all.
    None,
    /// As long as it asks for, or a moment: a throttle.
    Short,
    /// Minutes: nothing changes before its operator acts.
    Long,
    /// Until a check shows that it is another place.
    Removed,
}

/// What the answer teaches about the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lesson {
    /// It does not serve the method; forget it after a while.
    Method,
    /// It does not have what lies at the block asked for.
    Data,
    /// It serves fewer blocks, addresses or results at once.
    Size,
}

/// What a class asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether the same upstream may be asked again, after a pause.
    pub again: bool,
    /// Whether another upstream may be asked.
    pub elsewhere: Elsewhere,
    /// Whether it counts against the upstream.
    pub blame: Blame,
    /// For how long the upstream gets no traffic.
    pub exclusion: Exclusion,
    /// What to remember of the upstream.
    pub lesson: Option<Lesson>,
    /// The JSON-RPC code for the client; `None` keeps the one the upstream gave.
    /// Sources: JSON-RPC 2.0, section 5.1; EIP-1474.
    pub code: Option<i64>,
    /// The HTTP status when it is reported for a whole request.
    pub status: u16,
}

/// The server error of JSON-RPC 2.0, for an error whose own code cannot be told.
pub const SERVER_ERROR: i64 = -32000;

/// The request's own error: passed on at once.
const FINAL: Policy = Policy {
    again: false,
    elsewhere: Elsewhere::Never,
    blame: Blame::Nobody,
    exclusion: Exclusion::None,
    lesson: None,
    code: None,
    status: 200,
};

/// A failure of the upstream that may pass.
const FAILURE: Policy = Policy {
    again: true,
    elsewhere: Elsewhere::IfSafe,
    blame: Blame::Upstream,
    code: Some(-32603),
    status: 502,
    ..FINAL
};

/// What this upstream does not do and another one may; it carried nothing out and is not to blame.
const NOT_HERE: Policy = Policy {
    elsewhere: Elsewhere::Always,
    ..FINAL
};

/// What the upstream's operator must mend.
const OPERATOR: Policy = Policy {
    blame: Blame::Upstream,
    exclusion: Exclusion::Long,
    code: Some(-32603),
    status: 502,
    ..NOT_HERE
};

impl Class {
    /// All of them, the least telling first.
    pub const ALL: [Self; 34] = [
        Self::MissingData,
        Self::UnsupportedMethod,
        Self::UnsupportedTag,
        Self::WrongChain,
        Self::Unauthorized,
        Self::Billing,
        Self::Refused,
        Self::BatchRefused,
        Self::NotSent,
        Self::RateLimited,
        Self::BadBody,
        Self::Untrue,
        Self::Server,
        Self::Lost,
        Self::Timeout,
        Self::AnswerTooLarge,
        Self::NodeTimeout,
        Self::Unknown,
        Self::AmbiguousRequest,
        Self::RequestTooLarge,
        Self::FeeCap,
        Self::PoolFull,
        Self::TooManyAddresses,
        Self::RangeTooLarge,
        Self::SenderLimited,
        Self::InvalidRequest,
        Self::BadTransaction,
        Self::TransactionRejected,
        Self::InsufficientFunds,
        Self::Underpriced,
        Self::NonceTooLow,
        Self::Halted,
        Self::Reverted,
        Self::AlreadyKnown,
    ];

    /// What the class asks for.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one row for each class")]
    pub const fn policy(self) -> Policy {
        match self {
            Self::MissingData => Policy {
                lesson: Some(Lesson::Data),
                code: Some(-32014),
                ..NOT_HERE
            },
            Self::UnsupportedMethod => Policy {
                lesson: Some(Lesson::Method),
                code: Some(-32601),
                ..NOT_HERE
            },
            Self::WrongChain => Policy {
                exclusion: Exclusion::Removed,
                ..OPERATOR
            },
            // A client's own query or header may be what is refused: only probes, which carry none, tell a bad key.
            Self::Unauthorized => Policy {
                blame: Blame::IfAnotherAnswers,
                exclusion: Exclusion::None,
                code: Some(-32016),
                ..OPERATOR
            },
            Self::Billing => OPERATOR,
            Self::Refused => Policy {
                blame: Blame::IfAnotherAnswers,
                code: Some(-32603),
                status: 502,
                ..NOT_HERE
            },
            Self::BatchRefused | Self::PoolFull | Self::FeeCap | Self::UnsupportedTag => NOT_HERE,
            Self::NotSent => Policy {
                elsewhere: Elsewhere::Always,
                ..FAILURE
            },
            Self::RateLimited => Policy {
                exclusion: Exclusion::Short,
                code: Some(-32005),
                status: 429,
                ..NOT_HERE
            },
            Self::BadBody | Self::Server | Self::Lost => FAILURE,
            Self::Untrue => Policy {
                again: false,
                ..FAILURE
            },
            Self::Timeout => Policy {
                blame: Blame::Latency,
                code: Some(-32015),
                status: 504,
                ..FAILURE
            },
            Self::AnswerTooLarge => Policy {
                code: Some(-32603),
                status: 502,
                ..FINAL
            },
            Self::NodeTimeout => Policy {
                code: Some(-32015),
                status: 504,
                ..FAILURE
            },
            Self::Unknown => Policy {
                blame: Blame::IfAnotherAnswers,
                code: None,
                status: 200,
                ..FAILURE
            },
            Self::AmbiguousRequest => NOT_HERE,
            Self::RequestTooLarge => Policy {
                status: 413,
                ..NOT_HERE
            },
            Self::TooManyAddresses | Self::RangeTooLarge => Policy {
                lesson: Some(Lesson::Size),
                code: Some(-32012),
                ..NOT_HERE
            },
            Self::SenderLimited
            | Self::InvalidRequest
            | Self::BadTransaction
            | Self::TransactionRejected
            | Self::InsufficientFunds
            | Self::Underpriced
            | Self::NonceTooLow
            | Self::Halted
            | Self::Reverted
            | Self::AlreadyKnown => FINAL,
        }
    }

    /// Whether another upstream may be tried for a request with that replay safety.
    #[must_use]
    pub const fn retryable(self, replay: Replay) -> bool {
        match self.policy().elsewhere {
            Elsewhere::Never => false,
            Elsewhere::IfSafe => matches!(replay, Replay::Safe),
            Elsewhere::Always => true,
        }
    }

    /// Whether the upstream may have carried the request out without saying so.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            Self::AnswerTooLarge => true,
            Self::Unknown => false,
            _ => matches!(self.policy().elsewhere, Elsewhere::IfSafe),
        }
    }

    /// A short name for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingData => "missing_data",
            Self::UnsupportedMethod => "unsupported_method",
            Self::UnsupportedTag => "unsupported_tag",
            Self::WrongChain => "wrong_chain",
            Self::Unauthorized => "unauthorized",
            Self::Billing => "billing",
            Self::Refused => "refused",
            Self::BatchRefused => "batch_refused",
            Self::NotSent => "not_sent",
            Self::RateLimited => "rate_limited",
            Self::BadBody => "bad_body",
            Self::Untrue => "untrue",
            Self::Server => "server",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::AnswerTooLarge => "answer_too_large",
            Self::NodeTimeout => "node_timeout",
            Self::Unknown => "unknown",
            Self::AmbiguousRequest => "ambiguous_request",
            Self::RequestTooLarge => "request_too_large",
            Self::FeeCap => "fee_cap",
            Self::PoolFull => "pool_full",
            Self::TooManyAddresses => "too_many_addresses",
            Self::RangeTooLarge => "range_too_large",
            Self::SenderLimited => "sender_limited",
            Self::InvalidRequest => "invalid_request",
            Self::BadTransaction => "bad_transaction",
            Self::TransactionRejected => "transaction_rejected",
            Self::InsufficientFunds => "insufficient_funds",
            Self::Underpriced => "underpriced",
            Self::NonceTooLow => "nonce_too_low",
            Self::Halted => "halted",
            Self::Reverted => "reverted",
            Self::AlreadyKnown => "already_known",
        }
    }
}

/// The class to report when every attempt ended in one of `classes`; `None` when there are none.
///
/// It does not depend on their order. What changes something is reported as left open when any upstream may have
/// carried it out: a client told "refused" would send it once more.
#[must_use]
pub fn most_telling(classes: impl IntoIterator<Item = Class>, kind: Kind) -> Option<Class> {
    let matters = |class: Class| kind != Kind::Read && class.is_open();
    classes.into_iter().max_by_key(|class| (matters(*class), *class))
}

#[cfg(test)]
mod tests;
