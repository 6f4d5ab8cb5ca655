//! What a stub answers: the id of the request, and a result of the length that is asked for.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use memchr::memmem;

const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\nbusy\n";
const START: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
const MIDDLE: &[u8] = br#","result":"#;
const END: &[u8] = b"}";
/// Digits of the ids that a load sends; the length of an answer is counted with them.
const ID_DIGITS: usize = 9;
/// From this length on a result is sent from where it lies.
const APART: usize = 16 * 1024;

/// The answers of all upstreams of a process.
#[derive(Debug)]
pub(crate) struct Answers {
    /// A result with the end of its answer.
    result: Vec<u8>,
    fail_every: u64,
    fail_run: u64,
    asked: AtomicU64,
}

impl Answers {
    pub(crate) fn new(size: usize, fail_every: u64, fail_run: u64) -> Self {
        let around = START.len() + ID_DIGITS + MIDDLE.len() + END.len();
        // The shortest result is an empty quantity in quotes.
        let digits = size.saturating_sub(around + 4);
        let mut result = br#""0x"#.to_vec();
        result.extend(b"0123456789abcdef".iter().cycle().take(digits));
        result.push(b'"');
        result.extend_from_slice(END);
        Self {
            result,
            fail_every,
            fail_run,
            asked: AtomicU64::new(0),
        }
    }

    /// Writes the answer to `body`; returns what is to be sent after it.
    pub(crate) fn write(&self, body: &[u8], answer: &mut Vec<u8>) -> Option<&[u8]> {
        if let Some(result) = probed(body) {
            write_single(answer, id(body).unwrap_or(b"null"), result);
            return None;
        }
        if self.is_refused() {
            answer.extend_from_slice(REFUSAL);
            return None;
        }
        if body.starts_with(b"[") {
            self.write_batch(body, answer);
            return None;
        }
        let id = id(body).unwrap_or(b"null");
        if self.result.len() < APART {
            write_single(answer, id, &self.result);
            return None;
        }
        write_head(answer, START.len() + id.len() + MIDDLE.len() + self.result.len());
        for part in [START, id, MIDDLE] {
            answer.extend_from_slice(part);
        }
        Some(&self.result)
    }

    fn is_refused(&self) -> bool {
        if self.fail_every == 0 {
            return false;
        }
        let number = self.asked.fetch_add(1, Ordering::Relaxed) % self.fail_every;
        number + self.fail_run >= self.fail_every
    }

    fn write_batch(&self, body: &[u8], answer: &mut Vec<u8>) {
        let mut members = Vec::with_capacity(body.len() + self.result.len());
        let mut separator: &[u8] = b"[";
        let mut rest = body;
        while let Some(id) = id(rest) {
            for part in [separator, START, id, MIDDLE, &self.result] {
                members.extend_from_slice(part);
            }
            separator = b",";
            let after = memmem::find(rest, br#""id":"#).unwrap_or(rest.len()) + 5;
            rest = rest.get(after..).unwrap_or_default();
        }
        members.push(b']');
        write_head(answer, members.len());
        answer.extend_from_slice(&members);
    }
}

/// What a health check is told: a height, or that the node is not syncing.
fn probed(body: &[u8]) -> Option<&'static [u8]> {
    if memmem::find(body, b"eth_blockNumber").is_some() {
        Some(br#""0x3e8"}"#)
    } else if memmem::find(body, b"eth_syncing").is_some() {
        Some(b"false}")
    } else {
        None
    }
}

fn write_single(answer: &mut Vec<u8>, id: &[u8], result: &[u8]) {
    write_head(answer, START.len() + id.len() + MIDDLE.len() + result.len());
    for part in [START, id, MIDDLE, result] {
        answer.extend_from_slice(part);
    }
}

fn write_head(answer: &mut Vec<u8>, length: usize) {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ";
    answer.extend_from_slice(head);
    // A vector takes all that is written to it.
    write!(answer, "{length}\r\n\r\n").ok();
}

/// The bytes of the first id, as `load` and the health checks write it: without blanks, no comma within.
fn id(body: &[u8]) -> Option<&[u8]> {
    let at = memmem::find(body, br#""id":"#)? + 5;
    let rest = body.get(at..)?;
    let end = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
    rest.get(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(answers: &Answers, asked: &str) -> String {
        let mut answer = Vec::new();
        let payload = answers.write(asked.as_bytes(), &mut answer).map(<[u8]>::to_vec);
        answer.extend(payload.unwrap_or_default());
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let length = head.rsplit(' ').next().unwrap();
        assert_eq!(length, body.len().to_string());
        body.to_owned()
    }

    #[test]
    fn an_answer_has_the_id_and_the_length_asked_for() {
        for size in [100, 10_240, 1_048_576] {
            let body = body_of(
                &Answers::new(size, 0, 1),
                r#"{"id":123456789,"method":"eth_call"}"#,
            );
            assert_eq!(body.len(), size);
            let value: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert_eq!(value["id"], 123_456_789);
        }
    }

    #[test]
    fn batches_are_answered_call_by_call_and_probes_with_a_height() {
        let answers = Answers::new(100, 0, 1);
        let body = body_of(&answers, r#"[{"id":1,"method":"a"},{"id":"b","method":"a"}]"#);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&value[0]["id"], &value[1]["id"]), (&1.into(), &"b".into()));
        let body = body_of(&answers, r#"{"id":1,"method":"eth_blockNumber"}"#);
        assert_eq!(body, r#"{"jsonrpc":"2.0","id":1,"result":"0x3e8"}"#);
    }

    #[test]
    fn refusals_come_in_runs_at_the_end_of_each_period() {
        let answers = Answers::new(100, 5, 2);
        let refused: Vec<bool> = (0..10).map(|_| answers.is_refused()).collect();
        let period = [false, false, false, true, true];
        assert_eq!(refused, [period, period].concat());
    }
}
