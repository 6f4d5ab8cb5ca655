//! What the server has in a lane, as a subscriber sees it.

use std::{sync::Arc, time::Duration};

use prost::Message as _;
use tokio::time::Instant;
use tyrscale_model::{
    Entry, Feature, Features, KindHashes, Row, Snapshot, Version, View, WeightRow, WeightTtl, wire,
};
use tyrscale_proto::v1;
use tyrscale_store::Head;

use super::{
    needs::Needs,
    resume::{Difference, Offer},
    update::UpdateError,
};
use crate::{secrets::Vault, weights};

/// Room for the tag and length of a resource in its message.
const ITEM_HEADER: usize = 8;
/// A difference of more than this many hundredths of the whole is sent as the whole.
const LARGE_PERCENT: usize = 60;
/// A weight that was set less long ago is sent as if it was set now.
const FRESH: Duration = Duration::from_secs(1);

/// The content of a lane.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// What operators want, as far as it is seen.
    Config {
        head: Arc<Head>,
        /// Of the head, as far as it is seen.
        target: Version,
        view: View,
        /// The values that are sent, and what opens them.
        needs: Needs,
        vault: Vault,
        /// What the subscriber understands.
        features: Features,
    },
    /// What the recommender computed; lives are counted at `now`.
    Weights {
        head: Arc<weights::Head>,
        target: Version,
        now: Instant,
    },
}

/// One step of an update.
pub(crate) enum Item {
    Upsert(v1::DiscoveryResource),
    Removal(v1::ResourceRef),
}

impl Item {
    /// Bytes in a message.
    pub(crate) fn size(&self) -> usize {
        ITEM_HEADER
            + match self {
                Self::Upsert(resource) => resource.encoded_len(),
                Self::Removal(key) => key.encoded_len(),
            }
    }

    /// Which resource, for people.
    pub(crate) fn name(&self) -> String {
        let (kind, id) = match self {
            Self::Upsert(resource) => (resource.kind(), &resource.id),
            Self::Removal(key) => (key.kind(), &key.id),
        };
        format!("{} {id}", kind.as_str_name())
    }
}

impl Content {
    /// The newest version.
    pub(crate) const fn target(&self) -> Version {
        match self {
            Self::Config { target, .. } | Self::Weights { target, .. } => *target,
        }
    }

    /// What updates to one target differ by, besides where they start.
    pub(crate) fn variant(&self) -> (View, u64) {
        match self {
            Self::Config { view, needs, .. } => (*view, needs.number()),
            Self::Weights { head, now, .. } => (View::ALL, now.duration_since(head.published).as_secs()),
        }
    }

