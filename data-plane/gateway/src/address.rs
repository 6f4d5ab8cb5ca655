//! Where an upstream is: from its configured URL to the URI and credentials of one request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::uri::InvalidUri;
use http::{HeaderValue, Uri};
use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;
use tyrscale_jsonrpc::Vendor;
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
    vendor: Vendor,
    secrets: Vec<Finder<'static>>,
}

/// The shortest part of a path or query that is taken for a key by itself.
const SHORTEST_KEY: usize = 6;

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
            vendor: Vendor::of("", &origin),
            origin,
            secrets: secrets(url),
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

    /// Whether `text` tells a secret part of the address: its path or query, what in them may be a key, or its
    /// credentials.
    pub(crate) fn is_told_in(&self, text: &[u8]) -> bool {
        self.secrets.iter().any(|secret| secret.find(text).is_some())
    }

    /// Who runs the upstream, by its host.
    pub(crate) const fn vendor(&self) -> Vendor {
        self.vendor
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

fn secrets(url: &HttpUrl) -> Vec<Finder<'static>> {
    let (path, query) = (url.expose_path(), url.expose_query().unwrap_or_default());
    let user_info = url.expose_user_info().unwrap_or_default();
    let (user, password) = user_info.split_once(':').unwrap_or((&user_info, ""));
    let encoded = STANDARD.encode(&user_info);
    let keys = path.split('/').chain(query.split(['&', '=', ';'])).chain([user]);
    let keys = keys.filter(|key| key.len() >= SHORTEST_KEY);
    let wholes = [path, query, &user_info, password];
    let wholes = wholes.into_iter().filter(|whole| !matches!(*whole, "" | "/"));
    let written = keys.chain(wholes).flat_map(|secret| {
        // An upstream may tell its path or query as it was sent, or decoded.
        let decoded = percent_decode_str(secret).collect::<Vec<u8>>();
        [secret.as_bytes().to_vec(), decoded]
    });
    let encoded = (!user_info.is_empty()).then(|| encoded.into_bytes());
    let mut written: Vec<Vec<u8>> = written.chain(encoded).collect();
    written.sort_unstable();
    written.dedup();
    written
        .iter()
        .map(|secret| Finder::new(secret).into_owned())
        .collect()
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

    #[test]
    fn a_text_that_tells_a_secret_is_known_for_one() {
        let address = address("http://alchemist:p%40s@n:1/v3/k%C3%A9y456/x?apikey=abcdef&v=2");
        for text in [
            "Cannot POST /v3/k%C3%A9y456/x?y",
            "no project kéy456",
            r#"{"path":"\/v3\/k%C3%A9y456"}"#,
            "key abcdef is over its quota",
            "alchemist",
            "password p@s",
            "Basic YWxjaGVtaXN0OnBAcw==",
        ] {
            assert!(address.is_told_in(text.as_bytes()), "{text}");
        }
        assert!(!address.is_told_in(br#"{"error":"v3 is not for x"}"#));
        assert!(!super::tests::address("http://n:1").is_told_in(b"http://n:1/"));
    }
}
