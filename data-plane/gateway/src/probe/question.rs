//! What is asked of a place, and how its answer is read.

use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;
use tyrscale_http1::{Field, Fields, Name, request_head};
use tyrscale_jsonrpc::response::inspect;
use tyrscale_jsonrpc::{Answer, Class, Expect, Observed, Tag, Verdict, classify, method};
use tyrscale_model::HealthCheckRequest;

use super::checks;
use super::failure::Failure;
use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::headers::JSON;
use crate::pool::{NoAnswer, Use, Worker};

/// Largest answer to a probe, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// No chain comes so far: what is above is no height.
const MAX_HEIGHT: u64 = 1 << 53;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    BlockNumber,
    Syncing,
    Custom(HealthCheckRequest),
    ChainId,
    /// The height of the block that a tag stands for.
    Height(Tag),
    PeerCount,
    /// The logs of the latest block.
    LogIndexes,
    /// A call that returns so many bytes.
    CallResult(u32),
}

/// What was seen of a place that answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// A good answer to a question that has but one.
    Good,
    /// The height or the chain id that was asked for.
    Number(u64),
    /// A good answer from which nothing follows.
    Silent,
    /// An answer that says nothing about what was asked.
    Nothing(Failure),
}

/// Why nothing good was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotSeen {
    pub(super) failure: Failure,
    /// How long the place asked to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl From<Failure> for NotSeen {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            retry_after: None,
        }
    }
}

impl From<NoAnswer> for NotSeen {
    fn from(why: NoAnswer) -> Self {
        match why {
            NoAnswer::NotSent => Failure::NotSent,
            NoAnswer::Lost | NoAnswer::PerhapsUnseen => Failure::Lost,
        }
        .into()
    }
}

/// An answer as it came.
struct Received {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Question {
    /// Asks it at the place of an endpoint.
    ///
    /// # Errors
    /// [`NotSeen`] when there is no good answer within `limit`.
    pub(super) async fn ask(&self, endpoint: &Endpoint, limit: Duration) -> Result<Seen, NotSeen> {
        let request = self.request();
        let exchanged = exchange(&request, endpoint, self.max_answer());
        let received = tokio::time::timeout(limit, exchanged).await;
        let received = received.map_err(|_| Failure::Timeout)??;
        let result = || result(self.method(), &received, endpoint.address());
        match self {
            Self::Custom(request) => custom(request, &received),
            Self::BlockNumber => height(quantity(&result()?)),
            Self::Height(_) => height(result()?.get("number").and_then(quantity)),
            Self::ChainId => number(quantity(&result()?)),
            Self::Syncing => syncing(result(), &received),
            Self::PeerCount => checks::peer_count(result()),
            Self::LogIndexes => checks::log_indexes(result()),
            Self::CallResult(bytes) => checks::call_result(result(), *bytes, &received.body),
        }
    }

    /// Largest answer, in bytes.
    const fn max_answer(&self) -> usize {
        match self {
            Self::LogIndexes => checks::MAX_LOGS,
            // Two digits a byte.
            Self::CallResult(bytes) => (*bytes as usize).saturating_mul(2).saturating_add(checks::AROUND),
            _ => MAX_ANSWER,
        }
    }

    const fn method(&self) -> &'static str {
        match self {
            Self::BlockNumber => "eth_blockNumber",
            Self::Syncing => "eth_syncing",
            Self::ChainId => "eth_chainId",
            Self::Height(_) => "eth_getBlockByNumber",
            Self::PeerCount => "net_peerCount",
            Self::LogIndexes => "eth_getLogs",
            Self::CallResult(_) => "eth_call",
            Self::Custom(_) => "",
        }
    }

