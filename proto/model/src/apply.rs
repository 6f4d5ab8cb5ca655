//! The one way the configuration changes: a snapshot and a change set give the next snapshot, or every reason
//! why not.

mod change_set;
mod deletions;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use self::deletions::check_deletions;
use crate::{
    Entry, Etag, Kind, Meta, Name, Notes, PluginType, Rejection, Resource, ResourceKey, Snapshot, UnixMillis,
    Violation, ViolationCode,
    draft::{Draft, Touched},
};

pub use self::change_set::{ChangeSet, DeletionLimit, Expectation, Operation, Ownership};

/// What the rules depend on besides the configuration.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The plugins gateways have loaded.
    pub plugins: BTreeMap<Name, PluginType>,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeAction {
    /// It came.
    Created,
    /// Its content is another.
    Updated,
    /// It went.
    Deleted,
}

/// One resource that a change set changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which.
    pub key: ResourceKey,
    /// What became of it.
    pub action: ChangeAction,
    /// The resource before the change; `None` when created.
    pub before: Option<Arc<Entry>>,
    /// The resource after the change; `None` when deleted.
    pub entry: Option<Arc<Entry>>,
}

/// A change set applied.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The next snapshot, one revision on; the same as before when nothing changed.
    pub snapshot: Snapshot,
    /// What changed, in the order it was asked for; empty when the content was there already.
    pub changes: Vec<Change>,
    /// What was done but may not have been meant.
    pub warnings: Vec<Violation>,
}

/// Applies a change set. Pure: equal arguments give equal results.
///
/// # Errors
/// A [`Rejection`] with every broken rule; nothing is applied.
pub fn apply(
    snapshot: &Snapshot,
    change_set: &ChangeSet,
    policy: &Policy,
    now: UnixMillis,
) -> Result<Applied, Rejection> {
    if let Some(expected) = change_set.expected_revision
        && expected != snapshot.revision()
    {
        let message = format!(
            "the configuration is at revision {}, not {expected}",
            snapshot.revision()
        );
        return Err(Violation::new("expected_revision", ViolationCode::RevisionMismatch, message).into());
    }
    let mut step = Step {
        draft: Draft::of(snapshot),
        policy,
        change_set,
        violations: Vec::new(),
        warnings: Vec::new(),
        kept: HashSet::new(),
        meta: Meta {
            create_revision: snapshot.revision().next(),
            modify_revision: snapshot.revision().next(),
            create_time: now,
            modify_time: now,
            modified_by: change_set.author.clone(),
            ..Meta::default()
        },
    };
    for operation in &change_set.operations {
        match operation {
            Operation::Upsert {
                resource,
                expectation,
                etag,
            } => step.upsert(resource, *expectation, etag.as_ref()),
            Operation::Delete { key, etag, cascade } => step.delete(key, etag.as_ref(), *cascade),
        }
    }
    if change_set.ownership.prune {
        step.prune(snapshot);
    }
    step.finish(snapshot)
}

struct Step<'a> {
    draft: Draft,
    policy: &'a Policy,
    change_set: &'a ChangeSet,
    violations: Vec<Violation>,
    warnings: Vec<Violation>,
    /// What the change set puts.
    kept: HashSet<ResourceKey>,
    /// Of a resource that this change creates.
    meta: Meta,
}

