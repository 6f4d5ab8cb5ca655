//! Results that hold nothing.

use crate::scan::{Scanner, decode};

/// Longest result that can count as empty, in bytes: two words of zeros fit.
const MAX_EMPTY: usize = 256;

/// Whether the result of a whole answer is `null`, `""`, `"0x"`, hex of zeros only, `0`, `[]` or `{}`.
///
/// Whether that is a good answer depends on the method: see [`crate::method::Empty`].
#[must_use]
pub fn is_empty_result(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| result(text).is_some_and(is_empty))
}

fn result(text: &str) -> Option<&str> {
    let mut scanner = Scanner::new(text, usize::MAX);
    let mut result = None;
    let mut member_follows = scanner.enter().ok()?;
    while member_follows {
        let is_result = scanner.key().ok()? == "result";
        let value = scanner.value().ok()?;
        if is_result {
            result = Some(value);
        }
        member_follows = scanner.more().ok()?;
    }
    result
}

fn is_empty(value: &str) -> bool {
    if value.len() > MAX_EMPTY {
        return false;
    }
    match value.as_bytes().first() {
        Some(b'n') => true,
        Some(b'[' | b'{') => value.bytes().filter(|byte| !byte.is_ascii_whitespace()).count() == 2,
        Some(b'"') => decode(value).is_some_and(|text| {
            text.is_empty()
                || text
                    .strip_prefix("0x")
                    .is_some_and(|digits| digits.bytes().all(|digit| digit == b'0'))
        }),
        _ => value == "0",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_zero_and_empty_containers_are_empty() {
        for result in [
            "null",
            "\"\"",
            "\"0x\"",
            "\"0x0\"",
            "\"0x0000\"",
            "0",
            "[ ]",
            "{}",
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            assert!(is_empty_result(body.as_bytes()), "{result}");
        }
    }

    #[test]
    fn whatever_says_something_is_not() {
        for result in [
            "false",
            "\"0x1\"",
            "\"x\"",
            "1",
            "0.5",
            "[null]",
            "{\"a\":1}",
            "\"0x00g\"",
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            assert!(!is_empty_result(body.as_bytes()), "{result}");
        }
        for body in ["", "null", "[]", "{}", r#"{"error":null}"#, r#"{"result":null"#] {
            assert!(!is_empty_result(body.as_bytes()), "{body}");
        }
    }
}
