//! `ConfigurationService`: one document of any size as one revision.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use tyrscale_model::{
    ChangeAction, ChangeSet, Etag, Expectation, Kind, Operation, Rejection, ResourceKey, Revision,
    RolloutPolicy, Snapshot, Violation, ViolationCode, wire,
};
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};
use tyrscale_store::{Committed, Store};

use super::{
    author_of,
    bounds::{check_scope, note_commit, scope},
    crud::{Message, etag_of, version_of},
    rejected, store_status,
};
use crate::rollout::Rollouts;

/// What one document may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    operations: usize,
    bytes: usize,
    /// Between two messages.
    pause: Duration,
}

const LIMITS: Limits = Limits {
    operations: 200_000,
    bytes: 64 * 1024 * 1024,
    pause: Duration::from_secs(30),
};

/// The service over a store.
pub(crate) struct Configuration {
    store: Store,
    rollouts: Rollouts,
}

impl Configuration {
    pub(crate) const fn new(store: Store, rollouts: Rollouts) -> Self {
        Self { store, rollouts }
    }

    async fn commit(
        &self,
        change_set: ChangeSet,
        policy: Option<RolloutPolicy>,
    ) -> Result<Committed, Status> {
        let (store, change_set) = (self.store.clone(), Arc::new(change_set));
        let scope = scope();
        let commit = async move {
            let plan = move |snapshot: &Snapshot| {
                check_scope(&scope, snapshot, &change_set)?;
                Ok(Arc::clone(&change_set))
            };
            store.commit(plan).await
        };
        let committed = match policy {
            Some(policy) => self.rollouts.commit(policy, commit).await,
            None => commit.await,
        };
        committed.map_err(store_status)
    }

    async fn dry_run(&self, change_set: ChangeSet) -> Result<Committed, Status> {
        let store = self.store.clone();
        let run = tokio::task::spawn_blocking(move || store.dry_run(&change_set));
        run.await
            .map_err(|_| Status::internal("the dry run did not end"))?
            .map_err(store_status)
    }
}

#[tonic::async_trait]
impl v1::configuration_service_server::ConfigurationService for Configuration {
    async fn apply(
        &self,
        request: Request<Streaming<v1::ApplyRequest>>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let author = author_of(&request);
        let mut parts = request.into_inner();
        let mut document = Document::new(LIMITS);
        while let Some(part) = next_part(&mut parts).await? {
            document.take(part)?;
        }
        let (change_set, dry_run, rollout) = document.finish(author)?;
        let committed = if dry_run {
            let head = self.store.head();
            check_scope(&scope(), &head.snapshot, &change_set).map_err(|refusal| rejected(&refusal))?;
            self.dry_run(change_set).await?
        } else {
            self.commit(change_set, rollout).await?
        };
        note_commit(&committed, dry_run);
        Ok(Response::new(response_of(&committed)))
    }
}

async fn next_part(parts: &mut Streaming<v1::ApplyRequest>) -> Result<Option<v1::ApplyRequest>, Status> {
    timeout(LIMITS.pause, parts.message()).await.unwrap_or_else(|_| {
        let seconds = LIMITS.pause.as_secs();
        Err(Status::deadline_exceeded(format!(
            "no message came for {seconds} seconds"
        )))
    })
}

fn response_of(committed: &Committed) -> v1::ApplyResponse {
    let changes = committed.changes.iter().map(|change| {
        let action = match change.action {
            ChangeAction::Created => v1::ChangeAction::Created,
            ChangeAction::Updated => v1::ChangeAction::Updated,
            ChangeAction::Deleted => v1::ChangeAction::Deleted,
        };
        v1::Change {
            resource: Some(wire::key_to_wire(&change.key)),
            action: action.into(),
        }
    });
    v1::ApplyResponse {
        version: Some(version_of(committed)),
        unchanged: committed.changes.is_empty(),
        changes: changes.collect(),
    }
}

/// A document being received: header, operations, commit.
struct Document {
    limits: Limits,
    header: Option<v1::ApplyHeader>,
    operations: Vec<Operation>,
    violations: Vec<Violation>,
    received: usize,
    bytes: usize,
    committed: bool,
}

impl Document {
    /// How many broken rules of resources are told of.
    const MAX_VIOLATIONS: usize = 1000;

    const fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: None,
            operations: Vec::new(),
            violations: Vec::new(),
            received: 0,
            bytes: 0,
            committed: false,
        }
    }

    /// Takes the next message in. A broken rule of the stream ends it at once; broken rules of resources are
    /// collected.
    fn take(&mut self, request: v1::ApplyRequest) -> Result<(), Status> {
        self.bytes = self.bytes.saturating_add(request.encoded_len());
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
                let operation = upsert_of(upsert);
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
                self.violations.extend(violations.into_iter().take(room));
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

    /// The change set, whether it is a dry run, and how it reaches the gateways.
    fn finish(self, author: String) -> Result<(ChangeSet, bool, Option<RolloutPolicy>), Status> {
        let header = self.header.ok_or_else(|| broken("the header must be first"))?;
        if !self.committed {
            return Err(broken("the stream ended without a commit: nothing was changed"));
        }
        if !self.violations.is_empty() {
            return Err(rejected(&Rejection::from(self.violations)));
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
        let change_set = ChangeSet {
            expected_revision: header.expected_revision.map(Revision),
            operations: self.operations,
            author,
            message: header.message,
            ..ChangeSet::default()
        };
        Ok((change_set, header.dry_run, rollout))
    }
}

fn broken(rule: impl Into<String>) -> Status {
    Status::invalid_argument(rule)
}

fn upsert_of(upsert: v1::ApplyUpsert) -> Result<Operation, Vec<Violation>> {
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
    let (key, etag) = identity_of(&resource);
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
        Some(Wire::Network(_) | Wire::Plugin(_) | Wire::Recommendation(_)) | None => {}
    }
}

fn identity_of(resource: &v1::Resource) -> (Option<ResourceKey>, Option<Etag>) {
    fn of<M: Message>(message: &M) -> (Kind, String, Option<Etag>) {
        (M::KIND, message.id(), etag_of(message.meta()))
    }
    let identity = resource.resource.as_ref().map(|resource| match resource {
        Wire::Network(network) => of(network),
        Wire::Rpc(rpc) => of(rpc),
        Wire::Plugin(plugin) => of(plugin),
        Wire::Upstream(upstream) => of(upstream),
        Wire::Route(route) => of(route),
        Wire::Recommendation(recommendation) => of(recommendation),
    });
    match identity {
        Some((kind, id, etag)) => ((!id.is_empty()).then(|| ResourceKey::new(kind, id)), etag),
        None => (None, None),
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
