//! The address of an HTTP CONNECT proxy, with credentials that are never shown.

use std::{fmt, str::FromStr};

use crate::{
    Name, Snapshot, Violation, ViolationCode,
    http_url::{MASK, mask_user_info, parse_port},
    secret::reference,
};

/// `[user:password@]host:port`, whose credentials may refer to secrets. `Debug` and `Display` mask the credentials.
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

    /// The text with `***` in place of credentials, unless they are references to secrets and nothing else.
    #[must_use]
    pub fn masked(&self) -> String {
        match &self.credentials {
            Some(credentials) => format!("{}@{}:{}", mask_user_info(credentials), self.host, self.port),
            None => self.text.clone(),
        }
    }

    /// The secrets the credentials refer to.
    pub fn secrets(&self) -> impl Iterator<Item = Name> {
        reference::names(self.credentials.as_deref().unwrap_or_default())
    }

    /// The address with the values of the secrets it refers to.
    ///
    /// # Errors
    /// A [`Violation`] of `field` naming the secret whose value is not there.
    pub fn filled(&self, field: &str, snapshot: &Snapshot) -> Result<Self, Violation> {
        let Some(credentials) = self.credentials.as_deref().filter(|text| reference::is_in(text)) else {
            return Ok(self.clone());
        };
        let value = |name: &Name| reference::value_of(snapshot, name).map(|it| it.expose().into());
        let filled = reference::replaced(credentials, value).map_err(|violation| Violation {
            field: field.to_owned(),
            ..violation
        })?;
        Ok(Self {
            text: format!("{filled}@{}:{}", self.host, self.port),
            credentials: Some(filled),
            host: self.host.clone(),
            port: self.port,
        })
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
            text == MASK || (named && text.bytes().all(plain) && reference::check(text).is_ok())
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
    fn credentials_that_are_references_alone_are_shown() {
        for (text, masked) in [
            ("${secret:u}:${secret:p}@h:80", "${secret:u}:${secret:p}@h:80"),
            ("${secret:both}@h:80", "${secret:both}@h:80"),
            ("user:${secret:p}@h:80", "***@h:80"),
        ] {
            let proxy: ProxyAddress = text.parse().unwrap();
            assert_eq!(proxy.masked(), masked);
            assert_eq!(
                proxy.secrets().last().unwrap().as_str().len(),
                if text.contains("both") { 4 } else { 1 }
            );
            let empty = Snapshot::empty(crate::Lineage([0; 16]));
            assert_eq!(
                proxy.filled("egress_proxy", &empty).unwrap_err().field,
                "egress_proxy"
            );
        }
        assert!("user:${secret:@h:80".parse::<ProxyAddress>().is_err());
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
