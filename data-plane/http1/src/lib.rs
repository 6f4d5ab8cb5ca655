//! HTTP/1.1 for a proxy: strict, without copies, driven by the task that uses it.
//!
//! [`Server`] is a connection from a client, [`Client`] one to an upstream. Both work over any stream, spawn
//! nothing, and hold no buffer while nothing happens. A head is parsed once; its fields stay where they were
//! received ([`Fields`]).
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use bytes::Bytes;
//! # use http::StatusCode;
//! # use tyrscale_http1::{Drain, Server, ServerSettings};
//! # async fn serve(stream: tokio::net::TcpStream, settings: Arc<ServerSettings>, drain: Drain) {
//! let mut server = Server::new(stream, settings, drain);
//! loop {
//!     match server.next_request().await {
//!         Ok(Some(head)) => {
//!             let body = server.read_body(1 << 20).await.unwrap_or_default();
//!             if server.respond(StatusCode::OK, head.fields.end_to_end(), body).await.is_err() {
//!                 return;
//!             }
//!         }
//!         Ok(None) => return,
//!         Err(error) => match error.status() {
//!             Some(status) if server.respond(status, [], Bytes::new()).await.is_ok() => {}
//!             _ => return,
//!         },
//!     }
//! }
//! # }
//! ```
//!
//! # Strictness
//!
//! What one reader takes for the end of a message is to another in the middle of it: that is how requests are
//! smuggled past a proxy. So whatever can be read in two ways is refused, and what is accepted hyper reads in the
//! same way; the tests compare the two on generated messages. We refuse what hyper takes in these cases:
//!
//! - lines that end with a line feed alone, in heads and in trailers; more than two empty lines before a request,
//!   and any before an answer;
//! - `Content-Length` more than once, even with the same number, as a list, or with more than 18 digits;
//! - `Content-Length` together with `Transfer-Encoding`, on either side;
//! - a transfer encoding other than `chunked` alone: hyper looks only at the last one of a request, and reads an
//!   answer that does not end in `chunked` until the connection ends;
//! - a chunk size of more than 15 digits, a line with a size of 512 bytes or more, a trailer section of more than 64
//!   fields; and only white space or a semicolon may follow a size;
//! - a request of HTTP/1.1 without exactly one `Host`, or with one that is no host; an `Expect` other than
//!   `100-continue`;
//! - targets with fragments, user information, back slashes, or bytes that are not printable ASCII; whole URIs of
//!   other schemes than `http` and `https`; `*` with other methods than OPTIONS;
//! - an answer with status 101, which nobody asks for, and more interim answers than the limit.

mod alphabet;
mod chunked;
mod client;
mod date;
mod drain;
mod encode;
mod fields;
mod framing;
mod head;
mod name;
mod rewind;
mod server;
mod target;
mod timer;
mod transport;

pub use chunked::ChunkError;
pub use client::{Client, ClientError, ResponseLimits};
pub use drain::{Drain, DrainSignal};
pub use encode::{HeadStart, request_head};
pub use fields::{Field, Fields, InvalidField};
pub use framing::FramingError;
pub use head::{HeadError, HeadLimits, MAX_FIELDS, RequestHead, ResponseHead, Version};
pub use name::{Name, Names};
pub use rewind::Rewind;
pub use server::{AnswerError, AnswerLength, BodyError, RequestError, Server, ServerSettings};
pub use target::Target;
pub use timer::Timer;
