//! Versions, keys, rows, views and violations as messages.

use tyrscale_proto::v1;

use crate::{
    Digest, Kind, Lane, Lineage, ResourceKey, Revision, Row, UnixMillis, Version, View, Violation,
    ViolationCode,
};

/// The message of a version.
#[must_use]
pub fn version_to_wire(version: &Version) -> v1::Version {
    v1::Version {
        lane: lane_to_wire(version.lane).into(),
        lineage: version.lineage.0.to_vec().into(),
        revision: version.revision.0,
        digest: version.digest.0.to_vec().into(),
    }
}

/// The wire value of a lane.
#[must_use]
pub const fn lane_to_wire(lane: Lane) -> v1::Lane {
    match lane {
        Lane::Config => v1::Lane::Config,
        Lane::Weights => v1::Lane::Weights,
    }
}

/// Reads a lane; `None` when this build does not know it.
#[must_use]
pub fn lane_from_wire(number: i32) -> Option<Lane> {
    Lane::ALL
        .into_iter()
        .find(|lane| i32::from(lane_to_wire(*lane)) == number)
}

/// Reads a version; `None` when it is not well-formed.
#[must_use]
pub fn version_from_wire(message: &v1::Version) -> Option<Version> {
    Some(Version {
        lane: lane_from_wire(message.lane)?,
        lineage: Lineage(message.lineage.as_ref().try_into().ok()?),
        revision: Revision(message.revision),
        digest: Digest(message.digest.as_ref().try_into().ok()?),
    })
}

/// The wire value of a kind.
#[must_use]
pub const fn kind_to_wire(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Network => v1::Kind::Network,
        Kind::Secret => v1::Kind::Secret,
        Kind::Rpc => v1::Kind::Rpc,
        Kind::Plugin => v1::Kind::Plugin,
        Kind::Upstream => v1::Kind::Upstream,
        Kind::Route => v1::Kind::Route,
        Kind::Recommendation => v1::Kind::Recommendation,
    }
}

/// The message of a key.
#[must_use]
pub fn key_to_wire(key: &ResourceKey) -> v1::ResourceRef {
    v1::ResourceRef {
        kind: kind_to_wire(key.kind).into(),
        id: key.id.to_string(),
    }
}

/// Reads a key; `None` when the kind is unknown.
#[must_use]
pub fn key_from_wire(message: &v1::ResourceRef) -> Option<ResourceKey> {
    Some(ResourceKey::new(
        Kind::from_number(message.kind)?,
        message.id.as_str(),
    ))
}

/// The message of a row.
#[must_use]
pub fn row_to_wire(row: &Row) -> v1::DiscoveryResource {
    v1::DiscoveryResource {
        kind: kind_to_wire(row.key.kind).into(),
        id: row.key.id.to_string(),
        revision: row.revision.0,
        payload: row.payload.clone(),
        ttl: None,
        value: row.value.as_ref().map(|value| value.expose().to_owned()),
        required_features: Vec::new(),
    }
}

/// Reads a row; `None` when the kind is unknown or the value is none of a secret.
#[must_use]
pub fn row_from_wire(message: &v1::DiscoveryResource) -> Option<Row> {
    Some(Row {
        key: ResourceKey::new(Kind::from_number(message.kind)?, message.id.as_str()),
        revision: Revision(message.revision),
        payload: message.payload.clone(),
        value: match &message.value {
            Some(value) => Some(value.parse().ok()?),
            None => None,
        },
    })
}

/// The selector of a view.
#[must_use]
pub fn view_to_wire(view: View) -> v1::Selector {
    v1::Selector {
        kinds: view.kinds().map(|kind| kind_to_wire(kind).into()).collect(),
        labels: std::collections::BTreeMap::new(),
    }
}

/// Reads a selector; kinds this build does not know are left out. No kinds at all: everything.
#[must_use]
pub fn view_from_wire(message: Option<&v1::Selector>) -> View {
    match message {
        Some(selector) if !selector.kinds.is_empty() => {
            let kinds: Vec<Kind> = selector
                .kinds
                .iter()
                .filter_map(|number| Kind::from_number(*number))
                .collect();
            View::of(&kinds)
        }
        _ => View::ALL,
    }
}

/// A moment as a message.
#[must_use]
pub fn timestamp_to_wire(time: UnixMillis) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: i64::try_from(time.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(time.0 % 1000).unwrap_or_default() * 1_000_000,
    }
}

/// The message of a violation.
#[must_use]
pub fn violation_to_wire(violation: &Violation) -> v1::Violation {
    v1::Violation {
        resource: violation.resource.as_ref().map(key_to_wire),
        field: violation.field.clone(),
        code: violation.code.as_str().to_owned(),
        message: violation.message.clone(),
        conflict: violation.conflict.as_ref().map(key_to_wire),
    }
}

/// Reads a violation; a code this build does not know reads as [`ViolationCode::Invalid`].
#[must_use]
pub fn violation_from_wire(message: &v1::Violation) -> Violation {
    use ViolationCode as Code;
    let known = [
        Code::Required,
        Code::Invalid,
        Code::OutOfRange,
        Code::Immutable,
        Code::AlreadyExists,
        Code::NotFound,
        Code::ReferenceNotFound,
        Code::InUse,
        Code::EtagMismatch,
        Code::RevisionMismatch,
        Code::ManagedByAnother,
        Code::LimitExceeded,
        Code::OutOfScope,
        Code::Unsupported,
    ];
    Violation {
        resource: message.resource.as_ref().and_then(key_from_wire),
        field: message.field.clone(),
        code: known
            .into_iter()
            .find(|code| code.as_str() == message.code)
            .unwrap_or(Code::Invalid),
        message: message.message.clone(),
        conflict: message.conflict.as_ref().and_then(key_from_wire),
    }
}
