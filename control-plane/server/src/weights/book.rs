//! Where recommended weights are set, renewed, dropped and read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tyrscale_model::{
    EffectiveWeight, Lineage, OperatorWeight, Rejection, ResourceKey, Revision, RouteId, Snapshot,
    SoftWeight, Standing, UnixMillis, Upstream, UpstreamId, Version, Violation, ViolationCode, Weight,
    WeightTtl,
};

use super::{
    guard::{Guards, Member, clamp},
    head::{Head, Note},
};

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
}

#[derive(Debug, Default)]
struct RouteState {
    /// The highest token seen.
    fence: u64,
    last_set: Option<Instant>,
}

#[derive(Debug, Default)]
struct Routes(BTreeMap<RouteId, RouteState>);

/// The recommended weights; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    guards: Guards,
    routes: Arc<Mutex<Routes>>,
    heads: watch::Sender<Arc<Head>>,
}

impl Book {
    /// An empty book.
    pub(crate) fn new(lineage: Lineage, guards: Guards, now: Instant) -> Self {
        Self {
            guards,
            routes: Arc::default(),
            heads: watch::Sender::new(Arc::new(Head::new(lineage, now))),
        }
    }

    /// The newest.
    pub(crate) fn head(&self) -> Arc<Head> {
        Arc::clone(&self.heads.borrow())
    }

    /// Tells of every revision.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Head>> {
        self.heads.subscribe()
    }

    /// Every change holds the lock, so that changes come one by one.
    fn lock(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets weights of one route as one revision.
    ///
    /// # Errors
    /// [`SetError`], with nothing changed.
    pub(crate) fn set(
        &self,
        snapshot: &Snapshot,
        proposal: &Proposal,
        now: Instant,
    ) -> Result<Outcome, SetError> {
        let based_on = checked(snapshot, proposal)?;
        let mut routes = self.lock();
        let route = routes.0.entry(proposal.route).or_default();
        if let Some(token) = proposal.fencing_token.filter(|token| *token < route.fence) {
            let message = format!("{token} is of a leader before the one that has {}", route.fence);
            let violation = Violation::new("fencing_token", ViolationCode::RevisionMismatch, message);
            return Err(Rejection::from(violation).into());
        }
        let free_at = route.last_set.map(|last| last + self.guards.min_interval);
        if let Some(free_at) = free_at.filter(|free_at| *free_at > now) {
            return Err(SetError::TooSoon(free_at - now));
        }
        let head = self.head();
        let members = members(snapshot, &head, proposal.route);
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
        let unchanged = weights
            .iter()
            .all(|(upstream, soft)| number(*upstream) == Some(soft.weight));
        let mut version = head.weights.version();
        if !proposal.dry_run {
            route.fence = route.fence.max(proposal.fencing_token.unwrap_or_default());
            route.last_set = Some(now);
            let (reason, set_by): (Arc<str>, Arc<str>) =
                (proposal.reason.as_str().into(), proposal.author.as_str().into());
            let note = |soft: &SoftWeight| {
                Some(Note {
                    route: proposal.route,
                    deadline: now + soft.ttl.get(),
                    reason: Arc::clone(&reason),
                    set_by: Arc::clone(&set_by),
                    set_time: proposal.time,
                })
            };
            version = self.publish(head.next(&weights, note, &[], now));
        }
        Ok(Outcome {
            version,
            clamped,
            unchanged,
            weights,
        })
    }

    /// Drops the weights of a route, or all. Gives the version after it, and how many went.
    pub(crate) fn clear(&self, route: Option<RouteId>, now: Instant) -> (Version, usize) {
        self.drop_where(now, |_, note| route.is_none_or(|route| note.route == route))
    }

    /// Drops what has expired by `now` and what is for upstreams that are gone.
    pub(crate) fn drop_dead(&self, snapshot: &Snapshot, now: Instant) {
        self.lock().0.retain(|route, _| snapshot.route(*route).is_some());
        let (version, dropped) = self.drop_where(now, |upstream, note| {
            note.deadline <= now || snapshot.upstream(upstream).is_none()
        });
        if dropped > 0 {
            tracing::info!(dropped, revision = %version.revision, "recommended weights ended");
        }
    }

    fn drop_where(&self, now: Instant, ends: impl Fn(UpstreamId, &Note) -> bool) -> (Version, usize) {
        let lock = self.lock();
        let head = self.head();
        let ended: Vec<UpstreamId> = head
            .notes()
            .filter(|(upstream, note)| ends(*upstream, note))
            .map(|(upstream, _)| upstream)
            .collect();
        if ended.is_empty() {
            return (head.weights.version(), 0);
        }
        let version = self.publish(head.next(&[], |_| None, &ended, now));
        drop(lock);
        (version, ended.len())
    }

    fn publish(&self, head: Head) -> Version {
        let version = head.weights.version();
        self.heads.send_replace(Arc::new(head));
        version
    }
}

