//! Probes: what upstreams are asked beside the requests of clients.
//!
//! One prober asks one question of one place, however many routes want to know ([`Prober`]); each of them judges what
//! was seen by its own rules ([`Watch`]).

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tyrscale_model::RouteId;

use crate::table::Table;

mod chain;
mod checks;
mod failure;
mod prober;
mod question;
mod rhythm;
mod watch;

pub(crate) use failure::FailureCounts;
pub(crate) use question::quantity;

use prober::{Place, Prober};
use watch::Watch;

/// The probes that run; dropped, they end.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    watches: HashMap<RouteId, Vec<Arc<Watch>>>,
    probers: HashMap<Place, Prober>,
}

impl Probing {
    /// Ends the probes that no route of `table` wants any more and starts those that are missing; only the routes
    /// `touched` may want others than before. Runs inside a tokio runtime, where the probes go on.
    pub(crate) fn reconcile(&mut self, table: &Table, touched: &BTreeSet<RouteId>) {
        for id in touched {
            let before = self.watches.remove(id).unwrap_or_default();
            let wanted = table.get(*id).map(|route| Watch::all_of(route, &before));
            let wanted = wanted.unwrap_or_default();
            let is_same = wanted.len() == before.len()
                && wanted
                    .iter()
                    .zip(&before)
                    .all(|(wanted, before)| before.is_like(wanted));
            if is_same {
                if !before.is_empty() {
                    self.watches.insert(*id, before);
                }
                continue;
            }
            let wanted: Vec<Arc<Watch>> = wanted.into_iter().map(Arc::new).collect();
            // The old ones end after the others have begun: what both want goes on meanwhile.
            wanted.iter().for_each(|watch| self.begin(watch, &before));
            before.iter().for_each(|watch| self.end(watch));
            if !wanted.is_empty() {
                self.watches.insert(*id, wanted);
            }
        }
    }

    fn begin(&mut self, watch: &Arc<Watch>, before: &[Arc<Watch>]) {
        for (position, place) in watch.places() {
            let prober = match self.probers.entry(place) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let started = Prober::start(vacant.key());
                    vacant.insert(started)
                }
            };
            let is_carried = before.iter().any(|before| before.knows(watch, position));
            prober.tell(watch, position, is_carried);
        }
    }

    fn end(&mut self, watch: &Arc<Watch>) {
        for (_, place) in watch.places() {
            if let Entry::Occupied(prober) = self.probers.entry(place)
                && prober.get().forget(watch)
            {
                prober.remove();
            }
        }
    }
}
