//! Get, List, Create, Update and Delete of any kind of resource. The services of the kinds only map messages.

use std::marker::PhantomData;

use tonic::Status;
use tyrscale_model::{
    ChangeAction, ChangeSet, Entry, Etag, Expectation, Filter, Kind, Operation, Rejection, ResourceKey,
    Snapshot, View, Violation, ViolationCode, wire,
};
use tyrscale_proto::v1;
use tyrscale_store::{Committed, Store};

use super::{
    bounds::{check_fields, check_scope, note_commit, scope},
    mask::Mask,
    refused, rejected, store_status,
};

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
    /// As a message of any kind.
    fn wrap(self) -> v1::Resource;
    /// From a message of any kind; `None` when it is of another.
    fn unwrap(resource: v1::Resource) -> Option<Self>;
}

/// A fresh id.
pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// How to write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    /// Who.
    pub(crate) author: String,
    /// Check everything, change nothing.
    pub(crate) validate_only: bool,
}

/// Which page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) size: u32,
    pub(crate) token: String,
    pub(crate) filter: String,
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
    kind: PhantomData<fn() -> M>,
}

impl<M: Message> Crud<M> {
    pub(crate) const fn new(store: Store) -> Self {
        Self {
            store,
            kind: PhantomData,
        }
    }

    /// Itself: services that are more than this have one.
    pub(crate) const fn crud(&self) -> &Self {
        self
    }

    pub(crate) fn get(&self, id: &str) -> Result<(M, u64), Status> {
        let head = self.store.head();
        let key = ResourceKey::new(M::KIND, id);
        let entry = head
            .snapshot
            .get(&key)
            .filter(|_| scope().admits(&head.snapshot, &key))
            .ok_or_else(|| refused(absent::<M>(&key)))?;
        Ok((message_of(entry)?, head.snapshot.revision().0))
    }

    pub(crate) fn list(&self, page: &Page) -> Result<Listed<M>, Status> {
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
        let head = self.store.head();
        let revision = head.snapshot.revision().0;
        let after = read_token(&page.token, revision)?;
        let scope = scope();
        let mut found = head.snapshot.of_kind(M::KIND).filter(|(key, entry)| {
            after.is_none_or(|last| &*key.id > last)
                && filter.matches(&entry.resource)
                && scope.admits(&head.snapshot, key)
        });
        let mut last = None;
        let mut messages = Vec::new();
        for (key, entry) in found.by_ref().take(size) {
            messages.push(message_of(entry)?);
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
        let author = write.author.clone();
        let plan = move |_: &Snapshot| change_set(message.clone(), Expectation::Absent, None, author.clone());
        written(&self.write(plan, &write).await?, &key)
    }

    pub(crate) async fn update(
        &self,
        message: Option<M>,
        mask: Option<prost_types::FieldMask>,
        allow_missing: bool,
        write: Write,
    ) -> Result<(M, v1::Version), Status> {
        let message = message.ok_or_else(|| refused(required(M::KIND.as_str())))?;
        let is_known = |path: &str| matches!(path, "meta") || M::default().take(path, &M::default());
        let mask = Mask::read(mask, is_known).map_err(|violations| rejected(&Rejection::from(violations)))?;
        check_fields(&mask, M::OPERATED)?;
        if message.id().is_empty() {
            return Err(refused(required(M::ID_FIELD)));
        }
        let key = ResourceKey::new(M::KIND, message.id());
        let author = write.author.clone();
        let target = key.clone();
        let plan = move |snapshot: &Snapshot| {
            let current = snapshot.get(&target);
            if current.is_none() && !allow_missing {
                return Err(absent::<M>(&target).into());
            }
            let etag = etag_of(message.meta());
            let merged = merge(current.map(AsRef::as_ref), message.clone(), &mask);
            change_set(merged, Expectation::Any, etag, author.clone())
        };
        written(&self.write(plan, &write).await?, &key)
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
        let operation = Operation::Delete {
            key: ResourceKey::new(M::KIND, id),
            etag: (!etag.is_empty()).then_some(Etag(etag)),
            cascade: cascade.unwrap_or(true),
        };
        let change_set = ChangeSet {
            operations: vec![operation],
            author: write.author.clone(),
            ..ChangeSet::default()
        };
        let committed = self
            .write(move |_: &Snapshot| Ok(change_set.clone()), &write)
            .await?;
        let gone = committed
            .changes
            .iter()
            .filter(|change| change.action == ChangeAction::Deleted);
        let deleted = gone.map(|change| wire::key_to_wire(&change.key)).collect();
        Ok((version_of(&committed), deleted))
    }

    async fn write<P>(&self, plan: P, write: &Write) -> Result<Committed, Status>
    where
        P: Fn(&Snapshot) -> Result<ChangeSet, Rejection> + Send + 'static,
    {
        let scope = scope();
        let plan = move |snapshot: &Snapshot| {
            let change_set = plan(snapshot)?;
            check_scope(&scope, snapshot, &change_set)?;
            Ok(change_set)
        };
        let outcome = if write.validate_only {
            let change_set = plan(&self.store.head().snapshot).map_err(|refusal| rejected(&refusal))?;
            self.store.dry_run(&change_set)
        } else {
            self.store.commit(plan).await
        };
        let committed = outcome.map_err(store_status)?;
        note_commit(&committed, write.validate_only);
        Ok(committed)
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

fn message_of<M: Message>(entry: &Entry) -> Result<M, Status> {
    M::unwrap(wire::entry_to_wire(entry)).ok_or_else(|| Status::internal("a resource is of another kind"))
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

fn change_set<M: Message>(
    message: M,
    expectation: Expectation,
    etag: Option<Etag>,
    author: String,
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
        author,
        ..ChangeSet::default()
    })
}

fn written<M: Message>(committed: &Committed, key: &ResourceKey) -> Result<(M, v1::Version), Status> {
    let changed = committed.changes.iter().find(|change| change.key == *key);
    let entry = changed
        .and_then(|change| change.entry.as_ref())
        .or_else(|| committed.head.snapshot.get(key))
        .ok_or_else(|| Status::internal("what was written is not there"))?;
    Ok((message_of(entry)?, version_of(committed)))
}

/// The id after which the page begins.
fn read_token(token: &str, revision: u64) -> Result<Option<&str>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let pinned = token
        .split_once(':')
        .and_then(|(pinned, last)| Some((pinned.parse::<u64>().ok()?, last)));
    match pinned {
        Some((pinned, last)) if pinned == revision => Ok(Some(last)),
        Some((pinned, _)) => Err(Status::out_of_range(format!(
            "page_token is of revision {pinned}, the configuration is at {revision}: start again"
        ))),
        None => Err(refused(Violation::new(
            "page_token",
            ViolationCode::Invalid,
            "is not one this server gave",
        ))),
    }
}
