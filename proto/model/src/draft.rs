//! A snapshot being changed: steps are taken one by one, references and uniqueness count when it is finished.

use std::{collections::HashMap, sync::Arc};

use crate::{Entry, Kind, Resource, ResourceKey, Snapshot, Violation, ViolationCode};

/// A resource that a draft changed: what was there before and what is there now, if anything.
pub(crate) struct Touched {
    pub(crate) key: ResourceKey,
    pub(crate) before: Option<Arc<Entry>>,
    pub(crate) after: Option<Arc<Entry>>,
}

/// A snapshot being changed; references and uniqueness are checked when it is finished.
pub(crate) struct Draft {
    snapshot: Snapshot,
    touched: Vec<Touched>,
    /// Where each is among those that were touched.
    places: HashMap<ResourceKey, usize>,
    /// Whether every secret that is referred to must be there.
    holds_secrets: bool,
}

impl Draft {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: snapshot.clone(),
            touched: Vec::new(),
            places: HashMap::new(),
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
        self.places.contains_key(key)
    }

    /// Takes out what is there and notes what is to be there instead; whether anything was.
    fn touch(&mut self, key: &ResourceKey, after: Option<Arc<Entry>>) -> bool {
        let current = self.snapshot.entries.get(key).cloned();
        if let Some(entry) = &current {
            self.snapshot.digest.remove(key.kind, &key.id, &entry.payload);
            self.snapshot.needed.remove(&entry.resource, key.kind);
            for (_, target) in entry.resource.references() {
                self.snapshot.referrers.remove_mut(&(target, key.clone()));
            }
        }
        let was_there = current.is_some();
        let place = self.places.get(key).copied();
        match place.and_then(|place| self.touched.get_mut(place)) {
            Some(touched) => touched.after = after,
            None => {
                self.places.insert(key.clone(), self.touched.len());
                self.touched.push(Touched {
                    key: key.clone(),
                    before: current,
                    after,
                });
            }
        }
        was_there
    }

    pub(crate) fn put(&mut self, entry: impl Into<Arc<Entry>>) {
        let entry = entry.into();
        let key = entry.resource.key();
        self.touch(&key, Some(Arc::clone(&entry)));
        self.snapshot.digest.add(key.kind, &key.id, &entry.payload);
        self.snapshot.needed.add(&entry.resource, key.kind);
        for (_, target) in entry.resource.references() {
            self.snapshot.referrers.insert_mut((target, key.clone()), ());
        }
        self.snapshot.entries.insert_mut(key, entry);
    }

    pub(crate) fn remove(&mut self, key: &ResourceKey) {
        if self.touch(key, None) {
            self.snapshot.entries.remove_mut(key);
        }
    }

    /// The changed snapshot, at the revision it started from, and what was touched in order.
    pub(crate) fn finish(mut self) -> Result<(Snapshot, Vec<Touched>), Vec<Violation>> {
        let mut violations = self.claim_unique_keys();
        for Touched { key, after, .. } in &self.touched {
            match after {
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
        for Touched { key, before, .. } in &self.touched {
            let held = before.as_ref().and_then(|entry| entry.resource.unique_key());
            if let Some(held) = held
                && unique.get(&held) == Some(key)
            {
                unique.remove_mut(&held);
            }
        }
        let mut violations = Vec::new();
        for Touched { key, after, .. } in &self.touched {
            let wanted = after.as_ref().and_then(|entry| entry.resource.unique_key());
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
