//! Get, List, Create, Update and Delete of any kind of resource. The services of the kinds only map messages.

mod write;

use std::marker::PhantomData;

use prost::Message as _;
use tonic::Status;
use tyrscale_access::Scope;
use tyrscale_model::{
    ChangeSet, Entry, Etag, Expectation, Filter, Kind, Notes, Operation, Rejection, Resource, ResourceKey,
    Revision, Snapshot, View, Violation, ViolationCode, wire,
};
use tyrscale_proto::v1;
use tyrscale_store::{Committed, Outcome, Store};

use self::write::{Answer, NOTES};
pub(crate) use self::write::{Write, notes_of, request_id_of};
use super::{
    bounds::{check_fields, check_scope, note_commit, note_repeated, scope},
    caller_name,
    mask::Mask,
    refused, rejected, secrets_status, store_status,
};
use crate::secrets::Vault;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: u32 = 1000;

/// The message of one kind of resource.
pub(crate) trait Message: Clone + Default + Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;
    /// The field that holds the id, or its first part.
    const ID_FIELD: &'static str;
    /// The fields that an operator may change.
    const OPERATED: &'static [&'static str] = &[];

    /// The id; empty when it is not set.
    fn id(&self) -> String;
    /// Makes an id when there is none and the server makes the ids of the kind.
    fn assign_id(&mut self) {}
    /// What the client says it has read.
    fn meta(&self) -> Option<&v1::ObjectMeta>;
    /// Takes the field of this path over; `false` when there is no such field.
    fn take(&mut self, path: &str, from: &Self) -> bool;
    /// Fills in what only the whole configuration tells, to a caller of this scope.
    fn complete(&mut self, _snapshot: &Snapshot, _resource: &Resource, _scope: &Scope) {}
    /// As a message of any kind.
    fn wrap(self) -> v1::Resource;
    /// From a message of any kind; `None` when it is of another.
    fn unwrap(resource: v1::Resource) -> Option<Self>;
}

/// A fresh id.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Which page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) size: u32,
    pub(crate) token: String,
    pub(crate) filter: String,
    pub(crate) at_revision: Option<u64>,
}

/// A page of a list.
pub(crate) struct Listed<M> {
    pub(crate) messages: Vec<M>,
    pub(crate) next_page_token: String,
    pub(crate) revision: u64,
}

/// The five operations on one kind.
pub(crate) struct Crud<M> {
    store: Store,
    vault: Vault,
    kind: PhantomData<fn() -> M>,
}

impl<M: Message> Crud<M> {
    pub(crate) const fn new(store: Store, vault: Vault) -> Self {
        Self {
            store,
            vault,
            kind: PhantomData,
        }
    }

    /// Itself: services that are more than this have one.
    pub(crate) const fn crud(&self) -> &Self {
        self
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) const fn vault(&self) -> &Vault {
        &self.vault
    }

    pub(crate) async fn get(&self, id: &str, at_revision: Option<u64>) -> Result<(M, u64), Status> {
        let snapshot = snapshot_at(&self.store, at_revision).await?;
        let key = ResourceKey::new(M::KIND, id);
        let scope = scope();
        let entry = snapshot
            .get(&key)
            .filter(|_| scope.admits(&snapshot, &key))
            .ok_or_else(|| refused(absent::<M>(&key)))?;
        Ok((message_of(&snapshot, entry, &scope)?, snapshot.revision().0))
    }

    pub(crate) async fn list(&self, page: &Page) -> Result<Listed<M>, Status> {
        let filter = Filter::parse(M::KIND, &page.filter).map_err(refused)?;
        let size = match page.size {
            0 => DEFAULT_PAGE,
            size @ 1..=MAX_PAGE => usize::try_from(size).unwrap_or(DEFAULT_PAGE),
            _ => {
                let message = format!("must be at most {MAX_PAGE}");
                return Err(refused(Violation::new(
                    "page_size",
                    ViolationCode::OutOfRange,
                    message,
                )));
            }
        };
        let token = read_token(&page.token)?;
        let (pinned, after) = token.map_or((page.at_revision, None), |(pinned, last)| {
            (Some(pinned), Some(last))
        });
        let snapshot = snapshot_at(&self.store, pinned).await?;
        let revision = snapshot.revision().0;
        let scope = scope();
        let mut found = snapshot.of_kind(M::KIND).filter(|(key, entry)| {
            after.is_none_or(|last| &*key.id > last)
                && filter.matches(&entry.resource)
                && scope.admits(&snapshot, key)
        });
        let mut last = None;
        let mut messages = Vec::new();
        for (key, entry) in found.by_ref().take(size) {
            messages.push(message_of(&snapshot, entry, &scope)?);
            last = Some(&key.id);
        }
        let next_page_token = match last {
            Some(last) if found.next().is_some() => format!("{revision}:{last}"),
            _ => String::new(),
        };
        Ok(Listed {
            messages,
            next_page_token,
            revision,
        })
    }