    /// Asks about what the server has. `takes_over`: an operator said that a configuration that this store did not make
    /// is to be replaced; recommended weights always are.
    pub(crate) fn offer<T>(&self, takes_over: bool, question: impl FnOnce(&Offer<'_>) -> T) -> T {
        let difference = |have: &Version| self.difference(have);
        let target = self.target();
        let nothing = || match self {
            Self::Config { view, .. } => KindHashes::of_nothing().digest(target.lane, *view),
            Self::Weights { head, .. } => head.nothing(),
        };
        question(&Offer {
            target,
            difference: &difference,
            nothing: &nothing,
            lacking: self.lacking().iter().next().map(Feature::lacked),
            takes_over: takes_over || matches!(self, Self::Weights { .. }),
        })
    }

    /// What the newest version needs and the subscriber does not understand.
    pub(crate) fn lacking(&self) -> Features {
        match self {
            Self::Config {
                head, view, features, ..
            } => head.snapshot.features(*view).without(*features),
            Self::Weights { .. } => Features::default(),
        }
    }

    fn difference(&self, have: &Version) -> Difference {
        let (changed, whole) = match self {
            Self::Config { head, view, .. } => {
                let known = head.history.hashes_at(have.revision);
                if known.is_some_and(|hashes| hashes.digest(have.lane, *view) != have.digest) {
                    return Difference::Forked;
                }
                let Some(changed) = head.history.changed_since(have.revision) else {
                    return Difference::Unknown;
                };
                let changed = changed.iter().filter(|key| view.contains(key.kind)).count();
                // Counted no further than needed: the work is that of the change, not of the whole.
                let seen = view.kinds().flat_map(|kind| head.snapshot.of_kind(kind));
                (changed, seen.take(enough(changed)).count())
            }
            Self::Weights { head, .. } => {
                let known = head.history.digest_at(have.revision);
                if known.is_some_and(|digest| digest != have.digest) {
                    return Difference::Forked;
                }
                // Weights are small and few: what changed is never worth the whole again.
                return match head.history.changed_since(have.revision) {
                    Some(_) => Difference::Small,
                    None => Difference::Unknown,
                };
            }
        };
        if whole < enough(changed) {
            Difference::Large
        } else {
            Difference::Small
        }
    }

    /// The steps that lead from `base`, or from nothing, to the newest version.
    ///
    /// # Errors
    /// [`UpdateError::Compacted`] when the history does not reach back; [`UpdateError::Secrets`] when a value that is
    /// needed does not open.
    pub(crate) fn items(&self, base: Option<&Version>) -> Result<Vec<Item>, UpdateError> {
        match (self, base) {
            (Self::Config { head, view, .. }, None) => {
                let seen = view.kinds().flat_map(|kind| head.snapshot.of_kind(kind));
                seen.map(|(_, entry)| self.upsert(&head.snapshot, entry))
                    .collect()
            }
            (
                Self::Config {
                    head, view, needs, ..
                },
                Some(base),
            ) => {
                let changed = head.history.changed_since(base.revision);
                let mut keys = changed.ok_or(UpdateError::Compacted)?;
                keys.retain(|key| view.contains(key.kind));
                // Their values may not have been needed before.
                let entries = keys.iter().filter_map(|key| head.snapshot.get(key));
                let beside: Vec<_> = entries.flat_map(|entry| needs.beside(&entry.resource)).collect();
                keys.extend(beside);
                let items = keys.iter().map(|key| match head.snapshot.get(key) {
                    Some(entry) => self.upsert(&head.snapshot, entry),
                    None => Ok(Item::Removal(wire::key_to_wire(key))),
                });
                items.collect()
            }
            (Self::Weights { head, now, .. }, None) => {
                let all = head.weights.iter().map(|(upstream, _)| upstream);
                Ok(all.map(|upstream| weight_item(head, upstream, *now)).collect())
            }
            (Self::Weights { head, now, .. }, Some(base)) => {
                let changed = head.history.changed_since(base.revision);
                let items = changed.ok_or(UpdateError::Compacted)?.into_iter();
                Ok(items.map(|upstream| weight_item(head, upstream, *now)).collect())
            }
        }
    }

    fn upsert(&self, snapshot: &Snapshot, entry: &Entry) -> Result<Item, UpdateError> {
        let mut resource = wire::row_to_wire(&Row::of(entry));
        if let Self::Config { needs, vault, .. } = self {
            resource.value = needs.value_of(snapshot, &entry.resource, vault)?;
            resource.required_features = entry.resource.features().words();
        }
        Ok(Item::Upsert(resource))
    }
}

const fn enough(changed: usize) -> usize {
    changed.saturating_mul(100).div_ceil(LARGE_PERCENT)
}

fn weight_item(head: &weights::Head, upstream: tyrscale_model::UpstreamId, now: Instant) -> Item {
    let Some(entry) = head.weights.get(upstream) else {
        return Item::Removal(wire::weight_key_to_wire(upstream));
    };
    let left = head
        .deadline(upstream)
        .map(|deadline| deadline.duration_since(now));
    let is_fresh = left.is_some_and(|left| left + FRESH > entry.soft.ttl.get());
    Item::Upsert(wire::weight_row_to_wire(&WeightRow {
        upstream,
        revision: entry.revision,
        payload: entry.payload.clone(),
        remaining: left.filter(|_| !is_fresh).map(WeightTtl::remaining),
    }))
}
