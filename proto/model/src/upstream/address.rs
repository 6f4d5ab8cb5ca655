//! A plain HTTP address of an upstream, whose path may hold a key or refer to secrets.

use std::fmt;

use crate::{
    HttpUrl, Name, Scheme, Violation, ViolationCode,
    http_url::{MASK, mask_path, mask_query},
    secret::reference,
};

/// A plain HTTP address. `Debug` masks the path, which may hold a key.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// The protocol.
    pub scheme: Scheme,
    /// A name or IP address.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// As given, secrets included.
    path: String,
}

impl Address {
    /// An address, when its parts make a URL.
    ///
    /// # Errors
    /// A [`Violation`] that names the part.
    pub fn new(scheme: Scheme, host: &str, port: u16, path: &str) -> Result<Self, Violation> {
        let required = |field: &str| Violation::new(field, ViolationCode::Required, "must be set");
        if host.is_empty() {
            return Err(required("host"));
        }
        if path.is_empty() {
            return Err(required("path"));
        }
        if port == 0 {
            return Err(Violation::new(
                "port",
                ViolationCode::OutOfRange,
                "port must be 1 to 65535",
            ));
        }
        let host_only = format!("http://{host}:1/").parse::<HttpUrl>();
        if !host_only.is_ok_and(|url| url.host() == host.to_ascii_lowercase() && url.expose_path() == "/") {
            return Err(Violation::new(
                "host",
                ViolationCode::Invalid,
                "must be a host name or IP address",
            ));
        }
        let address = Self {
            scheme,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        };
        match address.url_text().parse::<HttpUrl>() {
            Ok(_) => Ok(address),
            Err(_) if reference::check(path).is_err() => Err(Violation::new(
                "path",
                ViolationCode::Invalid,
                "must refer to at most 8 secrets, as ${secret:NAME}",
            )),
            Err(_) => Err(Violation::new(
                "path",
                ViolationCode::Invalid,
                "must be a path of a URL, percent-encoded",
            )),
        }
    }

    /// The path as given, secrets included.
    #[must_use]
    pub fn expose_path(&self) -> &str {
        &self.path
    }

    /// The path with every secret as `***`.
    #[must_use]
    pub fn masked_path(&self) -> String {
        let (path, query) = self
            .path
            .find('?')
            .map_or((self.path.as_str(), ""), |at| self.path.split_at(at));
        format!("{}{}", mask_path(path), mask_query(query))
    }

    /// Whether its path is still that of `before` and holds a key: whoever reads it is not told it.
    #[must_use]
    pub fn keeps_key_of(&self, before: &Self) -> bool {
        self.path == before.path && self.masked_path() != self.path
    }

    /// The secrets the path refers to.
    pub fn secrets(&self) -> impl Iterator<Item = Name> {
        reference::names(&self.path)
    }

    /// Whether the path is a text that [`Address::masked_path`] made.
    #[must_use]
    pub fn is_masked(&self) -> bool {
        self.path.contains(MASK)
    }

    /// Whether `masked` is this address with its secrets masked.
    pub(crate) fn masks_to(&self, masked: &Self) -> bool {
        (self.scheme, self.host.as_str(), self.port) == (masked.scheme, masked.host.as_str(), masked.port)
            && self.masked_path() == masked.path
    }

    fn url_text(&self) -> String {
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        format!(
            "{}://{}:{}{slash}{}",
            self.scheme.as_str(),
            self.host,
            self.port,
            self.path
        )
    }

    /// The address as a URL. `None` cannot happen for an address made by [`Address::new`].
    #[must_use]
    pub fn url(&self) -> Option<HttpUrl> {
        self.url_text().parse().ok()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}{}",
            self.scheme.as_str(),
            self.host,
            self.port,
            self.masked_path()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_in_parts() {
        let address = Address::new(Scheme::Http, "node.example", 8545, "rpc?k=secret").unwrap();
        let url = address.url().unwrap();
        assert_eq!(
            (url.port(), url.expose_path(), url.expose_query()),
            (8545, "/rpc", Some("k=secret"))
        );
        assert!(!format!("{address:?}").contains("secret"));
        for (host, port, path) in [
            ("", 1, "/"),
            ("h", 0, "/"),
            ("h", 1, ""),
            ("h/x", 1, "/"),
            ("u@h", 1, "/"),
            ("h", 1, "/a b"),
        ] {
            assert!(
                Address::new(Scheme::Http, host, port, path).is_err(),
                "{host} {port} {path}"
            );
        }
        assert!(Address::new(Scheme::Http, "[::1]", 1, "/").is_ok());
    }
}
