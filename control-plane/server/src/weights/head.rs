//! The recommended weights at one moment, and what led to them.

use std::{collections::BTreeSet, sync::Arc};

use rpds::RedBlackTreeMapSync;
use tokio::time::Instant;
use tyrscale_model::{
    Digest, Lineage, Rejection, Revision, RouteId, SoftWeight, UnixMillis, UpstreamId, WeightRow, Weights,
};

use super::shelf::{Content, Shared};

/// Revisions that are remembered, so that a subscriber that comes back gets only the difference.
const HISTORY: usize = 1000;

/// What is known of a recommended weight besides its content.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) route: RouteId,
    /// When it ends.
    pub(crate) deadline: Instant,
    pub(crate) reason: Arc<str>,
    pub(crate) set_by: Arc<str>,
    pub(crate) set_time: UnixMillis,
}

#[derive(Debug)]
struct Step {
    upstreams: Vec<UpstreamId>,
    digest: Digest,
}

/// The last revisions of the lane.
#[derive(Debug, Clone)]
pub(crate) struct History {
    steps: RedBlackTreeMapSync<Revision, Arc<Step>>,
}

impl History {
    /// The digest at a revision, if it is remembered.
    pub(crate) fn digest_at(&self, revision: Revision) -> Option<Digest> {
        self.steps.get(&revision).map(|step| step.digest)
    }

    /// The upstreams whose weights were set or dropped after `from`; `None` when that is not remembered.
    pub(crate) fn changed_since(&self, from: Revision) -> Option<BTreeSet<UpstreamId>> {
        self.steps.get(&from)?;
        let later = self.steps.range(from.next()..);
        Some(
            later
                .flat_map(|(_, step)| step.upstreams.iter().copied())
                .collect(),
        )
    }

    fn beginning_with(weights: &Weights) -> Self {
        let mut history = Self {
            steps: RedBlackTreeMapSync::new_sync(),
        };
        let step = Step {
            upstreams: Vec::new(),
            digest: weights.digest(),
        };
        history.push(weights.revision(), step);
        history
    }

    fn push(&mut self, revision: Revision, step: Step) {
        self.steps.insert_mut(revision, Arc::new(step));
        if self.steps.size() > HISTORY
            && let Some(oldest) = self.steps.first().map(|(revision, _)| *revision)
        {
            self.steps.remove_mut(&oldest);
        }
    }
}

/// The recommended weights at one version of their lane.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) weights: Weights,
    pub(crate) history: History,
    /// Since when it is the newest.
    pub(crate) published: Instant,
    notes: RedBlackTreeMapSync<UpstreamId, Note>,
    /// Every stream asks for it at every change.
    nothing: Digest,
}

impl Head {
    /// None, in a lineage of its own: revisions of a control plane that has ended say nothing here.
    pub(crate) fn new(lineage: Lineage, now: Instant) -> Self {
        let weights = Weights::empty(lineage);
        Self {
            nothing: weights.digest(),
            history: History::beginning_with(&weights),
            weights,
            published: now,
            notes: RedBlackTreeMapSync::new_sync(),
        }
    }

    /// The digest of no weights at all.
    pub(crate) const fn nothing(&self) -> Digest {
        self.nothing
    }

    /// What is known of the weight recommended for an upstream.
    pub(crate) fn note(&self, upstream: UpstreamId) -> Option<&Note> {
        self.notes.get(&upstream)
    }

    /// When the weight recommended for an upstream ends.
    pub(crate) fn deadline(&self, upstream: UpstreamId) -> Option<Instant> {
        self.note(upstream).map(|note| note.deadline)
    }

    /// When the first weight ends.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.notes.values().map(|note| note.deadline).min()
    }

    /// Every weight's upstream and note, by upstream.
    pub(crate) fn notes(&self) -> impl Iterator<Item = (UpstreamId, &Note)> {
        self.notes.iter().map(|(upstream, note)| (*upstream, note))
    }

    /// The next revision.
    pub(crate) fn next(
        &self,
        set: &[(UpstreamId, SoftWeight)],
        note: impl Fn(&SoftWeight) -> Option<Note>,
        dropped: &[UpstreamId],
        now: Instant,
    ) -> Self {
        let mut next = self.clone();
        next.weights = self.weights.next(set, dropped);
        next.published = now;
        for upstream in dropped {
            next.notes.remove_mut(upstream);
        }
        for (upstream, soft) in set {
            if let Some(note) = note(soft) {
                next.notes.insert_mut(*upstream, note);
            }
        }
        let named = set.iter().map(|(upstream, _)| *upstream);
        let step = Step {
            upstreams: named.chain(dropped.iter().copied()).collect(),
            digest: next.weights.digest(),
        };
        next.history.push(next.weights.revision(), step);
        next
    }

    /// What control planes share. What is as it was here ends as it was to; the rest has its time from now. Also the
    /// routes of which something is new.
    pub(super) fn taken(
        &self,
        content: &Content,
        now: Instant,
    ) -> Result<(Self, BTreeSet<RouteId>), Rejection> {
        let is_same_line = content.lineage == self.weights.lineage();
        let is_known = |shared: &&Shared| {
            let known = self.weights.get(shared.row.upstream);
            is_same_line && known.is_some_and(|known| known.revision == shared.row.revision)
        };
        let news: Vec<&Shared> = content
            .weights
            .values()
            .filter(|shared| !is_known(shared))
            .collect();
        let gone = self.notes.keys().copied();
        let gone: Vec<UpstreamId> = gone
            .filter(|upstream| !content.weights.contains_key(upstream))
            .collect();
        let rows: Vec<WeightRow> = news.iter().map(|shared| shared.row.clone()).collect();
        let weights = self
            .weights
            .advance(content.lineage, content.revision, &rows, &gone)?;
        let mut next = Self {
            history: self.history.clone(),
            weights,
            published: now,
            notes: self.notes.clone(),
            nothing: self.nothing,
        };
        for upstream in &gone {
            next.notes.remove_mut(upstream);
        }
        for shared in &news {
            let upstream = shared.row.upstream;
            let Some(entry) = next.weights.get(upstream) else {
                continue;
            };
            let note = Note {
                route: shared.route,
                deadline: now + entry.soft.ttl.get(),
                reason: Arc::clone(&shared.reason),
                set_by: Arc::clone(&shared.set_by),
                set_time: shared.set_time,
            };
            next.notes.insert_mut(upstream, note);
        }
        if is_same_line {
            let changed = rows.iter().map(|row| row.upstream).chain(gone);
            let step = Step {
                upstreams: changed.collect(),
                digest: next.weights.digest(),
            };
            next.history.push(next.weights.revision(), step);
        } else {
            next.history = History::beginning_with(&next.weights);
        }
        Ok((next, news.iter().map(|shared| shared.route).collect()))
    }
}