/// Checks a proposal against the configuration, and gives the revision that it is based on.
fn checked(snapshot: &Snapshot, proposal: &Proposal) -> Result<Revision, Rejection> {
    let newest = snapshot.revision();
    let based_on = proposal.based_on.unwrap_or(newest);
    let mut violations = Vec::new();
    if snapshot.route(proposal.route).is_none() {
        let key = proposal.route.key();
        let message = format!("{key} does not exist");
        return Err(Violation::new("route_id", ViolationCode::NotFound, message)
            .of(key)
            .into());
    }
    if proposal.weights.is_empty() {
        violations.push(Violation::new("weights", ViolationCode::Required, "must be set"));
    }
    if based_on > newest {
        let message = format!("is above the newest revision {newest}");
        violations.push(Violation::new(
            "based_on_config_revision",
            ViolationCode::OutOfRange,
            message,
        ));
    }
    let mut named = BTreeSet::new();
    for (upstream, ..) in &proposal.weights {
        let key = upstream.key();
        let of_route = snapshot
            .upstream(*upstream)
            .filter(|upstream| upstream.route_id == proposal.route);
        let (code, message) = if !named.insert(*upstream) {
            (ViolationCode::Invalid, "is named twice".to_owned())
        } else if of_route.is_none() {
            (ViolationCode::NotFound, "is no upstream of the route".to_owned())
        } else if modified(snapshot, &key) > based_on {
            let message = format!(
                "was changed at revision {}, after {based_on}, which its weight is based on",
                modified(snapshot, &key)
            );
            (ViolationCode::RevisionMismatch, message)
        } else {
            continue;
        };
        violations.push(Violation::new("weights", code, message).of(key));
    }
    if violations.is_empty() {
        Ok(based_on)
    } else {
        Err(violations.into())
    }
}

/// At which revision a resource last changed.
fn modified(snapshot: &Snapshot, key: &ResourceKey) -> Revision {
    snapshot
        .get(key)
        .map_or(Revision(0), |entry| entry.meta.modify_revision)
}

/// What counts of an upstream's weights now.
pub(crate) fn effective(snapshot: &Snapshot, head: &Head, upstream: &Upstream) -> EffectiveWeight {
    let soft = head.weights.get(upstream.id).map(|entry| &entry.soft);
    let operator = OperatorWeight::new(upstream, modified(snapshot, &upstream.key()));
    EffectiveWeight::of(&operator, soft)
}

fn members(snapshot: &Snapshot, head: &Head, route: RouteId) -> Vec<Member> {
    let member = |upstream: &Upstream| {
        let effective = effective(snapshot, head, upstream);
        Member {
            upstream: upstream.id,
            current: effective.weight.get(),
            usable: effective.standing != Standing::Withheld,
        }
    };
    snapshot.upstreams_of(route).map(member).collect()
}

#[cfg(test)]
mod tests;
