//! Revisions: listed, compared, restored, named.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tonic::Status;
use tyrscale_access::note;
use tyrscale_model::{
    ChangeAction, ChangeSet, Lane, ResourceKey, Revision, Snapshot, UnixMillis, Version, View, Violation,
    ViolationCode, difference, restore, wire,
};
use tyrscale_proto::v1;
use tyrscale_store::{Head, RevisionSummary, Store, Tag};

use super::{Configuration, Told, changes_to_wire, document::check_message};
use crate::grpc::{
    Origin,
    bounds::scope,
    crud::{request_id_of, snapshot_at},
    refused, rejected, store_status,
};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: u32 = 1000;

/// The names of each revision.
pub(super) type Names = BTreeMap<Revision, Vec<String>>;

pub(super) async fn names(store: &Store) -> Result<Names, Status> {
    let mut names = Names::new();
    for tag in store.tags().await.map_err(store_status)? {
        names.entry(tag.revision).or_default().push(tag.name);
    }
    Ok(names)
}

/// A revision as a message.
pub(super) fn revision_to_wire(head: &Head, summary: &RevisionSummary, names: &Names) -> v1::Revision {
    let count = |action| u32::try_from(summary.count(action)).unwrap_or(u32::MAX);
    let version = Version {
        lane: Lane::Config,
        lineage: head.snapshot.lineage(),
        revision: summary.revision,
        digest: summary.hashes.digest(Lane::Config, View::ALL),
    };
    v1::Revision {
        version: Some(wire::version_to_wire(&version)),
        commit_time: Some(wire::timestamp_to_wire(summary.time)),
        actor: summary.actor.clone(),
        request_id: summary.request_id.clone(),
        message: summary.message.clone(),
        created: count(ChangeAction::Created),
        updated: count(ChangeAction::Updated),
        deleted: count(ChangeAction::Deleted),
        reverts_to: summary.reverts_to.map(|revision| revision.0),
        labels: summary.labels.clone(),
        client: summary.client.clone(),
        tags: names.get(&summary.revision).cloned().unwrap_or_default(),
    }
}

fn invalid(field: &str, code: ViolationCode, message: impl Into<String>) -> Status {
    refused(Violation::new(field, code, message))
}

pub(super) async fn list(
    store: &Store,
    request: &v1::ListRevisionsRequest,
) -> Result<v1::ListRevisionsResponse, Status> {
    let size = match request.page_size {
        0 => DEFAULT_PAGE,
        size @ 1..=MAX_PAGE => usize::try_from(size).unwrap_or(DEFAULT_PAGE),
        _ => {
            let rule = format!("must be at most {MAX_PAGE}");
            return Err(invalid("page_size", ViolationCode::OutOfRange, rule));
        }
    };
    let below = match request.page_token.as_str() {
        "" => Revision(u64::MAX),
        token => Revision(token.parse().map_err(|_| {
            invalid(
                "page_token",
                ViolationCode::Invalid,
                "is not one this server gave",
            )
        })?),
    };
    let kind = match request.resource.as_ref().map(|resource| resource.kind) {
        None => None,
        Some(number) => Some(
            tyrscale_model::Kind::from_number(number)
                .ok_or_else(|| invalid("resource.kind", ViolationCode::Invalid, "must be a known kind"))?,
        ),
    };
    let id = request
        .resource
        .as_ref()
        .map_or("", |resource| resource.id.as_str());
    let head = store.head();
    let names = names(store).await?;
    let mut chosen = head.history.range(..below).rev().filter(|summary| {
        kind.is_none_or(|kind| {
            let mut touched = summary.touched.iter().filter(|touched| touched.key.kind == kind);
            touched.any(|touched| id.is_empty() || &*touched.key.id == id)
        })
    });
    let page: Vec<_> = chosen.by_ref().take(size).collect();
    let next_page_token = match page.last() {
        Some(last) if chosen.next().is_some() => last.revision.to_string(),
        _ => String::new(),
    };
    Ok(v1::ListRevisionsResponse {
        revisions: page
            .into_iter()
            .map(|summary| revision_to_wire(&head, summary, &names))
            .collect(),
        next_page_token,
        oldest_revision: head.history.floor().0,
    })
}

