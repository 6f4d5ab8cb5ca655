//! Conversions between the model and the messages of `tyrscale.v1`, in both directions.
//!
//! Reading collects every broken rule of a message. Writing either shows secrets masked, for people, or whole,
//! for payloads.

mod read;
mod rollout;
mod version;
mod weight;
mod write;

use bytes::Bytes;
use prost::Message;
use tyrscale_proto::v1;

use crate::{Entry, Kind, Resource, Violation, ViolationCode};

pub use read::{
    collector_from_wire, network_from_wire, plugin_from_wire, recommendation_from_wire, resource_from_wire,
    route_from_wire, rpc_from_wire, secret_from_wire, upstream_from_wire,
};
pub use rollout::{rollout_policy_from_wire, rollout_policy_to_wire, rollout_stage_to_wire};
pub use version::{
    key_from_wire, key_to_wire, kind_to_wire, lane_from_wire, lane_to_wire, row_from_wire, row_to_wire,
    timestamp_to_wire, version_from_wire, version_to_wire, view_from_wire, view_to_wire, violation_from_wire,
    violation_to_wire,
};
pub use weight::{
    decode_weight, encode_weight, is_weight, ttl_from_wire, ttl_to_wire, weight_key_from_wire,
    weight_key_to_wire, weight_row_from_wire, weight_row_to_wire, weight_to_wire,
};
pub use write::{Exposure, collector_to_wire, meta_to_wire, resource_to_wire};

/// The message of an entry for people: secrets masked, with meta.
#[must_use]
pub fn entry_to_wire(entry: &Entry) -> v1::Resource {
    let mut resource = resource_to_wire(&entry.resource, Exposure::Masked);
    let meta = Some(meta_to_wire(entry));
    match &mut resource.resource {
        Some(v1::resource::Resource::Network(network)) => network.meta = meta,
        Some(v1::resource::Resource::Secret(secret)) => secret.meta = meta,
        Some(v1::resource::Resource::Rpc(rpc)) => rpc.meta = meta,
        Some(v1::resource::Resource::Plugin(plugin)) => plugin.meta = meta,
        Some(v1::resource::Resource::Upstream(upstream)) => upstream.meta = meta,
        Some(v1::resource::Resource::Route(route)) => route.meta = meta,
        Some(v1::resource::Resource::Recommendation(recommendation)) => recommendation.meta = meta,
        None => {}
    }
    resource
}

/// Encodes the message of a resource, secrets included and without meta.
pub(crate) fn encode_payload(resource: &Resource) -> Bytes {
    use v1::resource::Resource as Wire;
    let bytes = match resource_to_wire(resource, Exposure::Full).resource {
        Some(Wire::Network(message)) => message.encode_to_vec(),
        Some(Wire::Secret(message)) => message.encode_to_vec(),
        Some(Wire::Rpc(message)) => message.encode_to_vec(),
        Some(Wire::Plugin(message)) => message.encode_to_vec(),
        Some(Wire::Upstream(message)) => message.encode_to_vec(),
        Some(Wire::Route(message)) => message.encode_to_vec(),
        Some(Wire::Recommendation(message)) => message.encode_to_vec(),
        None => Vec::new(),
    };
    bytes.into()
}

/// Decodes a payload made by [`Resource::payload`].
///
/// # Errors
/// Every broken rule; bytes that are no message of the kind are one [`ViolationCode::Invalid`].
pub fn decode_payload(kind: Kind, payload: &[u8]) -> Result<Resource, Vec<Violation>> {
    use v1::resource::Resource as Wire;
    let decoded = match kind {
        Kind::Network => v1::Network::decode(payload).map(Wire::Network),
        Kind::Secret => v1::Secret::decode(payload).map(Wire::Secret),
        Kind::Rpc => v1::Rpc::decode(payload).map(Wire::Rpc),
        Kind::Plugin => v1::PluginAttachment::decode(payload).map(Wire::Plugin),
        Kind::Upstream => v1::Upstream::decode(payload).map(Wire::Upstream),
        Kind::Route => v1::Route::decode(payload).map(Wire::Route),
        Kind::Recommendation => v1::Recommendation::decode(payload).map(Wire::Recommendation),
    };
    let undecodable = |_| {
        vec![Violation::new(
            "",
            ViolationCode::Invalid,
            "payload is no message of its kind",
        )]
    };
    let resource = resource_from_wire(&v1::Resource {
        resource: Some(decoded.map_err(undecodable)?),
    })?;
    let broken = resource.violations(payload);
    if broken.is_empty() {
        Ok(resource)
    } else {
        Err(broken)
    }
}
