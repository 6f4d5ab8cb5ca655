//! The REST shim: `/api/v1` with the envelopes, statuses, codes and messages that scripts and generated clients
//! of the original program expect, over the same store as the gRPC services.
//!
//! A request passes the edge first (request id, CORS, the spelling of its path), then one handler. A
//! handler reads its body into model types, naming the first field that is wrong, and hands the store a plan:
//! what must exist is checked and the change is made against one snapshot, so two equal requests cannot both
//! succeed. Refusals of the store become HTTP in `error.rs` only. Secrets are shown masked; the masked form
//! sent back means "unchanged".

mod edge;
mod envelope;
mod error;
mod networks;
mod object;
mod openapi;
mod path_table;
mod plugins;
mod probes;
mod query;
mod recommendations;
mod request_body;
mod route_parts;
mod routes;
mod rpcs;
mod serve;
mod state;
mod swagger;
mod upstreams;

pub use edge::router;
pub use openapi::route_names;
pub use serve::{port, serve};
pub use state::RestState;
