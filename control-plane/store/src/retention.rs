//! How much history is kept.

use std::time::Duration;

use tyrscale_model::{Revision, UnixMillis};

use crate::head::History;

/// How much history is kept: a revision is forgotten once it is neither among the newest nor young, or there
/// are too many. Tags and pins keep what they name, and everything after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest revisions are kept, at least 1.
    pub revisions: usize,
    /// Younger ones are kept.
    pub age: Duration,
    /// But never more than so many.
    pub most: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            revisions: 10_000,
            age: Duration::ZERO,
            most: 1_000_000,
        }
    }
}

impl Retention {
    /// Nothing is forgotten.
    pub const EVERYTHING: Self = Self {
        revisions: usize::MAX,
        age: Duration::ZERO,
        most: usize::MAX,
    };

    /// How many revisions may wait to be forgotten, so that not every change forgets one.
    const SLACK: usize = 256;

    /// Whether there are enough revisions to see whether some can be forgotten.
    pub(crate) fn is_due(&self, history: &History) -> bool {
        let slack = (self.revisions / 16).min(Self::SLACK);
        history.len() > self.revisions.saturating_add(slack)
    }

    /// The floor that the history should have; `None` when it is high enough.
    pub(crate) fn floor(
        &self,
        history: &History,
        pinned: Option<Revision>,
        now: UnixMillis,
    ) -> Option<Revision> {
        let surplus = history.len().saturating_sub(self.revisions);
        let overflow = history.len().saturating_sub(self.most);
        let age = u64::try_from(self.age.as_millis()).unwrap_or(u64::MAX);
        let is_old = |time: UnixMillis| time.0.saturating_add(age) <= now.0;
        let old = history
            .range(..)
            .take(surplus)
            .enumerate()
            .take_while(|(place, summary)| *place < overflow || is_old(summary.time));
        let floor = old.last().map(|(_, summary)| summary.revision)?;
        let floor = pinned.map_or(floor, |pinned| floor.min(pinned));
        (floor > history.floor()).then_some(floor)
    }
}

#[cfg(test)]
mod tests {
    use tyrscale_model::KindHashes;

    use super::*;
    use crate::log::RevisionSummary;

    /// Revisions 1 to `count`, one a second.
    fn history(count: u64) -> History {
        let hashes = KindHashes::of_nothing();
        let mut history = History::new(Revision(0), hashes);
        for revision in 1..=count {
            history.push(RevisionSummary {
                revision: Revision(revision),
                time: UnixMillis(revision * 1000),
                actor: String::new(),
                client: String::new(),
                request_id: String::new(),
                message: String::new(),
                labels: std::collections::BTreeMap::new(),
                reverts_to: None,
                rollout: None,
                touched: Vec::new(),
                hashes,
            });
        }
        history
    }

    fn retention(revisions: usize, seconds: u64, most: usize) -> Retention {
        Retention {
            revisions,
            age: Duration::from_secs(seconds),
            most,
        }
    }

    const NOW: UnixMillis = UnixMillis(20_000);

    #[test]
    fn the_newest_are_kept_and_the_young_beside_them() {
        let history = history(20);
        assert_eq!(
            retention(5, 0, 100).floor(&history, None, NOW),
            Some(Revision(15))
        );
        assert_eq!(
            retention(5, 8, 100).floor(&history, None, NOW),
            Some(Revision(12))
        );
        assert_eq!(retention(5, 100, 100).floor(&history, None, NOW), None);
        assert_eq!(retention(20, 0, 100).floor(&history, None, NOW), None);
    }

    #[test]
    fn there_are_never_too_many_unless_pinned() {
        let history = history(20);
        assert_eq!(
            retention(5, 100, 10).floor(&history, None, NOW),
            Some(Revision(10))
        );
        assert_eq!(
            retention(5, 100, 10).floor(&history, Some(Revision(7)), NOW),
            Some(Revision(7))
        );
        assert_eq!(
            retention(5, 100, 10).floor(&history, Some(Revision(0)), NOW),
            None
        );
    }
}
