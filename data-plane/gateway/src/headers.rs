//! Which headers travel on, in both directions.
//!
//! To the upstream goes what the client sent, without the headers of its connection, without its credentials
//! for the gateway (`Authorization`, `Cookie`: the upstream is a third party, whose own credentials stand in
//! its URL), and with a content type and coding that say what the body is. Back goes what the upstream sent,
//! without the headers of its connection, those about its own place, and any that tells a secret of its address.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use tyrscale_http1::{Field, Fields};
use tyrscale_model::Scheme;

use crate::address::Address;

/// The addresses a request came by, the client's first.
const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// The content type of every request, and of answers that do not say theirs.
pub(crate) const JSON: &str = "application/json";

/// What of the client's request is said anew, or not at all.
const NOT_FORWARDED: [&str; 9] = [
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "accept-encoding",
    "expect",
    "authorization",
    "cookie",
    X_FORWARDED_FOR,
];

/// What says how a request came, and is believed only of those who are trusted.
const WHENCE: [&str; 5] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What is about the upstream's own place, which is not the gateway's and often holds a key; and what is said
/// anew.
const NOT_PASSED_ON: [&str; 8] = [
    "alt-svc",
    "content-encoding",
    "content-length",
    "content-location",
    "location",
    "refresh",
    "strict-transport-security",
    "www-authenticate",
];

/// Who sent the request to us.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Whether it is believed what it says about whom it speaks for.
    pub(crate) trusted: bool,
    /// How it connects.
    pub(crate) scheme: Scheme,
    /// Its address, as text.
    address: Box<str>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, scheme: Scheme, trusted: bool) -> Self {
        Self {
            trusted,
            scheme,
            address: address.to_string().into(),
        }
    }
}

/// The fields of the request to the upstream that are the client's.
pub(crate) fn for_upstream<'a>(fields: &'a Fields, peer: &Peer) -> impl Iterator<Item = Field<'a>> {
    let trusted = peer.trusted;
    fields
        .end_to_end()
        .filter(move |field| !is_any(field, &NOT_FORWARDED) && (trusted || !is_any(field, &WHENCE)))
}

/// The addresses that a request came by, that of the peer the last.
pub(crate) fn came_by<'p>(fields: &Fields, peer: &'p Peer) -> Cow<'p, [u8]> {
    let mut lines = fields
        .get_all(X_FORWARDED_FOR)
        .filter(|_| peer.trusted)
        .peekable();
    if lines.peek().is_none() {
        return Cow::Borrowed(peer.address.as_bytes());
    }
    let all: Vec<&[u8]> = lines.chain([peer.address.as_bytes()]).collect();
    Cow::Owned(all.join(b", ".as_slice()))
}

/// The fields of every request that are the gateway's own.
pub(crate) fn own(came_by: &[u8]) -> [Field<'_>; 3] {
    [
        Field::new("accept-encoding", b"identity"),
        Field::new("content-type", JSON.as_bytes()),
        Field::new(X_FORWARDED_FOR, came_by),
    ]
}

/// Leaves of an upstream's fields what clients may have: not what is about its own place, and none that tells a
/// secret of its address.
pub(crate) fn for_client(fields: &mut Fields, address: &Address) {
    fields.keep_end_to_end(|field| !is_any(&field, &NOT_PASSED_ON) && !address.is_told_in(field.value()));
}

/// An answer's field for what has no type of its own.
pub(crate) const fn json_type() -> (&'static str, Bytes) {
    ("content-type", Bytes::from_static(JSON.as_bytes()))
}

fn is_any(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

/// Whether the body is as its content type says, not compressed.
pub(crate) fn is_identity(fields: &Fields) -> bool {
    fields
        .get_all("content-encoding")
        .all(|coding| coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        Fields::from_pairs(lines.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap()
    }

    fn peer(trusted: bool) -> Peer {
        Peer::new([10, 0, 0, 9].into(), Scheme::Http, trusted)
    }

    fn names<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<&'a str> {
        fields
            .map(|field| std::str::from_utf8(field.name()).unwrap())
            .collect()
    }

    #[test]
    fn headers_of_the_connection_stay_behind_also_those_it_names() {
        let came = fields(&[
            ("connection", "close, X-Session"),
            ("x-session", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic eA=="),
            ("X-Custom", "kept"),
        ]);
        assert_eq!(names(for_upstream(&came, &peer(false))), ["X-Custom"]);
    }

    #[test]
    fn credentials_for_the_gateway_are_not_told_to_the_upstream() {
        let came = fields(&[("Authorization", "Bearer t"), ("cookie", "s=1")]);
        assert_eq!(for_upstream(&came, &peer(true)).count(), 0);
    }

    #[test]
    fn what_is_said_anew_is_not_said_twice() {
        let came = fields(&[
            ("Content-Type", "text/plain"),
            ("Accept-Encoding", "gzip"),
            ("host", "a"),
        ]);
        assert_eq!(for_upstream(&came, &peer(true)).count(), 0);
        assert_eq!(
            names(own(b"1.1.1.1").into_iter()),
            ["accept-encoding", "content-type", "x-forwarded-for"]
        );
    }

    #[test]
    fn only_a_trusted_peer_may_say_where_a_request_came_from() {
        let came = fields(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
        assert_eq!(*came_by(&came, &peer(false)), *b"10.0.0.9");
        assert_eq!(*came_by(&came, &peer(true)), *b"1.1.1.1, 2.2.2.2, 10.0.0.9");
        let whence = fields(&[
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-host", "h"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.1.1.1"),
        ]);
        assert_eq!(for_upstream(&whence, &peer(false)).count(), 0);
        assert_eq!(for_upstream(&whence, &peer(true)).count(), 5);
    }

    fn address() -> Address {
        Address::new(&"http://n/v3/0123456789abcdef".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_answer_tells_neither_the_place_of_the_upstream_nor_its_secrets() {
        let mut answer = fields(&[
            ("Location", "/"),
            ("content-location", "/"),
            ("refresh", "5"),
            ("www-authenticate", "Basic"),
            ("alt-svc", "clear"),
            ("strict-transport-security", "max-age=1"),
            ("x-original", "POST /v3/0123456789abcdef"),
            ("content-length", "5"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("content-type", "text/plain"),
        ]);
        for_client(&mut answer, &address());
        assert_eq!(names(answer.iter()), ["content-type"]);
    }
}
