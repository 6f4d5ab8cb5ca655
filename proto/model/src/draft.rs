//! A snapshot being changed: steps are taken one by one, references and uniqueness count when it is finished.

use std::{collections::HashSet, sync::Arc};

use crate::{Entry, Kind, Resource, ResourceKey, Snapshot, Violation, ViolationCode};

/// A resource that a draft changed: what was there before, if anything.
pub(crate) struct Touched {
    pub(crate) key: ResourceKey,
    pub(crate) before: Option<Arc<Entry>>,
}

/// A snapshot being changed; references and uniqueness are checked when it is finished.
pub(crate) struct Draft {
    snapshot: Snapshot,
    touched: Vec<Touched>,
    index: HashSet<ResourceKey>,
    /// Whether every secret that is referred to must be there.
    holds_secrets: bool,
}

impl Draft {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: snapshot.clone(),
            touched: Vec::new(),
            index: HashSet::new(),
            holds_secrets: true,
        }
    }

    /// Of a subscriber, which may see resources and not the secrets they refer to.
    pub(crate) fn of_subscriber(snapshot: &Snapshot) -> Self {
        Self {
            holds_secrets: false,
            ..Self::of(snapshot)
        }
    }

    pub(crate) const fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    pub(crate) fn is_touched(&self, key: &ResourceKey) -> bool {
        self.index.contains(key)
    }

    fn touch(&mut self, key: &ResourceKey) -> Option<Arc<Entry>> {
        let current = self.snapshot.entries.get(key).cloned();
        if self.index.insert(key.clone()) {
            self.touched.push(Touched {
                key: key.clone(),
                before: current.clone(),
            });
        }
        if let Some(entry) = &current {
            self.snapshot.digest.remove(key.kind, &key.id, &entry.payload);
            self.snapshot.needed.remove(&entry.resource, key.kind);
            for (_, target) in entry.resource.references() {
                self.snapshot.referrers.remove_mut(&(target, key.clone()));
            }
        }
        current
    }

    pub(crate) fn put(&mut self, entry: Entry) {
        let key = entry.resource.key();
        self.touch(&key);
        self.snapshot.digest.add(key.kind, &key.id, &entry.payload);
        self.snapshot.needed.add(&entry.resource, key.kind);
        for (_, target) in entry.resource.references() {
            self.snapshot.referrers.insert_mut((target, key.clone()), ());
        }
        self.snapshot.entries.insert_mut(key, Arc::new(entry));
    }

    pub(crate) fn remove(&mut self, key: &ResourceKey) {
        if self.touch(key).is_some() {
            self.snapshot.entries.remove_mut(key);
        }
    }

    /// The changed snapshot, at the revision it started from, and what was touched in order.
    pub(crate) fn finish(mut self) -> Result<(Snapshot, Vec<Touched>), Vec<Violation>> {
        let mut violations = self.claim_unique_keys();
        for Touched { key, .. } in &self.touched {
            match self.snapshot.entries.get(key) {
                Some(entry) => violations.extend(self.dangling(key, &entry.resource)),
                None => violations.extend(self.snapshot.referrers_of(key).map(|referrer| {
                    Violation::new("", ViolationCode::InUse, format!("is used by {referrer}"))
                        .of(key.clone())
                        .against(referrer.clone())
                })),
            }
        }
        if violations.is_empty() {
            Ok((self.snapshot, self.touched))
        } else {
            Err(violations)
        }
    }

    fn dangling(&self, key: &ResourceKey, resource: &Resource) -> Vec<Violation> {
        let missing = |(_, target): &(&'static str, ResourceKey)| {
            let is_needed = self.holds_secrets || target.kind != Kind::Secret;
            is_needed && !self.snapshot.entries.contains_key(target)
        };
        let references = resource.references().into_iter().filter(missing);
        references
            .map(|(field, target)| {
                let message = format!("names {target}, which does not exist");
                Violation::new(field, ViolationCode::ReferenceNotFound, message).of(key.clone())
            })
            .collect()
    }

    fn claim_unique_keys(&mut self) -> Vec<Violation> {
        let unique = &mut self.snapshot.unique;
        for Touched { key, before } in &self.touched {
            let held = before.as_ref().and_then(|entry| entry.resource.unique_key());
            if let Some(held) = held
                && unique.get(&held) == Some(key)
            {
                unique.remove_mut(&held);
            }
        }
        let mut violations = Vec::new();
        for Touched { key, .. } in &self.touched {
            let wanted = self
                .snapshot
                .entries
                .get(key)
                .and_then(|entry| entry.resource.unique_key());
            let Some(wanted) = wanted else { continue };
            match unique.get(&wanted) {
                Some(owner) if owner != key => violations.push(
                    Violation::new(
                        wanted.field,
                        ViolationCode::AlreadyExists,
                        format!("is taken by {owner}"),
                    )
                    .of(key.clone())
                    .against(owner.clone()),
                ),
                _ => unique.insert_mut(wanted, key.clone()),
            }
        }
        violations
    }
}
