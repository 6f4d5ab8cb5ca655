//! References to secrets inside texts: `${secret:NAME}`.

use std::borrow::Cow;

use crate::{Name, SecretValue, Snapshot, Violation, ViolationCode};

const OPENING: &str = "${secret:";
const CLOSING: char = '}';
/// The most references of one text.
const MAX: usize = 8;

/// A piece of a text.
enum Piece<'a> {
    Text(&'a str),
    Secret(Name),
}

/// The pieces of a text, up to a reference that is none.
fn pieces(text: &str) -> impl Iterator<Item = Result<Piece<'_>, Violation>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some(after) = rest.strip_prefix(OPENING) else {
            let (before, after) = rest.split_at(rest.find(OPENING).unwrap_or(rest.len()));
            rest = after;
            return Some(Ok(Piece::Text(before)));
        };
        let named = after.split_once(CLOSING);
        let read = named.and_then(|(name, after)| Some((name.parse().ok()?, after)));
        rest = read.as_ref().map_or("", |(_, after)| *after);
        Some(read.map_or_else(
            || {
                let rule = "must refer to secrets as ${secret:NAME}";
                Err(Violation::new("", ViolationCode::Invalid, rule))
            },
            |(name, _)| Ok(Piece::Secret(name)),
        ))
    })
}

/// Whether the references of a text can be read.
///
/// # Errors
/// The broken rule, of no field.
pub(crate) fn check(text: &str) -> Result<(), Violation> {
    let mut count = 0;
    for piece in pieces(text) {
        count += usize::from(matches!(piece?, Piece::Secret(_)));
    }
    if count > MAX {
        let rule = "must refer to at most 8 secrets";
        return Err(Violation::new("", ViolationCode::OutOfRange, rule));
    }
    Ok(())
}

/// How a secret is referred to.
pub(crate) fn written(name: &Name) -> String {
    format!("{OPENING}{name}{CLOSING}")
}

/// The secrets a text refers to.
pub(crate) fn names(text: &str) -> impl Iterator<Item = Name> {
    pieces(text).filter_map(|piece| match piece {
        Ok(Piece::Secret(name)) => Some(name),
        _ => None,
    })
}

/// Whether a text refers to a secret.
pub(crate) fn is_in(text: &str) -> bool {
    text.contains(OPENING)
}

/// The text with something else for each reference.
///
/// # Errors
/// What `replace` says, and a reference that cannot be read.
pub(crate) fn replaced<'a>(
    text: &str,
    mut replace: impl FnMut(&Name) -> Result<Cow<'a, str>, Violation>,
) -> Result<String, Violation> {
    let mut whole = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece? {
            Piece::Text(text) => whole.push_str(text),
            Piece::Secret(name) => whole.push_str(&replace(&name)?),
        }
    }
    Ok(whole)
}

/// The text without its references.
pub(crate) fn without(text: &str) -> String {
    let texts = pieces(text).filter_map(|piece| match piece {
        Ok(Piece::Text(text)) => Some(text),
        _ => None,
    });
    texts.collect()
}

/// The value of a secret that is referred to.
///
/// # Errors
/// A violation of no field when the subscriber was not sent it.
pub(crate) fn value_of<'a>(snapshot: &'a Snapshot, name: &Name) -> Result<&'a SecretValue, Violation> {
    snapshot.secret_value(name).ok_or_else(|| {
        let message = format!("refers to secret/{name}, whose value is not here");
        Violation::new("", ViolationCode::ReferenceNotFound, message)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_read_and_broken_ones_refused() {
        let text = "/v2/${secret:a}/${secret:b_-1}x";
        let found: Vec<String> = names(text).map(|name| name.to_string()).collect();
        assert_eq!(found, ["a", "b_-1"]);
        assert_eq!(without(text), "/v2//x");
        assert!(check(text).is_ok());
        for bad in ["${secret:", "${secret:}", "${secret:a b}", "x${secret:a/y"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(check(&"${secret:a}".repeat(MAX + 1)).is_err());
        assert!(check("${other:a} $ {} ${").is_ok(), "no reference at all");
    }

    proptest! {
        #[test]
        fn a_text_is_put_together_again(text in "([a-z/$}{]{0,4}(\\$\\{secret:[a-z]{1,3}\\})?){0,4}") {
            if check(&text).is_ok() {
                let same = replaced(&text, |name| Ok(written(name).into()));
                prop_assert_eq!(same.unwrap(), text);
            }
        }
    }
}
