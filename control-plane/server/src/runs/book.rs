//! Which runs there were, in the order they began, and which changes of a record are allowed.

use std::collections::{BTreeMap, VecDeque};

use tyrscale_model::RouteId;
use tyrscale_proto::v1::{RecommendationRun, RunState};

/// Runs kept of a route.
const MAX_RUNS: usize = 100;
/// Routes of which runs are kept; beyond it those whose last run is the oldest go.
const MAX_ROUTES: usize = 10_000;

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// Another has recorded with a newer lease.
    #[error("fencing token {given} is of a leader before the one that has {newest}")]
    Superseded { given: u64, newest: u64 },
    /// Somebody else made the run, or it is closed.
    #[error("the run was recorded already, by {node_id}")]
    Taken { node_id: String },
    /// There is no such run, or no more.
    #[error("there is no such run")]
    NotFound,
    /// It does not wait for an operator.
    #[error("the run does not wait for an operator: it is {state}")]
    NotProposed { state: &'static str },
}

/// The runs of all routes.
#[derive(Debug, Default)]
pub(crate) struct RunBook {
    /// The newest lease that has recorded.
    fence: u64,
    /// Counts runs as they begin.
    begun: u64,
    routes: BTreeMap<RouteId, VecDeque<Kept>>,
}

#[derive(Debug, Clone)]
struct Kept {
    begun: u64,
    run: RecommendationRun,
}

impl RunBook {
    /// The runs that were kept, in the order they were last written.
    pub(crate) fn of(runs: impl IntoIterator<Item = (RouteId, RecommendationRun)>) -> Self {
        let mut book = Self::default();
        for (route, run) in runs {
            book.push(route, run);
        }
        book
    }

    /// Opens or closes a record. Gives the names of the runs that went to make room.
    ///
    /// # Errors
    /// [`RecordError::Superseded`], [`RecordError::Taken`].
    pub(crate) fn record(
        &mut self,
        route: RouteId,
        run: RecommendationRun,
        fencing_token: u64,
    ) -> Result<Vec<(RouteId, String)>, RecordError> {
        if fencing_token < self.fence {
            return Err(RecordError::Superseded {
                given: fencing_token,
                newest: self.fence,
            });
        }
        let runs = self.routes.entry(route).or_default();
        let mut gone = Vec::new();
        match runs.iter_mut().find(|kept| kept.run.id == run.id) {
            Some(kept) if kept.run.state() == RunState::Open && kept.run.node_id == run.node_id => {
                kept.run = run;
            }
            Some(kept) => {
                return Err(RecordError::Taken {
                    node_id: kept.run.node_id.clone(),
                });
            }
            None => gone = self.push(route, run),
        }
        self.fence = fencing_token;
        Ok(gone)
    }

    /// Adds a run, and gives those that went to make room.
    fn push(&mut self, route: RouteId, run: RecommendationRun) -> Vec<(RouteId, String)> {
        self.begun += 1;
        let runs = self.routes.entry(route).or_default();
        runs.push_back(Kept {
            begun: self.begun,
            run,
        });
        let mut gone = Vec::new();
        if runs.len() > MAX_RUNS {
            gone.extend(runs.pop_front().map(|kept| (route, kept.run.id)));
        }
        if self.routes.len() > MAX_ROUTES {
            let last = |runs: &VecDeque<Kept>| runs.back().map(|kept| kept.begun);
            let oldest = self
                .routes
                .iter()
                .min_by_key(|(_, runs)| last(runs))
                .map(|(route, _)| *route);
            let runs = oldest.and_then(|oldest| Some((oldest, self.routes.remove(&oldest)?)));
            let names = |(route, runs): (RouteId, VecDeque<Kept>)| {
                runs.into_iter().map(move |kept| (route, kept.run.id))
            };
            gone.extend(runs.into_iter().flat_map(names));
        }
        gone
    }

    /// The newest runs, of a route or of all, the newest first.
    pub(crate) fn list(&self, route: Option<RouteId>, limit: usize) -> Vec<RecommendationRun> {
        let routes = self
            .routes
            .iter()
            .filter(|(id, _)| route.is_none_or(|route| route == **id));
        let mut runs: Vec<&Kept> = routes.flat_map(|(_, runs)| runs).collect();
        runs.sort_unstable_by_key(|kept| std::cmp::Reverse(kept.begun));
        runs.into_iter()
            .take(limit)
            .map(|kept| kept.run.clone())
            .collect()
    }

    /// A run; with an empty id the newest of the route.
    ///
    /// # Errors
    /// [`RecordError::NotFound`].
    pub(crate) fn get(&self, route: RouteId, id: &str) -> Result<&RecommendationRun, RecordError> {
        let runs = self.routes.get(&route).ok_or(RecordError::NotFound)?;
        let is_wanted = |kept: &&Kept| id.is_empty() || kept.run.id == id;
        let kept = runs.iter().rev().find(is_wanted).ok_or(RecordError::NotFound)?;
        Ok(&kept.run)
    }

    /// A run that waits for an operator.
    ///
    /// # Errors
    /// [`RecordError::NotFound`], [`RecordError::NotProposed`].
    pub(crate) fn proposed(&self, route: RouteId, id: &str) -> Result<&RecommendationRun, RecordError> {
        let run = self.get(route, id)?;
        match run.state() {
            RunState::Proposed => Ok(run),
            other => Err(RecordError::NotProposed { state: word(other) }),
        }
    }

    /// Notes what an operator decided of a run that waits for it: when its weights were written, no other of the route
    /// waits any more. Gives the runs that changed, that one first.
    ///
    /// # Errors
    /// As [`RunBook::proposed`].
    pub(crate) fn settle(
        &mut self,
        route: RouteId,
        id: &str,
        weights_revision: Option<u64>,
        operator: &str,
    ) -> Result<Vec<RecommendationRun>, RecordError> {
        self.proposed(route, id)?;
        let runs = self.routes.get_mut(&route).ok_or(RecordError::NotFound)?;
        let mut changed = Vec::new();
        for kept in runs
            .iter_mut()
            .filter(|kept| kept.run.state() == RunState::Proposed)
        {
            match (kept.run.id == id, weights_revision) {
                (true, Some(revision)) => {
                    kept.run.set_state(RunState::Approved);
                    kept.run.weights_revision = revision;
                }
                (true, None) | (false, Some(_)) => kept.run.set_state(RunState::Rejected),
                (false, None) => continue,
            }
            kept.run.decided_by = operator.to_owned();
            changed.push(kept.run.clone());
        }
        changed.sort_by_key(|run| run.id != id);
        Ok(changed)
    }
}

const fn word(state: RunState) -> &'static str {
    match state {
        RunState::Unspecified => "unspecified",
        RunState::Open => "open",
        RunState::Applied => "applied",
        RunState::Held => "held",
        RunState::Proposed => "proposed",
        RunState::Shadowed => "shadowed",
        RunState::Approved => "approved",
        RunState::Rejected => "rejected",
        RunState::Failed => "failed",
    }
}

#[cfg(test)]
mod tests;