    pub(crate) async fn create(&self, message: Option<M>, write: Write) -> Result<(M, v1::Version), Status> {
        let mut message = message.ok_or_else(|| refused(required(M::KIND.as_str())))?;
        message.assign_id();
        let key = ResourceKey::new(M::KIND, message.id());
        let notes = notes_of(message.meta(), |_| false);
        let plan = move |_: &Snapshot| put(message.clone(), Expectation::Absent, None, notes.clone());
        self.write(plan, key, write).await?.into_written()
    }

    pub(crate) async fn update(
        &self,
        message: Option<M>,
        mask: Option<prost_types::FieldMask>,
        allow_missing: bool,
        write: Write,
    ) -> Result<(M, v1::Version), Status> {
        let message = message.ok_or_else(|| refused(required(M::KIND.as_str())))?;
        let is_known = |path: &str| NOTES.contains(&path) || M::default().take(path, &M::default());
        let mask = Mask::read(mask, is_known).map_err(|violations| rejected(&Rejection::from(violations)))?;
        check_fields(&mask, M::OPERATED)?;
        if message.id().is_empty() {
            return Err(refused(required(M::ID_FIELD)));
        }
        let notes = match &mask {
            Mask::All => notes_of(message.meta(), |_| false),
            Mask::Paths(paths) if NOTES.iter().any(|note| paths.iter().any(|path| path == note)) => {
                notes_of(message.meta(), |note| paths.iter().any(|path| path == note))
            }
            Mask::Paths(_) => None,
        };
        let key = ResourceKey::new(M::KIND, message.id());
        let target = key.clone();
        let plan = move |snapshot: &Snapshot| {
            let current = snapshot.get(&target);
            if current.is_none() && !allow_missing {
                return Err(absent::<M>(&target).into());
            }
            let etag = etag_of(message.meta());
            let merged = merge(current.map(AsRef::as_ref), message.clone(), &mask);
            put(merged, Expectation::Any, etag, notes.clone())
        };
        self.write(plan, key, write).await?.into_written()
    }

    pub(crate) async fn delete(
        &self,
        id: &str,
        etag: String,
        cascade: Option<bool>,
        write: Write,
    ) -> Result<(v1::Version, Vec<v1::ResourceRef>), Status> {
        if id.is_empty() {
            return Err(refused(required(M::ID_FIELD)));
        }
        let key = ResourceKey::new(M::KIND, id);
        let operation = Operation::Delete {
            key: key.clone(),
            etag: (!etag.is_empty()).then_some(Etag(etag)),
            cascade: cascade.unwrap_or(true),
        };
        let change_set = ChangeSet {
            operations: vec![operation],
            ..ChangeSet::default()
        };
        let answer = self
            .write(move |_: &Snapshot| Ok(change_set.clone()), key, write)
            .await?;
        let version = answer
            .version
            .ok_or_else(|| Status::internal("a write without version"))?;
        Ok((version, answer.deleted))
    }

