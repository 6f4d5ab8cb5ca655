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
mod failure;
mod prober;
mod question;
mod rhythm;
mod watch;

pub(crate) use failure::FailureCounts;

use prober::{Place, Prober};
use watch::Watch;

/// The probes that run; dropped, they end.
#[derive(Debug, Default)]
pub(crate) struct Probing {
    watches: HashMap<RouteId, Arc<Watch>>,
    probers: HashMap<Place, Prober>,
}

impl Probing {
    /// Ends the probes that no route of `table` wants any more and starts those that are missing; only the routes
    /// `touched` may want others than before. Runs inside a tokio runtime, where the probes go on.
    pub(crate) fn reconcile(&mut self, table: &Table, touched: &BTreeSet<RouteId>) {
        for id in touched {
            let before = self.watches.remove(id);
            let wanted = table.get(*id).filter(|route| route.health.is_some());
            match (wanted, before) {
                (Some(route), Some(before)) if before.is_of(route) => {
                    self.watches.insert(*id, before);
                }
                // The old ones end after the new ones have begun: what both want goes on meanwhile.
                (Some(route), before) => {
                    if let Some(watch) = Watch::new(route, before.as_deref()).map(Arc::new) {
                        self.begin(&watch, before.as_deref());
                        self.watches.insert(*id, watch);
                    }
                    self.end(before);
                }
                (None, before) => self.end(before),
            }
        }
    }

    fn begin(&mut self, watch: &Arc<Watch>, before: Option<&Watch>) {
        for (position, place) in watch.places() {
            let prober = match self.probers.entry(place) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(vacant) => {
                    let started = Prober::start(vacant.key());
                    vacant.insert(started)
                }
            };
            let is_carried = before.is_some_and(|before| before.knows(watch, position));
            prober.tell(watch, position, is_carried);
        }
    }

    fn end(&mut self, watch: Option<Arc<Watch>>) {
        let Some(watch) = watch else { return };
        for (_, place) in watch.places() {
            if let Entry::Occupied(prober) = self.probers.entry(place)
                && prober.get().forget(&watch)
            {
                prober.remove();
            }
        }
    }
}
