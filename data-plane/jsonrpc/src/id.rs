//! Ids as the bytes they came as.

use std::borrow::Cow;

use crate::scan::{Scanner, decode};

/// Above this, a 64-bit float no longer tells neighbouring integers apart.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Integers of so many characters need no look at their value.
const EXACT_DIGITS: usize = 16;

/// The id of a call or an answer: the JSON text of a string, a number or `null`, kept as it was sent.
///
/// `1`, `1.0`, `9007199254740993` and `"\u0041"` stay what they are. Equality compares the text.
/// Source: JSON-RPC 2.0, section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawId<'a>(&'a str);

/// Whether a scanned number is one that a 64-bit float can hold.
fn is_finite(number: &str) -> bool {
    let is_short_integer =
        number.len() <= EXACT_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_short_integer || number.parse().is_ok_and(f64::is_finite)
}

impl<'a> RawId<'a> {
    /// Takes the text of a scanned value; `None` when such a value cannot be an id. A number beyond a 64-bit
    /// float is none: most JSON readers refuse it, and with it the whole body it stands in.
    pub(crate) fn from_value(value: &'a str) -> Option<Self> {
        let is_id = match value.as_bytes().first() {
            Some(b'"' | b'n') => true,
            Some(b'-' | b'0'..=b'9') => is_finite(value),
            _ => false,
        };
        is_id.then_some(Self(value))
    }

    /// Takes bytes that were an id's before; `None` when they are none.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut scanner = Scanner::new(text, 0);
        let value = scanner.value().ok()?;
        (value.len() == text.len()).then(|| Self::from_value(value))?
    }

    /// The JSON text of the id.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// The bytes of [`Self::as_str`].
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0.as_bytes()
    }

    /// A text that is the same for all spellings of one id, for upstreams that decode and re-encode ids:
    /// `"A"` for `"\u0041"`, `1` for `1.0`.
    pub(crate) fn canonical(self) -> Cow<'a, str> {
        let text = self.0;
        if text.starts_with('"') {
            let escaped = decode(text).filter(|decoded| matches!(decoded, Cow::Owned(_)));
            return escaped.map_or(Cow::Borrowed(text), |decoded| {
                Cow::Owned(serde_json::Value::from(decoded).to_string())
            });
        }
        if !text.contains(['.', 'e', 'E']) {
            return Cow::Borrowed(text);
        }
        match text.parse::<f64>() {
            Ok(number) if number.fract() == 0.0 && number.abs() < EXACT => Cow::Owned(format!("{number:.0}")),
            _ => Cow::Borrowed(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        RawId::from_value(text).unwrap().canonical().into_owned()
    }

    #[test]
    fn spellings_of_one_id_are_the_same_and_different_ids_stay_apart() {
        assert_eq!(canonical(r#""\u0041""#), canonical(r#""A""#));
        assert_eq!(canonical("1.0"), canonical("1"));
        assert_eq!(canonical("10e-1"), canonical("1"));
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"));
        assert_ne!(canonical("9007199254740993.0"), canonical("9007199254740992.0"));
        assert_ne!(canonical(r#""1""#), canonical("1"));
        assert_ne!(canonical(r#""null""#), canonical("null"));
        assert_ne!(canonical("1.5"), canonical("1"));
    }

    #[test]
    fn only_strings_finite_numbers_and_null_are_ids() {
        for text in [
            "true",
            "false",
            "[]",
            "{}",
            "",
            "1e400",
            "-1e400",
            &"9".repeat(400),
        ] {
            assert_eq!(RawId::from_value(text), None, "{text}");
            assert_eq!(RawId::parse(text.as_bytes()), None, "{text}");
        }
        for text in ["1", "\"a\"", "null", "1.0"] {
            assert_eq!(RawId::parse(text.as_bytes()).map(RawId::as_str), Some(text));
        }
        for text in ["1 ", " 1", "1 2", "nul", "\"a"] {
            assert_eq!(RawId::parse(text.as_bytes()), None, "{text}");
        }
    }
}
