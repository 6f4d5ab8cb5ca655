//! The address of an HTTP CONNECT proxy, with credentials that are never shown.

use std::{fmt, str::FromStr};

use crate::{
    Violation, ViolationCode,
    http_url::{MASK, parse_port},
};

/// `[user:password@]host:port`. `Debug` and `Display` mask the credentials.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ProxyAddress {
    text: String,
    credentials: Option<String>,
    host: String,
    port: u16,
}

impl ProxyAddress {
    /// The text as given, credentials included.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// `user:password`, when given.
    #[must_use]
    pub fn expose_credentials(&self) -> Option<&str> {
        self.credentials.as_deref()
    }

    /// The proxy's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The proxy's port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The text with `***` in place of credentials.
    #[must_use]
    pub fn masked(&self) -> String {
        match self.credentials {
            Some(_) => format!("{MASK}@{}:{}", self.host, self.port),
            None => self.text.clone(),
        }
    }

    /// Whether this is a text that [`ProxyAddress::masked`] made.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.credentials.as_deref() == Some(MASK)
    }
}

impl FromStr for ProxyAddress {
    type Err = Violation;

    fn from_str(text: &str) -> Result<Self, Violation> {
        let violation = || {
            Violation::new(
                "proxy_host",
                ViolationCode::Invalid,
                "must be [user:pass@]host:port without a scheme",
            )
        };
        let (credentials, address) = match text.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, text),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(violation)?;
        let port = parse_port(port).map_err(|_| violation())?;
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let named =
            !host.is_empty() && host.split('.').all(|label| !label.is_empty()) && host.bytes().all(valid);
        let literal = host.starts_with('[') && host.ends_with(']');
        if !(named || literal) || text.len() > 1024 {
            return Err(violation());
        }
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'@');
        let credentials_valid = |text: &str| {
            let named = text.split_once(':').is_some_and(|(user, _)| !user.is_empty());
            text == MASK || (named && text.bytes().all(plain))
        };
        if credentials.is_some_and(|text| !credentials_valid(text)) {
            return Err(violation());
        }
        Ok(Self {
            text: text.to_owned(),
            credentials: credentials.map(str::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyAddress({})", self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_credentials_are_read_and_masked() {
        for (text, masked) in [
            ("localhost:9050", "localhost:9050"),
            ("user:pass@localhost:9050", "***@localhost:9050"),
            ("1.2.3.4:80", "1.2.3.4:80"),
            ("a.b.c.example:1080", "a.b.c.example:1080"),
        ] {
            let proxy: ProxyAddress = text.parse().unwrap();
            assert_eq!(proxy.masked(), masked);
            assert_eq!(proxy.expose(), text);
        }
    }

    #[test]
    fn a_scheme_or_a_missing_port_is_refused() {
        for bad in [
            "http://localhost:9050",
            "localhost",
            "localhost:0",
            ":80",
            "user@h:80",
            "h:port",
            "a..b:80",
            "http://user:pass@h:80",
            "a:b@c:d@h:80",
        ] {
            assert!(bad.parse::<ProxyAddress>().is_err(), "{bad}");
        }
    }
}
