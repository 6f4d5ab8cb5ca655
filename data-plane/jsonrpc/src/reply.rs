//! The answers that the gateway writes itself.

use crate::class::{Class, SERVER_ERROR};
use crate::id::RawId;
use crate::parts::{envelope, splice};
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
    /// Every upstream that was tried failed, and this is the most telling class.
    Failed(Class),
}

impl ErrorReply {
    /// The JSON-RPC error code. Sources: JSON-RPC 2.0, section 5.1; EIP-1474.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::ParseError => -32700,
            Self::InvalidRequest | Self::BodyTooLarge | Self::BatchTooLong => -32600,
            Self::MethodNotFound => -32601,
            Self::NoUpstream | Self::UpstreamsFailed | Self::AnswerTooLarge | Self::Overloaded => -32603,
            Self::UpstreamTimeout => -32015,
            Self::UnknownRoute => -32001,
            Self::RateLimited => -32005,
            Self::Failed(class) => match class.policy().code {
                Some(code) => code,
                None => SERVER_ERROR,
            },
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
            Self::Failed(class) => class.policy().status,
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
            Self::Failed(class) => match class {
                Class::MissingData => "no upstream has the data",
                Class::RangeTooLarge | Class::TooManyAddresses => "no upstream serves so much at once",
                Class::Unauthorized | Class::Billing | Class::WrongChain => "no upstream serves this gateway",
                _ => "all upstreams failed",
            },
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

impl From<Class> for ErrorReply {
    /// The answer when every attempt failed, this class is the most telling of them, and nothing that an upstream
    /// said can be passed on.
    fn from(class: Class) -> Self {
        match class {
            Class::UnsupportedMethod => Self::MethodNotFound,
            Class::RateLimited => Self::RateLimited,
            Class::Timeout | Class::NodeTimeout => Self::UpstreamTimeout,
            Class::AnswerTooLarge => Self::AnswerTooLarge,
            Class::NotSent | Class::BadBody | Class::Server | Class::Lost => Self::UpstreamsFailed,
            _ => Self::Failed(class),
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

/// The body of an upstream's error as the client gets it once no other upstream had a better answer: with the code
/// of the class where it has one, and every other byte as it came, the message and the data above all, for clients
/// depend on their words. `None` when it is no whole JSON object that says something.
///
/// A text in the place of the error object, or an object without an envelope, gets an envelope under `id`.
#[must_use]
pub fn surfaced(body: &[u8], id: Option<RawId<'_>>, class: Class) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let parts = envelope(text)?;
    let own_code = class.policy().code;
    let fresh = |message: &str| {
        let (id, code) = (id.map_or("null", RawId::as_str), own_code.unwrap_or(SERVER_ERROR));
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#).into_bytes()
    };
    let Some(((_, value), error)) = parts.error else {
        return parts
            .message
            .filter(|message| message.starts_with('"'))
            .map(fresh);
    };
    if !error.is_object {
        return value.starts_with('"').then(|| fresh(value));
    }
    match (own_code, error.code) {
        (None, Some(_)) => Some(body.to_vec()),
        (Some(code), Some((start, old))) => splice(text, start, old, &code.to_string()),
        (_, None) => {
            let code = own_code.unwrap_or(SERVER_ERROR);
            (error.end > 0).then(|| splice(text, error.end, "", &format!(",\"code\":{code}")))?
        }
    }
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
                detail: String::new(),
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
            (-32015, 504),
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
    fn the_class_decides_the_status() {
        for (class, status) in [
            (Class::UnsupportedMethod, 200),
            (Class::RateLimited, 429),
            (Class::Timeout, 504),
            (Class::Lost, 502),
            (Class::AnswerTooLarge, 502),
            (Class::NotSent, 502),
            (Class::Refused, 502),
        ] {
            assert_eq!(ErrorReply::from(class).status(), status, "{class:?}");
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
