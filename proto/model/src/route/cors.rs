//! Which pages in browsers may call a route.

use std::{fmt, str::FromStr};

use http::HeaderName;

use crate::{Violation, ViolationCode, http_url::parse_port, rules::Rules};

/// The origins a text of the configuration stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AllowedOrigin {
    /// `*`: all of them.
    Any,
    /// This one, as browsers write it: lower case, without the scheme's own port.
    Exact(String),
    /// Every name below a domain.
    Below {
        /// `https`.
        scheme: String,
        /// `.example.com`, with a port where it is not the scheme's own.
        suffix: String,
    },
}

impl AllowedOrigin {
    /// The longest text, in bytes.
    pub const MAX: usize = 512;

    /// Whether the value of an `Origin` header is one of them.
    #[must_use]
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(known) => known == origin,
            Self::Below { scheme, suffix } => origin
                .strip_prefix(scheme.as_str())
                .and_then(|rest| rest.strip_prefix("://"))
                .and_then(|rest| rest.strip_suffix(suffix.as_str()))
                .is_some_and(is_domain),
        }
    }
}

fn is_domain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.split('.')
        .all(|label| !label.is_empty() && label.bytes().all(plain))
}

fn is_host(text: &str) -> bool {
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_domain(text),
    }
}

fn is_scheme(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(plain)
}

impl FromStr for AllowedOrigin {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let read = || {
            let text = text.to_ascii_lowercase();
            let (scheme, authority) = text.split_once("://")?;
            let (host, port) = match authority.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port).ok()?)),
                _ => (authority, None),
            };
            let own_port = match scheme {
                "http" => Some(80),
                "https" => Some(443),
                _ => None,
            };
            let port = port.filter(|port| Some(*port) != own_port);
            let port = port.map(|port| format!(":{port}")).unwrap_or_default();
            if !is_scheme(scheme) {
                return None;
            }
            match host.strip_prefix("*.") {
                Some(domain) => is_domain(domain).then(|| Self::Below {
                    scheme: scheme.to_owned(),
                    suffix: format!(".{domain}{port}"),
                }),
                None => is_host(host).then(|| Self::Exact(format!("{scheme}://{host}{port}"))),
            }
        };
        let invalid = || {
            let rule = "must be an origin such as https://app.example, https://*.example.com, or *";
            Violation::new("", ViolationCode::Invalid, rule)
        };
        if text.len() > Self::MAX {
            return Err(invalid());
        }
        read().ok_or_else(invalid)
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below { scheme, suffix } => write!(f, "{scheme}://*{suffix}"),
        }
    }
}

/// Which pages in browsers may call a route. Source: the Fetch standard, "CORS protocol".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// Whose pages may; at least one.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Request headers they may set beside those that need no leave; `*` for all.
    pub allowed_headers: Vec<HeaderName>,
    /// Headers of the answer they may read; `*` for all.
    pub exposed_headers: Vec<HeaderName>,
    /// Whether they may send credentials.
    pub allow_credentials: bool,
    /// Seconds a browser may remember the leave; 0 leaves it to the browser.
    pub max_age_s: u32,
}

impl Cors {
    /// The most origins, and the most headers of each list.
    pub const MAX_ITEMS: usize = 64;
    /// The longest time a browser may remember, seconds: a day.
    pub const MAX_AGE_S: u32 = 86_400;

    /// Whether pages of this origin, the value of an `Origin` header, may call.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.matches(origin))
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        let mut rules = Rules::default();
        let origins = "allowed_origins";
        let none = self.allowed_origins.is_empty();
        rules.refuse_if(
            none,
            origins,
            ViolationCode::Required,
            "must contain at least 1 item",
        );
        rules.set_of(origins, &self.allowed_origins, Self::MAX_ITEMS);
        let not_with = "must not be \"*\" with allow_credentials";
        let any = self.allow_credentials && self.allowed_origins.contains(&AllowedOrigin::Any);
        rules.refuse_if(any, origins, ViolationCode::Invalid, not_with);
        for (field, names) in [
            ("allowed_headers", &self.allowed_headers),
            ("exposed_headers", &self.exposed_headers),
        ] {
            rules.set_of(field, names, Self::MAX_ITEMS);
            let any = self.allow_credentials && names.iter().any(|name| name == "*");
            rules.refuse_if(any, field, ViolationCode::Invalid, not_with);
        }
        rules.at_most("max_age_s", self.max_age_s, Self::MAX_AGE_S);
        rules.within("cors")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_match_as_browsers_write_them() {
        for (allowed, origin, expected) in [
            ("*", "https://any.example", true),
            ("https://App.example:443", "https://app.example", true),
            ("https://app.example", "http://app.example", false),
            ("http://localhost:3000", "http://localhost:3000", true),
            ("http://localhost:3000", "http://localhost", false),
            ("http://[::1]:80", "http://[::1]", true),
            ("https://*.example.com", "https://a.b.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            ("https://*.example.com", "https://evil.test/.example.com", false),
            ("https://*.example.com:8443", "https://a.example.com:8443", true),
            ("https://*.example.com:8443", "https://a.example.com", false),
            ("chrome-extension://abcdef", "chrome-extension://abcdef", true),
        ] {
            let rule: AllowedOrigin = allowed.parse().unwrap();
            assert_eq!(rule.matches(origin), expected, "{allowed} {origin}");
            assert_eq!(rule.to_string().parse::<AllowedOrigin>(), Ok(rule));
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "null",
            "app.example",
            "https://",
            "https://app.example/",
            "https://u@app.example",
            "https://a.*.example",
            "https://*",
            "https://app.example:0",
            "https://[::1",
            "1x://a",
            "https://a..b",
        ] {
            assert!(bad.parse::<AllowedOrigin>().is_err(), "{bad}");
        }
    }
}
