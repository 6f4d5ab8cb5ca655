//! The answers that the gateway writes itself.

use crate::classify::Fault;
use crate::id::RawId;
use crate::request::RequestError;

/// An error that the gateway answers with, in the place of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorReply {
    /// The body is no JSON.
    ParseError,
    /// The body is JSON, but no JSON-RPC request.
    InvalidRequest,
    /// The batch has more calls than allowed.
    BatchTooLong,
    /// The body has more bytes than allowed.
    BodyTooLarge,
    /// No route for this host and path.
    UnknownRoute,
    /// No upstream of the route serves the method.
    MethodNotFound,
    /// The route has no upstream, or none that is healthy and whose breaker is closed.
    NoUpstream,
    /// Every upstream that was tried failed.
    UpstreamsFailed,
    /// No upstream answered in time.
    UpstreamTimeout,
    /// An upstream's answer is longer than the gateway may hold.
    AnswerTooLarge,
    /// Every upstream that was tried, or the gateway itself, is over its rate limit.
    RateLimited,
    /// The gateway has as much to do as it may take on.
    Overloaded,
}

impl ErrorReply {
    /// The JSON-RPC error code. Sources: JSON-RPC 2.0, section 5.1; EIP-1474.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::ParseError => -32700,
            Self::InvalidRequest | Self::BodyTooLarge | Self::BatchTooLong => -32600,
            Self::MethodNotFound => -32601,
            Self::NoUpstream
            | Self::UpstreamsFailed
            | Self::UpstreamTimeout
            | Self::AnswerTooLarge
            | Self::Overloaded => -32603,
            Self::UnknownRoute => -32001,
            Self::RateLimited => -32005,
        }
    }

    /// The HTTP status when this is the answer to the whole request. Inside a batch the status is 200.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MethodNotFound => 200,
            Self::ParseError | Self::InvalidRequest => 400,
            Self::UnknownRoute => 404,
            Self::BodyTooLarge | Self::BatchTooLong => 413,
            Self::RateLimited => 429,
            Self::UpstreamsFailed | Self::AnswerTooLarge => 502,
            Self::NoUpstream | Self::Overloaded => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// What it says when there is nothing more precise to say.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::ParseError => "parse error",
            Self::InvalidRequest => "invalid request",
            Self::BatchTooLong => "batch too long",
            Self::BodyTooLarge => "request body too large",
            Self::UnknownRoute => "no route for this host and path",
            Self::MethodNotFound => "method not found",
            Self::NoUpstream => "no upstream available",
            Self::UpstreamsFailed => "all upstreams failed",
            Self::UpstreamTimeout => "upstream timed out",
            Self::AnswerTooLarge => "answer too large",
            Self::RateLimited => "rate limited",
            Self::Overloaded => "gateway overloaded",
        }
    }

    /// The JSON-RPC error object under `id`.
    #[must_use]
    pub fn body(self, id: Option<RawId<'_>>) -> Vec<u8> {
        error_body(id, self.code(), self.message())
    }
}

impl From<&RequestError<'_>> for ErrorReply {
    fn from(error: &RequestError<'_>) -> Self {
        match error {
            RequestError::NotJson | RequestError::TooDeep => Self::ParseError,
            RequestError::EmptyBatch | RequestError::Invalid(_) => Self::InvalidRequest,
            RequestError::BatchTooLong { .. } => Self::BatchTooLong,
        }
    }
}

impl From<Fault> for ErrorReply {
    /// The answer when every attempt failed and this fault is the greatest of them.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::UnsupportedMethod => Self::MethodNotFound,
            Fault::RateLimited => Self::RateLimited,
            Fault::Timeout => Self::UpstreamTimeout,
            Fault::TooLarge => Self::AnswerTooLarge,
            Fault::BatchRefused
            | Fault::Refused { .. }
            | Fault::NotSent
            | Fault::BadBody
            | Fault::Server
            | Fault::Lost => Self::UpstreamsFailed,
        }
    }
}

