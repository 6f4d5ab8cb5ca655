//! The document of an `Apply` as it comes in: header, operations, commit.

use std::{collections::BTreeMap, time::Duration};

use prost::Message as _;
use tonic::Status;
use tyrscale_model::{
    ChangeSet, DeletionLimit, Etag, Expectation, Notes, Operation, Ownership, Rejection, ResourceKey,
    Revision, Violation, ViolationCode, check_manager, label_violations, wire,
};
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};
use tyrscale_store::RequestId;

use crate::grpc::{
    Origin,
    crud::{Message, etag_of, notes_of, request_id_of},
    refused, rejected,
};

/// The longest message of a revision, in bytes.
const MAX_MESSAGE: usize = 1024;

/// What one document may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    operations: usize,
    bytes: usize,
    /// Between two messages.
    pub(super) pause: Duration,
}

pub(super) const LIMITS: Limits = Limits {
    operations: 200_000,
    bytes: 64 * 1024 * 1024,
    pause: Duration::from_secs(30),
};

/// A document being received: header, operations, commit.
pub(super) struct Document {
    limits: Limits,
    header: Option<v1::ApplyHeader>,
    operations: Vec<Operation>,
    notes: BTreeMap<ResourceKey, Notes>,
    violations: Vec<Violation>,
    received: usize,
    bytes: usize,
    committed: bool,
    fingerprint: blake3::Hasher,
}

/// A whole document.
pub(super) struct Received {
    pub(super) change_set: ChangeSet,
    pub(super) dry_run: bool,
    /// The request, when the client gave it an id.
    pub(super) request: Option<RequestId>,
}

impl Document {
    /// How many broken rules of resources are told of.
    const MAX_VIOLATIONS: usize = 1000;

    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: None,
            operations: Vec::new(),
            notes: BTreeMap::new(),
            violations: Vec::new(),
            received: 0,
            bytes: 0,
            committed: false,
            fingerprint: blake3::Hasher::new(),
        }
    }

    /// Takes the next message in. A broken rule of the stream ends it at once; broken rules of resources are
    /// collected.
    pub(super) fn take(&mut self, request: v1::ApplyRequest) -> Result<(), Status> {
        let encoded = request.encode_to_vec();
        self.fingerprint.update(&(encoded.len() as u64).to_le_bytes());
        self.fingerprint.update(&encoded);
        self.bytes = self.bytes.saturating_add(encoded.len());
        if self.bytes > self.limits.bytes {
            return Err(broken(format!(
                "a document must have at most {} bytes",
                self.limits.bytes
            )));
        }
        if self.committed {
            return Err(broken("nothing may follow the commit"));
        }
        match (request.part, self.header.is_some()) {
            (None, _) => return Err(broken("a message must have a part")),
            (Some(Part::Header(_)), true) => return Err(broken("there must be one header only")),
            (Some(Part::Header(header)), false) => self.header = Some(header),
            (Some(_), false) => return Err(broken("the header must be first")),
            (Some(Part::Upsert(upsert)), true) => {
                self.count()?;
                let operation = upsert_of(upsert, &mut self.notes);
                self.keep(operation);
            }
            (Some(Part::Deletion(deletion)), true) => {
                self.count()?;
                let operation = deletion_of(deletion);
                self.keep(operation);
            }
            (Some(Part::Commit(commit)), true) => self.commit(commit)?,
        }
        Ok(())
    }

    fn count(&mut self) -> Result<(), Status> {
        self.received += 1;
        if self.received > self.limits.operations {
            let message = format!(
                "a document must have at most {} operations",
                self.limits.operations
            );
            return Err(broken(message));
        }
        Ok(())
    }

    fn keep(&mut self, operation: Result<Operation, Vec<Violation>>) {
        match operation {
            Ok(operation) => self.operations.push(operation),
            Err(violations) => {
                let room = Self::MAX_VIOLATIONS.saturating_sub(self.violations.len());
                let place = format!("operations[{}]", self.received.saturating_sub(1));
                let placed = violations.into_iter().map(|violation| match violation.resource {
                    Some(_) => violation,
                    // What has no id is known by its place.
                    None => violation.within(&place),
                });
                self.violations.extend(placed.take(room));
            }
        }
    }

    fn commit(&mut self, commit: v1::ApplyCommit) -> Result<(), Status> {
        if usize::try_from(commit.count) != Ok(self.received) {
            let message = format!(
                "the commit counts {} operations, {} were received",
                commit.count, self.received
            );
            return Err(broken(message));
        }
        self.committed = true;
        Ok(())
    }

    /// The change set, and how it is asked for.
    pub(super) fn finish(self, origin: Origin) -> Result<Received, Status> {
        let header = self.header.ok_or_else(|| broken("the header must be first"))?;
        if !self.committed {
            return Err(broken("the stream ended without a commit: nothing was changed"));
        }
        check_message(&header.message)?;
        check_manager(&header.manager).map_err(refused)?;
        let mut violations = label_violations(&header.labels);
        violations.extend(self.violations);
        if !violations.is_empty() {
            return Err(rejected(&Rejection::from(violations)));
        }
        let rollout = header
            .rollout
            .as_ref()
            .map(wire::rollout_policy_from_wire)
            .transpose();
        let rollout = rollout.map_err(|violations| {
            let located = violations
                .into_iter()
                .map(|violation| violation.within("rollout"));
            rejected(&Rejection::from(located.collect::<Vec<_>>()))
        })?;
        let fingerprint = || *self.fingerprint.finalize().as_bytes();
        let request = request_id_of(&header.request_id, fingerprint)?;
        let change_set = ChangeSet {
            expected_revision: header.expected_revision.map(Revision),
            operations: self.operations,
            notes: self.notes,
            ownership: Ownership {
                manager: header.manager,
                prune: header.prune,
                take_over: header.take_ownership,
            },
            max_deletes: header.max_deletes.map_or(DeletionLimit::Share, |limit| {
                DeletionLimit::At(usize::try_from(limit).unwrap_or(usize::MAX))
            }),
            author: origin.actor,
            client: origin.client,
            request_id: header.request_id,
            message: header.message,
            labels: header.labels,
            reverts_to: None,
            rollout,
        };
        Ok(Received {
            change_set,
            dry_run: header.dry_run,
            request,
        })
    }
}

