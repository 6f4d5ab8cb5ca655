//! Where recommended weights are set, renewed, dropped and read.

mod checks;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};
use tyrscale_model::{
    Lineage, Rejection, Revision, RouteId, Snapshot, SoftWeight, UnixMillis, UpstreamId, Version, Violation,
    ViolationCode, Weight, WeightTtl,
};
use tyrscale_store::{Store, StoreError};

pub(crate) use checks::effective;

use self::checks::{checked, members};
use super::{
    guard::{Guards, clamp},
    head::{Head, Note},
    shelf::{MAX_ROUTES, Shelf},
};

/// How often a change is tried again because another control plane was faster.
const TRIES: usize = 10;

/// What is to be set.
#[derive(Debug, Clone)]
pub(crate) struct Proposal {
    pub(crate) route: RouteId,
    pub(crate) weights: Vec<(UpstreamId, Weight, WeightTtl)>,
    /// Who leads; `None`: set by hand.
    pub(crate) fencing_token: Option<u64>,
    /// The revision of the configuration it was computed from; `None`: the newest.
    pub(crate) based_on: Option<Revision>,
    pub(crate) reason: String,
    pub(crate) author: String,
    /// When, for people.
    pub(crate) time: UnixMillis,
    pub(crate) dry_run: bool,
}

/// What came of a proposal.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) version: Version,
    /// What the guard rails moved.
    pub(crate) clamped: Vec<Violation>,
    /// Only times to live are new.
    pub(crate) unchanged: bool,
    /// As set, in the order of the proposal.
    pub(crate) weights: Vec<(UpstreamId, SoftWeight)>,
}

/// Why weights are not set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetError {
    /// A rule is broken, or the configuration or the leader is a newer one.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// The route was set a moment ago.
    #[error("weights of the route were set a moment ago: wait {} ms", .0.as_millis())]
    TooSoon(Duration),
    /// It could not be shared with the other control planes.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Debug, Default)]
struct RouteState {
    /// The highest token seen.
    fence: u64,
    last_set: Option<Instant>,
}

/// Held for a whole change, so that changes come one by one.
#[derive(Debug, Default)]
struct State {
    routes: BTreeMap<RouteId, RouteState>,
    /// What is shared with other control planes; none where there are none.
    shelf: Option<Shelf>,
}

/// The recommended weights; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    guards: Guards,
    state: Arc<Mutex<State>>,
    heads: watch::Sender<Arc<Head>>,
}

impl Book {
    /// An empty book.
    pub(crate) fn new(lineage: Lineage, guards: Guards, now: Instant) -> Self {
        Self {
            guards,
            state: Arc::default(),
            heads: watch::Sender::new(Arc::new(Head::new(lineage, now))),
        }
    }

