//! A client's request: found a route for, read within limits, understood.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Version, header::HOST};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tyrscale_jsonrpc::{
    Call, ErrorReply, Expect, InvalidCall, Method as RpcMethod, Packet, RawId, Replay, batch_body, method,
};

use crate::config::Settings;
use crate::headers::{Peer, X_FORWARDED_HOST};
use crate::route::Route;
use crate::table::Table;

/// The route of a request: by the host it names, or a trusted peer names for it, and its path.
pub(crate) fn route<'t>(table: &'t Table, head: &Parts, peer: Peer) -> Option<&'t Arc<Route>> {
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = text(X_FORWARDED_HOST).filter(|_| peer.trusted);
    // A chain of proxies appends; the first entry is what the client asked for.
    let forwarded = forwarded.and_then(|hosts| hosts.split(',').next());
    let authority = head.uri.authority().map(Authority::as_str);
    let host = forwarded.or(authority).or_else(|| text(HOST)).unwrap_or_default();
    table.find(host, head.uri.path())
}

/// Whether a request says once whom it is for. Source: RFC 9112, section 3.2; HTTP/2 and HTTP/1.0 may do
/// without the header.
pub(crate) fn names_its_host(head: &Parts) -> bool {
    match head.headers.get_all(HOST).iter().count() {
        0 => head.version != Version::HTTP_11,
        count => count == 1,
    }
}

/// Whether a request with this method may carry a JSON-RPC body and its answer.
pub(crate) fn is_served(method: &Method) -> bool {
    !matches!(*method, Method::CONNECT | Method::TRACE | Method::HEAD)
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    TooSlow,
    /// Cut short, or not framed as HTTP asks for.
    Broken,
}

/// Reads a body of bounded size in bounded time.
pub(crate) async fn read(body: Incoming, settings: &Settings) -> Result<Bytes, Unread> {
    let limited = Limited::new(body, settings.max_body_bytes);
    match tokio::time::timeout(settings.body_timeout, limited.collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Unread::TooLarge),
        Ok(Err(_)) => Err(Unread::Broken),
        Err(_) => Err(Unread::TooSlow),
    }
}

/// The valid calls of a packet.
pub(crate) fn calls<'p, 'a>(packet: &'p Packet<'a>) -> impl Iterator<Item = &'p Call<'a>> {
    let (single, batch) = match packet {
        Packet::Single(call) => (Some(call), [].as_slice()),
        Packet::Batch(members) => (None, members.as_slice()),
    };
    single
        .into_iter()
        .chain(batch.iter().filter_map(|member| member.as_ref().ok()))
}

/// What the upstream is sent: the client's own bytes, or those of the valid calls when some are not.
/// `None` when no call is valid.
pub(crate) fn outgoing(packet: &Packet<'_>, body: &Bytes) -> Option<Bytes> {
    let Packet::Batch(members) = packet else {
        return Some(body.clone());
    };
    if members.iter().all(Result::is_ok) {
        return Some(body.clone());
    }
    let mut valid = calls(packet).map(|call| call.raw).peekable();
    valid.peek()?;
    Some(batch_body(valid).into())
}

/// What answers are expected to the valid calls of a packet.
pub(crate) fn expect(packet: &Packet<'_>) -> Expect {
    if calls(packet).all(|call| call.id.is_none()) {
        return Expect::Nothing;
    }
    match packet {
        Packet::Single(_) => Expect::Single,
        Packet::Batch(_) => Expect::Batch,
    }
}

/// Whether all the calls of a packet may be sent twice.
pub(crate) fn replay(packet: &Packet<'_>) -> Replay {
    let may_repeat = |call: &Call<'_>| method::lookup(&call.method).replay == Replay::Safe;
    if calls(packet).all(may_repeat) {
        Replay::Safe
    } else {
        Replay::Unsafe
    }
}

/// The method that a packet calls; that of a batch is none that is known.
pub(crate) fn method(packet: &Packet<'_>) -> &'static RpcMethod {
    match packet {
        Packet::Single(call) => method::lookup(&call.method),
        Packet::Batch(_) => method::other(),
    }
}

/// The id of a single call that wants an answer.
pub(crate) fn id<'a>(packet: &Packet<'a>) -> Option<RawId<'a>> {
    match packet {
        Packet::Single(call) => call.id,
        Packet::Batch(_) => None,
    }
}

/// The ids of the calls that want an answer, in order.
pub(crate) fn ids<'a>(packet: &Packet<'a>) -> Vec<RawId<'a>> {
    calls(packet).filter_map(|call| call.id).collect()
}

/// The error that a call of the wrong shape is answered with, in its place in a batch.
pub(crate) fn refusal(invalid: &InvalidCall<'_>) -> Vec<u8> {
    tyrscale_jsonrpc::error_body(
        invalid.id,
        ErrorReply::InvalidRequest.code(),
        &invalid.to_string(),
    )
}
