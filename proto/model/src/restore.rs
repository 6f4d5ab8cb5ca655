//! Going back: the change that gives an earlier content again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Difference, Notes, Operation, Rejection, ResourceKey, Snapshot, Violation, ViolationCode, difference,
};

/// What gives resources the content they had.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Restoration {
    /// The steps.
    pub operations: Vec<Operation>,
    /// The labels, annotations and managers that go with them.
    pub notes: BTreeMap<ResourceKey, Notes>,
}

/// What gives `current` the content of `earlier`, or only those resources of it that are named.
///
/// # Errors
/// A [`Rejection`] naming each resource that is in neither content.
pub fn restore(
    current: &Snapshot,
    earlier: &Snapshot,
    only: &BTreeSet<ResourceKey>,
) -> Result<Restoration, Rejection> {
    let unknown: Vec<Violation> = only
        .iter()
        .filter(|key| current.get(key).is_none() && earlier.get(key).is_none())
        .map(|key| {
            Violation::new("", ViolationCode::NotFound, format!("{key} does not exist")).of(key.clone())
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown.into());
    }
    let mut restoration = Restoration::default();
    for Difference { key, before, after } in difference(current, earlier) {
        if !only.is_empty() && !only.contains(&key) {
            continue;
        }
        let is_another = match (&before, &after) {
            (Some(before), Some(after)) => !after.resource.change_violations(&before.resource).is_empty(),
            (Some(_), None) => true,
            (None, _) => false,
        };
        // What may not change in place is taken away first.
        if is_another {
            restoration.operations.push(Operation::Delete {
                key: key.clone(),
                etag: None,
                cascade: false,
            });
        }
        if let Some(after) = after {
            restoration
                .operations
                .push(Operation::put(after.resource.clone()));
            let notes = Notes {
                labels: Some(after.meta.labels.clone()),
                annotations: Some(after.meta.annotations.clone()),
                managed_by: Some(after.meta.managed_by.clone()),
            };
            restoration.notes.insert(key, notes);
        }
    }
    Ok(restoration)
}
