//! What part of a route's traffic each upstream is to take: as its operator says, and as was recommended.

use std::collections::HashMap;

use tyrscale_balance::{Member, Selector};
use tyrscale_model::{
    EffectiveWeight, OperatorWeight, Revision, Snapshot, SoftWeight, Upstream, UpstreamId, Weight,
};

/// The recommended weights that hold.
pub(crate) type SoftWeights = HashMap<UpstreamId, SoftWeight>;

/// What the configuration says of an upstream's part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    upstream: UpstreamId,
    pub(crate) operator: OperatorWeight,
    tier: u32,
}

impl Share {
    /// That of an upstream of `snapshot`.
    pub(crate) fn of(upstream: &Upstream, snapshot: &Snapshot) -> Self {
        let entry = snapshot.get(&upstream.key());
        let modified = entry.map_or(Revision(0), |entry| entry.meta.modify_revision);
        Self {
            upstream: upstream.id,
            operator: OperatorWeight::new(upstream, modified),
            tier: upstream.tier.get().into(),
        }
    }

    /// Whether its operator lets it take requests at all.
    pub(crate) fn is_in_use(&self) -> bool {
        !self.operator.cordoned && self.operator.weight != Weight::ZERO
    }
}

/// What counts, and whose turn it is by that.
#[derive(Debug)]
pub(crate) struct Shares {
    pub(crate) selector: Selector,
    pub(crate) effective: Vec<EffectiveWeight>,
}

/// What counts of each share.
pub(crate) fn effective(shares: &[Share], weights: &SoftWeights) -> Vec<EffectiveWeight> {
    shares
        .iter()
        .map(|share| EffectiveWeight::of(&share.operator, weights.get(&share.upstream)))
        .collect()
}

/// The upstreams as the selector takes them. Who is cordoned is kept out elsewhere, by that name.
pub(crate) fn members(shares: &[Share], effective: &[EffectiveWeight]) -> Vec<Member> {
    let weight = |share: &Share, effective: &EffectiveWeight| {
        if share.operator.cordoned {
            share.operator.weight
        } else {
            effective.weight
        }
    };
    shares
        .iter()
        .zip(effective)
        .map(|(share, effective)| Member {
            weight: weight(share, effective).get(),
            tier: share.tier,
        })
        .collect()
}
