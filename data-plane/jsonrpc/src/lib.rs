//! JSON-RPC envelopes, ids kept as bytes, methods and their properties, classification of answers.
//!
//! The gateway forwards the client's own bytes and streams the upstream's own bytes back. It only has to
//! understand as much of them as routing, retrying and matching ids take; that understanding lives here,
//! as pure functions of bytes that never re-encode and never recurse:
//!
//! - [`request::parse`]: what the client asks ([`Call`]s that borrow from the body);
//! - [`method::lookup`]: what a method is called in metrics and whether it may be sent twice;
//! - [`response::peek`], [`response::inspect`], [`response::batch_items`], [`response::pair`]: what the
//!   upstream answered;
//! - [`classify::classify`]: what that means for the client and for the upstream;
//! - [`reply`]: the answers that the gateway writes itself.

pub mod classify;
mod id;
pub mod method;
pub mod reply;
pub mod request;
pub mod response;
mod scan;

pub use classify::{Fault, Verdict, classify};
pub use id::RawId;
pub use method::{Method, Replay};
pub use reply::{ErrorReply, batch_body, error_body};
pub use request::{Call, InvalidCall, Limits, Packet, Reason, RequestError};
pub use response::{Answer, Expect, Item, RpcError};
