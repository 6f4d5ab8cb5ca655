//! `ConfigurationService`: documents of any size as one revision, and what became of them.

mod document;
mod fitness;
mod history;
mod stream;

use std::sync::Arc;

use prost::Message as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tyrscale_access::note;
use tyrscale_model::{ChangeAction, ChangeSet, Difference, Operation, Rejection, Resource, Snapshot, wire};
use tyrscale_proto::v1;
use tyrscale_store::{Committed, Outcome, RequestId, Store};

use self::document::{Document, LIMITS, Received};
use super::{
    Origin,
    bounds::{check_scope, note_commit, note_repeated, scope},
    caller_name,
    crud::version_of,
    rejected, secrets_status, store_status,
};
use crate::{fleet::Fleet, secrets::Vault};

/// How many updates of one change are told of by field.
const MAX_DETAILED: usize = 1000;
/// The largest answer kept whole for when its request comes again, in bytes; a larger one is kept without its list
/// of changes.
const MAX_KEPT: usize = 512 * 1024;

/// The service over a store.
pub(crate) struct Configuration {
    store: Store,
    vault: Vault,
    fleet: Fleet,
    /// Ends the streams.
    stop: CancellationToken,
}

/// What a change is told as, kept for when its request comes again.
type Told = v1::ApplyResponse;

impl Configuration {
    pub(crate) fn new((store, vault): (Store, Vault), fleet: Fleet, stop: CancellationToken) -> Self {
        Self {
            store,
            vault,
            fleet,
            stop,
        }
    }

    async fn dry_run(&self, change_set: ChangeSet) -> Result<Told, Status> {
        let head = self.store.head();
        let policy = self.store.policy();
        check_scope(&scope(), &policy, &head.snapshot, &change_set).map_err(|refusal| rejected(&refusal))?;
        let store = self.store.clone();
        let fleet = self.fleet.clone();
        let run = tokio::task::spawn_blocking(move || {
            let would = store.dry_run(&change_set)?;
            Ok((told(&would, &fleet), would))
        });
        let (told, would) = run
            .await
            .map_err(|_| Status::internal("the dry run did not end"))?
            .map_err(store_status)?;
        note_commit(&would, true);
        Ok(told)
    }

    /// Commits what `plan` makes of the newest snapshot, once if the request has an id.
    async fn commit<P>(&self, request: Option<RequestId>, plan: P) -> Result<Told, Status>
    where
        P: Fn(&Snapshot) -> Result<Arc<ChangeSet>, Rejection> + Send + 'static,
    {
        let request = request.map(|request| self.vault.request_of(&caller_name(), request));
        let store = &self.store;
        let (scope, policy) = (scope(), store.policy());
        let plan = move |snapshot: &Snapshot| {
            let change_set = plan(snapshot)?;
            check_scope(&scope, &policy, snapshot, &change_set)?;
            Ok(change_set)
        };
        let outcome = match request {
            None => store.commit(plan).await.map(Outcome::Done),
            Some(request) => {
                let fleet = self.fleet.clone();
                let kept = move |committed: &Committed| kept(committed, &fleet);
                store.commit_once(request, plan, kept).await
            }
        };
        match outcome.map_err(store_status)? {
            Outcome::Done(committed) => {
                note_commit(&committed, false);
                Ok(told(&committed, &self.fleet))
            }
            Outcome::Repeated(answer) => {
                note_repeated();
                Told::decode(answer).map_err(|_| Status::internal("the first answer cannot be read"))
            }
        }
    }
}

#[tonic::async_trait]
impl v1::configuration_service_server::ConfigurationService for Configuration {
    type ExportStream = stream::Stream<v1::ExportResponse>;
    type WatchStream = stream::Stream<v1::WatchResponse>;

    async fn apply(
        &self,
        request: Request<Streaming<v1::ApplyRequest>>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        let origin = Origin::of(&request);
        let mut parts = request.into_inner();
        let mut document = Document::new(LIMITS);
        while let Some(part) = next_part(&mut parts).await? {
            document.take(part)?;
        }
        let Received {
            change_set,
            dry_run,
            request,
        } = document.finish(origin)?;
        if has_secrets(&change_set) {
            self.vault.reload().await.map_err(secrets_status)?;
        }
        let told = if dry_run {
            let mut change_set = change_set;
            let sealed = self.vault.seal_in(&self.store.head().snapshot, &mut change_set);
            sealed.map_err(|refusal| rejected(&refusal))?;
            self.dry_run(change_set).await?
        } else {
            let (change_set, vault) = (Arc::new(change_set), self.vault.clone());
            let plan = move |snapshot: &Snapshot| sealed(&vault, snapshot, &change_set);
            self.commit(request, plan).await?
        };
        Ok(Response::new(told))
    }

