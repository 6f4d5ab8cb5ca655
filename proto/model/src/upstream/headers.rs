//! Headers set on every request to an upstream or rpc, whose values are secret or refer to secrets.

use std::{collections::BTreeMap, fmt};

use http::{HeaderName, HeaderValue};

use crate::{
    Name, Snapshot, Violation, ViolationCode, header::parse_free_name, http_url::MASK, rules::Rules,
    secret::reference,
};

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

    /// The secrets they refer to.
    pub fn secrets(&self) -> impl Iterator<Item = Name> {
        let texts = self.0.iter().filter_map(|(_, value)| value.to_str().ok());
        texts.flat_map(reference::names)
    }

    /// The headers with the values of the secrets they refer to.
    ///
    /// # Errors
    /// A [`Violation`] naming the secret whose value is not there.
    pub fn filled(&self, snapshot: &Snapshot) -> Result<Self, Violation> {
        let fill = |text: &str| {
            let value = |name: &Name| reference::value_of(snapshot, name).map(|it| it.expose().into());
            let text = reference::replaced(text, value)?;
            let invalid = || Violation::new("", ViolationCode::Invalid, "cannot stand in a header");
            let mut value = HeaderValue::from_str(&text).map_err(|_| invalid())?;
            value.set_sensitive(true);
            Ok(value)
        };
        let filled = self.0.iter().map(|(name, value)| match value.to_str() {
            Ok(text) if reference::is_in(text) => fill(text).map(|value| (name.clone(), value)),
            _ => Ok((name.clone(), value.clone())),
        });
        let filled = filled.collect::<Result<_, Violation>>();
        filled.map(Self).map_err(|violation| Violation {
            field: "headers".to_owned(),
            ..violation
        })
    }

    /// Those of `others` too that have no namesake here.
    #[must_use]
    pub fn over(&self, others: &Self) -> Self {
        let has = |name: &HeaderName| self.0.iter().any(|(own, _)| own == name);
        let added = others.0.iter().filter(|(name, _)| !has(name));
        let mut all: Vec<_> = self.0.iter().chain(added).cloned().collect();
        all.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
        Self(all)
    }

    /// Whether a value of `before` is still there that is not a reference to secrets: whoever reads them is not told it.
    #[must_use]
    pub fn keep_values_of(&self, before: &Self) -> bool {
        let is_hidden = |value: &HeaderValue| !value.to_str().is_ok_and(is_open);
        let mut kept = self.0.iter().filter(|header| before.0.contains(header));
        kept.any(|(_, value)| is_hidden(value))
    }

    /// As texts, values as `***` unless they only say how a secret is used, such as `Bearer ${secret:NAME}`.
    #[must_use]
    pub fn masked(&self) -> BTreeMap<String, String> {
        let masked = |value: &HeaderValue| match value.to_str() {
            Ok(text) if is_open(text) => text.to_owned(),
            _ => MASK.to_owned(),
        };
        let texts = self
            .0
            .iter()
            .map(|(name, value)| (name.to_string(), masked(value)));
        texts.collect()
    }

    /// As texts, secrets included.
    pub(crate) fn exposed_texts(&self) -> BTreeMap<String, String> {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let texts = self.0.iter().map(|(name, value)| (name.to_string(), text(value)));
        texts.collect()
    }
}

/// Whether a value holds references and, besides them, at most the name of a scheme (RFC 9110, section 11.1).
fn is_open(text: &str) -> bool {
    let rest = reference::without(text);
    let scheme = rest.strip_suffix(' ').unwrap_or(&rest);
    reference::is_in(text) && scheme.len() <= 16 && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())
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
    reference::check(text).map_err(|violation| invalid(&format!("values {}", violation.message)))?;
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
    fn references_are_shown_and_what_else_there_is_is_not() {
        let (headers, violations) = read(&[
            ("authorization", "Bearer ${secret:alchemy}"),
            ("x-key", "${secret:other}"),
            ("x-mixed", "s3cret9${secret:other}"),
        ]);
        assert!(violations.is_empty());
        let masked = headers.masked();
        assert_eq!(masked["authorization"], "Bearer ${secret:alchemy}");
        assert_eq!(masked["x-key"], "${secret:other}");
        assert_eq!(masked["x-mixed"], "***");
        let names: Vec<String> = headers.secrets().map(|name| name.to_string()).collect();
        assert_eq!(names, ["alchemy", "other", "other"]);
        assert_eq!(read(&[("x-key", "${secret:}")]).1.len(), 1);
    }

    #[test]
    fn an_own_header_is_sent_instead_of_one_of_the_same_name() {
        let (own, others) = (read(&[("x-b", "1")]).0, read(&[("X-B", "2"), ("x-a", "3")]).0);
        let texts = own.over(&others).exposed_texts();
        assert_eq!(
            (texts["x-a"].as_str(), texts["x-b"].as_str(), texts.len()),
            ("3", "1", 2)
        );
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