    fn request(&self) -> HealthCheckRequest {
        match self {
            Self::Custom(request) => request.clone(),
            Self::Height(tag) => posted(self.method(), &format!(r#"["{}",false]"#, tag.name())),
            Self::LogIndexes => posted(self.method(), r#"[{"fromBlock":"latest","toBlock":"latest"}]"#),
            Self::CallResult(bytes) => posted(self.method(), &checks::call_params(*bytes)),
            Self::BlockNumber | Self::Syncing | Self::ChainId | Self::PeerCount => {
                posted(self.method(), "[]")
            }
        }
    }
}

fn posted(method: &str, params: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        method: "POST".to_owned(),
        body: format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#),
        ..HealthCheckRequest::default()
    }
}

fn number(number: Option<u64>) -> Result<Seen, NotSeen> {
    number.map(Seen::Number).ok_or_else(|| Failure::BadResult.into())
}

fn height(number: Option<u64>) -> Result<Seen, NotSeen> {
    self::number(number.filter(|number| *number <= MAX_HEIGHT))
}

fn custom(request: &HealthCheckRequest, received: &Received) -> Result<Seen, NotSeen> {
    let wanted = match request.status_code {
        0 => 200,
        code => code,
    };
    let status = received.status;
    if u32::from(status.as_u16()) == wanted {
        return Ok(Seen::Good);
    }
    Err(NotSeen {
        failure: match status {
            StatusCode::TOO_MANY_REQUESTS => Failure::RateLimited,
            _ => Failure::Status,
        },
        retry_after: received.retry_after,
    })
}

/// A node that does not know the question does not sync; an error of another kind tells neither.
fn syncing(result: Result<Value, NotSeen>, received: &Received) -> Result<Seen, NotSeen> {
    match result {
        Ok(Value::Bool(false)) => Ok(Seen::Good),
        Ok(Value::Object(_) | Value::Bool(true)) => Err(Failure::Syncing.into()),
        Ok(_) => Err(Failure::BadResult.into()),
        Err(why) if why.failure == Failure::RpcError => {
            let Answer::Error(error) = inspect(&received.body, Expect::Single) else {
                return Err(why);
            };
            match error.code {
                Some(-32601) => Ok(Seen::Good),
                _ => Ok(Seen::Nothing(Failure::RpcError)),
            }
        }
        Err(why) => Err(why),
    }
}

/// The result of an answer without an error.
fn result(name: &str, received: &Received, address: &Address) -> Result<Value, NotSeen> {
    let answer = inspect(&received.body, Expect::Single);
    let verdict = classify(&Observed {
        status: received.status.as_u16(),
        is_ours: true,
        method: method::lookup(name),
        vendor: address.vendor(),
        answer: &answer,
        body: &received.body,
    });
    let failure = match verdict {
        Verdict::Retry(Class::RateLimited) | Verdict::Final(Class::RateLimited) => Failure::RateLimited,
        _ if matches!(answer, Answer::Error(_)) && !received.status.is_server_error() => Failure::RpcError,
        _ if received.status != StatusCode::OK => Failure::Status,
        Verdict::Answer if answer == Answer::Result => {
            let mut body: Value = serde_json::from_slice(&received.body).map_err(|_| Failure::NotJsonRpc)?;
            let result = body.get_mut("result").map(Value::take);
            return result.ok_or_else(|| Failure::NotJsonRpc.into());
        }
        _ => Failure::NotJsonRpc,
    };
    Err(NotSeen {
        failure,
        retry_after: received.retry_after,
    })
}

/// Reads a quantity. Source: Ethereum JSON-RPC, "Hex encoding".
pub(crate) fn quantity(result: &Value) -> Option<u64> {
    let digits = result.as_str()?.strip_prefix("0x")?;
    // What parses the digits would take a sign.
    let is_plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, 16).ok())?
}

async fn exchange(
    request: &HealthCheckRequest,
    endpoint: &Endpoint,
    max_answer: usize,
) -> Result<Received, NotSeen> {
    let head = head(request, endpoint.address()).ok_or(Failure::NotSent)?;
    let asked = Bytes::from(request.body.clone());
    let head = || Some(head.clone());
    let (pool, now) = (endpoint.pool(), Instant::now());
    let exchanged = pool.exchange(Worker::PROBES, Use::IdleOrNew, now, head, &asked);
    let (answer, mut connection) = exchanged.await?;
    // Read in any case, so that the connection can be used again.
    let mut body = Vec::new();
    while let Some(part) = connection.part().await? {
        body.extend_from_slice(&part);
        if body.len() > max_answer {
            return Err(Failure::TooLarge.into());
        }
    }
    endpoint.pool().put(Worker::PROBES, connection, Instant::now());
    Ok(Received {
        status: answer.status,
        retry_after: retry_after(&answer.fields),
        body,
    })
}

