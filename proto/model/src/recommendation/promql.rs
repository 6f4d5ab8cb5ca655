//! Expressions that Prometheus evaluates.

use std::{fmt, str::FromStr};

use crate::{Violation, ViolationCode};

/// An expression in Prometheus' query language. Only its form is checked: quotes and brackets close, and nothing
/// unprintable is in it. Prometheus says the rest when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromQl(String);

impl PromQl {
    /// The longest expression, in bytes.
    pub const MAX: usize = 2048;

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with the form of `text`, if anything.
fn fault(text: &str) -> Option<&'static str> {
    let mut open = Vec::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some('"' | '\''), '\\') => {
                characters.next();
            }
            (Some(closing), _) if closing == character => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(character),
            (None, '(') => open.push(')'),
            (None, '[') => open.push(']'),
            (None, '{') => open.push('}'),
            (None, ')' | ']' | '}') if open.pop() != Some(character) => {
                return Some("has a bracket that closes nothing");
            }
            (None, _) => {}
        }
    }
    match (quote, open.is_empty()) {
        (Some(_), _) => Some("has a quote that is not closed"),
        (None, false) => Some("has a bracket that is not closed"),
        (None, true) => None,
    }
}

impl FromStr for PromQl {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let invalid = |rule| Violation::new("promql", ViolationCode::Invalid, rule);
        if text.len() > Self::MAX {
            let rule = "must have at most 2048 bytes";
            return Err(Violation::new("promql", ViolationCode::OutOfRange, rule));
        }
        if text.trim().is_empty() {
            return Err(invalid("must not be blank"));
        }
        if text
            .chars()
            .any(|character| character.is_control() && character != '\n')
        {
            return Err(invalid("must not have control characters"));
        }
        match fault(text) {
            Some(rule) => Err(invalid(rule)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for PromQl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_an_expression_is_checked() {
        for good in [
            "eth_block_number",
            "rate(x{a=\"}\", b='\\'', c=`\\`}[5m])",
            "sum by (rpc_uuid) (x) / 2",
        ] {
            assert!(good.parse::<PromQl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "x{",
            "x)",
            "x[}",
            "x{a=\"b}",
            "x\u{7}",
            &"x".repeat(2049),
        ] {
            assert!(bad.parse::<PromQl>().is_err(), "{bad}");
        }
    }
}
