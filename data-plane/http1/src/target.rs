//! Request targets. Source: RFC 9112, section 3.2.

use std::fmt;
use std::str;

use bytes::Bytes;
use http::{Method, Uri};

use crate::alphabet::Alphabet;
use crate::head::HeadError;

/// A request target: printable ASCII in one of the four forms. Source: RFC 9112, section 3.2.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(Bytes);

impl Target {
    pub(crate) const fn received(text: Bytes) -> Self {
        Self(text)
    }

    /// A target that did not come over HTTP/1.1: a path with its query.
    ///
    /// # Errors
    /// [`HeadError::Target`] when it has characters that do not belong there.
    pub fn new(path_and_query: &str) -> Result<Self, HeadError> {
        check(&Method::GET, path_and_query.as_bytes())?;
        Ok(Self(Bytes::copy_from_slice(path_and_query.as_bytes())))
    }

    /// As it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// As it came.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path with its query; `/` for a URI without path, empty for what has none.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        let text = self.as_str();
        if text.starts_with('/') {
            return text;
        }
        after_scheme(text).map_or("", |rest| match rest.find(['/', '?']) {
            Some(at) => rest.get(at..).unwrap_or("/"),
            None => "/",
        })
    }

    /// The authority of a whole URI, which goes before the `Host` field. Source: RFC 9112, section 3.2.2.
    #[must_use]
    pub fn authority(&self) -> Option<&str> {
        // As most begin.
        if self.0.starts_with(b"/") {
            return None;
        }
        let rest = after_scheme(self.as_str())?;
        rest.split(['/', '?']).next()
    }

    /// The path; `/` for a URI without one, empty for what has none.
    #[must_use]
    pub fn path(&self) -> &str {
        self.parts().0
    }

    /// What follows the path and its `?`; `None` without one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts().1
    }

    fn parts(&self) -> (&str, Option<&str>) {
        let both = self.path_and_query();
        let at = both.bytes().position(|byte| byte == b'?');
        match at.and_then(|at| both.split_at_checked(at)) {
            Some((path, query)) => (path, query.get(1..)),
            None => (both, None),
        }
    }
}

/// Its length only: paths and queries hold keys.
impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Target({} bytes)", self.0.len())
    }
}

/// # Errors
/// [`HeadError::Target`] when `target` is in none of the forms that go with `method`.
pub(crate) fn check(method: &Method, target: &[u8]) -> Result<(), HeadError> {
    let fits = if *method == Method::CONNECT {
        is_authority(target)
    } else {
        is_path(target) || (target == b"*" && *method == Method::OPTIONS) || is_uri(target)
    };
    if fits { Ok(()) } else { Err(HeadError::Target) }
}

/// What follows the scheme of a whole URI.
pub(crate) fn after_scheme(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    known.then_some(rest)
}

fn is_path(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && are_printable(target)
}

fn are_printable(target: &[u8]) -> bool {
    target.iter().all(|&byte| belongs(byte))
}

/// Characters of paths and queries, and those that are sent unencoded in spite of RFC 3986. Fragments are never
/// sent, and a back slash is a slash to some.
const fn belongs(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~') && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'|')
}

fn is_uri(target: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(target) else {
        return false;
    };
    after_scheme(text).is_some()
        && are_printable(target)
        && Uri::try_from(target).is_ok_and(|uri| {
            uri.authority()
                .is_some_and(|host| is_host(host.as_str().as_bytes()) && !host.as_str().is_empty())
        })
}

fn is_authority(target: &[u8]) -> bool {
    is_host(target)
        && Uri::try_from(target).is_ok_and(|uri| uri.port_u16().is_some() && uri.path().is_empty())
}

/// Of hosts and ports.
static HOST: Alphabet = Alphabet::of(b"-._~%!$&'()*+;=:[]");

/// Whether `host` can be a host with or without port. Empty is allowed. Source: RFC 9110, section 7.2.
pub(crate) fn is_host(host: &[u8]) -> bool {
    host.iter().all(|&byte| HOST.has(byte))
}
