//! The whole configuration at one version.

mod advance;
mod entry;

use std::sync::Arc;

use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{
    ContentDigest, Digest, Feature, Features, Kind, KindHashes, Lane, Lineage, Name, Network,
    PluginAttachment, Recommendation, Rejection, Resource, ResourceKey, Revision, Route, RouteId, Rpc, RpcId,
    Secret, SecretValue, Upstream, UpstreamId, Version, View, draft::Draft, feature::Needed,
    resource::UniqueKey,
};

pub use self::{
    advance::AdvanceError,
    entry::{Entry, Etag, Meta, Row, UnixMillis},
};

/// The whole configuration at one version. Immutable; cloning it is cheap and versions share structure.
#[derive(Debug, Clone)]
pub struct Snapshot {
    lineage: Lineage,
    pub(crate) revision: Revision,
    pub(crate) entries: RedBlackTreeMapSync<ResourceKey, Arc<Entry>>,
    pub(crate) unique: HashTrieMapSync<UniqueKey, ResourceKey>,
    pub(crate) referrers: RedBlackTreeMapSync<(ResourceKey, ResourceKey), ()>,
    pub(crate) digest: ContentDigest,
    pub(crate) needed: Needed,
}

impl Snapshot {
    /// Nothing, at revision 0.
    #[must_use]
    pub fn empty(lineage: Lineage) -> Self {
        Self {
            lineage,
            revision: Revision(0),
            entries: RedBlackTreeMapSync::new_sync(),
            unique: HashTrieMapSync::new_sync(),
            referrers: RedBlackTreeMapSync::new_sync(),
            digest: ContentDigest::default(),
            needed: Needed::default(),
        }
    }

    /// Whose order its revision is in.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// How many changes led to it.
    #[must_use]
    pub const fn revision(&self) -> Revision {
        self.revision
    }

    /// The hash of each kind.
    #[must_use]
    pub fn hashes(&self) -> KindHashes {
        self.digest.hashes()
    }

    /// The digest of what `view` sees.
    #[must_use]
    pub fn digest(&self, view: View) -> Digest {
        self.hashes().digest(Lane::Config, view)
    }

    /// The version as `view` sees it.
    #[must_use]
    pub fn version(&self, view: View) -> Version {
        Version {
            lane: Lane::Config,
            lineage: self.lineage,
            revision: self.revision,
            digest: self.digest(view),
        }
    }

    /// What a subscriber must understand to take what `view` sees.
    #[must_use]
    pub fn features(&self, view: View) -> Features {
        self.needed.of(view)
    }

    /// Which features are needed, each by a kind and one of its resources.
    pub fn needs(&self) -> impl Iterator<Item = (Feature, &ResourceKey)> {
        self.needed.iter().filter_map(|(kind, feature)| {
            let needs =
                |(_, entry): &(&ResourceKey, &Arc<Entry>)| entry.resource.features().contains(feature);
            let (key, _) = self.of_kind(kind).find(needs)?;
            Some((feature, key))
        })
    }

    /// How many resources there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Whether there is no resource.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The resource of this key.
    #[must_use]
    pub fn get(&self, key: &ResourceKey) -> Option<&Arc<Entry>> {
        self.entries.get(key)
    }

    /// Every resource, by kind, then by id.
    pub fn iter(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<Entry>)> {
        self.entries.iter()
    }

