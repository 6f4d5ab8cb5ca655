//! A client's request: found a route for, read within limits, understood.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use tyrscale_http1::RequestHead;
use tyrscale_jsonrpc::{
    Call, ErrorReply, Expect, InvalidCall, Method as RpcMethod, Packet, RawId, Replay, batch_body, method,
};

use crate::headers::Peer;
use crate::route::Route;
use crate::table::Table;

/// The route of a request: by the host it names, or a trusted peer names for it, and its path.
pub(crate) fn route<'t>(table: &'t Table, head: &RequestHead, peer: &Peer) -> Option<&'t Arc<Route>> {
    let forwarded = || {
        head.fields
            .get("x-forwarded-host")
            .and_then(|hosts| str::from_utf8(hosts).ok())
    };
    let forwarded = peer.trusted.then(forwarded).flatten();
    // A chain of proxies appends; the first entry is what the client asked for.
    let forwarded = forwarded.and_then(|hosts| hosts.split(',').next());
    let host = forwarded.or_else(|| head.host()).unwrap_or_default();
    table.find(host, path(head))
}

/// The path that a request names.
pub(crate) fn path(head: &RequestHead) -> &str {
    let target = head.target.path_and_query();
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// The query of a request.
pub(crate) fn query(head: &RequestHead) -> Option<&str> {
    head.target
        .path_and_query()
        .split_once('?')
        .map(|(_, query)| query)
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
    /// In a content coding that is not read.
    Unsupported,
    /// Not what its content coding asks for.
    Undecodable,
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
