//! An http or https URL that may hold a key: its text is shown masked unless asked for by name.

use std::{fmt, str::FromStr};

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::{Violation, ViolationCode};

/// What stands for a secret in a masked text.
pub(crate) const MASK: &str = "***";

/// The protocol of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// The name in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port used when none is given.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for Scheme {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            _ => Err(Violation::new(
                "scheme",
                ViolationCode::Invalid,
                "must be http or https",
            )),
        }
    }
}

/// A URL of a JSON-RPC endpoint (RFC 3986, without fragment).
///
/// `Debug` and `Display` mask user info, query values and path segments that look like keys.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    text: String,
    scheme: Scheme,
    user_info: Option<String>,
    host: String,
    port: u16,
    path: String,
    query: Option<String>,
}

impl HttpUrl {
    /// The longest URL, in bytes.
    pub const MAX: usize = 4096;

    /// The URL as it was given, secrets included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The protocol.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, given or by default.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path, at least `/`, secrets included.
    #[must_use]
    pub fn expose_path(&self) -> &str {
        &self.path
    }

    /// The query without `?`, secrets included.
    #[must_use]
    pub fn expose_query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// `user:password` with percent-encoding undone, when the URL has one.
    #[must_use]
    pub fn expose_user_info(&self) -> Option<String> {
        self.user_info
            .as_deref()
            .map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
    }

    /// `scheme://host:port`: says where, holds no secret.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }

    /// The URL with every secret as `***`.
    #[must_use]
    pub fn masked(&self) -> String {
        let query_start = self.text.find('?').unwrap_or(self.text.len());
        let (before_query, query) = self.text.split_at(query_start);
        let (scheme, rest) = before_query.split_once("://").unwrap_or(("", before_query));
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let authority = match authority.rsplit_once('@') {
            Some((_, host)) => format!("{MASK}@{host}"),
            None => authority.to_owned(),
        };
        format!("{scheme}://{authority}{}{}", mask_path(path), mask_query(query))
    }

    /// Whether this is a text that [`HttpUrl::masked`] made rather than a URL.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.text.contains(MASK)
    }

    /// The form in which two URLs of one endpoint are equal: scheme and host in lower case, the default port
    /// and trailing slashes left out.
    #[must_use]
    pub fn normalized(&self) -> String {
        let user_info = self
            .user_info
            .as_deref()
            .map(|text| format!("{text}@"))
            .unwrap_or_default();
        let query = self
            .query
            .as_deref()
            .map(|text| format!("?{text}"))
            .unwrap_or_default();
        let path = self.path.trim_end_matches('/');
        format!(
            "{}://{user_info}{}:{}{path}{query}",
            self.scheme.as_str(),
            self.host,
            self.port
        )
    }
}

/// Masks the segments of a path that look like keys: 20 or more characters of base64url with a digit.
pub(crate) fn mask_path(path: &str) -> String {
    let is_key = |segment: &str| {
        let alphabet =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'=' | b'.' | b'%');
        segment.len() >= 20 && segment.bytes().all(alphabet) && segment.bytes().any(|b| b.is_ascii_digit())
    };
    let segments = path
        .split('/')
        .map(|segment| if is_key(segment) { MASK } else { segment });
    segments.collect::<Vec<_>>().join("/")
}

/// Masks every value of a query that starts with `?`; a query without names is masked whole.
pub(crate) fn mask_query(query: &str) -> String {
    let Some(query) = query.strip_prefix('?') else {
        return String::new();
    };
    let masked = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if !value.is_empty() => format!("{name}={MASK}"),
        Some(_) => pair.to_owned(),
        None if pair.is_empty() => String::new(),
        None => MASK.to_owned(),
    });
    format!("?{}", masked.collect::<Vec<_>>().join("&"))
}

