//! What readers see: the newest durable snapshot, and the history in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeBounds,
    sync::Arc,
};

use rpds::RedBlackTreeMapSync;
use tyrscale_model::{ChangeAction, KindHashes, ResourceKey, Revision, Snapshot, UnixMillis};

use crate::log::{RevisionSummary, Touched};

/// Heads that the history of a part reaches back over.
const MAX_PART_HISTORY: usize = 1_024;

/// The newest durable state.
#[derive(Debug, Clone)]
pub struct Head {
    /// The configuration.
    pub snapshot: Snapshot,
    /// What led to it.
    pub history: History,
}

impl Head {
    /// The head of a part of the configuration, whose history begins with it.
    #[must_use]
    pub fn of_part(snapshot: Snapshot) -> Self {
        Self {
            history: History::new(snapshot.revision(), snapshot.hashes()),
            snapshot,
        }
    }

    /// The head that follows in such a part, where `changed` is what changed of its content. Its history reaches back over a bounded
    /// number of heads.
    #[must_use]
    pub fn followed_by(&self, snapshot: Snapshot, changed: Vec<ResourceKey>) -> Self {
        let mut history = self.history.clone();
        let touched = |key: ResourceKey| Touched {
            action: match snapshot.get(&key) {
                Some(_) => ChangeAction::Updated,
                None => ChangeAction::Deleted,
            },
            key,
            changes_content: true,
        };
        history.push(RevisionSummary {
            revision: snapshot.revision(),
            time: UnixMillis(0),
            actor: String::new(),
            client: String::new(),
            request_id: String::new(),
            message: String::new(),
            labels: BTreeMap::new(),
            reverts_to: None,
            rollout: None,
            touched: changed.into_iter().map(touched).collect(),
            hashes: snapshot.hashes(),
        });
        let oldest = history.range(..).next().map(|summary| summary.revision);
        if let Some(oldest) = oldest.filter(|_| history.len() > MAX_PART_HISTORY) {
            history.compact(oldest);
        }
        Self { snapshot, history }
    }
}

/// The revisions above the floor, without their contents, which rest in the log.
#[derive(Debug, Clone)]
pub struct History {
    summaries: RedBlackTreeMapSync<Revision, Arc<RevisionSummary>>,
    floor: Revision,
    floor_hashes: KindHashes,
}

impl History {
    pub(crate) fn new(floor: Revision, floor_hashes: KindHashes) -> Self {
        Self {
            summaries: RedBlackTreeMapSync::new_sync(),
            floor,
            floor_hashes,
        }
    }

    /// Takes the next revision in.
    pub(crate) fn push(&mut self, summary: RevisionSummary) {
        self.summaries.insert_mut(summary.revision, Arc::new(summary));
    }

    /// Forgets how the content came to be what it was at `floor`.
    pub(crate) fn compact(&mut self, floor: Revision) {
        let Some(hashes) = self.hashes_at(floor) else {
            return;
        };
        while let Some(oldest) = self.summaries.first().map(|(revision, _)| *revision)
            && oldest <= floor
        {
            self.summaries.remove_mut(&oldest);
        }
        self.floor = floor;
        self.floor_hashes = hashes;
    }

    /// The oldest revision whose content can be had.
    #[must_use]
    pub const fn floor(&self) -> Revision {
        self.floor
    }

    /// How many revisions there are above the floor.
    #[must_use]
    pub fn len(&self) -> usize {
        self.summaries.size()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty()
    }

    /// A revision; `None` at the floor and below, and above the head.
    #[must_use]
    pub fn get(&self, revision: Revision) -> Option<&Arc<RevisionSummary>> {
        self.summaries.get(&revision)
    }

    /// Revisions in order, the oldest first.
    pub fn range(
        &self,
        range: impl RangeBounds<Revision>,
    ) -> impl DoubleEndedIterator<Item = &Arc<RevisionSummary>> {
        self.summaries.range(range).map(|(_, summary)| summary)
    }

    /// The hashes of the content at a revision, from which any view's digest is had; `None` below the floor and
    /// above the head.
    #[must_use]
    pub fn hashes_at(&self, revision: Revision) -> Option<KindHashes> {
        if revision == self.floor {
            return Some(self.floor_hashes);
        }
        self.summaries.get(&revision).map(|summary| summary.hashes)
    }

    /// The keys whose content changed after `from`, each once; `None` when the history does not reach back that
    /// far.
    #[must_use]
    pub fn changed_since(&self, from: Revision) -> Option<BTreeSet<ResourceKey>> {
        self.since(from, |touched| touched.changes_content)
    }

    /// The same with those of which nothing changed but what is noted with them: labels say who sees a route.
    #[must_use]
    pub fn touched_since(&self, from: Revision) -> Option<BTreeSet<ResourceKey>> {
        self.since(from, |_| true)
    }

    fn since(&self, from: Revision, counts: fn(&Touched) -> bool) -> Option<BTreeSet<ResourceKey>> {
        self.hashes_at(from)?;
        let touched = self
            .range(from.next()..)
            .flat_map(|summary| &summary.touched)
            .filter(|touched| counts(touched));
        Some(touched.map(|touched| touched.key.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_model::Kind;

    use super::*;

    fn summary(revision: u64, id: &str, changes_content: bool) -> RevisionSummary {
        RevisionSummary {
            revision: Revision(revision),
            time: UnixMillis(0),
            actor: String::new(),
            client: String::new(),
            request_id: String::new(),
            message: String::new(),
            labels: std::collections::BTreeMap::new(),
            reverts_to: None,
            rollout: None,
            touched: vec![Touched {
                key: ResourceKey::new(Kind::Network, id),
                action: ChangeAction::Updated,
                changes_content,
            }],
            hashes: KindHashes::of_nothing(),
        }
    }

    fn history() -> History {
        let mut history = History::new(Revision(0), KindHashes::of_nothing());
        for (revision, id) in [(1, "a"), (2, "b"), (3, "a")] {
            history.push(summary(revision, id, true));
        }
        history
    }

    fn ids(history: &History, from: u64) -> Option<Vec<String>> {
        let keys = history.changed_since(Revision(from))?;
        Some(keys.iter().map(|key| key.id.to_string()).collect())
    }

    #[test]
    fn changes_since_a_revision_name_each_key_once() {
        let history = history();
        assert_eq!(ids(&history, 0), Some(vec!["a".into(), "b".into()]));
        assert_eq!(ids(&history, 2), Some(vec!["a".into()]));
        assert_eq!(ids(&history, 3), Some(vec![]));
        assert_eq!(ids(&history, 4), None);
    }

    #[test]
    fn a_change_of_meta_alone_is_no_news_to_subscribers() {
        let mut history = history();
        history.push(summary(4, "c", false));
        assert_eq!(ids(&history, 3), Some(vec![]));
        let touched = history.touched_since(Revision(3)).unwrap();
        assert_eq!(touched, [ResourceKey::new(Kind::Network, "c")].into());
    }

    #[test]
    fn a_compacted_history_says_what_it_no_longer_knows() {
        let mut history = history();
        history.compact(Revision(2));
        assert_eq!((history.floor(), history.len()), (Revision(2), 1));
        assert_eq!(ids(&history, 1), None);
        assert_eq!(ids(&history, 2), Some(vec!["a".into()]));
        assert!(history.hashes_at(Revision(1)).is_none());
        assert!(history.hashes_at(Revision(2)).is_some());
    }
}
