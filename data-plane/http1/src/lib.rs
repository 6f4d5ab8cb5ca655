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

mod chunked;
mod client;
mod date;
mod drain;
mod encode;
mod fields;
mod framing;
mod head;
mod rewind;
mod server;
mod target;
mod timer;
mod transport;

pub use chunked::ChunkError;
pub use client::{Client, ClientError, ResponseLimits};
pub use drain::{Drain, DrainSignal};
pub use encode::request_head;
pub use fields::{Field, Fields, InvalidField};
pub use framing::FramingError;
pub use head::{HeadError, HeadLimits, MAX_FIELDS, RequestHead, ResponseHead, Target, Version};
pub use rewind::Rewind;
pub use server::{AnswerError, AnswerLength, BodyError, RequestError, Server, ServerSettings};
pub use timer::Timer;
