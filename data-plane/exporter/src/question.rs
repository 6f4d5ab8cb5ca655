//! What a target is asked, and how its answer is read: strictly, for a node may say anything. Pure.

use http::StatusCode;
use serde_json::Value;
use tyrscale_jsonrpc::response::inspect;
use tyrscale_jsonrpc::{Answer, Class, Expect, Observed, Vendor, Verdict, classify, method};
use tyrscale_model::Collector;

/// No chain comes so far: what is above is no height.
const MAX_HEIGHT: u64 = 1 << 53;
/// No node has so many peers.
const MAX_PEERS: u64 = 1 << 20;
/// No pool holds so many transactions.
const MAX_POOL: u64 = 1 << 32;
/// The longest version that is shown, in characters.
const MAX_VERSION: usize = 128;

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    BlockNumber,
    Peers,
    Syncing,
    ChainId,
    GasPrice,
    ClientVersion,
    Finalized,
    Safe,
    Pool,
    /// Whether there is the state of this block.
    StateAt(u64),
}

/// What a good answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reading {
    Height(u64),
    Peers(u64),
    Syncing(bool),
    ChainId(u64),
    /// In wei.
    GasPrice(u64),
    ClientVersion(String),
    Finalized(u64),
    Safe(u64),
    Pool {
        pending: u64,
        queued: u64,
    },
    State {
        block: u64,
        is_served: bool,
    },
}

/// Why a call has no good answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reason {
    /// No connection.
    NotSent,
    /// The connection broke before the whole answer had come.
    Lost,
    /// No whole answer in time.
    Timeout,
    /// More than an answer may be.
    TooLarge,
    /// The target asks to be left alone.
    RateLimited,
    /// The target does not take our credentials, or the plan behind them.
    Unauthorized,
    /// The target does not serve the method or the tag.
    Unsupported,
    /// A status that is not the one of a good answer.
    Status,
    /// No JSON-RPC.
    NotJsonRpc,
    /// A JSON-RPC error.
    RpcError,
    /// A result that cannot be.
    BadResult,
}

impl Reason {
    /// Stable name for metrics and reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Lost => "lost",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unauthorized => "unauthorized",
            Self::Unsupported => "unsupported",
            Self::Status => "status",
            Self::NotJsonRpc => "not_json_rpc",
            Self::RpcError => "rpc_error",
            Self::BadResult => "bad_result",
        }
    }

    /// Whether another call in the same round would fare no better.
    pub(crate) const fn ends_round(self) -> bool {
        matches!(
            self,
            Self::NotSent | Self::Lost | Self::Timeout | Self::RateLimited | Self::Unauthorized
        )
    }
}

impl Question {
    /// The collector that asks it.
    pub(crate) const fn collector(self) -> Collector {
        match self {
            Self::BlockNumber => Collector::EthBlockNumber,
            Self::Peers => Collector::NetPeers,
            Self::Syncing => Collector::EthSyncing,
            Self::ChainId => Collector::EthChainId,
            Self::GasPrice => Collector::EthGasPrice,
            Self::ClientVersion => Collector::ClientVersion,
            Self::Finalized => Collector::FinalizedBlock,
            Self::Safe => Collector::SafeBlock,
            Self::Pool => Collector::TxpoolStatus,
            Self::StateAt(_) => Collector::ArchiveDepth,
        }
    }

    /// What a collector asks; none when it asks nothing of its own, or no fixed question.
    pub(crate) const fn of(collector: Collector) -> Option<Self> {
        match collector {
            Collector::EthBlockNumber => Some(Self::BlockNumber),
            Collector::NetPeers => Some(Self::Peers),
            Collector::EthSyncing => Some(Self::Syncing),
            Collector::EthChainId => Some(Self::ChainId),
            Collector::EthGasPrice => Some(Self::GasPrice),
            Collector::ClientVersion => Some(Self::ClientVersion),
            Collector::FinalizedBlock => Some(Self::Finalized),
            Collector::SafeBlock => Some(Self::Safe),
            Collector::TxpoolStatus => Some(Self::Pool),
            Collector::ArchiveDepth | Collector::Latency => None,
        }
    }

