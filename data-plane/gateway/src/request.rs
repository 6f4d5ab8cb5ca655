//! A client's request: found a route for, and read within limits.

use std::sync::Arc;

use http::Method;
use tyrscale_http1::{Name, RequestHead};

use crate::headers::Peer;
use crate::route::Route;
use crate::table::Table;

/// The route of a request: by the host it names, or a trusted peer names for it, and its path.
pub(crate) fn route<'t>(table: &'t Table, head: &RequestHead, peer: &Peer) -> Option<&'t Arc<Route>> {
    let forwarded = || {
        head.fields
            .known(Name::XForwardedHost)
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
    head.target.path()
}

/// The query of a request.
pub(crate) fn query(head: &RequestHead) -> Option<&str> {
    head.target.query()
}

/// Whether a request with this method may carry a JSON-RPC body and its answer.
pub(crate) fn is_served(method: &Method) -> bool {
    !matches!(*method, Method::CONNECT | Method::TRACE | Method::HEAD)
}

/// The length that a request tells of its body; `None` when it does not, or not that of what is in it.
pub(crate) fn content_length(head: &RequestHead) -> Option<usize> {
    if head.fields.known(Name::ContentEncoding).is_some() {
        return None;
    }
    let length = head.fields.known(Name::ContentLength)?;
    str::from_utf8(length).ok()?.trim().parse().ok()
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    TooLarge,
    /// The gateway holds as much as it may.
    NoRoom,
    TooSlow,
    /// Cut short, or not framed as HTTP asks for.
    Broken,
    /// In a content coding that is not read.
    Unsupported,
    /// Not what its content coding asks for.
    Undecodable,
}
