//! JSON-RPC envelopes, ids kept as bytes, methods and their properties, classification of answers.
//!
//! The gateway forwards the client's own bytes and streams the upstream's own bytes back. It only has to
//! understand as much of them as routing, retrying and matching ids take; that understanding lives here,
//! as pure functions of bytes that never re-encode and never recurse:
//!
//! - [`request::parse`]: what the client asks ([`Call`]s that borrow from the body);
//! - [`method::lookup`]: what a method is called in metrics, whether it may be sent twice, what it is about;
//! - [`block::of`], [`block::rewrite`]: which block a call is about, and numbers in the place of tags;
//! - [`response::peek`], [`response::inspect`], [`response::batch_items`], [`response::pair`]: what the
//!   upstream answered;
//! - [`classify::classify`]: what that means, as a [`Class`] with its [`Policy`];
//! - [`revert::normalise`], [`transaction`]: what is put right in an answer;
//! - [`empty::is_empty_result`]: whether a result holds nothing;
//! - [`reply`]: the answers that the gateway writes itself.

pub mod block;
pub mod class;
pub mod classify;
pub mod empty;
mod id;
pub mod method;
mod parts;
pub mod reply;
pub mod request;
pub mod response;
pub mod revert;
mod scan;
pub mod transaction;

pub use block::{BlockRef, Edge, Tag};
pub use class::{Blame, Class, Elsewhere, Exclusion, Lesson, Policy, most_telling};
pub use classify::{Observed, Vendor, Verdict, classify, is_own_word};
pub use id::RawId;
pub use method::{Kind, Method, Replay};
pub use reply::{ErrorReply, batch_body, error_body, surfaced};
pub use request::{Call, InvalidCall, Limits, Packet, Reason, RequestError};
pub use response::{Answer, Asked, Expect, Item, RpcError, Seen};
pub use transaction::TransactionHash;
