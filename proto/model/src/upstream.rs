//! Upstreams: the places a route sends requests to.

use std::fmt;

use crate::{
    HttpUrl, ProxyAddress, ResourceKey, RouteId, RpcId, Scheme, UpstreamId, Violation, ViolationCode,
    http_url::{MASK, mask_path, mask_query},
};

/// A share of traffic: 0 to 100, fractions count, 0 drains.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Weight(f64);

impl Weight {
    /// The number.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Weight {
    type Error = Violation;

    fn try_from(number: f64) -> Result<Self, Violation> {
        if !number.is_finite() {
            return Err(Violation::new(
                "weight",
                ViolationCode::Invalid,
                "must be a finite number",
            ));
        }
        if !(0.0..=100.0).contains(&number) {
            return Err(Violation::new(
                "weight",
                ViolationCode::OutOfRange,
                "must be 0 to 100",
            ));
        }
        Ok(Self(number + 0.0))
    }
}

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

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// At the URL of an rpc.
    Rpc(RpcId),
    /// At an address of its own.
    Address(Address),
}

/// One place a route sends requests to.
#[derive(Debug, Clone, PartialEq)]
pub struct Upstream {
    /// The id.
    pub id: UpstreamId,
    /// The route it belongs to; never changes.
    pub route_id: RouteId,
    /// Where it is.
    pub target: Target,
    /// Its share.
    pub weight: Weight,
    /// The HTTP CONNECT proxy on the way to it.
    pub proxy: Option<ProxyAddress>,
}

impl Upstream {
    /// Its key.
    #[must_use]
    pub fn key(&self) -> ResourceKey {
        self.id.key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_finite_and_bounded() {
        for good in [0.0, 0.4, 33.5, 100.0] {
            assert!(Weight::try_from(good).is_ok());
        }
        for bad in [-0.1, 100.1, f64::NAN, f64::INFINITY] {
            assert!(Weight::try_from(bad).is_err());
        }
    }

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
