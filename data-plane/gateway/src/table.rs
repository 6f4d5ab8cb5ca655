//! The routing table: the configuration compiled into what a request needs, immutable.
//!
//! A change compiles only the routes it touches; all others are shared with the table before.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tyrscale_model::{
    Kind, Rejection, ResourceKey, RouteId, RouteKey, Snapshot, Upstream, UpstreamId, Violation,
};

use crate::route::Route;
use crate::transport::Transport;

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
    by_key: HashMap<Arc<RouteKey>, Arc<Route>>,
    by_id: HashMap<RouteId, Arc<Route>>,
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
    ) -> Result<Built, Rejection> {
        let touched = previous.touched_by(snapshot, changed);
        let mut table = Self {
            by_key: previous.by_key.clone(),
            by_id: previous.by_id.clone(),
        };
        // All out before any in: two routes may have swapped their keys.
        for id in &touched {
            if let Some(route) = table.by_id.remove(id) {
                table.by_key.remove(&route.key);
            }
        }
        let mut violations: Vec<Violation> = Vec::new();
        for model in touched.iter().filter_map(|id| snapshot.route(*id)) {
            match Route::compile(
                model,
                snapshot,
                previous.get(model.id).map(Arc::as_ref),
                transport,
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
    pub(crate) fn find(&self, key: &RouteKey) -> Option<&Arc<Route>> {
        self.by_key.get(key)
    }

    /// The route of this id.
    pub(crate) fn get(&self, id: RouteId) -> Option<&Arc<Route>> {
        self.by_id.get(&id)
    }

    /// Every route.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.by_id.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn insert(&mut self, route: Arc<Route>) {
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
        let mut gone: BTreeSet<UpstreamId> = BTreeSet::new();
        let route_of = |upstream: &Upstream| upstream.route_id;
        for key in keys {
            match key.kind {
                Kind::Route => touched.extend(key.id.parse::<RouteId>().ok()),
                Kind::Upstream => match key.id.parse().ok().and_then(|id| snapshot.upstream(id)) {
                    Some(upstream) => {
                        touched.insert(upstream.route_id);
                    }
                    None => gone.extend(key.id.parse::<UpstreamId>().ok()),
                },
                Kind::Rpc => {
                    let referrers = snapshot.referrers_of(key).filter_map(|key| key.id.parse().ok());
                    touched.extend(referrers.filter_map(|id| snapshot.upstream(id)).map(route_of));
                }
                Kind::Network | Kind::Plugin | Kind::Recommendation => {}
            }
        }
        if !gone.is_empty() {
            let lost_one = |route: &&Arc<Route>| {
                route
                    .endpoints()
                    .iter()
                    .any(|it| gone.contains(&it.spec().upstream_id))
            };
            touched.extend(self.routes().filter(lost_one).map(|route| route.id));
        }
        touched
    }
}