/// Whether a text can be the message of a revision.
pub(super) fn check_message(message: &str) -> Result<(), Status> {
    if message.len() <= MAX_MESSAGE {
        return Ok(());
    }
    let rule = "must have at most 1024 bytes";
    Err(refused(Violation::new(
        "message",
        ViolationCode::OutOfRange,
        rule,
    )))
}

fn broken(rule: impl Into<String>) -> Status {
    Status::invalid_argument(rule)
}

fn upsert_of(
    upsert: v1::ApplyUpsert,
    notes: &mut BTreeMap<ResourceKey, Notes>,
) -> Result<Operation, Vec<Violation>> {
    let expectation = match v1::Expectation::try_from(upsert.expectation) {
        Ok(v1::Expectation::Unspecified) => Expectation::Any,
        Ok(v1::Expectation::Absent) => Expectation::Absent,
        Ok(v1::Expectation::Present) => Expectation::Present,
        Err(_) => {
            let message = format!("has the unknown value {}", upsert.expectation);
            return Err(vec![Violation::new(
                "expectation",
                ViolationCode::Invalid,
                message,
            )]);
        }
    };
    let mut resource = upsert.resource.unwrap_or_default();
    if expectation == Expectation::Absent {
        assign_id(&mut resource);
    }
    let (key, etag, noted) = identity_of(&resource);
    if let (Some(key), Some(noted)) = (&key, noted) {
        notes.insert(key.clone(), noted);
    }
    let read = wire::resource_from_wire(&resource).map_err(|violations| {
        let located = violations.into_iter().map(|violation| match &key {
            Some(key) => violation.of(key.clone()),
            None => violation,
        });
        located.collect::<Vec<_>>()
    });
    Ok(Operation::Upsert {
        resource: read?,
        expectation,
        etag,
    })
}

fn deletion_of(deletion: v1::ApplyDeletion) -> Result<Operation, Vec<Violation>> {
    let key = deletion
        .resource
        .as_ref()
        .and_then(wire::key_from_wire)
        .filter(|key| !key.id.is_empty());
    let Some(key) = key else {
        let message = "must name a known kind and an id";
        return Err(vec![Violation::new("resource", ViolationCode::Required, message)]);
    };
    Ok(Operation::Delete {
        key,
        etag: (!deletion.etag.is_empty()).then_some(Etag(deletion.etag)),
        cascade: deletion.cascade.unwrap_or(true),
    })
}

fn assign_id(resource: &mut v1::Resource) {
    match &mut resource.resource {
        Some(Wire::Rpc(rpc)) => rpc.assign_id(),
        Some(Wire::Route(route)) => route.assign_id(),
        Some(Wire::Upstream(upstream)) => upstream.assign_id(),
        Some(Wire::Network(_) | Wire::Secret(_) | Wire::Plugin(_) | Wire::Recommendation(_)) | None => {}
    }
}

type Identity = (Option<ResourceKey>, Option<Etag>, Option<Notes>);

fn identity_of(resource: &v1::Resource) -> Identity {
    fn of<M: Message>(message: &M) -> Identity {
        let id = message.id();
        let key = (!id.is_empty()).then(|| ResourceKey::new(M::KIND, id));
        (key, etag_of(message.meta()), notes_of(message.meta(), |_| false))
    }
    match &resource.resource {
        Some(Wire::Network(network)) => of(network),
        Some(Wire::Secret(secret)) => of(secret),
        Some(Wire::Rpc(rpc)) => of(rpc),
        Some(Wire::Plugin(plugin)) => of(plugin),
        Some(Wire::Upstream(upstream)) => of(upstream),
        Some(Wire::Route(route)) => of(route),
        Some(Wire::Recommendation(recommendation)) => of(recommendation),
        None => (None, None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deletion() -> v1::ApplyRequest {
        let resource = v1::ResourceRef {
            kind: v1::Kind::Network.into(),
            id: "eth".to_owned(),
        };
        let deletion = v1::ApplyDeletion {
            resource: Some(resource),
            ..Default::default()
        };
        v1::ApplyRequest {
            part: Some(Part::Deletion(deletion)),
        }
    }

    #[test]
    fn operations_and_bytes_are_bounded() {
        let header = v1::ApplyRequest {
            part: Some(Part::Header(v1::ApplyHeader::default())),
        };
        let limits = |operations, bytes| Limits {
            operations,
            bytes,
            ..LIMITS
        };
        for (limits, word) in [(limits(1, 1000), "operations"), (limits(9, 20), "bytes")] {
            let mut document = Document::new(limits);
            document.take(header.clone()).unwrap();
            document.take(deletion()).unwrap();
            let refused = document.take(deletion()).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(word), "{refused}");
        }
    }
}
