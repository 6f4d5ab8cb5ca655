//! Typed gRPC client of the control plane and the subscription to its configuration.

mod api;
mod credentials;
mod endpoint;
mod error;
pub mod follow;
mod last_good;
mod last_weights;
pub mod membership;
pub mod rejection;
pub mod reporting;
pub mod subscription;
mod uplink;

pub use api::{Connection, ControlPlane};
pub use credentials::{ApiToken, Bearer, Credentials, TokenTextError};
pub use error::ClientError;
pub use last_good::{LastGoodError, LoadError, last_good_content};
pub use subscription::{
    Consumer, NackReason, NodeIdentity, NodeRole, Refusal, SubscriptionConfig, SubscriptionStatus, Timing,
    Update, WeightChange, WeightsStatus,
};
pub use tyrscale_tls as tls;
pub use tyrscale_tls::{ClientTls, ClientTlsArgs};