    async fn export(
        &self,
        request: Request<v1::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        stream::export(&self.store, &self.stop, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        stream::watch(&self.store, &self.stop, &request.into_inner()).map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        history::list(&self.store, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn diff_revisions(
        &self,
        request: Request<v1::DiffRevisionsRequest>,
    ) -> Result<Response<v1::DiffRevisionsResponse>, Status> {
        history::diff(&self.store, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn rollback(
        &self,
        request: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::RollbackResponse>, Status> {
        let told = self.roll_back(Origin::of(&request), request.into_inner()).await?;
        Ok(Response::new(v1::RollbackResponse {
            version: told.version,
            unchanged: told.unchanged,
            changes: told.changes,
        }))
    }

    async fn create_tag(
        &self,
        request: Request<v1::CreateTagRequest>,
    ) -> Result<Response<v1::CreateTagResponse>, Status> {
        let actor = Origin::of(&request).actor;
        let tag = history::create_tag(&self.store, actor, request.into_inner()).await?;
        Ok(Response::new(v1::CreateTagResponse { tag: Some(tag) }))
    }

    async fn list_tags(
        &self,
        _request: Request<v1::ListTagsRequest>,
    ) -> Result<Response<v1::ListTagsResponse>, Status> {
        let tags = self.store.tags().await.map_err(store_status)?;
        let tags = tags.iter().map(history::tag_to_wire).collect();
        Ok(Response::new(v1::ListTagsResponse { tags }))
    }

    async fn delete_tag(
        &self,
        request: Request<v1::DeleteTagRequest>,
    ) -> Result<Response<v1::DeleteTagResponse>, Status> {
        let name = request.into_inner().name;
        self.store.delete_tag(&name).await.map_err(store_status)?;
        note(|note| note.summary = format!("deleted tag {name}"));
        Ok(Response::new(v1::DeleteTagResponse {}))
    }
}

fn has_secrets(change_set: &ChangeSet) -> bool {
    let is_secret = |operation: &Operation| {
        matches!(
            operation,
            Operation::Upsert {
                resource: Resource::Secret(_),
                ..
            }
        )
    };
    change_set.operations.iter().any(is_secret)
}

/// The change set with its values sealed; itself where there are none.
fn sealed(
    vault: &Vault,
    snapshot: &Snapshot,
    change_set: &Arc<ChangeSet>,
) -> Result<Arc<ChangeSet>, Rejection> {
    if !has_secrets(change_set) {
        return Ok(Arc::clone(change_set));
    }
    let mut own = ChangeSet::clone(change_set);
    vault.seal_in(snapshot, &mut own)?;
    Ok(Arc::new(own))
}

async fn next_part(parts: &mut Streaming<v1::ApplyRequest>) -> Result<Option<v1::ApplyRequest>, Status> {
    timeout(LIMITS.pause, parts.message()).await.unwrap_or_else(|_| {
        let seconds = LIMITS.pause.as_secs();
        Err(Status::deadline_exceeded(format!(
            "no message came for {seconds} seconds"
        )))
    })
}

fn told(committed: &Committed, fleet: &Fleet) -> Told {
    let changes = committed.changes.iter().map(|change| Difference {
        key: change.key.clone(),
        before: change.before.clone(),
        after: change.entry.clone(),
    });
    let unfit = fitness::warnings(committed, fleet);
    let warnings = committed.warnings.iter().chain(&unfit);
    v1::ApplyResponse {
        version: Some(version_of(committed)),
        unchanged: committed.changes.is_empty(),
        changes: changes_to_wire(changes),
        warnings: warnings.map(wire::violation_to_wire).collect(),
    }
}

fn kept(committed: &Committed, fleet: &Fleet) -> bytes::Bytes {
    let mut told = told(committed, fleet);
    if told.encoded_len() > MAX_KEPT {
        told.changes.clear();
    }
    told.encode_to_vec().into()
}

/// Differences as messages, the first updates of them with their fields.
fn changes_to_wire(differences: impl Iterator<Item = Difference>) -> Vec<v1::Change> {
    let mut detailed = 0;
    let message = |difference: Difference| {
        let is_update = difference.action() == ChangeAction::Updated;
        detailed += usize::from(is_update);
        let fields = if is_update && detailed <= MAX_DETAILED {
            difference.fields()
        } else {
            Vec::new()
        };
        let field = |field: tyrscale_model::FieldChange| v1::FieldChange {
            path: field.path,
            before: field.before,
            after: field.after,
        };
        v1::Change {
            resource: Some(wire::key_to_wire(&difference.key)),
            action: action_to_wire(difference.action()).into(),
            fields: fields.into_iter().map(field).collect(),
        }
    };
    differences.map(message).collect()
}

const fn action_to_wire(action: ChangeAction) -> v1::ChangeAction {
    match action {
        ChangeAction::Created => v1::ChangeAction::Created,
        ChangeAction::Updated => v1::ChangeAction::Updated,
        ChangeAction::Deleted => v1::ChangeAction::Deleted,
    }
}
