//! What is asked for: steps, on what conditions and in whose name.

use std::collections::BTreeMap;

use crate::{Etag, Notes, Resource, ResourceKey, Revision, RolloutPolicy};

/// What an upsert expects to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expectation {
    /// Whatever is there.
    #[default]
    Any,
    /// Nothing.
    Absent,
    /// Something.
    Present,
}

/// One step of a change set.
#[expect(clippy::large_enum_variant, reason = "operations are upserts as a rule")]
#[derive(Debug, Clone, PartialEq)]
pub enum Operation {
    /// Puts a whole resource.
    Upsert {
        /// The content.
        resource: Resource,
        /// What must be there before.
        expectation: Expectation,
        /// When given, must be the current one.
        etag: Option<Etag>,
    },
    /// Takes a resource away.
    Delete {
        /// Which.
        key: ResourceKey,
        /// When given, must be the current one.
        etag: Option<Etag>,
        /// Whether rpcs, upstreams and plugins that cannot live without it go with it. Recommendations never
        /// do.
        cascade: bool,
    },
}

impl Operation {
    /// Puts a resource, whatever was there before.
    #[must_use]
    pub const fn put(resource: Resource) -> Self {
        Self::Upsert {
            resource,
            expectation: Expectation::Any,
            etag: None,
        }
    }
}

/// A change, all or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ChangeSet {
    /// When given, the revision the configuration must be at.
    pub expected_revision: Option<Revision>,
    /// The steps, in order; references and uniqueness count after the last.
    pub operations: Vec<Operation>,
    /// What is noted with resources that are put.
    pub notes: BTreeMap<ResourceKey, Notes>,
    /// In whose name.
    pub ownership: Ownership,
    /// How much may be deleted.
    pub max_deletes: DeletionLimit,
    /// Who.
    pub author: String,
    /// From where and with which program.
    pub client: String,
    /// The id the client gave its request; empty when it gave none.
    pub request_id: String,
    /// Why, for the log.
    pub message: String,
    /// What the client notes with it, for the log.
    pub labels: BTreeMap<String, String>,
    /// Which revision it restores, for the log.
    pub reverts_to: Option<Revision>,
    /// How it is to reach the gateways, for the log; `None`: by the defaults.
    pub rollout: Option<RolloutPolicy>,
}

/// In whose name resources are put and deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ownership {
    /// The manager: what it puts is its own afterwards, and what others manage it may not touch. Empty: whoever
    /// manages a resource, it may be touched and stays theirs.
    pub manager: String,
    /// Delete what the manager owns and the change set does not put.
    pub prune: bool,
    /// Touch what others manage; what is put is the manager's own afterwards.
    pub take_over: bool,
}

/// How many resources a change set may delete, cascades and prunes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionLimit {
    /// Any number.
    #[default]
    None,
    /// A fifth of what exists, at least 10.
    Share,
    /// So many.
    At(usize),
}

impl DeletionLimit {
    /// How many that is where so many exist.
    pub(super) fn of(self, existing: usize) -> usize {
        match self {
            Self::None => usize::MAX,
            Self::Share => (existing / 5).max(10),
            Self::At(limit) => limit,
        }
    }
}
