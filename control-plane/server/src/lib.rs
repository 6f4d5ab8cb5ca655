//! The control plane: owns the configuration and pushes it to every subscriber.
//!
//! [`run`] serves the gRPC services, the REST shim and the admin endpoints over one store. A write is committed
//! by the store's one writer; what is durable is published to every discovery stream, which sends its
//! subscriber the difference.

mod access;
mod audit_command;
mod backups;
mod config;
pub mod coordination;
mod discovery;
mod error;
#[cfg(feature = "etcd")]
mod etcd;
mod fleet;
mod grpc;
mod leader;
mod metrics;
mod opening;
mod peers;
mod refusing;
mod rollout;
mod runs;
mod secrets;
mod server;
pub mod store_command;
pub mod telemetry;
mod weights;

pub use audit_command::verify_audit_files;
pub use config::{AccessArgs, BackupArgs, ConfigError, ControlPlaneConfig, SecretsArgs, WeightRails};
pub use error::ControlPlaneError;
#[cfg(feature = "etcd")]
pub use etcd::EtcdArgs;
pub use secrets::SecretsError;
pub use server::{Listeners, run};
