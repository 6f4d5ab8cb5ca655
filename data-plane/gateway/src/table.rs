//! The routing table: the configuration compiled into what a request needs, immutable.
//!
//! A change compiles only the routes it touches; all others are shared with the table before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use hashbrown::Equivalent;
use tyrscale_model::{
    Kind, Rejection, ResourceKey, RouteId, RouteKey, RouteKeyRef, Snapshot, Upstream, UpstreamId, Violation,
};

use crate::pool::Transport;
use crate::route::{Route, SoftWeights};

/// What may differ between two snapshots.
#[derive(Debug, Clone, Copy)]
pub enum Changed<'a> {
    /// Anything.
    All,
    /// At most these resources: they came, went, or have another content.
    Keys(&'a [ResourceKey]),
}

/// Routes by host and path.
#[derive(Debug, Default)]
pub(crate) struct Table {
    by_key: hashbrown::HashMap<Arc<RouteKey>, Arc<Route>>,
    by_id: HashMap<RouteId, Arc<Route>>,
    /// The route that sends to an upstream.
    by_upstream: HashMap<UpstreamId, RouteId>,
}

/// What a request asks for, in a form that the table can be asked with.
#[derive(Hash)]
struct Asked<'a>(RouteKeyRef<'a>);

impl Equivalent<Arc<RouteKey>> for Asked<'_> {
    fn equivalent(&self, key: &Arc<RouteKey>) -> bool {
        self.0 == **key
    }
}

/// A table, and which routes in it are not those of the table before.
#[derive(Debug)]
pub(crate) struct Built {
    pub(crate) table: Table,
    /// Compiled anew, or gone.
    pub(crate) touched: BTreeSet<RouteId>,
}

impl Table {
    /// Compiles `snapshot`, which differs from that of `previous` by `changed`.
    ///
    /// # Errors
    /// A [`Rejection`] that names every upstream that cannot be sent to.
    pub(crate) fn build(
        snapshot: &Snapshot,
        previous: &Self,
        changed: Changed<'_>,
        transport: &Transport,
        weights: &SoftWeights,
    ) -> Result<Built, Rejection> {
        let touched = previous.touched_by(snapshot, changed);
        let mut table = Self {
            by_key: previous.by_key.clone(),
            by_id: previous.by_id.clone(),
            by_upstream: previous.by_upstream.clone(),
        };
        // All out before any in: two routes may have swapped their keys.
        for id in &touched {
            table.take_out(*id);
        }
        let mut violations: Vec<Violation> = Vec::new();
        for model in touched.iter().filter_map(|id| snapshot.route(*id)) {
            match Route::compile(
                model,
                snapshot,
                previous.get(model.id).map(Arc::as_ref),
                transport,
                weights,
            ) {
                Ok(route) => table.insert(Arc::new(route)),
                Err(found) => violations.extend(found),
            }
        }
        if violations.is_empty() {
            Ok(Built { table, touched })
        } else {
            Err(violations.into())
        }
    }

    /// The route of a host and path.
    pub(crate) fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.by_key.get(&Asked(RouteKeyRef::normalize(host, path)))
    }

    /// The route of this id.
    pub(crate) fn get(&self, id: RouteId) -> Option<&Arc<Route>> {
        self.by_id.get(&id)
    }

    /// The route that sends to an upstream.
    pub(crate) fn route_of(&self, upstream: UpstreamId) -> Option<&Arc<Route>> {
        self.get(*self.by_upstream.get(&upstream)?)
    }

    /// Every route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn take_out(&mut self, id: RouteId) {
        let Some(route) = self.by_id.remove(&id) else {
            return;
        };
        self.by_key.remove(&route.key);
        for endpoint in route.endpoints() {
            self.by_upstream.remove(&endpoint.spec().upstream_id);
        }
    }

    fn insert(&mut self, route: Arc<Route>) {
        let upstreams = route
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.spec().upstream_id);
        self.by_upstream
            .extend(upstreams.map(|upstream| (upstream, route.id)));
        self.by_key.insert(Arc::clone(&route.key), Arc::clone(&route));
        self.by_id.insert(route.id, route);
    }

    fn touched_by(&self, snapshot: &Snapshot, changed: Changed<'_>) -> BTreeSet<RouteId> {
        let keys = match changed {
            Changed::All => {
                let now = snapshot.routes().map(|route| route.id);
                return now.chain(self.by_id.keys().copied()).collect();
            }
            Changed::Keys(keys) => keys,
        };
        let mut touched = BTreeSet::new();
        let route_of = |upstream: &Upstream| upstream.route_id;
        for key in keys {
            match key.kind {
                Kind::Route => touched.extend(key.id.parse::<RouteId>().ok()),
                Kind::Upstream => {
                    let Ok(id) = key.id.parse::<UpstreamId>() else {
                        continue;
                    };
                    // It may have gone from one route and come to another in one update.
                    touched.extend(self.by_upstream.get(&id));
                    touched.extend(snapshot.upstream(id).map(route_of));
                }
                Kind::Secret => {
                    for user in snapshot.referrers_of(key) {
                        let own = user.id.parse().ok().and_then(|id| snapshot.upstream(id));
                        touched.extend(own.into_iter().chain(users_of(snapshot, user)).map(route_of));
                    }
                }
                Kind::Rpc => {
                    touched.extend(users_of(snapshot, key).map(route_of));
                }
                // Its upstreams are to be on another chain.
                Kind::Network => {
                    let rpcs = snapshot.referrers_of(key).filter(|key| key.kind == Kind::Rpc);
                    touched.extend(rpcs.flat_map(|rpc| users_of(snapshot, rpc)).map(route_of));
                }
                Kind::Plugin | Kind::Recommendation => {}
            }
        }
        touched
    }
}