/// The seconds of a `Retry-After`. Source: RFC 9110, section 10.2.3; dates are passed over.
fn retry_after(fields: &Fields) -> Option<Duration> {
    let value = std::str::from_utf8(fields.known(Name::RetryAfter)?).ok()?;
    u64::from_str(value.trim()).ok().map(Duration::from_secs)
}

/// The head of the request. What the policy says of a header goes before what the gateway says.
fn head(request: &HealthCheckRequest, address: &Address) -> Option<Vec<u8>> {
    let method = match request.method.as_str() {
        "" => Method::GET,
        method => Method::from_bytes(method.as_bytes()).ok()?,
    };
    let given = request.headers.iter();
    let given = given.map(|(name, value)| Field::new(name, value.as_bytes()));
    let own = [
        Field::new("accept-encoding", b"identity"),
        Field::new("content-type", JSON.as_bytes()),
    ];
    let own = own.into_iter().chain(address.fields()).filter(|own| {
        let is_given = |field: Field<'_>| own.name().eq_ignore_ascii_case(field.name());
        !given.clone().any(is_given)
    });
    let target = address.target(None).ok()?;
    let length = request.body.len();
    request_head(&method, &target, address.host(), own.chain(given.clone()), length).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tyrscale_model::UpstreamHeaders;

    use super::*;

    fn received(status: StatusCode, body: &str) -> Received {
        Received {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    fn failure_of(status: StatusCode, body: &str) -> Option<Failure> {
        let address = Address::new(
            &"http://localhost:1".parse().unwrap(),
            &UpstreamHeaders::default(),
        )
        .unwrap();
        let result = result("eth_blockNumber", &received(status, body), &address);
        result.err().map(|why| why.failure)
    }

    #[test]
    fn a_quantity_is_hex_without_a_sign() {
        assert_eq!(quantity(&json!("0x3e8")), Some(1000));
        for bad in [
            json!("3e8"),
            json!(1000),
            json!("0x"),
            json!("0xzz"),
            json!("0x+1"),
            json!("-0x1"),
            json!("0x-1"),
            json!("0x1ffffffffffffffff"),
            json!(null),
        ] {
            assert_eq!(quantity(&bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_good_answer_has_a_reason() {
        let ok = StatusCode::OK;
        assert_eq!(failure_of(ok, r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#), None);
        for (status, body, failure) in [
            (ok, "<html>", Failure::NotJsonRpc),
            (ok, "", Failure::NotJsonRpc),
            (ok, "{}", Failure::NotJsonRpc),
            (
                ok,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error"}}"#,
                Failure::RpcError,
            ),
            (
                ok,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32005,"message":"rate limit exceeded"}}"#,
                Failure::RateLimited,
            ),
            (StatusCode::TOO_MANY_REQUESTS, "slow down", Failure::RateLimited),
            (StatusCode::BAD_GATEWAY, "<html>", Failure::Status),
            (StatusCode::NOT_FOUND, "", Failure::Status),
        ] {
            assert_eq!(failure_of(status, body), Some(failure), "{status} {body}");
        }
    }

    #[test]
    fn only_a_node_that_says_so_syncs() {
        let says = |body: &str| {
            let address = Address::new(
                &"http://localhost:1".parse().unwrap(),
                &UpstreamHeaders::default(),
            )
            .unwrap();
            let received = received(StatusCode::OK, body);
            syncing(result("eth_syncing", &received, &address), &received)
        };
        let error =
            |code: i64| format!(r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"it"}}}}"#);
        let result = |result: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert_eq!(says(&result("false")), Ok(Seen::Good));
        assert_eq!(
            says(&result(r#"{"currentBlock":"0x1"}"#)),
            Err(Failure::Syncing.into())
        );
        assert_eq!(says(&result("1")), Err(Failure::BadResult.into()));
        assert_eq!(says(&error(-32601)), Ok(Seen::Good));
        assert_eq!(says(&error(-32000)), Ok(Seen::Nothing(Failure::RpcError)));
    }
}
