//! Recommended weights: soft, expiring numbers in a lane of their own, and the rule by which they count.

mod soft;

use bytes::Bytes;
use rpds::RedBlackTreeMapSync;

use crate::{
    Digest, Lane, Lineage, Rejection, Revision, UpstreamId, Version, Violation, ViolationCode,
    digest::KindDigest, wire,
};

pub use soft::{EffectiveWeight, OperatorWeight, SoftWeight, Standing, WeightTtl};

/// The number of `tyrscale.v1.Kind` that stands for weights in digests.
pub(crate) const KIND: u8 = 8;

/// A recommended weight with its payload. When it ends is for its holder to know.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightEntry {
    /// The content, decoded.
    pub soft: SoftWeight,
    /// The content as it is sent and hashed.
    pub payload: Bytes,
    /// At which revision of the lane it was last set.
    pub revision: Revision,
}

/// A recommended weight as it travels and rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightRow {
    /// Whose weight.
    pub upstream: UpstreamId,
    /// At which revision of the lane it was last set.
    pub revision: Revision,
    /// Its payload.
    pub payload: Bytes,
    /// How long it still holds; `None`: as long as the payload says.
    pub remaining: Option<WeightTtl>,
}

/// All recommended weights at one version of their lane. Immutable; cloning it is cheap and versions share
/// structure.
#[derive(Debug, Clone)]
pub struct Weights {
    lineage: Lineage,
    revision: Revision,
    entries: RedBlackTreeMapSync<UpstreamId, WeightEntry>,
    digest: KindDigest,
}

impl Weights {
    /// None, at revision 0.
    #[must_use]
    pub fn empty(lineage: Lineage) -> Self {
        Self {
            lineage,
            revision: Revision(0),
            entries: RedBlackTreeMapSync::new_sync(),
            digest: KindDigest::new(KIND),
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

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest.digest(Lane::Weights)
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        Version {
            lane: Lane::Weights,
            lineage: self.lineage,
            revision: self.revision,
            digest: self.digest(),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The weight recommended for an upstream.
    #[must_use]
    pub fn get(&self, upstream: UpstreamId) -> Option<&WeightEntry> {
        self.entries.get(&upstream)
    }

    /// Every weight, by upstream.
    pub fn iter(&self) -> impl Iterator<Item = (UpstreamId, &WeightEntry)> {
        self.entries.iter().map(|(upstream, entry)| (*upstream, entry))
    }

    /// The next revision, with these set and those dropped.
    #[must_use]
    pub fn next(&self, set: &[(UpstreamId, SoftWeight)], dropped: &[UpstreamId]) -> Self {
        let mut next = self.clone();
        next.revision = self.revision.next();
        for upstream in dropped {
            next.remove(*upstream);
        }
        for (upstream, soft) in set {
            let entry = WeightEntry {
                soft: *soft,
                payload: wire::encode_weight(soft),
                revision: next.revision,
            };
            next.put(*upstream, entry);
        }
        next
    }

    /// The content after an update from the control plane, at its target's lineage and revision. Starting from
    /// [`Weights::empty`] it takes a whole one. The caller compares the digest.
    ///
    /// # Errors
    /// Every row that cannot be read or is named twice; `self` is untouched.
    pub fn advance(
        &self,
        lineage: Lineage,
        revision: Revision,
        upserts: &[WeightRow],
        removals: &[UpstreamId],
    ) -> Result<Self, Rejection> {
        let mut violations = Vec::new();
        let mut named = std::collections::BTreeSet::new();
        let keys = upserts
            .iter()
            .map(|row| row.upstream)
            .chain(removals.iter().copied());
        for upstream in keys.filter(|upstream| !named.insert(*upstream)) {
            let message = "is named twice in one update";
            violations.push(Violation::new("", ViolationCode::Invalid, message).of(upstream.key()));
        }
        let mut next = self.clone();
        (next.lineage, next.revision) = (lineage, revision);
        for upstream in removals {
            next.remove(*upstream);
        }
        for row in upserts {
            match wire::decode_weight(&row.payload) {
                Ok(soft) => next.put(
                    row.upstream,
                    WeightEntry {
                        soft,
                        payload: row.payload.clone(),
                        revision: row.revision,
                    },
                ),
                Err(violation) => violations.push(violation.of(row.upstream.key())),
            }
        }
        if violations.is_empty() {
            Ok(next)
        } else {
            Err(violations.into())
        }
    }

    fn put(&mut self, upstream: UpstreamId, entry: WeightEntry) {
        self.remove(upstream);
        self.digest.add(&upstream.to_string(), &entry.payload);
        self.entries.insert_mut(upstream, entry);
    }

    fn remove(&mut self, upstream: UpstreamId) {
        if let Some(entry) = self.entries.get(&upstream) {
            self.digest.remove(&upstream.to_string(), &entry.payload);
            self.entries.remove_mut(&upstream);
        }
    }
}

#[cfg(test)]
mod tests;
