//! The part of a configuration that has to do with routes of certain labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{Entry, Rejection, Resource, ResourceKey, Snapshot};

/// Labels that a route must have for a subscriber to see it; none: it sees everything.
///
/// With a route are seen its upstreams and plugins and its recommendation, the rpcs of seen upstreams, and the secrets
/// that seen resources refer to. Networks are seen by all: they are few, and hold nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Selection(BTreeMap<String, String>);

impl Selection {
    /// The word by which control plane and subscriber tell each other that they know of selections.
    pub const FEATURE: &'static str = "labels";

    /// Routes with all of these labels.
    #[must_use]
    pub const fn of(labels: BTreeMap<String, String>) -> Self {
        Self(labels)
    }

    /// Whether it leaves nothing out.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The labels.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// 16 hexadecimal digits that tell it from others; none when it leaves nothing out.
    #[must_use]
    pub fn mark(&self) -> Option<String> {
        let mut hasher = blake3::Hasher::new();
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        let mut mark = hasher.finalize().to_hex().to_string();
        mark.truncate(16);
        (!self.is_everything()).then_some(mark)
    }

    /// Whether a resource of a content is seen.
    fn sees(&self, whole: &Snapshot, key: &ResourceKey) -> bool {
        let Some(entry) = whole.get(key) else {
            return false;
        };
        let sees_route = |route: ResourceKey| self.sees(whole, &route);
        match &entry.resource {
            Resource::Network(_) => true,
            Resource::Route(_) => self.has_labels(entry),
            Resource::Upstream(upstream) => sees_route(upstream.route_id.key()),
            Resource::Plugin(plugin) => sees_route(plugin.route_id.key()),
            Resource::Recommendation(recommendation) => sees_route(recommendation.route_id.key()),
            Resource::Rpc(_) | Resource::Secret(_) => {
                whole.referrers_of(key).any(|referrer| self.sees(whole, referrer))
            }
        }
    }

    fn has_labels(&self, entry: &Entry) -> bool {
        let has = |(name, value): (&String, &String)| entry.meta.labels.get(name) == Some(value);
        self.0.iter().all(has)
    }
}

impl Snapshot {
    /// The part of it that is seen, at the same revision.
    ///
    /// # Errors
    /// A [`Rejection`] when the part does not fit together, which a content that does never causes.
    pub fn selected(&self, selection: &Selection) -> Result<Self, Rejection> {
        if selection.is_everything() {
            return Ok(self.clone());
        }
        let seen = self.iter().filter(|(key, _)| selection.sees(self, key));
        let entries = seen.map(|(_, entry)| Arc::clone(entry));
        Self::restore(self.lineage(), self.revision(), entries)
    }

    /// The same, made from the part `before` of an earlier revision, after which these resources were `touched`. Returns
    /// the resources whose content changed in the part, too. The work is that of the change.
    ///
    /// # Errors
    /// As [`Snapshot::selected`].
    pub fn selected_after(
        &self,
        before: &Self,
        touched: impl IntoIterator<Item = ResourceKey>,
        selection: &Selection,
    ) -> Result<(Self, Vec<ResourceKey>), Rejection> {
        let (mut contents, mut changed) = (Vec::new(), Vec::new());
        for key in concerned(&[self, before], touched) {
            let (known, wanted) = (before.get(&key), self.get(&key));
            let wanted = wanted.filter(|_| selection.sees(self, &key));
            if known.map(Arc::as_ptr) == wanted.map(Arc::as_ptr) {
                continue;
            }
            // What is noted with it may differ alone.
            if known.map(|entry| &entry.payload) != wanted.map(|entry| &entry.payload) {
                changed.push(key.clone());
            }
            contents.push((key, wanted.cloned()));
        }
        Ok((before.replaced(self.revision(), contents)?, changed))
    }
}

/// The resources that were touched, and all whose being seen may depend on one of them in one of the contents.
fn concerned(
    contents: &[&Snapshot],
    touched: impl IntoIterator<Item = ResourceKey>,
) -> BTreeSet<ResourceKey> {
    let mut waiting: Vec<ResourceKey> = touched.into_iter().collect();
    let mut concerned = BTreeSet::new();
    while let Some(key) = waiting.pop() {
        if !concerned.insert(key.clone()) {
            continue;
        }
        for content in contents {
            let Some(entry) = content.get(&key) else { continue };
            match &entry.resource {
                Resource::Route(_) => waiting.extend(content.referrers_of(&key).cloned()),
                Resource::Upstream(_) | Resource::Rpc(_) => {
                    let named = entry.resource.references().into_iter().map(|(_, target)| target);
                    // Whether a route is seen depends on nothing but itself.
                    waiting.extend(named.filter(|target| target.kind != crate::Kind::Route));
                }
                _ => {}
            }
        }
    }
    concerned
}
