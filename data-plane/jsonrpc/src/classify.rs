//! What an upstream's answer means: for the client, for the upstream, and for another attempt.
//!
//! | status | body | verdict |
//! |---|---|---|
//! | 2xx | result, batch, or nothing where nothing was expected | answer |
//! | 2xx | JSON-RPC error, other than below | answer |
//! | 2xx, 3xx, 4xx | JSON-RPC error -32601 | method not supported here |
//! | 2xx | one error object for a batch | batch not taken here |
//! | 2xx | anything else | bad body |
//! | 400, 413 | JSON-RPC error with a code, other than -32601, -32603, -32005 | client error |
//! | 405 | any | method not supported here |
//! | 429 | any | rate limited |
//! | 5xx | any | server |
//! | other | any | refused |

use crate::method::Replay;
use crate::response::{Answer, RpcError};

/// JSON-RPC 2.0: the method does not exist.
const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC 2.0: internal error.
const INTERNAL: i64 = -32603;
/// EIP-1474: limit exceeded.
const LIMIT_EXCEEDED: i64 = -32005;

/// What to do with an upstream's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on; the upstream did its work, also when the answer is an error such as a revert.
    Answer,
    /// Pass it on with its status; the request is at fault, nobody else.
    ClientError,
    /// Try another upstream if [`Fault::retryable`] says so.
    Retry(Fault),
}

/// Why an attempt at an upstream gave no answer.
///
/// Ordered by which one to report when every attempt failed: the greatest, whatever order they came in.
/// Highest is what leaves open whether the request was carried out, then what may pass by waiting; what one
/// upstream refuses and another might serve is reported only when none of them failed otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The upstream does not serve the method: -32601 or 405.
    UnsupportedMethod,
    /// The upstream answered a batch with one error.
    BatchRefused,
    /// A redirect or a 4xx of which the cause is not clear: the upstream's key, its address, or the request.
    Refused {
        /// The HTTP status. When all upstreams refuse with the same one, it is passed on.
        status: u16,
    },
    /// No connection: nothing was sent.
    NotSent,
    /// 429.
    RateLimited,
    /// 2xx with a body that does not answer the request, or stops in the middle.
    BadBody,
    /// 5xx.
    Server,
    /// The connection broke after the request had been sent, at least in part.
    Lost,
    /// No answer in time after the request had been sent.
    Timeout,
    /// An answer longer than may be held. It was carried out, and how long its answer gets is up to the request.
    TooLarge,
}

impl Fault {
    /// Whether the upstream is to blame, so that its breaker counts a failure.
    ///
    /// A refusal or an answer too large is not: the client's own headers or parameters may have caused it, and
    /// no client may close an upstream to the others. A wrong key shows in health checks, which the client has no part in.
    #[must_use]
    pub const fn counts_against_upstream(self) -> bool {
        match self {
            Self::UnsupportedMethod | Self::BatchRefused | Self::Refused { .. } | Self::TooLarge => false,
            Self::NotSent | Self::RateLimited | Self::BadBody | Self::Server | Self::Lost | Self::Timeout => {
                true
            }
        }
    }

    /// Whether another upstream may be tried: always when this one certainly did not carry the request out,
    /// else only when doing it twice does no harm. An answer too large would be as large elsewhere.
    #[must_use]
    pub const fn retryable(self, replay: Replay) -> bool {
        match self {
            Self::UnsupportedMethod
            | Self::BatchRefused
            | Self::Refused { .. }
            | Self::NotSent
            | Self::RateLimited => true,
            Self::BadBody | Self::Server | Self::Lost | Self::Timeout => matches!(replay, Replay::Safe),
            Self::TooLarge => false,
        }
    }

    /// A short name for metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnsupportedMethod => "unsupported_method",
            Self::BatchRefused => "batch_refused",
            Self::Refused { .. } => "refused",
            Self::NotSent => "not_sent",
            Self::RateLimited => "rate_limited",
            Self::BadBody => "bad_body",
            Self::Server => "server",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
        }
    }
}

/// The verdict on an upstream's answer with that HTTP status and body.
#[must_use]
pub fn classify(status: u16, answer: &Answer) -> Verdict {
    if let Some(fault) = by_status(status) {
        return Verdict::Retry(fault);
    }
    if matches!(answer, Answer::Error(error) | Answer::BatchRefused(error) if error.code == Some(METHOD_NOT_FOUND))
    {
        return Verdict::Retry(Fault::UnsupportedMethod);
    }
    match (status, answer) {
        (200..=299, Answer::Result | Answer::Error(_) | Answer::Batch | Answer::Empty) => Verdict::Answer,
        (200..=299, Answer::BatchRefused(_)) => Verdict::Retry(Fault::BatchRefused),
        (200..=299, Answer::NotJsonRpc) => Verdict::Retry(Fault::BadBody),
        (400 | 413, Answer::Error(error) | Answer::BatchRefused(error)) if blames_client(error) => {
            Verdict::ClientError
        }
        _ => Verdict::Retry(Fault::Refused { status }),
    }
}

/// The fault that an HTTP status alone tells, whatever the body; `None` when the body has a say.
#[must_use]
pub const fn by_status(status: u16) -> Option<Fault> {
    match status {
        405 => Some(Fault::UnsupportedMethod),
        429 => Some(Fault::RateLimited),
        500.. => Some(Fault::Server),
        _ => None,
    }
}

/// Whether the error in a 400 or 413 says that the request is wrong. Without a code it is some gateway's
/// text; an internal error or a limit is about the upstream.
fn blames_client(error: &RpcError) -> bool {
    error
        .code
        .is_some_and(|code| !matches!(code, INTERNAL | LIMIT_EXCEEDED))
}

#[cfg(test)]
mod tests;
