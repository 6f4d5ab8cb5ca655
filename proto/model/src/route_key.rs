//! The normal form of a host and a path: what makes two routes the same, and what a request is looked up by.

use std::{borrow::Cow, fmt};

use percent_encoding::percent_decode_str;

/// A host without port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostKey(String);

impl HostKey {
    /// Normalises a host as given in a route or a `Host` header. An IPv6 literal keeps its brackets; a trailing
    /// dot is dropped.
    #[must_use]
    pub fn normalize(host: &str) -> Self {
        Self(normal_host(host).into_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A path that starts with `/`, percent-decoded, without doubled and trailing slashes and dot segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathKey(String);

impl PathKey {
    /// Normalises a path as given in a route or a request line, without query.
    #[must_use]
    pub fn normalize(path: &str) -> Self {
        Self(normal_path(path).into_owned())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A [`RouteKey`] that borrows what is normal already, as nearly every request's host and path are.
///
/// It hashes like the [`RouteKey`] it equals, so that tables of those can be asked without a copy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteKeyRef<'a> {
    host: Cow<'a, str>,
    path: Cow<'a, str>,
}

impl<'a> RouteKeyRef<'a> {
    /// Normalises both parts.
    #[must_use]
    pub fn normalize(host: &'a str, path: &'a str) -> Self {
        Self {
            host: normal_host(host),
            path: normal_path(path),
        }
    }
}

impl PartialEq<RouteKey> for RouteKeyRef<'_> {
    fn eq(&self, key: &RouteKey) -> bool {
        self.host == key.host.0 && self.path == key.path.0
    }
}

fn normal_host(host: &str) -> Cow<'_, str> {
    if is_plain_host(host) {
        return host.into();
    }
    let host = host.trim();
    let name = if let Some(end) = host.strip_prefix('[').and_then(|rest| rest.find(']')) {
        host.get(..end + 2).unwrap_or(host)
    } else if host.matches(':').count() > 1 {
        host
    } else {
        host.split_once(':').map_or(host, |(name, _)| name)
    };
    let ends = |last: char| last == '.' || last.is_whitespace();
    let name = name.trim_end_matches(ends).trim_start();
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

/// Whether a host is a name as most are: in lower case, without a port. Without an early exit the compiler looks at many
/// bytes at once.
fn is_plain_host(host: &str) -> bool {
    let belongs =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    host.bytes()
        .fold(!host.ends_with('.'), |all, byte| all & belongs(byte))
}

fn normal_path(path: &str) -> Cow<'_, str> {
    if path == "/" {
        return path.into();
    }
    if is_normal(path) {
        return path.into();
    }
    let decoded: Cow<'_, str> = percent_decode_str(path).decode_utf8_lossy();
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    format!("/{}", segments.join("/")).into()
}

fn is_normal(path: &str) -> bool {
    let mut segments = path.split('/');
    let is_rooted = segments.next() == Some("");
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('%');
    is_rooted && path.len() > 1 && segments.all(is_plain)
}

/// What a request is looked up by; unique among routes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    /// The host.
    pub host: HostKey,
    /// The path.
    pub path: PathKey,
}

impl RouteKey {
    /// Normalises both parts.
    #[must_use]
    pub fn normalize(host: &str, path: &str) -> Self {
        Self {
            host: HostKey::normalize(host),
            path: PathKey::normalize(path),
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host.0, self.path.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_lose_case_and_port() {
        for host in ["A.Example", "a.example", "a.example:9999", "a.example."] {
            assert_eq!(HostKey::normalize(host).as_str(), "a.example");
        }
        assert_eq!(HostKey::normalize("[::1]:7777").as_str(), "[::1]");
        assert_eq!(HostKey::normalize("::1").as_str(), "::1");
    }

    #[test]
    fn paths_lose_slashes_dots_and_encoding() {
        for path in [
            "/eth",
            "/eth/",
            "//eth",
            "/eth//",
            "/a/../eth",
            "/%65th",
            "eth",
            "/./eth",
        ] {
            assert_eq!(PathKey::normalize(path).as_str(), "/eth");
        }
        assert_eq!(PathKey::normalize("").as_str(), "/");
        assert_eq!(PathKey::normalize("/../..").as_str(), "/");
        assert_ne!(PathKey::normalize("/ETH"), PathKey::normalize("/eth"));
    }

    fn hash_of(key: &impl std::hash::Hash) -> u64 {
        use std::hash::{DefaultHasher, Hasher};
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    }

    proptest! {
        #[test]
        fn a_borrowed_key_is_and_hashes_like_the_owned_one(host in "[aA.:\\[\\]1]{0,8}", path in "[a/.%4é]{0,10}") {
            let (owned, borrowed) = (RouteKey::normalize(&host, &path), RouteKeyRef::normalize(&host, &path));
            prop_assert!(borrowed == owned);
            prop_assert_eq!(hash_of(&borrowed), hash_of(&owned));
        }

        #[test]
        fn a_path_that_is_called_normal_is(path in "[a/.%]{0,8}") {
            let segments: Vec<&str> = path.split('/').filter(|it| !matches!(*it, "" | ".")).collect();
            if is_normal(&path) {
                prop_assert!(!path.contains('%') && !segments.contains(&".."));
                prop_assert_eq!(format!("/{}", segments.join("/")), path);
            }
        }

        #[test]
        fn a_normal_path_starts_with_a_slash_and_has_no_empty_segment(path in "\\PC{0,40}") {
            let key = PathKey::normalize(&path);
            prop_assert!(key.as_str().starts_with('/'));
            prop_assert!(key.as_str() == "/" || key.as_str().split('/').skip(1).all(|s| !s.is_empty()));
        }

        #[test]
        fn a_host_is_normal_after_one_pass(host in "\\PC{0,40}") {
            let once = HostKey::normalize(&host);
            if !once.as_str().contains(':') {
                prop_assert_eq!(HostKey::normalize(once.as_str()), once);
            }
        }
    }
}
