//! Headers set on every request to an upstream, whose values are secret.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};

use crate::{Violation, ViolationCode, header::parse_free_name, http_url::MASK, rules::Rules};

/// Headers by name, in the order of names. Values are marked sensitive and `Debug` does not show them.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct UpstreamHeaders(Vec<(HeaderName, HeaderValue)>);

impl UpstreamHeaders {
    /// The most headers.
    pub const MAX: usize = 32;
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 8192;

    /// Reads names and values; what is wrong is left out and told of.
    pub(crate) fn read(texts: &BTreeMap<String, String>) -> (Self, Vec<Violation>) {
        let mut rules = Rules::default();
        let mut headers = Vec::new();
        for (name, value) in texts {
            let name = parse_free_name(name);
            let value = parse_value(value);
            for violation in [name.as_ref().err(), value.as_ref().err()].into_iter().flatten() {
                rules.refuse_if(true, "headers", violation.code, &violation.message);
            }
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.push((name, value));
            }
        }
        headers.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        let names: Vec<&HeaderName> = headers.iter().map(|(name, _)| name).collect();
        rules.set_of("headers", &names, Self::MAX);
        (Self(headers), rules.finish())
    }

    /// Names and values, which are secret.
    pub fn expose(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts the stored values where this shows them masked; `false` when one of them is not stored.
    pub(crate) fn unmask(&mut self, stored: Option<&Self>) -> bool {
        let masked = self.0.iter_mut().filter(|(_, value)| value == MASK);
        let mut found = true;
        for (name, value) in masked {
            let known = stored.and_then(|stored| stored.0.iter().find(|(known, _)| known == name));
            match known {
                Some((_, known)) => value.clone_from(known),
                None => found = false,
            }
        }
        found
    }

    /// As texts, values as `***`.
    #[must_use]
    pub fn masked(&self) -> BTreeMap<String, String> {
        let names = self.0.iter().map(|(name, _)| name.to_string());
        names.map(|name| (name, MASK.to_owned())).collect()
    }

    /// As texts, secrets included.
    pub(crate) fn exposed_texts(&self) -> BTreeMap<String, String> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let texts = self.0.iter().map(|(name, value)| (name.to_string(), text(value)));
        texts.collect()
    }
}

/// Reads a value: visible ASCII, spaces and tabs inside (RFC 9110, section 5.5).
fn parse_value(text: &str) -> Result<HeaderValue, Violation> {
    let invalid = |rule: &str| Violation::new("", ViolationCode::Invalid, rule);
    if text.len() > UpstreamHeaders::MAX_VALUE {
        return Err(Violation::new(
            "",
            ViolationCode::OutOfRange,
            "values must have at most 8192 bytes",
        ));
    }
    let rule = "values must be visible ASCII, with blanks inside only";
    if !text.is_ascii() || text.trim() != text {
        return Err(invalid(rule));
    }
    let mut value = HeaderValue::from_str(text).map_err(|_| invalid(rule))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for UpstreamHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.0.iter().map(|(name, _)| (name, MASK)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[(&str, &str)]) -> (UpstreamHeaders, Vec<Violation>) {
        let texts = texts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        UpstreamHeaders::read(&texts.collect())
    }

    #[test]
    fn values_are_kept_and_never_shown() {
        let (headers, violations) = read(&[("X-Api-Key", "s3cret"), ("authorization", "Bearer s3cret")]);
        assert!(violations.is_empty());
        assert!(!format!("{headers:?}").contains("s3cret"));
        assert!(headers.expose().all(|(_, value)| value.is_sensitive()));
        assert_eq!(headers.masked()["x-api-key"], "***");
        assert_eq!(headers.exposed_texts()["authorization"], "Bearer s3cret");
    }

    #[test]
    fn headers_of_the_connection_and_broken_ones_are_refused() {
        for (name, value) in [
            ("Host", "a"),
            ("content-length", "1"),
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("keep-alive", "x"),
            ("proxy-authorization", "x"),
            ("bad name", "x"),
            ("", "x"),
            ("x-key", "a\r\nb: c"),
            ("x-key", " a"),
            ("x-key", "\u{e9}"),
        ] {
            let (headers, violations) = read(&[(name, value)]);
            assert!(headers.is_empty(), "{name}");
            assert_eq!(violations.len(), 1, "{name}");
            assert_eq!(violations[0].field, "headers");
        }
        let (_, violations) = read(&[("X-Key", "1"), ("x-key", "2")]);
        assert_eq!(violations.len(), 1, "one name, whatever its case");
        let many: Vec<String> = (0..33).map(|number| format!("x-{number}")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(read(&many).1.len(), 1);
    }

    #[test]
    fn a_masked_value_stands_for_the_stored_one_of_its_name() {
        let (stored, _) = read(&[("x-key", "s3cret"), ("x-other", "2")]);
        let (mut sent, _) = read(&[("X-Key", "***"), ("x-other", "3")]);
        assert!(sent.unmask(Some(&stored)));
        assert_eq!(sent.exposed_texts()["x-key"], "s3cret");
        assert_eq!(sent.exposed_texts()["x-other"], "3");
        let (mut stranger, _) = read(&[("x-new", "***")]);
        assert!(!stranger.unmask(Some(&stored)));
        assert!(!read(&[("x-key", "***")]).0.unmask(None));
    }
}
