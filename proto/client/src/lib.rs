//! Typed gRPC client of the control plane and the subscription to its configuration.

mod api;
mod endpoint;
mod error;
pub mod rejection;

pub use api::ControlPlane;
pub use error::ClientError;