impl Step<'_> {
    fn upsert(&mut self, resource: &Resource, expectation: Expectation, etag: Option<&Etag>) {
        let key = resource.key();
        let current = self.draft.snapshot().get(&key).cloned();
        let found = self.precondition(&key, current.as_deref(), expectation, etag);
        let before = current.as_ref().map(|entry| &entry.resource);
        let mut found: Vec<Violation> = found.into_iter().collect();
        found.extend(current.as_deref().and_then(|current| self.foreign(current)));
        found.extend(
            self.change_set
                .notes
                .get(&key)
                .iter()
                .flat_map(|notes| notes.violations()),
        );
        self.kept.insert(key.clone());
        match resource.clone().unmasked(before) {
            Ok(resource) => {
                let payload = resource.payload();
                found.extend(resource.violations(&payload));
                found.extend(
                    before
                        .map(|before| resource.change_violations(before))
                        .unwrap_or_default(),
                );
                found.extend(self.plugin_violation(&resource));
                let entry = Entry {
                    payload,
                    meta: self.meta_after(&key, current.as_deref()),
                    resource,
                };
                let changed = current.is_none_or(|current| !current.has_content_of(&entry));
                if found.is_empty() && changed {
                    self.draft.put(entry);
                }
            }
            Err(violation) => found.push(violation),
        }
        self.violations
            .extend(found.into_iter().map(|violation| violation.of(key.clone())));
    }

    fn meta_after(&self, key: &ResourceKey, before: Option<&Entry>) -> Meta {
        let mut meta = self.meta.clone();
        if let Some(Entry { meta: before, .. }) = before {
            meta.create_revision = before.create_revision;
            meta.create_time = before.create_time;
            meta.labels.clone_from(&before.labels);
            meta.annotations.clone_from(&before.annotations);
            meta.managed_by.clone_from(&before.managed_by);
        }
        let manager = &self.change_set.ownership.manager;
        if !manager.is_empty() {
            meta.managed_by.clone_from(manager);
        }
        if let Some(notes) = self.change_set.notes.get(key) {
            let Notes {
                labels,
                annotations,
                managed_by,
            } = notes.clone();
            meta.labels = labels.unwrap_or(meta.labels);
            meta.annotations = annotations.unwrap_or(meta.annotations);
            meta.managed_by = managed_by.unwrap_or(meta.managed_by);
        }
        meta
    }

    /// What stands in the way of touching a resource that another manages; taking it over is worth a warning.
    fn foreign(&mut self, current: &Entry) -> Option<Violation> {
        let Ownership {
            manager, take_over, ..
        } = &self.change_set.ownership;
        let owner = &current.meta.managed_by;
        if manager.is_empty() || owner.is_empty() || owner == manager {
            return None;
        }
        let code = ViolationCode::ManagedByAnother;
        if *take_over {
            let taken = Violation::new("meta.managed_by", code, format!("was managed by {owner}"));
            self.warnings.push(taken.of(current.resource.key()));
            return None;
        }
        Some(Violation::new(
            "meta.managed_by",
            code,
            format!("is managed by {owner}"),
        ))
    }

    fn precondition(
        &self,
        key: &ResourceKey,
        current: Option<&Entry>,
        expectation: Expectation,
        etag: Option<&Etag>,
    ) -> Option<Violation> {
        match (current, expectation) {
            (Some(_), Expectation::Absent) => {
                let field = if matches!(key.kind, Kind::Network | Kind::Secret) {
                    "name"
                } else {
                    "id"
                };
                let violation = Violation::new(
                    field,
                    ViolationCode::AlreadyExists,
                    format!("{key} already exists"),
                );
                Some(violation.against(key.clone()))
            }
            (None, Expectation::Present) => Some(absent(key)),
            (None, _) if etag.is_some() => Some(absent(key)),
            (Some(entry), _) => stale(entry, etag),
            (None, _) => None,
        }
    }

    fn plugin_violation(&self, resource: &Resource) -> Option<Violation> {
        let Resource::Plugin(plugin) = resource else {
            return None;
        };
        match self.policy.plugins.get(&plugin.name) {
            Some(loaded) if *loaded == plugin.plugin_type => None,
            _ => Some(Violation::new(
                "name",
                ViolationCode::ReferenceNotFound,
                "plugin not found: no gateway has loaded it",
            )),
        }
    }

    fn finish(self, before: &Snapshot) -> Result<Applied, Rejection> {
        let limit = self.change_set.max_deletes.of(before.len());
        if !self.violations.is_empty() {
            return Err(self.violations.into());
        }
        let (mut snapshot, touched) = self.draft.finish()?;
        let changes: Vec<Change> = touched.into_iter().filter_map(change_of).collect();
        check_deletions(&changes, limit)?;
        if changes.is_empty() {
            snapshot = before.clone();
        } else {
            snapshot.revision = before.revision().next();
        }
        Ok(Applied {
            snapshot,
            changes,
            warnings: self.warnings,
        })
    }
}

fn absent(key: &ResourceKey) -> Violation {
    Violation::new("", ViolationCode::NotFound, format!("{key} does not exist"))
}

fn stale(current: &Entry, etag: Option<&Etag>) -> Option<Violation> {
    let etag = etag.filter(|etag| **etag != current.etag())?;
    let message = format!("{} is not the current one, {}", etag.0, current.etag().0);
    Some(Violation::new("meta.etag", ViolationCode::EtagMismatch, message))
}

fn change_of(touched: Touched) -> Option<Change> {
    let action = match (&touched.before, &touched.after) {
        (None, None) => return None,
        (None, Some(_)) => ChangeAction::Created,
        (Some(_), None) => ChangeAction::Deleted,
        (Some(before), Some(after)) if before.has_content_of(after) => return None,
        (Some(_), Some(_)) => ChangeAction::Updated,
    };
    Some(Change {
        key: touched.key,
        action,
        before: touched.before,
        entry: touched.after,
    })
}
