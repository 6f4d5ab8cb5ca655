//! The calls of a soak: each has one right answer, which every healthy node gives.

use http::StatusCode;
use serde_json::{Value, json};
use tyrscale_simnode::{CapturedRequest, RawResponse};

use crate::connection::Answer;

const METHODS: [&str; 4] = [
    "eth_call",
    "eth_getBalance",
    "eth_getLogs",
    "eth_getTransactionReceipt",
];
/// One request in so many is a batch.
const BATCH_IN: u64 = 10;
const BATCH: u64 = 5;

/// A request and what must come back.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Vec<u8>,
    numbers: Vec<u64>,
    is_batch: bool,
}

impl Call {
    /// The request `number`; numbers are far below 2^53.
    pub(crate) fn new(number: u64) -> Self {
        Self::to("localhost", number)
    }

    /// As [`Call::new`], to a host.
    pub(crate) fn to(host: &str, number: u64) -> Self {
        let is_batch = number.is_multiple_of(BATCH_IN);
        let numbers: Vec<u64> = (0..if is_batch { BATCH } else { 1 })
            .map(|member| number * BATCH + member)
            .collect();
        let mut members: Vec<Value> = numbers.iter().map(|number| call(*number)).collect();
        let body = if is_batch {
            Value::Array(members)
        } else {
            members.pop().unwrap_or_default()
        };
        let body = body.to_string();
        let head = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        Self {
            request: (head + &body).into_bytes(),
            numbers,
            is_batch,
        }
    }

    /// Looks at an answer.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, answer: &Answer<'_>) -> Result<(), Wrong> {
        let body: Value = serde_json::from_slice(answer.body).map_err(|_| Wrong::NoJson(answer.status))?;
        let members = match (&body, self.is_batch) {
            (Value::Array(members), true) => members.as_slice(),
            (single, false) => std::slice::from_ref(single),
            _ => return Err(Wrong::Shape(answer.status)),
        };
        if members.len() != self.numbers.len() {
            return Err(Wrong::Shape(answer.status));
        }
        for (member, number) in members.iter().zip(&self.numbers) {
            if let Some(error) = member.get("error") {
                return Err(Wrong::Error(answer.status, error.to_string()));
            }
            if member.get("id") != Some(&json!(number)) {
                return Err(Wrong::Id);
            }
            if member.get("result") != Some(&result(*number)) {
                return Err(Wrong::Result);
            }
        }
        match answer.status {
            200 => Ok(()),
            status => Err(Wrong::Status(status)),
        }
    }
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    #[error("status {0} with a result")]
    Status(u16),
    #[error("status {0}: {1}")]
    Error(u16, String),
    #[error("status {0} without JSON")]
    NoJson(u16),
    #[error("status {0}, not as many answers as calls")]
    Shape(u16),
    #[error("id of another call")]
    Id,
    #[error("result of another call")]
    Result,
}

impl Wrong {
    /// Whether it would have been taken for the right answer: never to be excused.
    pub(crate) const fn is_false(&self) -> bool {
        matches!(self, Self::Id | Self::Result | Self::Status(_))
    }
}

/// What a healthy node answers; `None` for what is not from here, such as probes.
pub(crate) fn answer(request: &CapturedRequest) -> Option<RawResponse> {
    Some(RawResponse::json(StatusCode::OK, replies(&request.body)?))
}

fn replies(body: &[u8]) -> Option<String> {
    let replies = match serde_json::from_slice(body).ok()? {
        Value::Array(members) => Value::Array(members.iter().map(reply).collect::<Option<_>>()?),
        single => reply(&single)?,
    };
    Some(replies.to_string())
}

fn call(number: u64) -> Value {
    let index = usize::try_from(number).unwrap_or_default() % METHODS.len();
    let method = METHODS.get(index).copied().unwrap_or_default();
    json!({"jsonrpc": "2.0", "id": number, "method": method, "params": [{"soak": number}]})
}

fn reply(call: &Value) -> Option<Value> {
    let number = call.pointer("/params/0/soak")?.as_u64()?;
    Some(json!({"jsonrpc": "2.0", "id": call.get("id")?, "result": result(number)}))
}

/// 16 to about 8,000 digits that differ from number to number.
fn result(number: u64) -> Value {
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let times = usize::try_from(mixed >> 55).unwrap_or(1).max(1);
    json!(format!("0x{}", format!("{mixed:016x}").repeat(times)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(call: &Call) -> String {
        let text = String::from_utf8(call.request.clone()).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        replies(body.as_bytes()).unwrap()
    }

    fn check(call: &Call, status: u16, body: &str) -> Result<(), Wrong> {
        let body = body.as_bytes();
        call.check(&Answer {
            status,
            close: false,
            body,
        })
    }

    #[test]
    fn a_call_takes_its_own_answer_and_no_other() {
        for number in [1, 2, 10, 20] {
            let (call, other) = (Call::new(number), Call::new(number + 10));
            assert_eq!(check(&call, 200, &answered(&call)), Ok(()));
            assert_eq!(check(&call, 200, &answered(&other)), Err(Wrong::Id));
            assert_eq!(check(&call, 502, &answered(&call)), Err(Wrong::Status(502)));
        }
        let forged = json!({"id": 5, "result": "0x"}).to_string();
        assert_eq!(check(&Call::new(1), 200, &forged), Err(Wrong::Result));
        let refused = json!({"id": 5, "error": {"code": -32603}}).to_string();
        assert!(matches!(
            check(&Call::new(1), 503, &refused),
            Err(Wrong::Error(503, _))
        ));
        assert_eq!(check(&Call::new(10), 200, &forged), Err(Wrong::Shape(200)));
        assert_eq!(check(&Call::new(10), 200, "{"), Err(Wrong::NoJson(200)));
    }
}
