//! Which methods the configuration lets through.
//!
//! Two lists of patterns: what to ignore and, over it, what to allow. Precedence:
//!
//! 1. a method that an **allow** pattern matches passes;
//! 2. else one that an **ignore** pattern matches does not;
//! 3. else it passes, unless there are allow patterns and no ignore patterns: then the allow list says
//!    all there is.
//!
//! So `ignore debug_*` with `allow debug_traceTransaction` leaves that one `debug_` method, and
//! `allow eth_*` alone leaves nothing else.

/// The longest pattern, in bytes.
const LONGEST: usize = 128;
/// The most patterns in a list.
const MOST: usize = 256;

/// Which methods pass. The default lets all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MethodFilter {
    ignore: Vec<Pattern>,
    allow: Vec<Pattern>,
}

/// Why a list of patterns is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// A pattern matches nothing, or is too long.
    #[error("pattern {0} must have 1 to {LONGEST} bytes")]
    Length(usize),
    /// A pattern has a character that no method has.
    #[error("pattern {0} may have letters, digits, '_', '.', '-', '/', ':' and '*' only")]
    Character(usize),
    /// Too many patterns.
    #[error("a list may have {MOST} patterns at most")]
    TooMany,
}

impl MethodFilter {
    /// A filter of patterns, in which `*` stands for any number of any characters.
    ///
    /// # Errors
    /// [`FilterError`] with the position of a pattern in its list.
    pub fn new<S: AsRef<str>>(ignore: &[S], allow: &[S]) -> Result<Self, FilterError> {
        Ok(Self {
            ignore: patterns(ignore)?,
            allow: patterns(allow)?,
        })
    }

    /// Whether `method` passes.
    #[must_use]
    pub fn passes(&self, method: &str) -> bool {
        let matched = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(method));
        if self.allow.is_empty() && self.ignore.is_empty() {
            return true;
        }
        matched(&self.allow) || (!self.ignore.is_empty() && !matched(&self.ignore))
    }
}

fn patterns<S: AsRef<str>>(texts: &[S]) -> Result<Vec<Pattern>, FilterError> {
    if texts.len() > MOST {
        return Err(FilterError::TooMany);
    }
    texts
        .iter()
        .enumerate()
        .map(|(position, text)| Pattern::new(text.as_ref(), position))
        .collect()
}

/// The pieces of a pattern between its stars: the first one begins a match, the last one ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    pieces: Vec<Box<str>>,
}

impl Pattern {
    fn new(text: &str, position: usize) -> Result<Self, FilterError> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(FilterError::Length(position));
        }
        let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/:*".contains(c);
        if !text.chars().all(fits) {
            return Err(FilterError::Character(position));
        }
        Ok(Self {
            pieces: text.split('*').map(Box::from).collect(),
        })
    }

    fn matches(&self, method: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut left) = method.strip_prefix(&**first) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        for piece in middle {
            // The earliest place leaves most for the pieces that follow.
            match left.split_once(&**piece) {
                Some((_, after)) => left = after,
                None => return false,
            }
        }
        left.ends_with(&**last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(ignore: &[&str], allow: &[&str]) -> MethodFilter {
        MethodFilter::new(ignore, allow).unwrap()
    }

    #[test]
    fn scenario_138_what_is_allowed_passes_though_its_family_is_ignored() {
        let filter = filter(&["debug_*"], &["debug_traceTransaction"]);
        assert!(!filter.passes("debug_traceBlock"));
        assert!(filter.passes("debug_traceTransaction"));
        assert!(filter.passes("eth_call"));
    }

    #[test]
    fn an_allow_list_alone_says_all_there_is() {
        let filter = filter(&[], &["eth_*", "net_version"]);
        assert!(filter.passes("eth_call") && filter.passes("net_version"));
        assert!(!filter.passes("net_versions") && !filter.passes("web3_sha3"));
    }

    #[test]
    fn without_patterns_everything_passes() {
        assert!(MethodFilter::default().passes("") && filter(&[], &[]).passes("x"));
    }

    #[test]
    fn stars_match_anywhere() {
        for (pattern, method, matches) in [
            ("*", "", true),
            ("*", "eth_call", true),
            ("eth_*", "eth_", true),
            ("*_call", "eth_call", true),
            ("*_call", "eth_callMany", false),
            ("a*a", "a", false),
            ("a*b*c", "a_b_b_c", true),
            ("a*b*c", "acb", false),
            ("eth_*Filter*", "eth_newFilter", true),
            ("**", "x", true),
        ] {
            assert_eq!(
                !filter(&[pattern], &[]).passes(method),
                matches,
                "{pattern} {method}"
            );
        }
    }

    #[test]
    fn bad_patterns_are_named() {
        assert_eq!(MethodFilter::new(&["a", ""], &[]), Err(FilterError::Length(1)));
        assert_eq!(
            MethodFilter::new(&[], &["ETH CALL"]),
            Err(FilterError::Character(0))
        );
        assert_eq!(MethodFilter::new(&["x"; 257], &[]), Err(FilterError::TooMany));
    }

    /// The definition: a star matches nothing, or one more character.
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                matches(rest, text) || text.split_first().is_some_and(|(_, text)| matches(pattern, text))
            }
            (Some((p, pattern)), Some((t, text))) => p == t && matches(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            let passes = filter(&[&pattern], &[]).passes(&text);
            prop_assert_eq!(!passes, matches(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