/// The upstreams at an rpc.
fn users_of<'a>(snapshot: &'a Snapshot, rpc: &ResourceKey) -> impl Iterator<Item = &'a Upstream> {
    let ids = snapshot.referrers_of(rpc).filter_map(|key| key.id.parse().ok());
    ids.filter_map(|id| snapshot.upstream(id))
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{
        Address, ChangeSet, Lineage, LoadBalancer, Operation, Policy, Resource, Scheme, Target, UnixMillis,
        Weight, apply,
    };

    use super::*;
    use crate::config::Settings;

    fn route(number: u32) -> tyrscale_model::Route {
        tyrscale_model::Route::new(
            format!("00000000-0000-4000-0001-{number:012}").parse().unwrap(),
            format!("h{number}.example"),
            "/",
            LoadBalancer::LeastLoad,
        )
    }

    fn upstream(number: u32, of: u32, weight: f64, path: &str) -> Resource {
        Resource::Upstream(Upstream::new(
            format!("00000000-0000-4000-0002-{number:012}").parse().unwrap(),
            route(of).id,
            Target::Address(Address::new(Scheme::Http, "localhost", 1, path).unwrap()),
            Weight::try_from(weight).unwrap(),
        ))
    }

    fn change(snapshot: &Snapshot, resources: Vec<Resource>) -> (Snapshot, Vec<ResourceKey>) {
        let change_set = ChangeSet {
            operations: resources.into_iter().map(Operation::put).collect(),
            ..ChangeSet::default()
        };
        let applied = apply(snapshot, &change_set, &Policy::default(), UnixMillis(0)).unwrap();
        let keys = applied.changes.into_iter().map(|change| change.key).collect();
        (applied.snapshot, keys)
    }

    #[test]
    fn a_change_compiles_only_what_it_touches_and_keeps_the_endpoints_it_leaves_alone() {
        let transport = Transport::new(&Settings::default()).unwrap();
        let build = |snapshot: &Snapshot, before: &Table, keys: &[ResourceKey]| {
            Table::build(
                snapshot,
                before,
                Changed::Keys(keys),
                &transport,
                &SoftWeights::new(),
            )
            .unwrap()
        };
        let mut first = vec![
            upstream(1, 1, 1.0, "/a"),
            upstream(2, 1, 1.0, "/b"),
            upstream(3, 2, 1.0, "/c"),
        ];
        first.splice(0..0, [Resource::Route(route(1)), Resource::Route(route(2))]);
        let (snapshot, keys) = change(&Snapshot::empty(Lineage([1; 16])), first);
        let before = build(&snapshot, &Table::default(), &keys).table;

        let (snapshot, keys) = change(
            &snapshot,
            vec![upstream(1, 1, 2.0, "/a"), upstream(2, 1, 1.0, "/moved")],
        );
        let Built { table, touched } = build(&snapshot, &before, &keys);
        assert_eq!(touched, BTreeSet::from([route(1).id]));
        let [same, other] =
            [2, 1].map(|number| [&before, &table].map(|it| it.get(route(number).id).unwrap()));
        assert!(Arc::ptr_eq(same[0], same[1]));
        let kept = |at: usize| Arc::ptr_eq(&other[0].endpoints()[at], &other[1].endpoints()[at]);
        assert_eq!(
            (kept(0), kept(1)),
            (true, false),
            "a new weight keeps the endpoint, a new address does not"
        );
        assert!(table.find("H1.example:80", "/").is_some());
    }

    #[test]
    fn an_upstream_that_went_to_another_route_leaves_the_one_it_was_of() {
        let transport = Transport::new(&Settings::default()).unwrap();
        let build = |snapshot: &Snapshot, before: &Table, keys: &[ResourceKey]| {
            Table::build(
                snapshot,
                before,
                Changed::Keys(keys),
                &transport,
                &SoftWeights::new(),
            )
            .unwrap()
        };
        let routes = [Resource::Route(route(1)), Resource::Route(route(2))];
        let first = routes.into_iter().chain([upstream(1, 1, 1.0, "/a")]).collect();
        let (snapshot, keys) = change(&Snapshot::empty(Lineage([1; 16])), first);
        let before = build(&snapshot, &Table::default(), &keys).table;

        let gone = Operation::Delete {
            key: keys[2].clone(),
            etag: None,
            cascade: true,
        };
        let change_set = ChangeSet {
            operations: vec![gone],
            ..ChangeSet::default()
        };
        let without = apply(&snapshot, &change_set, &Policy::default(), UnixMillis(0))
            .unwrap()
            .snapshot;
        let (snapshot, keys) = change(&without, vec![upstream(1, 2, 1.0, "/a")]);
        let table = build(&snapshot, &before, &keys).table;
        let endpoints = |number| table.get(route(number).id).unwrap().endpoints().len();
        assert_eq!((endpoints(1), endpoints(2)), (0, 1));
    }
}
