//! The control plane: owns the configuration and pushes it to every subscriber.
//!
//! [`run`] serves the gRPC services, the REST shim and the admin endpoints over one store. A write is committed
//! by the store's one writer; what is durable is published to every discovery stream, which sends its
//! subscriber the difference.

mod access;
mod config;
mod discovery;
mod error;
mod fleet;
mod grpc;
mod metrics;
mod rollout;
mod server;
mod weights;

pub use config::{AccessArgs, ConfigError, ControlPlaneConfig, WeightRails};
pub use error::ControlPlaneError;
pub use server::{Listeners, run};
