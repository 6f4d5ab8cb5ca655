//! Where an upstream is: from its configured URL to the URI and credentials of one request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::InvalidUri;
use http::{HeaderValue, Uri};
use tyrscale_model::HttpUrl;

/// An upstream's address, secrets included; `Debug` shows the origin only.
pub(crate) struct Address {
    /// `scheme://host:port/path`.
    target: String,
    /// The query of the configured URL, which often holds a key.
    query: Option<String>,
    /// The URI of a request without a query of the client's own.
    plain: Uri,
    /// From the user info of the URL.
    authorization: Option<HeaderValue>,
    origin: String,
}

impl Address {
    /// # Errors
    /// When the URL's parts cannot stand in a request line.
    pub(crate) fn new(url: &HttpUrl) -> Result<Self, InvalidUri> {
        let origin = url.origin();
        let mut address = Self {
            target: format!("{origin}{}", url.expose_path()),
            query: url
                .expose_query()
                .filter(|query| !query.is_empty())
                .map(str::to_owned),
            plain: Uri::default(),
            authorization: url.expose_user_info().and_then(|user_info| basic(&user_info)),
            origin,
        };
        address.plain = address.join(None)?;
        Ok(address)
    }

    /// The URI of a request that came with `client_query`, which is sent after the address's own query.
    ///
    /// # Errors
    /// When the result is longer than a URI may be.
    pub(crate) fn uri(&self, client_query: Option<&str>) -> Result<Uri, InvalidUri> {
        match client_query.filter(|query| !query.is_empty()) {
            None => Ok(self.plain.clone()),
            query => self.join(query),
        }
    }

    fn join(&self, client_query: Option<&str>) -> Result<Uri, InvalidUri> {
        let target = &self.target;
        match (self.query.as_deref(), client_query) {
            (None, None) => target.parse(),
            (Some(query), None) | (None, Some(query)) => format!("{target}?{query}").parse(),
            (Some(own), Some(client)) => format!("{target}?{own}&{client}").parse(),
        }
    }

    /// The `Authorization` that the URL's user info asks for.
    pub(crate) const fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// `scheme://host:port`: for labels, without secrets.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.origin).finish()
    }
}

/// Basic credentials. Source: RFC 7617.
pub(crate) fn basic(user_info: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user_info))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        Address::new(&url.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_clients_query_follows_the_configured_one() {
        for (url, query, expected) in [
            ("http://n:1/rpc", Some("x=1"), "http://n:1/rpc?x=1"),
            ("http://n:1/rpc", None, "http://n:1/rpc"),
            ("http://n:1/rpc", Some(""), "http://n:1/rpc"),
            ("http://n:1?apikey=1", Some("x=2"), "http://n:1/?apikey=1&x=2"),
            ("http://n:1/?apikey=1", None, "http://n:1/?apikey=1"),
            ("https://n", None, "https://n:443/"),
        ] {
            assert_eq!(
                address(url).uri(query).unwrap().to_string(),
                expected,
                "{url} {query:?}"
            );
        }
    }

    #[test]
    fn user_info_becomes_an_authorization_and_nothing_shows_it() {
        let address = address("http://user:p%40ss@n:1/secret-path?key=v");
        assert_eq!(address.authorization().unwrap(), "Basic dXNlcjpwQHNz");
        assert_eq!(format!("{address:?}"), r#"Address("http://n:1")"#);
        assert!(address.authorization().unwrap().is_sensitive());
    }
}
