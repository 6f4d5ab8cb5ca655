//! Where a caller may act.

use std::collections::BTreeSet;

use tyrscale_model::{
    Kind, Name, Rejection, Resource, ResourceKey, RouteId, Snapshot, Target, Violation, ViolationCode,
};

use crate::AccessError;

/// How many networks a scope may name.
const MAX_NETWORKS: usize = 100;

/// Where a caller may act: everywhere, or on what belongs to some networks and to no other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    networks: BTreeSet<Name>,
}

impl Scope {
    /// The scope of these networks; everywhere when there are none.
    ///
    /// # Errors
    /// [`AccessError::Invalid`] when one has no name of a network, or they are too many.
    pub fn of<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, AccessError> {
        let invalid = || AccessError::Invalid {
            field: "scope.networks",
            rule: "must be at most 100 names of networks",
        };
        let networks: BTreeSet<Name> = networks
            .into_iter()
            .map(|name| name.parse().map_err(|_| invalid()))
            .collect::<Result<_, _>>()?;
        if networks.len() > MAX_NETWORKS {
            return Err(invalid());
        }
        Ok(Self { networks })
    }

    /// Whether there is no bound.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.networks.is_empty()
    }

    /// The networks; none when there is no bound.
    pub fn networks(&self) -> impl Iterator<Item = &Name> {
        self.networks.iter()
    }

    /// Whether the resource is inside. One that belongs to no network is not.
    #[must_use]
    pub fn admits(&self, snapshot: &Snapshot, key: &ResourceKey) -> bool {
        if self.is_everywhere() {
            return true;
        }
        let networks = networks_of(snapshot, key);
        !networks.is_empty() && networks.is_subset(&self.networks)
    }

    /// Whether a change of these resources is inside, as they were before it and as they are after it.
    ///
    /// # Errors
    /// A [`Rejection`] naming the resources that are not.
    pub fn admit_change<'a>(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        keys: impl IntoIterator<Item = &'a ResourceKey>,
    ) -> Result<(), Rejection> {
        let is_outside = |key: &&ResourceKey| {
            [before, after]
                .into_iter()
                .any(|snapshot| snapshot.get(key).is_some() && !self.admits(snapshot, key))
        };
        let outside: Vec<Violation> = keys
            .into_iter()
            .filter(is_outside)
            .map(|key| {
                let message = "is outside of the networks that the token is for";
                Violation::new("", ViolationCode::OutOfScope, message).of(key.clone())
            })
            .collect();
        if outside.is_empty() {
            Ok(())
        } else {
            Err(outside.into())
        }
    }
}

/// The networks that a resource belongs to.
fn networks_of(snapshot: &Snapshot, key: &ResourceKey) -> BTreeSet<Name> {
    let Some(entry) = snapshot.get(key) else {
        return BTreeSet::new();
    };
    match &entry.resource {
        Resource::Network(network) => BTreeSet::from([network.name.clone()]),
        Resource::Secret(_) => networks_of_referrers(snapshot, key),
        Resource::Rpc(rpc) => BTreeSet::from([rpc.network.clone()]),
        Resource::Plugin(plugin) => networks_of_route(snapshot, plugin.route_id),
        Resource::Upstream(upstream) => networks_of_route(snapshot, upstream.route_id),
        Resource::Route(route) => networks_of_route(snapshot, route.id),
        Resource::Recommendation(recommendation) => {
            let mut networks = networks_of_route(snapshot, recommendation.route_id);
            networks.insert(recommendation.network.clone());
            networks
        }
    }
}

/// The networks of all that refer to a secret; none when one of them belongs to none.
fn networks_of_referrers(snapshot: &Snapshot, secret: &ResourceKey) -> BTreeSet<Name> {
    let mut networks = BTreeSet::new();
    for referrer in snapshot.referrers_of(secret) {
        let own = networks_of(snapshot, referrer);
        if own.is_empty() {
            return own;
        }
        networks.extend(own);
    }
    networks
}

fn networks_of_route(snapshot: &Snapshot, route: RouteId) -> BTreeSet<Name> {
    let of_upstreams = snapshot
        .upstreams_of(route)
        .filter_map(|upstream| match &upstream.target {
            Target::Rpc(rpc) => snapshot.rpc(*rpc).map(|rpc| rpc.network.clone()),
            Target::Address(_) => None,
        });
    let recommendation = ResourceKey::new(Kind::Recommendation, route.to_string());
    let of_recommendation = snapshot
        .get(&recommendation)
        .and_then(|entry| match &entry.resource {
            Resource::Recommendation(recommendation) => Some(recommendation.network.clone()),
            _ => None,
        });
    of_upstreams.chain(of_recommendation).collect()
}
