//! Request targets. Source: RFC 9112, section 3.2.

use http::{Method, Uri};

use crate::head::HeadError;

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

/// Whether `host` can be a host with or without port. Empty is allowed. Source: RFC 9110, section 7.2.
pub(crate) fn is_host(host: &[u8]) -> bool {
    host.iter()
        .all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte))
}