    /// The book that all control planes over a store share.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub(crate) async fn shared(
        store: &Store,
        lineage: Lineage,
        guards: Guards,
        now: Instant,
    ) -> Result<Self, StoreError> {
        let book = Self::new(lineage, guards, now);
        book.state.lock().await.shelf = Some(Shelf::new(store));
        book.catch_up(now).await?;
        Ok(book)
    }

    /// Takes in what other control planes set.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub(crate) async fn catch_up(&self, now: Instant) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        self.take(&mut state, now).await
    }

    async fn take(&self, state: &mut State, now: Instant) -> Result<(), StoreError> {
        let Some(shelf) = &mut state.shelf else {
            return Ok(());
        };
        let Some(content) = shelf.read().await? else {
            return Ok(());
        };
        match self.head().taken(&content, now) {
            Ok((next, routes)) => {
                for route in routes {
                    state.routes.entry(route).or_default().last_set = Some(now);
                }
                self.publish(next);
            }
            Err(rejection) => tracing::error!(%rejection, "shared weights cannot be read"),
        }
        Ok(())
    }

    /// Makes a revision the newest, for the other control planes as well.
    async fn keep(
        &self,
        state: &mut State,
        next: Head,
        routes: &BTreeSet<RouteId>,
    ) -> Result<Version, StoreError> {
        if let Some(shelf) = &mut state.shelf {
            shelf.keep(&next, routes).await?;
        }
        Ok(self.publish(next))
    }

    /// The newest.
    pub(crate) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.heads.borrow())
    }

    /// Tells of every revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Head>> {
        self.heads.subscribe()
    }

    /// Sets weights of one route as one revision.
    ///
    /// # Errors
    /// [`SetError`], with nothing changed.
    pub(crate) async fn set(
        &self,
        snapshot: &Snapshot,
        proposal: &Proposal,
        now: Instant,
    ) -> Result<Outcome, SetError> {
        let based_on = checked(snapshot, proposal)?;
        let mut state = self.state.lock().await;
        for _ in 0..TRIES {
            self.take(&mut state, now).await?;
            let route = state.routes.get(&proposal.route);
            self.check_turn(route, proposal, now)?;
            let head = self.head();
            let mut outcome = self.propose(snapshot, &head, proposal, based_on);
            if proposal.dry_run {
                return Ok(outcome);
            }
            let next = head.next(&outcome.weights, notes_of(proposal, now), &[], now);
            match self.keep(&mut state, next, &[proposal.route].into()).await {
                Ok(version) => outcome.version = version,
                Err(StoreError::DocumentMoved { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let route = state.routes.entry(proposal.route).or_default();
            route.fence = route.fence.max(proposal.fencing_token.unwrap_or_default());
            route.last_set = Some(now);
            return Ok(outcome);
        }
        Err(StoreError::outpaced().into())
    }

    /// Whether the route may be set now, by this leader.
    fn check_turn(
        &self,
        route: Option<&RouteState>,
        proposal: &Proposal,
        now: Instant,
    ) -> Result<(), SetError> {
        let Some(route) = route else { return Ok(()) };
        if let Some(token) = proposal.fencing_token.filter(|token| *token < route.fence) {
            let message = format!("{token} is of a leader before the one that has {}", route.fence);
            let violation = Violation::new("fencing_token", ViolationCode::RevisionMismatch, message);
            return Err(Rejection::from(violation).into());
        }
        let free_at = route.last_set.map(|last| last + self.guards.min_interval);
        match free_at.filter(|free_at| *free_at > now) {
            Some(free_at) => Err(SetError::TooSoon(free_at - now)),
            None => Ok(()),
        }
    }

    /// What the guard rails make of a proposal.
    fn propose(&self, snapshot: &Snapshot, head: &Head, proposal: &Proposal, based_on: Revision) -> Outcome {
        let members = members(snapshot, head, proposal.route);
        let mut wanted: Vec<_> = proposal
            .weights
            .iter()
            .map(|(upstream, weight, _)| (*upstream, weight.get()))
            .collect();
        let clamped = clamp(&members, &mut wanted, &self.guards);
        let weights: Vec<(UpstreamId, SoftWeight)> = proposal
            .weights
            .iter()
            .zip(&wanted)
            .map(|((upstream, weight, ttl), (_, allowed))| {
                let soft = SoftWeight {
                    weight: Weight::try_from(*allowed).unwrap_or(*weight),
                    ttl: *ttl,
                    based_on,
                };
                (*upstream, soft)
            })
            .collect();
        let number = |upstream| head.weights.get(upstream).map(|entry| entry.soft.weight);
        Outcome {
            version: head.weights.version(),
            clamped,
            unchanged: weights
                .iter()
                .all(|(upstream, soft)| number(*upstream) == Some(soft.weight)),
            weights,
        }
    }

    /// Drops the weights of a route, or all. Gives the version after it, and how many went.
    ///
    /// # Errors
    /// [`StoreError`] when that cannot be shared; some of them may be gone.
    pub(crate) async fn clear(
        &self,
        route: Option<RouteId>,
        now: Instant,
    ) -> Result<(Version, usize), StoreError> {
        self.drop_where(now, |_, note| route.is_none_or(|route| note.route == route))
            .await
    }

    /// Drops what has expired by `now` and what is for upstreams that are gone.
    ///
    /// # Errors
    /// As [`Book::clear`].
    pub(crate) async fn drop_dead(&self, snapshot: &Snapshot, now: Instant) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        state.routes.retain(|route, _| snapshot.route(*route).is_some());
        drop(state);
        let dropping = self.drop_where(now, |upstream, note| {
            note.deadline <= now || snapshot.upstream(upstream).is_none()
        });
        let (version, dropped) = dropping.await?;
        if dropped > 0 {
            tracing::info!(dropped, revision = %version.revision, "recommended weights ended");
        }
        Ok(())
    }

    async fn drop_where(
        &self,
        now: Instant,
        ends: impl Fn(UpstreamId, &Note) -> bool,
    ) -> Result<(Version, usize), StoreError> {
        let mut state = self.state.lock().await;
        let (mut dropped, mut races) = (0, 0);
        while races < TRIES {
            let head = self.head();
            let mut routes = BTreeSet::new();
            let mut ended = Vec::new();
            for (upstream, note) in head.notes().filter(|(upstream, note)| ends(*upstream, note)) {
                if routes.len() < MAX_ROUTES || routes.contains(&note.route) {
                    routes.insert(note.route);
                    ended.push(upstream);
                }
            }
            if ended.is_empty() {
                return Ok((head.weights.version(), dropped));
            }
            let next = head.next(&[], |_| None, &ended, now);
            match self.keep(&mut state, next, &routes).await {
                Ok(_) => dropped += ended.len(),
                Err(StoreError::DocumentMoved { .. }) => {
                    races += 1;
                    self.take(&mut state, now).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::outpaced())
    }

    fn publish(&self, head: Head) -> Version {
        let version = head.weights.version();
        self.heads.send_replace(Arc::new(head));
        version
    }
}

/// What is known of weights that are set by a proposal.
fn notes_of(proposal: &Proposal, now: Instant) -> impl Fn(&SoftWeight) -> Option<Note> {
    let (reason, set_by): (Arc<str>, Arc<str>) =
        (proposal.reason.as_str().into(), proposal.author.as_str().into());
    let (route, set_time) = (proposal.route, proposal.time);
    move |soft| {
        Some(Note {
            route,
            deadline: now + soft.ttl.get(),
            reason: Arc::clone(&reason),
            set_by: Arc::clone(&set_by),
            set_time,
        })
    }
}

#[cfg(test)]
mod tests;