    const fn method(self) -> &'static str {
        match self {
            Self::BlockNumber => "eth_blockNumber",
            Self::Peers => "net_peerCount",
            Self::Syncing => "eth_syncing",
            Self::ChainId => "eth_chainId",
            Self::GasPrice => "eth_gasPrice",
            Self::ClientVersion => "web3_clientVersion",
            Self::Finalized | Self::Safe => "eth_getBlockByNumber",
            Self::Pool => "txpool_status",
            Self::StateAt(_) => "eth_getBalance",
        }
    }

    /// The body of the request.
    pub(crate) fn body(self) -> String {
        let params = match self {
            Self::Finalized => r#"["finalized",false]"#.to_owned(),
            Self::Safe => r#"["safe",false]"#.to_owned(),
            Self::StateAt(block) => format!(r#"["0x{:040x}","0x{block:x}"]"#, 0),
            _ => "[]".to_owned(),
        };
        let method = self.method();
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
    }

    /// Reads an answer of a target of `vendor`.
    ///
    /// # Errors
    /// The [`Reason`] why it is no good one.
    pub(crate) fn read(self, status: StatusCode, body: &[u8], vendor: Vendor) -> Result<Reading, Reason> {
        let answer = inspect(body, Expect::Single);
        let verdict = classify(&Observed {
            status: status.as_u16(),
            is_ours: true,
            method: method::lookup(self.method()),
            vendor,
            answer: &answer,
            body,
        });
        let class = match verdict {
            Verdict::Answer => None,
            Verdict::Final(class) | Verdict::Retry(class) => Some(class),
        };
        if let (Some(Class::MissingData), Self::StateAt(block)) = (class, self) {
            let is_served = false;
            return Ok(Reading::State { block, is_served });
        }
        match class {
            Some(Class::RateLimited) => Err(Reason::RateLimited),
            Some(Class::Unauthorized | Class::Billing) => Err(Reason::Unauthorized),
            Some(Class::UnsupportedMethod | Class::UnsupportedTag) => Err(Reason::Unsupported),
            _ if matches!(answer, Answer::Error(_)) && !status.is_server_error() => Err(Reason::RpcError),
            _ if status != StatusCode::OK => Err(Reason::Status),
            None if answer == Answer::Result => {
                let body: Value = serde_json::from_slice(body).map_err(|_| Reason::NotJsonRpc)?;
                let result = body.get("result").ok_or(Reason::NotJsonRpc)?;
                self.reading(result).ok_or(Reason::BadResult)
            }
            _ => Err(Reason::NotJsonRpc),
        }
    }

    fn reading(self, result: &Value) -> Option<Reading> {
        let height = |value: &Value| quantity(value).filter(|height| *height <= MAX_HEIGHT);
        let of_block = || height(result.get("number")?);
        Some(match self {
            Self::BlockNumber => Reading::Height(height(result)?),
            Self::Peers => Reading::Peers(quantity(result).filter(|peers| *peers <= MAX_PEERS)?),
            Self::Syncing => Reading::Syncing(match result {
                Value::Bool(is_syncing) => *is_syncing,
                Value::Object(_) => true,
                _ => return None,
            }),
            Self::ChainId => Reading::ChainId(quantity(result)?),
            Self::GasPrice => Reading::GasPrice(quantity(result)?),
            Self::ClientVersion => Reading::ClientVersion(version(result)?),
            Self::Finalized => Reading::Finalized(of_block()?),
            Self::Safe => Reading::Safe(of_block()?),
            Self::Pool => {
                let count = |name| quantity(result.get(name)?).filter(|count| *count <= MAX_POOL);
                Reading::Pool {
                    pending: count("pending")?,
                    queued: count("queued")?,
                }
            }
            Self::StateAt(block) => {
                let digits = result.as_str()?.strip_prefix("0x")?;
                let is_amount =
                    (1..=64).contains(&digits.len()) && digits.bytes().all(|it| it.is_ascii_hexdigit());
                is_amount.then_some(Reading::State {
                    block,
                    is_served: true,
                })?
            }
        })
    }
}

/// Reads a quantity. Source: Ethereum JSON-RPC, "Hex encoding".
fn quantity(value: &Value) -> Option<u64> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    // What parses the digits would take a sign.
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, 16).ok())?
}

/// A version that can be shown: printable, of bounded length.
fn version(value: &Value) -> Option<String> {
    let text = value.as_str()?;
    let is_shown = !text.is_empty() && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    is_shown.then(|| text.chars().take(MAX_VERSION).collect())
}

#[cfg(test)]
mod tests;
