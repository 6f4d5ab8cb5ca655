//! What readers see: the newest durable snapshot, and the history in memory.

use std::collections::BTreeSet;

use rpds::RedBlackTreeMapSync;
use tyrscale_model::{KindHashes, ResourceKey, Revision, Snapshot};

/// The newest durable state.
#[derive(Debug, Clone)]
pub struct Head {
    /// The configuration.
    pub snapshot: Snapshot,
    /// What led to it.
    pub history: History,
}

/// What one revision did: which keys it touched, and the hashes after it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) keys: Vec<ResourceKey>,
    pub(crate) hashes: KindHashes,
}

/// The last revisions, as many as the store keeps.
#[derive(Debug, Clone)]
pub struct History {
    steps: RedBlackTreeMapSync<Revision, std::sync::Arc<Step>>,
    /// The content of the empty store, which needs no record.
    origin: KindHashes,
    limit: usize,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        let origin = tyrscale_model::ContentDigest::default().hashes();
        Self {
            steps: RedBlackTreeMapSync::new_sync(),
            origin,
            limit,
        }
    }

    /// Takes the next revision in; the oldest beyond the limit goes.
    pub(crate) fn push(&mut self, revision: Revision, step: Step) {
        self.steps.insert_mut(revision, std::sync::Arc::new(step));
        if self.steps.size() > self.limit
            && let Some(oldest) = self.oldest()
        {
            self.steps.remove_mut(&oldest);
        }
    }

    /// The oldest revision it knows.
    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.steps.first().map(|(revision, _)| *revision)
    }

    /// The hashes of no content at all.
    #[must_use]
    pub const fn nothing(&self) -> KindHashes {
        self.origin
    }

    /// The hashes of the content at a revision, from which any view's digest is had; `None` when it is not in
    /// memory.
    #[must_use]
    pub fn hashes_at(&self, revision: Revision) -> Option<KindHashes> {
        if revision == Revision(0) {
            return Some(self.origin);
        }
        self.steps.get(&revision).map(|step| step.hashes)
    }

    /// The keys touched after `from`, each once; `None` when the history does not reach back that far.
    #[must_use]
    pub fn changed_since(&self, from: Revision) -> Option<BTreeSet<ResourceKey>> {
        let next = from.next();
        match self.steps.last() {
            None if from == Revision(0) => return Some(BTreeSet::new()),
            Some((newest, _)) if from == *newest => return Some(BTreeSet::new()),
            _ => self.steps.get(&next)?,
        };
        Some(
            self.steps
                .range(next..)
                .flat_map(|(_, step)| step.keys.iter().cloned())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_model::Kind;

    use super::*;

    fn step(id: &str) -> Step {
        Step {
            keys: vec![ResourceKey::new(Kind::Network, id)],
            hashes: tyrscale_model::ContentDigest::default().hashes(),
        }
    }

    #[test]
    fn changes_since_a_revision_name_each_key_once() {
        let mut history = History::new(10);
        for (revision, id) in [(1, "a"), (2, "b"), (3, "a")] {
            history.push(Revision(revision), step(id));
        }
        let ids = |from| {
            let keys = history.changed_since(Revision(from))?;
            Some(keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>())
        };
        assert_eq!(ids(0), Some(vec!["a".into(), "b".into()]));
        assert_eq!(ids(2), Some(vec!["a".into()]));
        assert_eq!(ids(3), Some(vec![]));
        assert_eq!(ids(4), None);
    }

    #[test]
    fn the_history_is_bounded_and_says_what_it_no_longer_knows() {
        let mut history = History::new(2);
        for (revision, id) in [(1, "a"), (2, "b"), (3, "c")] {
            history.push(Revision(revision), step(id));
        }
        assert_eq!(history.oldest(), Some(Revision(2)));
        assert!(history.changed_since(Revision(0)).is_none());
        assert!(history.changed_since(Revision(1)).is_some());
        assert!(history.hashes_at(Revision(1)).is_none());
        assert!(history.hashes_at(Revision(0)).is_some());
    }
}
