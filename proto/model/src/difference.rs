//! How two contents differ, by resource and by field.

mod field;

use std::sync::Arc;

use crate::{ChangeAction, Entry, ResourceKey, Snapshot};

pub use field::{FieldChange, field_changes};

/// A resource that is another, or in one of two contents only.
#[derive(Debug, Clone)]
pub struct Difference {
    /// Which.
    pub key: ResourceKey,
    /// In the first content, if it is there.
    pub before: Option<Arc<Entry>>,
    /// In the second content, if it is there.
    pub after: Option<Arc<Entry>>,
}

impl Difference {
    /// What became of the resource.
    #[must_use]
    pub const fn action(&self) -> ChangeAction {
        match (&self.before, &self.after) {
            (None, _) => ChangeAction::Created,
            (Some(_), Some(_)) => ChangeAction::Updated,
            (Some(_), None) => ChangeAction::Deleted,
        }
    }

    /// Of an update: the fields that are others.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldChange> {
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => field_changes(before, after),
            _ => Vec::new(),
        }
    }
}

/// The resources in which `after` differs from `before`, by key. Revisions and times do not count.
#[must_use]
pub fn difference(before: &Snapshot, after: &Snapshot) -> Vec<Difference> {
    let mut found = Vec::new();
    for (key, old) in before.iter() {
        let new = after.get(key);
        if new.is_none_or(|new| !Arc::ptr_eq(old, new) && !old.has_content_of(new)) {
            found.push(Difference {
                key: key.clone(),
                before: Some(Arc::clone(old)),
                after: new.cloned(),
            });
        }
    }
    for (key, new) in after.iter().filter(|(key, _)| before.get(key).is_none()) {
        found.push(Difference {
            key: key.clone(),
            before: None,
            after: Some(Arc::clone(new)),
        });
    }
    found.sort_by(|one, other| one.key.cmp(&other.key));
    found
}