/// A JSON-RPC error object; `id` is `null` when the request's id could not be told.
/// Source: JSON-RPC 2.0, section 5.
#[must_use]
pub fn error_body(id: Option<RawId<'_>>, code: i64, message: &str) -> Vec<u8> {
    let id = id.map_or("null", RawId::as_str);
    let message = serde_json::Value::from(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#).into_bytes()
}

/// The answer to a batch, from the JSON texts of its members.
pub fn batch_body<T: AsRef<[u8]>>(items: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut body = vec![b'['];
    for item in items {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(item.as_ref());
    }
    body.push(b']');
    body
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::request::{Limits, Packet, parse};
    use crate::response::{Answer, Expect, RpcError, inspect};

    const ALL: [ErrorReply; 12] = [
        ErrorReply::ParseError,
        ErrorReply::InvalidRequest,
        ErrorReply::BatchTooLong,
        ErrorReply::BodyTooLarge,
        ErrorReply::UnknownRoute,
        ErrorReply::MethodNotFound,
        ErrorReply::NoUpstream,
        ErrorReply::UpstreamsFailed,
        ErrorReply::UpstreamTimeout,
        ErrorReply::AnswerTooLarge,
        ErrorReply::RateLimited,
        ErrorReply::Overloaded,
    ];

    #[test]
    fn every_reply_is_a_json_rpc_error_with_its_code_and_message() {
        for reply in ALL {
            let error = RpcError {
                code: Some(reply.code()),
                message: reply.message().to_owned(),
            };
            assert_eq!(inspect(&reply.body(None), Expect::Single), Answer::Error(error));
        }
    }

    #[test]
    fn codes_and_statuses_are_the_documented_ones() {
        let table = ALL.map(|reply| (reply.code(), reply.status()));
        let expected = [
            (-32700, 400),
            (-32600, 400),
            (-32600, 413),
            (-32600, 413),
            (-32001, 404),
            (-32601, 200),
            (-32603, 503),
            (-32603, 502),
            (-32603, 504),
            (-32603, 502),
            (-32005, 429),
            (-32603, 503),
        ];
        assert_eq!(table, expected);
    }

    #[test]
    fn a_refused_request_says_whose_limit_or_rule_it_broke() {
        let limits = Limits {
            max_batch: 1,
            max_depth: 3,
        };
        for (body, reply) in [
            ("", ErrorReply::ParseError),
            ("[[[[]]]]", ErrorReply::ParseError),
            ("[]", ErrorReply::InvalidRequest),
            ("{}", ErrorReply::InvalidRequest),
            ("[1,2]", ErrorReply::BatchTooLong),
        ] {
            assert_eq!(
                ErrorReply::from(&parse(body.as_bytes(), &limits).unwrap_err()),
                reply,
                "{body}"
            );
        }
    }

    #[test]
    fn the_greatest_fault_decides_the_status() {
        for (fault, status) in [
            (Fault::UnsupportedMethod, 200),
            (Fault::RateLimited, 429),
            (Fault::Timeout, 504),
            (Fault::Lost, 502),
            (Fault::TooLarge, 502),
            (Fault::NotSent, 502),
            (Fault::Refused { status: 403 }, 502),
        ] {
            assert_eq!(ErrorReply::from(fault).status(), status, "{fault:?}");
        }
    }

    #[test]
    fn a_batch_is_its_members_in_order() {
        assert_eq!(batch_body([b"1".as_slice(), b"{}"]), b"[1,{}]");
        assert_eq!(batch_body(Vec::<&str>::new()), b"[]");
    }

    proptest! {
        #[test]
        fn any_message_is_escaped_and_the_id_keeps_its_bytes(message in any::<String>(), code in any::<i64>()) {
            let request = br#"{"method":"m","id":9007199254740993}"#;
            let Ok(Packet::Single(call)) = parse(request, &Limits::default()) else { panic!() };
            let body = error_body(call.id, code, &message);
            let value: Value = serde_json::from_slice(&body).unwrap();
            let error = json!({"code": code, "message": message});
            prop_assert_eq!(value, json!({"jsonrpc": "2.0", "id": 9_007_199_254_740_993_u64, "error": error}));
        }
    }
}
