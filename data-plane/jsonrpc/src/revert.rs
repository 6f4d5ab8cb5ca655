//! Reverts: what a contract gave back, put where libraries look for it.
//!
//! Libraries read the bytes of a revert from `error.data` as clean hex. Upstreams also put them into the result,
//! behind a word (`Reverted 0x…`), inside an object, or into the message. [`normalise`] moves them; a body that is
//! clean already is not touched.

use serde_json::Value;

use crate::id::RawId;
use crate::parts::{Parts, envelope, splice};
use crate::scan::decode;

/// The selector of `Error(string)`. Source: Solidity, "Control structures", revert.
const ERROR_STRING: &str = "0x08c379a0";
/// The same at the beginning of a JSON string.
const ERROR_STRING_RESULT: &[u8] = b"\"0x08c379a0";
/// How much of an envelope may come before its result, in bytes.
const MAX_BEFORE_RESULT: usize = 512;
/// The hex digits of an argument of a call, 32 bytes.
const WORD_DIGITS: usize = 64;
/// The hex digits of a selector, 4 bytes.
const SELECTOR_DIGITS: usize = 8;
/// Longest `error.data` object that is searched, in bytes.
const MAX_SEARCHED: usize = 256 * 1024;
/// Deepest object inside `error.data` that is searched.
const MAX_DEPTH: usize = 4;

/// Whether the result of a call is a revert: an ABI-encoded `Error(string)`.
///
/// Looks at all of `body` only when its beginning makes one likely.
#[must_use]
pub fn is_result(body: &[u8]) -> bool {
    let head = body.get(..MAX_BEFORE_RESULT).unwrap_or(body);
    memchr::memmem::find(head, ERROR_STRING_RESULT).is_some()
        && std::str::from_utf8(body)
            .is_ok_and(|text| envelope(text).is_some_and(|parts| reverted_with(&parts).is_some()))
}

/// The body of a reverted call with its bytes as hex in `error.data`; `None` when they are there already, when
/// there are none, or when the body is not whole.
///
/// Everything else of an error keeps its bytes. A result becomes an error with code 3.
#[must_use]
pub fn normalise(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let parts = envelope(text)?;
    if let Some(data) = reverted_with(&parts) {
        return Some(as_error(parts.id, data));
    }
    let error = parts.error?.1;
    match error.data {
        Some((start, value)) => {
            let found = in_data(value)?;
            splice(text, start, value, &format!("\"{found}\""))
        }
        None => {
            let found = in_message(&decode(error.message?)?)?;
            splice(text, error.end, "", &format!(",\"data\":\"{found}\""))
        }
    }
}

/// The hex of a result that is an `Error(string)`: the selector, the offset of the string, its length, its bytes.
fn reverted_with<'a>(parts: &Parts<'a>) -> Option<&'a str> {
    if parts.error.is_some() {
        return None;
    }
    let hex = parts.result?.strip_prefix('"')?.strip_suffix('"')?;
    let arguments = hex.strip_prefix(ERROR_STRING)?;
    let offset = arguments.get(..WORD_DIGITS)?;
    let is_string = arguments.len() >= 2 * WORD_DIGITS
        && arguments.len().is_multiple_of(WORD_DIGITS)
        && arguments.bytes().all(|digit| digit.is_ascii_hexdigit())
        && offset.trim_start_matches('0') == "20";
    is_string.then_some(hex)
}

fn as_error(id: Option<RawId<'_>>, data: &str) -> Vec<u8> {
    let id = id.map_or("null", RawId::as_str);
    let message = match reason(data) {
        Some(reason) => format!("execution reverted: {reason}"),
        None => "execution reverted".to_owned(),
    };
    let message = Value::from(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":3,"message":{message},"data":"{data}"}}}}"#)
        .into_bytes()
}

/// The text inside an encoded `Error(string)`.
fn reason(data: &str) -> Option<String> {
    let arguments = data.strip_prefix(ERROR_STRING)?.get(WORD_DIGITS..)?;
    let (length, text) = arguments.split_at_checked(WORD_DIGITS)?;
    let length = usize::from_str_radix(length, 16).ok()?;
    let text = text.get(..length.checked_mul(2)?)?;
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = text.as_bytes().chunks_exact(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

/// The hex to put in the place of a `data` that is not clean hex.
fn in_data(value: &str) -> Option<String> {
    if let Some(text) = decode(value) {
        let text = text.trim();
        let (word, hex) = text.split_once(char::is_whitespace)?;
        let is_word = ["reverted", "revert"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known));
        return (is_word && is_hex(hex.trim())).then(|| hex.trim().to_owned());
    }
    if value.len() > MAX_SEARCHED {
        return None;
    }
    in_object(&serde_json::from_str(value).ok()?, MAX_DEPTH)
}

fn in_object(value: &Value, depth: usize) -> Option<String> {
    let object = value.as_object().filter(|_| depth > 0)?;
    let named = |name: &str| match object.get(name)? {
        Value::String(hex) if is_hex(hex) => Some(hex.clone()),
        Value::String(text) => in_data(&Value::from(text.as_str()).to_string()),
        _ => None,
    };
    ["data", "return", "output", "result"]
        .into_iter()
        .find_map(named)
        .or_else(|| object.values().find_map(|inner| in_object(inner, depth - 1)))
}

/// The hex inside a message: as long as a selector with arguments is, which no address and no hash is.
fn in_message(message: &str) -> Option<String> {
    let tokens = message.split(|character: char| !character.is_ascii_alphanumeric());
    let is_revert = |token: &&str| is_hex(token) && (token.len() - 2) % WORD_DIGITS == SELECTOR_DIGITS;
    tokens
        .filter(|token| token.starts_with("0x"))
        .find(is_revert)
        .map(str::to_owned)
}

fn is_hex(text: &str) -> bool {
    let digits = text.strip_prefix("0x");
    digits.is_some_and(|digits| {
        digits.len().is_multiple_of(2) && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests;
