//! How a subscriber's content goes on.

use super::{Entry, Meta, Row, Snapshot};
use crate::{
    Lineage, Rejection, Resource, ResourceKey, Revision, Violation, ViolationCode, draft::Draft, wire,
};

/// Why a snapshot cannot be advanced.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The update contradicts itself, or a payload is no message of its kind.
    #[error("update cannot be decoded: {0}")]
    Decode(Rejection),
    /// The content after the update would break a rule.
    #[error("update is not valid: {0}")]
    Invalid(Rejection),
}

impl Snapshot {
    /// The content after an update from the control plane, at its target's lineage and revision. Starting
    /// from [`Snapshot::empty`] it takes a whole snapshot. The caller compares the digest.
    ///
    /// # Errors
    /// [`AdvanceError`], with `self` untouched.
    pub fn advance(
        &self,
        lineage: Lineage,
        revision: Revision,
        upserts: Vec<Row>,
        removals: &[ResourceKey],
    ) -> Result<Self, AdvanceError> {
        let mut draft = Draft::of_subscriber(self);
        let mut undecoded = Vec::new();
        for row in upserts {
            if draft.is_touched(&row.key) {
                undecoded.push(twice(&row.key));
                continue;
            }
            match wire::decode_payload(row.key.kind, &row.payload) {
                Ok(mut resource) if resource.key() == row.key => {
                    if let Resource::Secret(secret) = &mut resource {
                        secret.value = row.value;
                    }
                    let meta = Meta {
                        modify_revision: row.revision,
                        ..Meta::default()
                    };
                    draft.put(Entry {
                        resource,
                        payload: row.payload,
                        meta,
                    });
                }
                Ok(_) => undecoded.push(
                    Violation::new("id", ViolationCode::Invalid, "payload has another id")
                        .of(row.key.clone()),
                ),
                Err(violations) => {
                    undecoded.extend(
                        violations
                            .into_iter()
                            .map(|violation| violation.of(row.key.clone())),
                    );
                }
            }
        }
        for key in removals {
            if draft.is_touched(key) {
                undecoded.push(twice(key));
            } else {
                draft.remove(key);
            }
        }
        if !undecoded.is_empty() {
            return Err(AdvanceError::Decode(undecoded.into()));
        }
        let (mut snapshot, _) = draft
            .finish()
            .map_err(|violations| AdvanceError::Invalid(violations.into()))?;
        snapshot.lineage = lineage;
        snapshot.revision = revision;
        Ok(snapshot)
    }
}

fn twice(key: &ResourceKey) -> Violation {
    Violation::new("", ViolationCode::Invalid, "is named twice in one update").of(key.clone())
}