    async fn write<P>(&self, plan: P, key: ResourceKey, write: Write) -> Result<Answer, Status>
    where
        P: Fn(&Snapshot) -> Result<ChangeSet, Rejection> + Send + 'static,
    {
        let Write {
            origin,
            validate_only,
            request,
        } = write;
        let request_id = request
            .as_ref()
            .map(|request| request.id.clone())
            .unwrap_or_default();
        if key.kind == Kind::Secret {
            self.vault.reload().await.map_err(secrets_status)?;
        }
        let request = request.map(|request| self.vault.request_of(&caller_name(), request));
        let (scope, policy, vault) = (scope(), self.store.policy(), self.vault.clone());
        let plan = move |snapshot: &Snapshot| {
            let mut change_set = ChangeSet {
                author: origin.actor.clone(),
                client: origin.client.clone(),
                request_id: request_id.clone(),
                ..plan(snapshot)?
            };
            vault.seal_in(snapshot, &mut change_set)?;
            check_scope(&scope, &policy, snapshot, &change_set)?;
            Ok(change_set)
        };
        if validate_only {
            let change_set = plan(&self.store.head().snapshot).map_err(|refusal| rejected(&refusal))?;
            let committed = self.store.dry_run(&change_set).map_err(store_status)?;
            note_commit(&committed, true);
            return Ok(Answer::of(&committed, &key));
        }
        let Some(request) = request else {
            let committed = self.store.commit(plan).await.map_err(store_status)?;
            note_commit(&committed, false);
            return Ok(Answer::of(&committed, &key));
        };
        let of = key.clone();
        let encode = move |committed: &Committed| Answer::of(committed, &of).encode_to_vec().into();
        match self
            .store
            .commit_once(request, plan, encode)
            .await
            .map_err(store_status)?
        {
            Outcome::Done(committed) => {
                note_commit(&committed, false);
                Ok(Answer::of(&committed, &key))
            }
            Outcome::Repeated(answer) => {
                note_repeated();
                Answer::decode(answer).map_err(|_| Status::internal("the first answer cannot be read"))
            }
        }
    }
}

/// The content of a revision, or the newest.
pub(crate) async fn snapshot_at(store: &Store, revision: Option<u64>) -> Result<Snapshot, Status> {
    match revision {
        None => Ok(store.head().snapshot.clone()),
        Some(revision) => store.at(Revision(revision)).await.map_err(store_status),
    }
}

/// The version a write led to, with the digest over everything.
pub(crate) fn version_of(committed: &Committed) -> v1::Version {
    wire::version_to_wire(&committed.head.snapshot.version(View::ALL))
}

/// An etag that is set.
pub(crate) fn etag_of(meta: Option<&v1::ObjectMeta>) -> Option<Etag> {
    meta.filter(|meta| !meta.etag.is_empty())
        .map(|meta| Etag(meta.etag.clone()))
}

fn required(field: &str) -> Violation {
    Violation::new(field, ViolationCode::Required, "must be set")
}

fn absent<M: Message>(key: &ResourceKey) -> Violation {
    Violation::new("", ViolationCode::NotFound, format!("{key} does not exist")).of(key.clone())
}

fn message_of<M: Message>(snapshot: &Snapshot, entry: &Entry, scope: &Scope) -> Result<M, Status> {
    let message = M::unwrap(wire::entry_to_wire(entry));
    let mut message = message.ok_or_else(|| Status::internal("a resource is of another kind"))?;
    message.complete(snapshot, &entry.resource, scope);
    Ok(message)
}

fn merge<M: Message>(current: Option<&Entry>, message: M, mask: &Mask) -> M {
    let stored = current
        .map(|entry| wire::resource_to_wire(&entry.resource, wire::Exposure::Full))
        .and_then(M::unwrap);
    match (stored, mask) {
        (Some(mut merged), Mask::Paths(paths)) => {
            for path in paths {
                merged.take(path, &message);
            }
            merged
        }
        _ => message,
    }
}

fn put<M: Message>(
    message: M,
    expectation: Expectation,
    etag: Option<Etag>,
    notes: Option<Notes>,
) -> Result<ChangeSet, Rejection> {
    let key = ResourceKey::new(M::KIND, message.id());
    let resource = wire::resource_from_wire(&message.wrap()).map_err(|violations| {
        let violations = violations.into_iter().map(|violation| violation.of(key.clone()));
        Rejection::from(violations.collect::<Vec<_>>())
    })?;
    Ok(ChangeSet {
        operations: vec![Operation::Upsert {
            resource,
            expectation,
            etag,
        }],
        notes: notes.into_iter().map(|notes| (key.clone(), notes)).collect(),
        ..ChangeSet::default()
    })
}

/// The revision of the first page, and the id after which the page begins.
fn read_token(token: &str) -> Result<Option<(u64, &str)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let pinned = token
        .split_once(':')
        .and_then(|(pinned, last)| Some((pinned.parse().ok()?, last)));
    pinned.map(Some).ok_or_else(|| {
        refused(Violation::new(
            "page_token",
            ViolationCode::Invalid,
            "is not one this server gave",
        ))
    })
}
