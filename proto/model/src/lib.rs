//! The configuration of TyrScale as types, and everything that may happen to it, as pure functions.
//!
//! [`Snapshot`] is the whole configuration at one [`Version`]: immutable, structure shared between versions.
//! [`apply`] turns one snapshot and one [`ChangeSet`] into the next, all or nothing, with every broken rule
//! named. The control plane commits what `apply` returns; subscribers rebuild the same snapshot from the
//! payloads they are sent ([`Snapshot::advance`]) and prove it with the same [`Digest`]. Nothing here reads a
//! clock, a socket or a file.

mod apply;
mod difference;
mod digest;
mod draft;
mod feature;
mod filter;
mod header;
mod http_url;
mod id;
mod kind;
mod latency;
mod method_filter;
mod network;
mod notes;
mod plugin;
mod proxy;
mod rate;
mod recommendation;
mod resource;
mod restore;
mod rollout;
mod route;
mod route_key;
mod rpc;
mod rules;
mod secret;
mod selection;
mod snapshot;
mod traffic;
mod upstream;
mod version;
mod violation;
mod weights;
pub mod wire;

pub use apply::{
    Applied, Change, ChangeAction, ChangeSet, DeletionLimit, Expectation, Operation, Ownership, Policy, apply,
};
pub use difference::{Difference, FieldChange, difference, field_changes};
pub use digest::{ContentDigest, Digest, KindHashes};
pub use feature::{Feature, Features, UnknownFeature};
pub use filter::Filter;
pub use http_url::{HttpUrl, Scheme};
pub use id::{Name, RouteId, RpcId, UpstreamId};
pub use kind::{Kind, ResourceKey, View};
pub use latency::LatencyHistogram;
pub use method_filter::{MethodFilter, MethodPattern};
pub use network::{ChainId, Network};
pub use notes::{Notes, check_manager, label_violations};
pub use plugin::{PluginAttachment, PluginPriority, PluginType};
pub use proxy::ProxyAddress;
pub use rate::Rate;
pub use recommendation::{
    BlendShares, CallMix, Expression, Guards, Measure, Parameters, PromQl, Recommendation,
    RecommendationMode, RecommendationPrior, RecommendationStrategy, Schedule,
};
pub use resource::Resource;
pub use restore::{Restoration, restore};
pub use rollout::{OnHalt, RolloutPolicy, RolloutPolicyError, RolloutShare, RolloutStage};
pub use route::{
    AllowedOrigin, CircuitBreaker, Consistency, Cors, FailureShare, HealthCheck, HealthCheckRequest,
    HealthCheckType, LoadBalancer, Retry, Route, RouteLimits, Tiers, WrongLogIndexes,
};
pub use route_key::{HostKey, PathKey, RouteKey, RouteKeyRef};
pub use rpc::{CallPrices, Collector, Rpc, Visibility};
pub use secret::{Secret, SecretValue};
pub use selection::Selection;
pub use snapshot::{AdvanceError, Entry, Etag, Meta, Row, Snapshot, UnixMillis};
pub use traffic::Traffic;
pub use upstream::{
    Address, ReceiptsMethod, Target, Tier, Upstream, UpstreamHeaders, UpstreamLimits, UpstreamProtocol,
    Weight,
};
pub use version::{Lane, Lineage, Revision, Version};
pub use violation::{Rejection, Violation, ViolationCode};
pub use weights::{
    EffectiveWeight, OperatorWeight, SoftWeight, Standing, WeightEntry, WeightRow, WeightTtl, Weights,
};