/// The resources that references name.
fn keys_of(references: &[v1::ResourceRef]) -> Result<BTreeSet<ResourceKey>, Status> {
    let key = |reference| {
        let key: Option<ResourceKey> = wire::key_from_wire(reference);
        key.filter(|key| !key.id.is_empty()).ok_or_else(|| {
            invalid(
                "resources",
                ViolationCode::Required,
                "must name known kinds and ids",
            )
        })
    };
    references.iter().map(key).collect()
}

pub(super) async fn diff(
    store: &Store,
    request: v1::DiffRevisionsRequest,
) -> Result<v1::DiffRevisionsResponse, Status> {
    let only = keys_of(&request.resources)?;
    let from = snapshot_at(store, Some(request.from_revision)).await?;
    let to = snapshot_at(store, request.to_revision).await?;
    let scope = scope();
    let compared = tokio::task::spawn_blocking(move || {
        let is_inside = |key: &ResourceKey| {
            let mut held = [&from, &to]
                .into_iter()
                .filter(|snapshot| snapshot.get(key).is_some());
            held.all(|snapshot| scope.admits(snapshot, key))
        };
        let found = difference(&from, &to).into_iter();
        let chosen = found
            .filter(|found| only.is_empty() || only.contains(&found.key))
            .filter(|found| is_inside(&found.key));
        v1::DiffRevisionsResponse {
            changes: changes_to_wire(chosen),
            from: Some(wire::version_to_wire(&from.version(View::ALL))),
            to: Some(wire::version_to_wire(&to.version(View::ALL))),
        }
    });
    compared
        .await
        .map_err(|_| Status::internal("the comparison did not end"))
}

impl Configuration {
    pub(super) async fn roll_back(
        &self,
        origin: Origin,
        request: v1::RollbackRequest,
    ) -> Result<Told, Status> {
        check_message(&request.message)?;
        let fingerprint = || *blake3::hash(&prost::Message::encode_to_vec(&request)).as_bytes();
        let once = request_id_of(&request.request_id, fingerprint)?;
        let only = keys_of(&request.resources)?;
        let target = Revision(request.revision);
        let earlier = snapshot_at(&self.store, Some(request.revision)).await?;
        let message = if request.message.is_empty() {
            format!("restore revision {target}")
        } else {
            request.message
        };
        let plan = move |current: &Snapshot| {
            let restoration = restore(current, &earlier, &only)?;
            Ok(Arc::new(ChangeSet {
                expected_revision: request.expected_revision.map(Revision),
                operations: restoration.operations,
                notes: restoration.notes,
                author: origin.actor.clone(),
                client: origin.client.clone(),
                request_id: request.request_id.clone(),
                message: message.clone(),
                reverts_to: Some(target),
                ..ChangeSet::default()
            }))
        };
        if request.dry_run {
            let planned = plan(&self.store.head().snapshot).map_err(|refusal| rejected(&refusal))?;
            return self.dry_run(Arc::unwrap_or_clone(planned)).await;
        }
        // What restores a revision is rolled out to all gateways at once: no policy is asked for.
        self.commit(once, plan).await
    }
}

pub(super) fn tag_to_wire(tag: &Tag) -> v1::Tag {
    v1::Tag {
        name: tag.name.clone(),
        revision: tag.revision.0,
        create_time: Some(wire::timestamp_to_wire(tag.time)),
        actor: tag.actor.clone(),
        message: tag.message.clone(),
    }
}

pub(super) async fn create_tag(
    store: &Store,
    actor: String,
    request: v1::CreateTagRequest,
) -> Result<v1::Tag, Status> {
    let wanted = request.tag.unwrap_or_default();
    let revision = match wanted.revision {
        0 => store.head().snapshot.revision(),
        revision => Revision(revision),
    };
    let tag = Tag {
        name: wanted.name,
        revision,
        time: UnixMillis::default(),
        actor,
        message: wanted.message,
    };
    let created = store.create_tag(tag).await.map_err(store_status)?;
    note(|note| note.summary = format!("tag {} of revision {}", created.name, created.revision));
    Ok(tag_to_wire(&created))
}
