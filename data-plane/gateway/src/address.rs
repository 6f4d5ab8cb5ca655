//! Where an upstream is: from its configured URL to the URI and credentials of one request.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use memchr::memmem::Finder;
use percent_encoding::percent_decode_str;
use tyrscale_http1::{Field, HeadError, HeadStart, Name, Target};
use tyrscale_jsonrpc::Vendor;
use tyrscale_model::{HttpUrl, Scheme, UpstreamHeaders};

use crate::headers::JSON;

/// An upstream's address, secrets included; `Debug` shows the origin only.
pub(crate) struct Address {
    /// With the port, unless it is that of the scheme.
    host: String,
    path: String,
    /// The query of the configured URL, which often holds a key.
    query: Option<String>,
    /// The target of a request without a query of the client's own.
    plain: Target,
    /// How heads of POST to it begin; `None` when the host cannot stand in a head.
    post: Option<HeadStart>,
    /// Set on every request: what the configuration says, and the `Authorization` that the URL's user info asks for
    /// unless that says another.
    own: Vec<(HeaderName, HeaderValue)>,
    origin: String,
    vendor: Vendor,
    secrets: Vec<Finder<'static>>,
}

/// The shortest part of a path or query that is taken for a key by itself.
const SHORTEST_KEY: usize = 6;

impl Address {
    /// # Errors
    /// When the URL's parts cannot stand in a request line.
    pub(crate) fn new(url: &HttpUrl, headers: &UpstreamHeaders) -> Result<Self, HeadError> {
        let host = match (url.scheme(), url.port()) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => url.host().to_owned(),
            (_, port) => format!("{}:{port}", url.host()),
        };
        let path = url.expose_path().to_owned();
        let query = url.expose_query().filter(|query| !query.is_empty());
        let plain = target(&path, query, None)?;
        let own = own(url, headers);
        Ok(Self {
            post: HeadStart::new(&Method::POST, &plain, &host, with_type(&own)).ok(),
            plain,
            host,
            path,
            query: query.map(str::to_owned),
            vendor: Vendor::of("", &url.origin()),
            origin: url.origin(),
            secrets: secrets(url, headers),
            own,
        })
    }

    /// Whom a request is for, as its `Host` field says it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The target of a request that came with `client_query`, which is sent after the address's own query.
    ///
    /// # Errors
    /// When the client's query cannot stand in a request line.
    pub(crate) fn target(&self, client_query: Option<&str>) -> Result<Target, HeadError> {
        match client_query.filter(|query| !query.is_empty()) {
            None => Ok(self.plain.clone()),
            query => target(&self.path, self.query.as_deref(), query),
        }
    }

    /// How the head of a POST of JSON begins that came with `client_query`; the upstream's own fields are in it. `None`
    /// when it cannot be written.
    pub(crate) fn post(&self, client_query: Option<&str>) -> Option<Cow<'_, HeadStart>> {
        match client_query.filter(|query| !query.is_empty()) {
            None => self.post.as_ref().map(Cow::Borrowed),
            query => {
                let target = self.target(query).ok()?;
                let start = HeadStart::new(&Method::POST, &target, &self.host, with_type(&self.own));
                start.ok().map(Cow::Owned)
            }
        }
    }

    /// The fields of every request that are the upstream's own.
    pub(crate) fn fields(&self) -> impl Iterator<Item = Field<'_>> + Clone {
        fields(&self.own)
    }

    /// Whether a field is the upstream's own, and not anybody else's to say.
    pub(crate) fn sets(&self, field: &Field<'_>) -> bool {
        self.own.iter().any(|(name, _)| field.is(name.as_str()))
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

fn fields(own: &[(HeaderName, HeaderValue)]) -> impl Iterator<Item = Field<'_>> + Clone {
    own.iter()
        .map(|(name, value)| Field::new(name.as_str(), value.as_bytes()))
}

/// The upstream's own fields, and that the body is JSON unless they say otherwise.
fn with_type(own: &[(HeaderName, HeaderValue)]) -> impl Iterator<Item = Field<'_>> + Clone {
    let is_said = own.iter().any(|(name, _)| *name == CONTENT_TYPE);
    let json = (!is_said).then(|| Field::of(Name::ContentType, JSON.as_bytes()));
    json.into_iter().chain(fields(own))
}

fn own(url: &HttpUrl, headers: &UpstreamHeaders) -> Vec<(HeaderName, HeaderValue)> {
    let set = headers.expose();
    let mut own: Vec<_> = set.map(|(name, value)| (name.clone(), value.clone())).collect();
    let authorization = url.expose_user_info().and_then(|user_info| basic(&user_info));
    if !own.iter().any(|(name, _)| name == AUTHORIZATION) {
        own.extend(authorization.map(|value| (AUTHORIZATION, value)));
    }
    own
}

fn target(path: &str, own: Option<&str>, client: Option<&str>) -> Result<Target, HeadError> {
    match (own, client) {
        (None, None) => Target::new(path),
        (Some(query), None) | (None, Some(query)) => Target::new(&format!("{path}?{query}")),
        (Some(own), Some(client)) => Target::new(&format!("{path}?{own}&{client}")),
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(&self.origin).finish()
    }
}

fn secrets(url: &HttpUrl, headers: &UpstreamHeaders) -> Vec<Finder<'static>> {
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
    let values = headers.expose().map(|(_, value)| value.as_bytes().to_vec());
    let values = values.filter(|value| value.len() >= SHORTEST_KEY);
    let mut written: Vec<Vec<u8>> = written.chain(encoded).chain(values).collect();
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
        Address::new(&url.parse().unwrap(), &UpstreamHeaders::default()).unwrap()
    }

    #[test]
    fn the_clients_query_follows_the_configured_one() {
        for (url, query, host, expected) in [
            ("http://n:1/rpc", Some("x=1"), "n:1", "/rpc?x=1"),
            ("http://n:1/rpc", None, "n:1", "/rpc"),
            ("http://n:1/rpc", Some(""), "n:1", "/rpc"),
            ("http://n:1?apikey=1", Some("x=2"), "n:1", "/?apikey=1&x=2"),
            ("http://n/?apikey=1", None, "n", "/?apikey=1"),
            ("https://n", None, "n", "/"),
            ("https://n:80", None, "n:80", "/"),
        ] {
            let address = address(url);
            let target = address.target(query).unwrap();
            assert_eq!(
                (address.host(), target.as_str()),
                (host, expected),
                "{url} {query:?}"
            );
        }
    }

    #[test]
    fn user_info_becomes_an_authorization_and_nothing_shows_it() {
        let address = address("http://user:p%40ss@n:1/secret-path?key=v");
        let own: Vec<_> = address.fields().map(|field| field.value().to_vec()).collect();
        assert_eq!(own, [b"Basic dXNlcjpwQHNz"]);
        assert!(address.sets(&Field::new("Authorization", b"x")));
        assert_eq!(format!("{address:?}"), r#"Address("http://n:1")"#);
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
