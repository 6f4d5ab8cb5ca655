//! Where a caller may act.

mod admission;

use std::collections::{BTreeMap, BTreeSet};

use tyrscale_model::{Kind, Name, Resource, ResourceKey, RouteId, Snapshot, Target, label_violations};

use crate::AccessError;

/// How many networks a scope may name.
const MAX_NETWORKS: usize = 100;
/// How many labels a scope may name.
const MAX_LABELS: usize = 16;

/// Where a caller may act: everywhere, or on what belongs to some networks and to no other, and carries some labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    networks: BTreeSet<Name>,
    labels: BTreeMap<String, String>,
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
        Ok(Self {
            networks,
            labels: BTreeMap::new(),
        })
    }

    /// The same, on what carries these labels.
    ///
    /// # Errors
    /// [`AccessError::Invalid`] when one cannot be a label, or they are too many.
    pub fn with_labels(self, labels: BTreeMap<String, String>) -> Result<Self, AccessError> {
        if labels.len() > MAX_LABELS || !label_violations(&labels).is_empty() {
            return Err(AccessError::Invalid {
                field: "scope.labels",
                rule: "must be at most 16 labels, with names of 1 to 63 letters, digits, \"-\", \"_\", \".\" and \"/\"",
            });
        }
        Ok(Self { labels, ..self })
    }

    /// Whether there is no bound.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.networks.is_empty() && self.labels.is_empty()
    }

    /// The labels; none when they are no bound.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The networks; none when they are no bound.
    pub fn networks(&self) -> impl Iterator<Item = &Name> {
        self.networks.iter()
    }

    /// Whether the resource is inside. One that belongs to no network is in the scope of none.
    #[must_use]
    pub fn admits(&self, snapshot: &Snapshot, key: &ResourceKey) -> bool {
        let is_of_networks = self.networks.is_empty() || {
            let networks = networks_of(snapshot, key);
            !networks.is_empty() && networks.is_subset(&self.networks)
        };
        is_of_networks && (self.labels.is_empty() || self.is_labelled(snapshot, key))
    }

    /// Whether a resource carries the labels, and the route that it acts on.
    fn is_labelled(&self, snapshot: &Snapshot, key: &ResourceKey) -> bool {
        let Some(entry) = snapshot.get(key) else {
            return false;
        };
        let carries = |(name, value)| entry.meta.labels.get(name) == Some(value);
        let route = route_of(&entry.resource);
        self.labels.iter().all(carries) && route.is_none_or(|route| self.is_labelled(snapshot, &route.key()))
    }
}

/// The route that a resource acts on.
const fn route_of(resource: &Resource) -> Option<RouteId> {
    match resource {
        Resource::Upstream(upstream) => Some(upstream.route_id),
        Resource::Plugin(plugin) => Some(plugin.route_id),
        Resource::Recommendation(recommendation) => Some(recommendation.route_id),
        Resource::Network(_) | Resource::Secret(_) | Resource::Rpc(_) | Resource::Route(_) => None,
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
