//! `/api/v2`: every method of the gRPC services as HTTP and JSON, derived from their descriptors.
//!
//! | method | HTTP |
//! |---|---|
//! | `ListThings` | `GET /api/v2/things?page_size=…` |
//! | `GetThing` | `GET /api/v2/things/{id}` |
//! | `CreateThing` | `POST /api/v2/things`, the thing as the body |
//! | `UpdateThing` | `PATCH /api/v2/things/{id}` changes what the body names; `PUT` replaces, or creates |
//! | `DeleteThing` | `DELETE /api/v2/things/{id}` |
//! | any other | `POST /api/v2/name-of-the-method`, the request message as the body |
//! | one that answers with a stream | `GET /api/v2/name-of-the-method`, a line of JSON per message |
//! | one that takes a stream | `POST /api/v2/name-of-the-method`, an array of messages as the body |
//!
//! Nothing is decided here: a request becomes the method's message and goes through the same service, layers
//! included, as one that came over gRPC. Messages are written by the JSON mapping of protobuf with the names of the
//! `.proto` files, 64-bit integers as numbers, fields with defaults included; read in either spelling.
//! Source of the mapping: the Protocol Buffers documentation, "ProtoJSON Format".

mod answer;
mod call;
mod error;
mod frame;
mod openapi;
mod operation;
mod query;
mod request;
mod router;

pub use prost_reflect::DescriptorError;
pub use router::{PREFIX, router};