impl FromStr for HttpUrl {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let invalid = |message: &str| Violation::new("url", ViolationCode::Invalid, message);
        if text.is_empty() {
            return Err(Violation::new("url", ViolationCode::Required, "must be set"));
        }
        if text.len() > Self::MAX {
            return Err(Violation::new(
                "url",
                ViolationCode::OutOfRange,
                "must have at most 4096 bytes",
            ));
        }
        let text = text.split_once('#').map_or(text, |(before, _)| before);
        let uri: Uri = text
            .parse()
            .map_err(|_| invalid("must be an http or https URL"))?;
        let scheme: Scheme = uri
            .scheme_str()
            .unwrap_or_default()
            .parse()
            .map_err(|_| invalid("must be an http or https URL"))?;
        let authority = uri.authority().ok_or_else(|| invalid("must have a host"))?;
        if authority.host().is_empty() {
            return Err(invalid("must have a host"));
        }
        let (user_info, address) = match authority.as_str().rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info.to_owned()), address),
            None => (None, authority.as_str()),
        };
        let port = match address.strip_prefix(authority.host()) {
            None | Some("") => scheme.default_port(),
            Some(port) => {
                parse_port(port.trim_start_matches(':')).map_err(|violation| invalid(&violation.message))?
            }
        };
        Ok(Self {
            text: text.to_owned(),
            scheme,
            user_info,
            host: authority.host().to_ascii_lowercase(),
            port,
            path: if uri.path().is_empty() {
                "/".to_owned()
            } else {
                uri.path().to_owned()
            },
            query: uri.query().map(str::to_owned),
        })
    }
}

/// Reads a TCP port, 1 to 65535.
pub(crate) fn parse_port(text: &str) -> Result<u16, Violation> {
    let violation = || Violation::new("port", ViolationCode::OutOfRange, "port must be 1 to 65535");
    match text.parse() {
        Ok(0) | Err(_) => Err(violation()),
        Ok(port) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(port),
        Ok(_) => Err(violation()),
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> HttpUrl {
        text.parse().unwrap()
    }

    #[test]
    fn secrets_are_masked_and_the_rest_is_not() {
        for (text, masked) in [
            (
                "https://eth.example/v2/abcdefghij0123456789xyz",
                "https://eth.example/v2/***",
            ),
            ("https://user:pass@eth.example/", "https://***@eth.example/"),
            ("http://node:8545/?apikey=1&x=", "http://node:8545/?apikey=***&x="),
            ("http://node:8545?secret", "http://node:8545?***"),
            ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
            (
                "https://h/ethereum-mainnet-archive/rpc",
                "https://h/ethereum-mainnet-archive/rpc",
            ),
        ] {
            assert_eq!(url(text).masked(), masked);
            assert_eq!(format!("{}", url(text)), masked);
            assert!(format!("{:?}", url(text)).contains(masked));
        }
    }

    #[test]
    fn parts_are_read() {
        let parsed = url("HTTPS://u%40:p@Host.Example/a/b?k=v#frag");
        assert_eq!(parsed.scheme(), Scheme::Https);
        assert_eq!(parsed.host(), "host.example");
        assert_eq!(parsed.port(), 443);
        assert_eq!(parsed.expose_path(), "/a/b");
        assert_eq!(parsed.expose_query(), Some("k=v"));
        assert_eq!(parsed.expose_user_info().as_deref(), Some("u@:p"));
        assert_eq!(url("http://[::1]:8545").host(), "[::1]");
        assert_eq!(url("http://[::1]:8545").port(), 8545);
        assert_eq!(url("http://h").expose_path(), "/");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for bad in [
            "",
            "ftp://h/",
            "http://",
            "h:80",
            "/path",
            "http://h:0",
            "http://h:70000",
            "http://h ost/",
            "http://:80",
        ] {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn one_endpoint_has_one_normal_form() {
        for (one, other) in [
            ("http://h/a", "HTTP://H:80/a/"),
            ("https://h", "https://h:443/"),
            ("http://h/a?x=1", "http://h/a/?x=1"),
        ] {
            assert_eq!(url(one).normalized(), url(other).normalized());
        }
        assert_ne!(url("http://h/a").normalized(), url("http://h/A").normalized());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_masking_keeps_a_url(text in "\\PC{0,60}") {
            if let Ok(parsed) = text.parse::<HttpUrl>() {
                prop_assert!(parsed.masked().parse::<HttpUrl>().is_ok());
            }
        }

        #[test]
        fn no_key_survives_masking(key in "[a-zA-Z0-9]{19,40}[0-9]", name in "[a-z]{1,6}") {
            for text in [
                format!("https://h.example/v2/{key}"),
                format!("https://{name}:{key}@h.example/v2"),
                format!("https://h.example/v2?{name}={key}"),
                format!("https://h.example/{key}/x?{key}"),
            ] {
                prop_assert!(!url(&text).masked().contains(&key));
            }
        }
    }
}
