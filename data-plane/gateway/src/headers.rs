//! Which headers travel on, in both directions.
//!
//! To the upstream goes what the client sent, without the headers of its connection, without its credentials
//! for the gateway (`Authorization`, `Cookie`: the upstream is a third party, whose own credentials stand in
//! its configuration) unless the route says otherwise, and with what the gateway says itself: what the body is, and
//! where the request came from. What is set for an upstream goes before it all. Back goes what the upstream sent,
//! without the headers of its connection, those about its own place, and any that tells a secret of its address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::HeaderName;
use tyrscale_http1::{Field, Fields, Name, Names};
use tyrscale_model::Scheme;

use crate::address::Address;
use crate::cors;

/// The content type of every request, and of answers that do not say theirs.
pub(crate) const JSON: &str = "application/json";

/// What of the client's request is said anew, or not at all.
const SAID_ANEW: Names = Names::of(&[
    Name::Host,
    Name::ContentLength,
    Name::ContentEncoding,
    Name::ContentType,
    Name::AcceptEncoding,
    Name::Expect,
    Name::XForwardedFor,
]);

/// The client's credentials, which are for the gateway.
const CREDENTIALS: Names = Names::of(&[Name::Authorization, Name::Cookie]);

/// What says how a request came, and is believed only of those who are trusted.
const WHENCE: Names = Names::of(&[
    Name::Forwarded,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XForwardedProto,
    Name::XRealIp,
]);

/// What is about the upstream's own place, which is not the gateway's and often holds a key; what it would do to the
/// gateway's own in a browser; and what is said anew.
const NOT_PASSED_ON: Names = Names::of(&[
    Name::AltSvc,
    Name::ClearSiteData,
    Name::ContentEncoding,
    Name::ContentLength,
    Name::ContentLocation,
    Name::ContentSecurityPolicy,
    Name::ContentType,
    Name::Location,
    Name::Nel,
    Name::Refresh,
    Name::ReportTo,
    Name::SetCookie,
    Name::SetCookie2,
    Name::StrictTransportSecurity,
    Name::WwwAuthenticate,
]);

/// Who sent the request to us.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// Whether it is believed what it says about whom it speaks for.
    pub(crate) trusted: bool,
    /// How it connects.
    pub(crate) scheme: Scheme,
    ip: IpAddr,
    /// What upstreams are told of it: its address, and how it connects.
    told: Fields,
}

impl Peer {
    pub(crate) fn new(address: IpAddr, scheme: Scheme, trusted: bool) -> Self {
        Self {
            trusted,
            scheme,
            ip: address,
            told: Fields::from_pairs([
                ("x-forwarded-for", address.to_string().as_bytes()),
                ("x-forwarded-proto", scheme.as_str().as_bytes()),
            ])
            .unwrap_or_default(),
        }
    }

    /// Its address.
    pub(crate) const fn address(&self) -> IpAddr {
        self.ip
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
        let name = field.known();
        let held_back = CREDENTIALS.has(name) || (!trusted && WHENCE.has(name));
        !SAID_ANEW.has(name) && (!held_back || forwarded.iter().any(|name| field.is(name.as_str())))
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
        CREDENTIALS.has(field.known()) || ["key", "token", "auth", "secret"].iter().any(has)
    };
    for_upstream(fields, peer, forwarded).any(|field| is_key(&field) && !address.sets(&field))
}

/// The addresses that a request came by, that of the peer the last; `None` when there is no other.
pub(crate) fn came_by(fields: &Fields, peer: &Peer) -> Option<Vec<u8>> {
    let lines = fields.all_known(Name::XForwardedFor).filter(|_| peer.trusted);
    let mut all: Vec<&[u8]> = lines.collect();
    if all.is_empty() {
        return None;
    }
    all.extend(peer.told.known(Name::XForwardedFor));
    Some(all.join(b", ".as_slice()))
}

/// The address of the client: the last of those that a request came by that is not believed about others.
pub(crate) fn client(fields: &Fields, peer: &Peer, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.ip;
    if !peer.trusted {
        return client;
    }
    let lines: Vec<&[u8]> = fields.all_known(Name::XForwardedFor).collect();
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

/// The fields of every request that are the gateway's own, beside what the body is. How the client asked is left to a
/// trusted peer that says it.
pub(crate) fn own<'a>(
    fields: &'a Fields,
    peer: &'a Peer,
    came_by: Option<&'a [u8]>,
    accepted: &'static str,
) -> impl Iterator<Item = Field<'a>> {
    let is_said = |name| peer.trusted && fields.known(name).is_some();
    let host = fields.known(Name::Host).unwrap_or_default();
    let asked = [
        Field::of(Name::XForwardedHost, host),
        Field::of(Name::XForwardedPort, port(host, peer.scheme)),
    ];
    let told = peer.told.iter();
    // The addresses on the way stand for the last of them alone.
    let told = told.filter(move |field| came_by.is_none() || field.known() != Name::XForwardedFor);
    let came_by = came_by.map(|addresses| Field::of(Name::XForwardedFor, addresses));
    let whence = asked.into_iter().chain(told);
    let whence = whence.filter(move |field| !is_said(field.known()) || field.known() == Name::XForwardedFor);
    let always = [Field::of(Name::AcceptEncoding, accepted.as_bytes())];
    always.into_iter().chain(came_by).chain(whence)
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
        !NOT_PASSED_ON.has(field.known())
            && !cors::is_about(field.name())
            && !address.is_told_in(field.value())
    });
}

/// An answer's field for what has no type of its own.
pub(crate) const fn json_type() -> (&'static str, Bytes) {
    ("content-type", Bytes::from_static(JSON.as_bytes()))
}

/// How long an upstream asks to be left alone. Source: RFC 9110, section 10.2.3.
pub(crate) fn retry_after(fields: &Fields, now: impl Fn() -> SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(fields.known(Name::RetryAfter)?).ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(value).ok()?;
    Some(at.duration_since(now()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
