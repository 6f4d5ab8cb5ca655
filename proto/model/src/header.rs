//! Names of HTTP headers that configuration may speak of.

use http::{HeaderName, header};

use crate::{Violation, ViolationCode};

/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// Reads the name of a header, case left aside.
///
/// # Errors
/// A text that is no token of RFC 9110, section 5.6.2, or too long.
pub(crate) fn parse_name(text: &str) -> Result<HeaderName, Violation> {
    let invalid = || Violation::new("", ViolationCode::Invalid, "must be the name of an HTTP header");
    if text.len() > MAX_NAME {
        return Err(invalid());
    }
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| invalid())
}

/// Whether a header belongs to one connection or frames, routes or encodes one message, so that nobody but the
/// gateway can set it. Source: RFC 9110, section 7.6.1.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    const RESERVED: [HeaderName; 14] = [
        header::ACCEPT_ENCODING,
        header::CONNECTION,
        header::CONTENT_ENCODING,
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::EXPECT,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::VIA,
    ];
    RESERVED.contains(name)
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

/// Reads the name of a header that configuration may set or pass on.
///
/// # Errors
/// As [`parse_name`], and for a header that is the gateway's own.
pub(crate) fn parse_free_name(text: &str) -> Result<HeaderName, Violation> {
    let name = parse_name(text)?;
    if is_reserved(&name) {
        let rule = "must not be a header of the connection or of a message's frame";
        return Err(Violation::new("", ViolationCode::Invalid, rule));
    }
    Ok(name)
}
