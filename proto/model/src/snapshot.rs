//! The whole configuration at one version.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};

use crate::{
    ContentDigest, Digest, Kind, KindHashes, Lane, Lineage, Name, Network, PluginAttachment, Recommendation,
    Rejection, Resource, ResourceKey, Revision, Route, RouteId, Rpc, RpcId, Secret, SecretValue, Upstream,
    UpstreamId, Version, View, Violation, ViolationCode, draft::Draft, resource::UniqueKey, wire,
};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct UnixMillis(pub u64);

/// Changes with a resource's content; 16 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(pub String);

/// What is known about a resource besides its content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// At which revision it came.
    pub create_revision: Revision,
    /// At which revision it last changed.
    pub modify_revision: Revision,
    /// When it came.
    pub create_time: UnixMillis,
    /// When it last changed.
    pub modify_time: UnixMillis,
    /// Who changed it last, as the client named itself.
    pub modified_by: String,
    /// What selects it: short words.
    pub labels: BTreeMap<String, String>,
    /// What people and programs note with it.
    pub annotations: BTreeMap<String, String>,
    /// Who manages it by documents; empty when nobody does.
    pub managed_by: String,
}

/// A resource with its payload and meta. `Debug` leaves the payload out, which may hold secrets.
#[derive(Clone)]
pub struct Entry {
    /// The content, decoded.
    pub resource: Resource,
    /// The content as it is stored, sent and hashed.
    pub payload: Bytes,
    /// What is known about it.
    pub meta: Meta,
}

impl Entry {
    /// Whether the other has the same content and notes; revisions and times aside.
    #[must_use]
    pub fn has_content_of(&self, other: &Self) -> bool {
        let (meta, others) = (&self.meta, &other.meta);
        self.payload == other.payload
            && meta.labels == others.labels
            && meta.annotations == others.annotations
            && meta.managed_by == others.managed_by
    }

    /// The etag of the content and the notes.
    #[must_use]
    pub fn etag(&self) -> Etag {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.resource.key().kind.number()]);
        hasher.update(&self.payload);
        let Meta {
            labels,
            annotations,
            managed_by,
            ..
        } = &self.meta;
        for (mark, notes) in [(1, labels), (2, annotations)] {
            for text in notes.iter().flat_map(|(name, value)| [name, value]) {
                hasher.update(&[mark]);
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
            }
        }
        hasher.update(managed_by.as_bytes());
        let hash = hasher.finalize();
        Etag(hash.to_hex().chars().take(16).collect())
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("resource", &self.resource)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

/// A resource as it travels to subscribers and rests on their disks.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Which resource.
    pub key: ResourceKey,
    /// At which revision it last changed.
    pub revision: Revision,
    /// Its payload.
    pub payload: Bytes,
    /// Of a secret that the subscriber needs: its value.
    pub value: Option<SecretValue>,
}

impl Row {
    /// The row of an entry, with the value of a secret where that is known.
    #[must_use]
    pub fn of(entry: &Entry) -> Self {
        let value = match &entry.resource {
            Resource::Secret(secret) => secret.value.clone(),
            _ => None,
        };
        Self {
            key: entry.resource.key(),
            revision: entry.meta.modify_revision,
            payload: entry.payload.clone(),
            value,
        }
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("key", &self.key)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

/// Why a snapshot cannot be advanced.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The update contradicts itself, or a payload is no message of its kind.
    #[error("update cannot be decoded: {0}")]
    Decode(Rejection),
    /// The content after the update would break a rule.
    #[error("update is not valid: {0}")]
    Invalid(Rejection),
}

/// The whole configuration at one version. Immutable; cloning it is cheap and versions share structure.
#[derive(Debug, Clone)]
pub struct Snapshot {
    lineage: Lineage,
    pub(crate) revision: Revision,
    pub(crate) entries: RedBlackTreeMapSync<ResourceKey, Arc<Entry>>,
    pub(crate) unique: HashTrieMapSync<UniqueKey, ResourceKey>,
    pub(crate) referrers: RedBlackTreeMapSync<(ResourceKey, ResourceKey), ()>,
    pub(crate) digest: ContentDigest,
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
    pub fn restore(lineage: Lineage, revision: Revision, entries: Vec<Entry>) -> Result<Self, Rejection> {
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
        contents: impl IntoIterator<Item = (ResourceKey, Option<Entry>)>,
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

    /// The content after an update from the control plane, at its target's lineage and revision. Starting
    /// from [`Snapshot::empty`] it takes a whole snapshot. The caller compares the digest.
    ///
    /// # Errors
    /// [`AdvanceError`], with `self` untouched.
    pub fn advance(
        &self,
        lineage: Lineage,
        revision: Revision,
        upserts: Vec<Row>,
        removals: &[ResourceKey],
    ) -> Result<Self, AdvanceError> {
        let mut draft = Draft::of_subscriber(self);
        let mut undecoded = Vec::new();
        for row in upserts {
            if draft.is_touched(&row.key) {
                undecoded.push(twice(&row.key));
                continue;
            }
            match wire::decode_payload(row.key.kind, &row.payload) {
                Ok(mut resource) if resource.key() == row.key => {
                    if let Resource::Secret(secret) = &mut resource {
                        secret.value = row.value;
                    }
                    let meta = Meta {
                        modify_revision: row.revision,
                        ..Meta::default()
                    };
                    draft.put(Entry {
                        resource,
                        payload: row.payload,
                        meta,
                    });
                }
                Ok(_) => undecoded.push(
                    Violation::new("id", ViolationCode::Invalid, "payload has another id")
                        .of(row.key.clone()),
                ),
                Err(violations) => {
                    undecoded.extend(
                        violations
                            .into_iter()
                            .map(|violation| violation.of(row.key.clone())),
                    );
                }
            }
        }
        for key in removals {
            if draft.is_touched(key) {
                undecoded.push(twice(key));
            } else {
                draft.remove(key);
            }
        }
        if !undecoded.is_empty() {
            return Err(AdvanceError::Decode(undecoded.into()));
        }
        let (mut snapshot, _) = draft
            .finish()
            .map_err(|violations| AdvanceError::Invalid(violations.into()))?;
        snapshot.lineage = lineage;
        snapshot.revision = revision;
        Ok(snapshot)
    }
}

fn twice(key: &ResourceKey) -> Violation {
    Violation::new("", ViolationCode::Invalid, "is named twice in one update").of(key.clone())
}
