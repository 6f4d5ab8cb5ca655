//! Which headers travel on, in both directions.
//!
//! To the upstream goes what the client sent, without the headers of its connection, without its credentials
//! for the gateway (`Authorization`, `Cookie`: the upstream is a third party, whose own credentials stand in
//! its URL), and with a content type and coding that say what the body is. Back goes what the upstream sent,
//! without the headers of its connection, those about its own place, and any that tells a secret of its address.

use std::net::IpAddr;

use http::header::{
    ACCEPT_ENCODING, ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFRESH, STRICT_TRANSPORT_SECURITY, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE,
};

use crate::address::Address;

/// The header that a load balancer in front of the gateway names the client's host in.
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The addresses a request came by, the client's first.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What belongs to one connection. Sources: RFC 9110, section 7.6.1; `Keep-Alive` and `Proxy-Connection` are
/// older.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What of the client's request is said anew, or not at all.
const NOT_FORWARDED: [HeaderName; 6] = [
    HOST,
    CONTENT_LENGTH,
    CONTENT_ENCODING,
    EXPECT,
    AUTHORIZATION,
    COOKIE,
];

/// What says how a request came, and is believed only of those who are trusted.
const WHENCE: [HeaderName; 6] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// What is about the upstream's own place, which is not the gateway's and often holds a key.
const OF_THE_UPSTREAM: [HeaderName; 6] = [
    ALT_SVC,
    CONTENT_LOCATION,
    LOCATION,
    REFRESH,
    STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE,
];

/// Who sent the request to us.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// Whether it is believed what it says about whom it speaks for.
    pub(crate) trusted: bool,
}

/// The headers of the request to the upstream, but for `Host` and the upstream's own credentials.
pub(crate) fn for_upstream(mut headers: HeaderMap, peer: Peer) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    for name in NOT_FORWARDED {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(CONTENT_TYPE, JSON);
    if !peer.trusted {
        for name in WHENCE {
            headers.remove(name);
        }
    }
    let came_by = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let peer_address = peer.address.to_string();
    let came_by: Vec<&str> = came_by.chain([peer_address.as_str()]).collect();
    if let Ok(value) = HeaderValue::from_str(&came_by.join(", ")) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers
}

/// Makes the headers of an upstream's answer those of ours, without any that tells a secret of its address.
/// The length is counted anew.
pub(crate) fn for_client(headers: &mut HeaderMap, address: &Address) {
    remove_hop_by_hop(headers);
    for name in OF_THE_UPSTREAM {
        headers.remove(name);
    }
    let telling: Vec<HeaderName> = headers
        .iter()
        .filter(|(_, value)| address.is_told_in(value.as_bytes()))
        .map(|(name, _)| name.clone())
        .collect();
    for name in telling {
        headers.remove(name);
    }
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_ENCODING);
    headers.entry(CONTENT_TYPE).or_insert(JSON);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.into_iter().chain(HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether the body is as its content type says, not compressed.
pub(crate) fn is_identity(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    const PEER: Peer = Peer {
        address: IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 9)),
        trusted: false,
    };

    #[test]
    fn headers_of_the_connection_stay_behind_also_those_it_names() {
        let sent = for_upstream(
            headers(&[
                ("connection", "close, X-Session"),
                ("x-session", "1"),
                ("keep-alive", "timeout=5"),
                ("te", "trailers"),
                ("upgrade", "websocket"),
                ("proxy-authorization", "Basic eA=="),
                ("x-custom", "kept"),
            ]),
            PEER,
        );
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["accept-encoding", "content-type", "x-custom", "x-forwarded-for"]
        );
    }

    #[test]
    fn credentials_for_the_gateway_are_not_told_to_the_upstream() {
        let sent = for_upstream(headers(&[("authorization", "Bearer t"), ("cookie", "s=1")]), PEER);
        assert!(!sent.contains_key(AUTHORIZATION) && !sent.contains_key(COOKIE));
    }

    #[test]
    fn only_a_trusted_peer_may_say_where_a_request_came_from() {
        let came = headers(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2")]);
        let sent = for_upstream(came.clone(), PEER);
        assert_eq!(sent[X_FORWARDED_FOR], "10.0.0.9");
        let whence = headers(&[
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-host", "h"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "1.1.1.1"),
        ]);
        let sent = for_upstream(whence.clone(), PEER);
        assert!(whence.keys().all(|name| !sent.contains_key(name)), "{sent:?}");
        let trusted = Peer {
            trusted: true,
            ..PEER
        };
        assert_eq!(
            for_upstream(came, trusted)[X_FORWARDED_FOR],
            "1.1.1.1, 2.2.2.2, 10.0.0.9"
        );
        let sent = for_upstream(whence.clone(), trusted);
        assert!(whence.keys().all(|name| sent.contains_key(name)), "{sent:?}");
    }

    fn address() -> Address {
        Address::new(&"http://n/v3/0123456789abcdef".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_answer_tells_neither_the_place_of_the_upstream_nor_its_secrets() {
        let mut answer = headers(&[
            ("location", "/"),
            ("content-location", "/"),
            ("refresh", "5"),
            ("www-authenticate", "Basic"),
            ("alt-svc", "clear"),
            ("strict-transport-security", "max-age=1"),
            ("x-original", "POST /v3/0123456789abcdef"),
            ("content-type", "text/plain"),
        ]);
        for_client(&mut answer, &address());
        assert_eq!(answer, headers(&[("content-type", "text/plain")]));
    }

    #[test]
    fn an_answer_without_a_type_is_json_and_its_length_is_counted_anew() {
        let mut answer = headers(&[("content-length", "5"), ("connection", "close"), ("x-kept", "1")]);
        for_client(&mut answer, &address());
        assert_eq!(
            answer,
            headers(&[("x-kept", "1"), ("content-type", "application/json")])
        );
    }
}
