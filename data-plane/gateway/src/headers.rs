//! Which headers travel on, in both directions.
//!
//! To the upstream goes what the client sent, without the headers of its connection, without its credentials
//! for the gateway (`Authorization`, `Cookie`: the upstream is a third party, whose own credentials stand in
//! its configuration) unless the route says otherwise, and with what the gateway says itself: what the body is, and
//! where the request came from. What is set for an upstream goes before it all. Back goes what the upstream sent,
//! without the headers of its connection, those about its own place, and any that tells a secret of its address.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderName;
use tyrscale_http1::{Field, Fields};
use tyrscale_model::Scheme;

use crate::address::Address;
use crate::cors;

/// The addresses a request came by, the client's first.
const X_FORWARDED_FOR: &str = "x-forwarded-for";
/// The content type of every request, and of answers that do not say theirs.
pub(crate) const JSON: &str = "application/json";

/// How a client asked.
const X_FORWARDED_HOST: &str = "x-forwarded-host";
const X_FORWARDED_PORT: &str = "x-forwarded-port";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What of the client's request is said anew, or not at all.
const SAID_ANEW: [&str; 7] = [
    "host",
    "content-length",
    "content-encoding",
    "content-type",
    "accept-encoding",
    "expect",
    X_FORWARDED_FOR,
];

/// The client's credentials, which are for the gateway.
const CREDENTIALS: [&str; 2] = ["authorization", "cookie"];

/// What says how a request came, and is believed only of those who are trusted.
const WHENCE: [&str; 5] = [
    "forwarded",
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_FORWARDED_PROTO,
    "x-real-ip",
];

/// What is about the upstream's own place, which is not the gateway's and often holds a key; what it would do to the
/// gateway's own in a browser; and what is said anew.
const NOT_PASSED_ON: [&str; 15] = [
    "alt-svc",
    "clear-site-data",
    "content-encoding",
    "content-length",
    "content-location",
    "content-security-policy",
    "content-type",
    "location",
    "nel",
    "refresh",
    "report-to",
    "set-cookie",
    "set-cookie2",
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
    ip: IpAddr,
    /// Its address, as text.
    address: Box<str>,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, scheme: Scheme, trusted: bool) -> Self {
        Self {
            trusted,
            scheme,
            ip: address,
            address: address.to_string().into(),
        }
    }

    /// Its address.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

/// The fields of the request to the upstream that are the client's. Those the route forwards pass, though they
/// would be held back.
pub(crate) fn for_upstream<'a>(
    fields: &'a Fields,
    peer: &Peer,
    forwarded: &'a [HeaderName],
) -> impl Iterator<Item = Field<'a>> {
    let trusted = peer.trusted;
    fields.end_to_end().filter(move |field| {
        let held_back = is_any(field, &CREDENTIALS) || (!trusted && is_any(field, &WHENCE));
        !is_any(field, &SAID_ANEW) && (!held_back || forwarded.iter().any(|name| field.is(name.as_str())))
    })
}

/// Whether the request to the upstream has a key of the client's, as far as names tell.
pub(crate) fn holds_credentials(
    fields: &Fields,
    peer: &Peer,
    forwarded: &[HeaderName],
    address: &Address,
) -> bool {
    let is_key = |field: &Field<'_>| {
        let name = field.name().to_ascii_lowercase();
        let has = |part: &&str| memchr::memmem::find(&name, part.as_bytes()).is_some();
        is_any(field, &CREDENTIALS) || ["key", "token", "auth", "secret"].iter().any(has)
    };
    for_upstream(fields, peer, forwarded).any(|field| is_key(&field) && !address.sets(&field))
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

/// The address of the client: the last of those that a request came by that is not believed about others.
pub(crate) fn client(fields: &Fields, peer: &Peer, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.ip;
    if !peer.trusted {
        return client;
    }
    let lines: Vec<&[u8]> = fields.get_all(X_FORWARDED_FOR).collect();
    let hops = lines
        .iter()
        .rev()
        .flat_map(|line| line.rsplit(|byte| *byte == b','));
    for hop in hops {
        // Behind what cannot be read there may be anything.
        let Some(address) = address_of(hop) else { break };
        client = address;
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// An address, which some proxies give with a port, or in brackets.
fn address_of(hop: &[u8]) -> Option<IpAddr> {
    let hop = str::from_utf8(hop).ok()?.trim();
    let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    hop.parse().ok().or_else(with_port).or_else(bracketed)
}

/// The fields of every request that are the gateway's own. How the client asked is left to a trusted peer that says
/// it.
pub(crate) fn own<'a>(
    fields: &'a Fields,
    peer: &Peer,
    came_by: &'a [u8],
    accepted: &'static str,
) -> impl Iterator<Item = Field<'a>> {
    let is_said = |name| peer.trusted && fields.get(name).is_some();
    let host = fields.get("host").unwrap_or_default();
    let whence = [
        (X_FORWARDED_HOST, host),
        (X_FORWARDED_PORT, port(host, peer.scheme)),
        (X_FORWARDED_PROTO, peer.scheme.as_str().as_bytes()),
    ];
    let whence = whence.map(|(name, value)| (!is_said(name)).then_some(Field::new(name, value)));
    let always = [
        Field::new("accept-encoding", accepted.as_bytes()),
        Field::new("content-type", JSON.as_bytes()),
        Field::new(X_FORWARDED_FOR, came_by),
    ];
    always.into_iter().chain(whence.into_iter().flatten())
}

/// The port that a client asked at, by the host it names.
fn port(host: &[u8], scheme: Scheme) -> &[u8] {
    let named = memchr::memrchr(b':', host).and_then(|at| host.get(at.saturating_add(1)..));
    let is_port = |port: &&[u8]| !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    let usual: &[u8] = match scheme {
        Scheme::Http => b"80",
        Scheme::Https => b"443",
    };
    named.filter(is_port).unwrap_or(usual)
}

/// Leaves of an upstream's fields what clients may have: not what is about its own place, and none that tells a
/// secret of its address.
pub(crate) fn for_client(fields: &mut Fields, address: &Address) {
    fields.keep_end_to_end(|field| {
        !is_any(&field, &NOT_PASSED_ON) && !cors::is_about(field.name()) && !address.is_told_in(field.value())
    });
}

/// An answer's field for what has no type of its own.
pub(crate) const fn json_type() -> (&'static str, Bytes) {
    ("content-type", Bytes::from_static(JSON.as_bytes()))
}

fn is_any(field: &Field<'_>, names: &[&str]) -> bool {
    names.iter().any(|name| field.is(name))
}

/// How long an upstream asks to be left alone. Source: RFC 9110, section 10.2.3.
pub(crate) fn retry_after(fields: &Fields, now: impl Fn() -> SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(fields.get("retry-after")?).ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
