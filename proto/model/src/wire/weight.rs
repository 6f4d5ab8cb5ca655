//! Recommended weights as messages.

use bytes::Bytes;
use prost::Message;
use tyrscale_proto::v1;

use crate::{Revision, SoftWeight, UpstreamId, Violation, ViolationCode, Weight, WeightRow, WeightTtl};

/// The message of a recommended weight.
#[must_use]
pub fn weight_to_wire(upstream: UpstreamId, soft: &SoftWeight) -> v1::Weight {
    v1::Weight {
        upstream_id: upstream.to_string(),
        ..nameless(soft)
    }
}

/// Encodes the payload of a recommended weight.
#[must_use]
pub fn encode_weight(soft: &SoftWeight) -> Bytes {
    nameless(soft).encode_to_vec().into()
}

fn nameless(soft: &SoftWeight) -> v1::Weight {
    v1::Weight {
        upstream_id: String::new(),
        weight: soft.weight.get(),
        ttl: Some(ttl_to_wire(soft.ttl)),
        based_on_config_revision: soft.based_on.0,
    }
}

/// Decodes a payload made by [`encode_weight`].
///
/// # Errors
/// The first broken rule.
pub fn decode_weight(payload: &[u8]) -> Result<SoftWeight, Violation> {
    let undecodable = |_| Violation::new("", ViolationCode::Invalid, "payload is no message of its kind");
    let message = v1::Weight::decode(payload).map_err(undecodable)?;
    Ok(SoftWeight {
        weight: Weight::try_from(message.weight)?,
        ttl: ttl_from_wire(message.ttl.as_ref())?.unwrap_or_default(),
        based_on: Revision(message.based_on_config_revision),
    })
}

/// Whether a kind is that of recommended weights.
#[must_use]
pub fn is_weight(kind: i32) -> bool {
    kind == i32::from(v1::Kind::Weight)
}

/// The key of a recommended weight.
#[must_use]
pub fn weight_key_to_wire(upstream: UpstreamId) -> v1::ResourceRef {
    v1::ResourceRef {
        kind: v1::Kind::Weight.into(),
        id: upstream.to_string(),
    }
}

/// Reads the key of a recommended weight; `None` when the kind is another.
///
/// # Errors
/// An id that is none of an upstream.
pub fn weight_key_from_wire(message: &v1::ResourceRef) -> Option<Result<UpstreamId, Violation>> {
    is_weight(message.kind).then(|| message.id.parse())
}

/// The message of a row.
#[must_use]
pub fn weight_row_to_wire(row: &WeightRow) -> v1::DiscoveryResource {
    v1::DiscoveryResource {
        kind: v1::Kind::Weight.into(),
        id: row.upstream.to_string(),
        revision: row.revision.0,
        payload: row.payload.clone(),
        ttl: row.remaining.map(ttl_to_wire),
        value: None,
        required_features: Vec::new(),
    }
}

/// Reads a row; `None` when the kind is another.
///
/// # Errors
/// An id that is none of an upstream, or a time to live out of bounds.
#[must_use]
pub fn weight_row_from_wire(message: &v1::DiscoveryResource) -> Option<Result<WeightRow, Violation>> {
    is_weight(message.kind).then(|| {
        Ok(WeightRow {
            upstream: message.id.parse()?,
            revision: Revision(message.revision),
            payload: message.payload.clone(),
            remaining: ttl_from_wire(message.ttl.as_ref())?,
        })
    })
}

/// The message of a time to live.
#[must_use]
pub fn ttl_to_wire(ttl: WeightTtl) -> prost_types::Duration {
    // Within seven days, it converts.
    prost_types::Duration::try_from(ttl.get()).unwrap_or_default()
}

/// Reads a time to live, if there is one.
///
/// # Errors
/// One out of bounds.
pub fn ttl_from_wire(message: Option<&prost_types::Duration>) -> Result<Option<WeightTtl>, Violation> {
    let out_of_range = |_| {
        let message = "must be 1 second to 7 days, in whole milliseconds";
        Violation::new("ttl", ViolationCode::OutOfRange, message)
    };
    match message {
        None => Ok(None),
        Some(message) => {
            let time = std::time::Duration::try_from(*message).map_err(out_of_range)?;
            WeightTtl::try_from(time).map(Some)
        }
    }
}
