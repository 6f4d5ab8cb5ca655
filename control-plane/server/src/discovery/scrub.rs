//! What nodes say, made fit to be kept and shown: short, printable, without addresses, which may hold keys.

use tyrscale_proto::v1;

/// The longest text kept, in characters.
const MAX_TEXT: usize = 1024;
/// The most violations or warnings kept.
const MAX_ENTRIES: usize = 32;
const HIDDEN: &str = "[url]";

/// A text without addresses and control characters, cut to a bounded length.
pub(crate) fn text(text: &str) -> String {
    let words = text.split(|character: char| character.is_whitespace() || character.is_control());
    let mut clean = String::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !clean.is_empty() {
            clean.push(' ');
        }
        clean.push_str(if is_address(word) { HIDDEN } else { word });
    }
    match clean.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => clean.get(..end).unwrap_or_default().to_owned(),
        None => clean,
    }
}

/// An address as it is, or as JSON or percent-encoding write it.
fn is_address(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    ["://", ":\\/\\/", "%3a%2f%2f", ":%2f%2f"]
        .iter()
        .any(|mark| lower.contains(mark))
}

/// Texts made fit, at most as many as are kept.
pub(crate) fn texts(entries: Vec<String>) -> Vec<String> {
    entries
        .iter()
        .take(MAX_ENTRIES)
        .map(|entry| text(entry))
        .collect()
}

/// Violations made fit, at most as many as are kept.
pub(crate) fn violations(violations: Vec<v1::Violation>) -> Vec<v1::Violation> {
    let clean = |violation: v1::Violation| v1::Violation {
        resource: violation.resource.map(reference),
        field: text(&violation.field),
        code: text(&violation.code),
        message: text(&violation.message),
        conflict: violation.conflict.map(reference),
    };
    violations.into_iter().take(MAX_ENTRIES).map(clean).collect()
}

fn reference(reference: v1::ResourceRef) -> v1::ResourceRef {
    v1::ResourceRef {
        id: text(&reference.id),
        ..reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hidden_however_they_are_written() {
        for said in [
            "cannot reach https://eth.example/v2/SECRET now",
            "cannot reach \"url\":\"https:\\/\\/h\\/SECRET\" now",
            "cannot reach (wss://u:SECRET@h) now",
            "cannot reach ?u=https%3A%2F%2Fh%2FSECRET now",
        ] {
            assert_eq!(text(said), "cannot reach [url] now");
        }
    }

    #[test]
    fn texts_are_bounded_and_printable() {
        assert_eq!(text("a\u{1b}[31m\nb"), "a [31m b");
        assert_eq!(text(&"é".repeat(5000)).chars().count(), MAX_TEXT);
        assert_eq!(texts(vec![String::new(); 100]).len(), MAX_ENTRIES);
    }
}
