//! Which JSON-RPC methods go somewhere.

use std::{fmt, str::FromStr};

use crate::{Violation, ViolationCode, rules::Rules};

/// A method's name in which `*` stands for any text, also none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodPattern(String);

impl MethodPattern {
    /// The longest pattern, in bytes.
    pub const MAX: usize = 128;

    /// The pattern as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a method's name is one it stands for. Takes time linear in both.
    #[must_use]
    pub fn matches(&self, method: &str) -> bool {
        let Some((first, rest)) = self.0.split_once('*') else {
            return self.0 == method;
        };
        let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
        let inner = method
            .strip_prefix(first)
            .and_then(|method| method.strip_suffix(last));
        let Some(mut left) = inner else { return false };
        for part in middle.split('*') {
            match left.split_once(part) {
                Some((_, after)) => left = after,
                None => return false,
            }
        }
        true
    }
}

impl FromStr for MethodPattern {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || !(1..=Self::MAX).contains(&text.len()) {
            let rule = "must have 1 to 128 visible ASCII characters";
            return Err(Violation::new("", ViolationCode::Invalid, rule));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for MethodPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which methods are let through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MethodFilter {
    /// Let through, also when ignored; alone, nothing else is.
    pub allow: Vec<MethodPattern>,
    /// Not let through.
    pub ignore: Vec<MethodPattern>,
}

impl MethodFilter {
    /// The most patterns of each list.
    pub const MAX_PATTERNS: usize = 128;

    /// Whether a method is let through: what is allowed is; what is ignored is not; anything else is unless there
    /// is an allow list alone.
    #[must_use]
    pub fn lets_through(&self, method: &str) -> bool {
        let is_in = |patterns: &[MethodPattern]| patterns.iter().any(|pattern| pattern.matches(method));
        if is_in(&self.allow) {
            return true;
        }
        if self.ignore.is_empty() {
            return self.allow.is_empty();
        }
        !is_in(&self.ignore)
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        rules.set_of("allow", &self.allow, Self::MAX_PATTERNS);
        rules.set_of("ignore", &self.ignore, Self::MAX_PATTERNS);
        let contradicts = self.allow.iter().any(|pattern| self.ignore.contains(pattern));
        let rule = "must not name what allow names";
        rules.refuse_if(contradicts, "ignore", ViolationCode::Invalid, rule);
        rules.within("methods")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(allow: &[&str], ignore: &[&str]) -> MethodFilter {
        let read = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        MethodFilter {
            allow: read(allow),
            ignore: read(ignore),
        }
    }

    #[test]
    fn a_star_stands_for_any_text_anywhere() {
        for (pattern, method, expected) in [
            ("eth_call", "eth_call", true),
            ("eth_call", "eth_callMany", false),
            ("eth_*", "eth_", true),
            ("eth_*", "net_version", false),
            ("*", "anything", true),
            ("*Transaction", "eth_sendRawTransaction", true),
            ("eth_*Transaction", "eth_sendRawTransaction", true),
            ("eth_*Raw*ion", "eth_sendRawTransaction", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("**", "", true),
            ("ETH_*", "eth_call", false),
        ] {
            let parsed: MethodPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(method), expected, "{pattern} {method}");
        }
    }

    /// Case 138 of the gateway's list.
    #[test]
    fn what_is_allowed_is_an_exception_from_what_is_ignored() {
        let both = filter(&["debug_traceTransaction"], &["debug_*"]);
        assert!(both.lets_through("debug_traceTransaction"));
        assert!(!both.lets_through("debug_traceCall"));
        assert!(both.lets_through("eth_call"));
    }

    #[test]
    fn an_allow_list_alone_is_all_there_is() {
        let only = filter(&["eth_*"], &[]);
        assert!(only.lets_through("eth_call") && !only.lets_through("net_version"));
        assert!(filter(&[], &[]).lets_through("net_version"));
    }

    #[test]
    fn patterns_are_visible_bounded_and_named_once() {
        for bad in ["", "eth call", "eth_\u{e9}", &"x".repeat(129)] {
            assert!(bad.parse::<MethodPattern>().is_err(), "{bad}");
        }
        let fields = |filter: MethodFilter| -> Vec<String> {
            let found = filter.violations().into_iter();
            found.map(|violation| violation.field).collect()
        };
        assert_eq!(
            fields(filter(&["a", "a"], &["b", "a"])),
            ["methods.allow", "methods.ignore"]
        );
        let many: Vec<String> = (0..129).map(|number| format!("m{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(fields(filter(&[], &many)), ["methods.ignore"]);
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_with_any_part_starred(before in "[a-z_]{0,8}", part in "[a-z_]{0,8}", after in "[a-z_]{0,8}") {
            let pattern: MethodPattern = format!("{before}*{after}").parse().unwrap();
            let method = format!("{before}{part}{after}");
            prop_assert!(pattern.matches(&method));
        }
    }
}