    /// The resources of a kind, by id.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = (&ResourceKey, &Arc<Entry>)> {
        self.entries
            .range(ResourceKey::new(kind, "")..)
            .take_while(move |(key, _)| key.kind == kind)
    }

    /// The networks, by name.
    pub fn networks(&self) -> impl Iterator<Item = &Network> {
        self.of_kind(Kind::Network)
            .filter_map(|(_, entry)| match &entry.resource {
                Resource::Network(network) => Some(network),
                _ => None,
            })
    }

    /// The rpcs, by id.
    pub fn rpcs(&self) -> impl Iterator<Item = &Rpc> {
        self.of_kind(Kind::Rpc)
            .filter_map(|(_, entry)| match &entry.resource {
                Resource::Rpc(rpc) => Some(rpc),
                _ => None,
            })
    }

    /// The routes, by id.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.of_kind(Kind::Route)
            .filter_map(|(_, entry)| match &entry.resource {
                Resource::Route(route) => Some(route),
                _ => None,
            })
    }

    /// The recommendations, by route.
    pub fn recommendations(&self) -> impl Iterator<Item = &Recommendation> {
        self.of_kind(Kind::Recommendation)
            .filter_map(|(_, entry)| match &entry.resource {
                Resource::Recommendation(recommendation) => Some(recommendation),
                _ => None,
            })
    }

    /// The upstreams of a route, by id.
    pub fn upstreams_of(&self, route: RouteId) -> impl Iterator<Item = &Upstream> {
        self.referrers_of(&route.key())
            .filter_map(|key| match &self.get(key)?.resource {
                Resource::Upstream(upstream) => Some(upstream),
                _ => None,
            })
    }

    /// The plugins attached to a route, by name.
    pub fn plugins_of(&self, route: RouteId) -> impl Iterator<Item = &PluginAttachment> {
        self.referrers_of(&route.key())
            .filter_map(|key| match &self.get(key)?.resource {
                Resource::Plugin(plugin) => Some(plugin),
                _ => None,
            })
    }

    /// The route of this id.
    #[must_use]
    pub fn route(&self, id: RouteId) -> Option<&Route> {
        match &self.get(&id.key())?.resource {
            Resource::Route(route) => Some(route),
            _ => None,
        }
    }

    /// The rpc of this id.
    #[must_use]
    pub fn rpc(&self, id: RpcId) -> Option<&Rpc> {
        match &self.get(&id.key())?.resource {
            Resource::Rpc(rpc) => Some(rpc),
            _ => None,
        }
    }

    /// The upstream of this id.
    #[must_use]
    pub fn upstream(&self, id: UpstreamId) -> Option<&Upstream> {
        match &self.get(&id.key())?.resource {
            Resource::Upstream(upstream) => Some(upstream),
            _ => None,
        }
    }

    /// The value of a secret, where it is known: at a subscriber that needs it.
    #[must_use]
    pub fn secret_value(&self, name: &Name) -> Option<&SecretValue> {
        match &self.get(&Secret::key_of(name))?.resource {
            Resource::Secret(secret) => secret.value.as_ref(),
            _ => None,
        }
    }

    /// The keys of the resources that name `target`.
    pub fn referrers_of<'a>(
        &'a self,
        target: &ResourceKey,
    ) -> impl Iterator<Item = &'a ResourceKey> + use<'a> {
        let first = (target.clone(), ResourceKey::new(Kind::Network, ""));
        let target = target.clone();
        self.referrers
            .range(first..)
            .map(|(pair, ())| pair)
            .take_while(move |pair| pair.0 == target)
            .map(|pair| &pair.1)
    }

    /// The content as it was stored: every entry with its meta, at this lineage and revision.
    ///
    /// # Errors
    /// A [`Rejection`] when the entries do not fit together.
    pub fn restore(
        lineage: Lineage,
        revision: Revision,
        entries: impl IntoIterator<Item: Into<Arc<Entry>>>,
    ) -> Result<Self, Rejection> {
        let mut draft = Draft::of(&Self::empty(lineage));
        for entry in entries {
            draft.put(entry);
        }
        let (mut snapshot, _) = draft.finish()?;
        snapshot.revision = revision;
        Ok(snapshot)
    }

    /// The content with these resources put or, where `None`, taken away, at another revision of the lineage.
    ///
    /// # Errors
    /// A [`Rejection`] when the outcome does not fit together.
    pub fn replaced(
        &self,
        revision: Revision,
        contents: impl IntoIterator<Item = (ResourceKey, Option<impl Into<Arc<Entry>>>)>,
    ) -> Result<Self, Rejection> {
        let mut draft = Draft::of(self);
        for (key, entry) in contents {
            match entry {
                Some(entry) => draft.put(entry),
                None => draft.remove(&key),
            }
        }
        let (mut snapshot, _) = draft.finish()?;
        snapshot.revision = revision;
        Ok(snapshot)
    }
}
