//! The parts of the configuration that subscribers see who select routes by labels. Each is made once for all who select
//! alike, from the part before it in the time that the change takes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tyrscale_model::{Rejection, ResourceKey, Selection};
use tyrscale_store::Head;

/// Parts of one selection that are kept: those of the newest heads, for stages of a rollout lead to different ones.
const KEPT: usize = 8;
/// Selections that are followed at once.
const MAX_FOLLOWED: usize = 256;
/// Selections that nobody follows any more and whose parts are kept for who comes back.
const MAX_LEFT: usize = 16;

/// More selections would be followed than there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("other subscribers follow {MAX_FOLLOWED} selections of labels already")]
pub(crate) struct TooManySelections;

/// What was made of the configuration for each selection.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Who came last is last.
    known: Mutex<Vec<Arc<Followed>>>,
}

impl Parts {
    /// A selection, for as long as somebody has it at least.
    ///
    /// # Errors
    /// [`TooManySelections`]
    pub(crate) fn follow(&self, selection: &Selection) -> Result<Arc<Followed>, TooManySelections> {
        if selection.is_everything() {
            return Ok(Arc::default());
        }
        // It holds nothing that a panic could leave half done.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let left = known.iter().filter(|other| is_left(other)).count();
        let place = known.iter().position(|other| other.selection == *selection);
        let followed = match place {
            Some(place) => known.remove(place),
            None if known.len() - left >= MAX_FOLLOWED => return Err(TooManySelections),
            None => Arc::new(Followed {
                selection: selection.clone(),
                ..Followed::default()
            }),
        };
        known.push(Arc::clone(&followed));
        let mut too_many = left.saturating_sub(MAX_LEFT);
        known.retain(|other| {
            let is_forgotten = too_many > 0 && is_left(other);
            too_many -= usize::from(is_forgotten);
            !is_forgotten
        });
        Ok(followed)
    }
}

/// Whether nobody follows it any more.
fn is_left(selection: &Arc<Followed>) -> bool {
    Arc::strong_count(selection) == 1
}

/// The parts of one selection.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    selection: Selection,
    made: tokio::sync::Mutex<VecDeque<Part>>,
}

#[derive(Debug, Clone)]
struct Part {
    /// What it is a part of.
    whole: Arc<Head>,
    head: Arc<Head>,
}

impl Followed {
    /// The part of a head that is seen: itself, when that is all.
    ///
    /// # Errors
    /// A [`Rejection`] when the part does not fit together, which that of a content that does never causes.
    pub(crate) async fn part_of(&self, whole: &Arc<Head>) -> Result<Arc<Head>, Rejection> {
        if self.selection.is_everything() {
            return Ok(Arc::clone(whole));
        }
        // Who comes meanwhile waits: it would make the same.
        let mut made = self.made.lock().await;
        if let Some(known) = made.iter().find(|part| Arc::ptr_eq(&part.whole, whole)) {
            return Ok(Arc::clone(&known.head));
        }
        let head = Arc::new(match earlier(&made, whole) {
            Some((earlier, touched)) => self.after(earlier, touched, whole)?,
            None => Head::of_part(whole.snapshot.selected(&self.selection)?),
        });
        made.push_back(Part {
            whole: Arc::clone(whole),
            head: Arc::clone(&head),
        });
        if made.len() > KEPT {
            made.pop_front();
        }
        Ok(head)
    }

    fn after(&self, earlier: &Part, touched: BTreeSet<ResourceKey>, whole: &Head) -> Result<Head, Rejection> {
        let before = &earlier.head.snapshot;
        let (snapshot, changed) = whole.snapshot.selected_after(before, touched, &self.selection)?;
        Ok(earlier.head.followed_by(snapshot, changed))
    }
}

/// The newest of the parts from which that of `whole` can be had, and what was touched since. Labels count, too.
fn earlier<'p>(parts: &'p VecDeque<Part>, whole: &Head) -> Option<(&'p Part, BTreeSet<ResourceKey>)> {
    let is_earlier = |part: &&Part| {
        let known = &part.whole.snapshot;
        known.lineage() == whole.snapshot.lineage()
            && known.revision() < whole.snapshot.revision()
            && whole.history.hashes_at(known.revision()) == Some(known.hashes())
    };
    let revision = |part: &&Part| part.whole.snapshot.revision();
    let newest = parts.iter().filter(is_earlier).max_by_key(revision)?;
    let touched = whole.history.touched_since(revision(&newest))?;
    Some((newest, touched))
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Lineage, Snapshot};

    use super::*;

    fn selection(team: usize) -> Selection {
        Selection::of([("team".to_owned(), team.to_string())].into())
    }

    fn whole() -> Arc<Head> {
        Arc::new(Head::of_part(Snapshot::empty(Lineage([1; 16]))))
    }

    #[tokio::test]
    async fn parts_are_shared_and_bounded_and_all_is_the_head_itself() {
        let (parts, whole) = (Parts::default(), whole());
        let all = parts.follow(&Selection::default()).unwrap();
        assert!(Arc::ptr_eq(&all.part_of(&whole).await.unwrap(), &whole));
        let first = parts.follow(&selection(0)).unwrap();
        let part = first.part_of(&whole).await.unwrap();
        let same = parts.follow(&selection(0)).unwrap();
        assert!(Arc::ptr_eq(&part, &same.part_of(&whole).await.unwrap()));
        for _ in 0..2 * KEPT {
            // Another head of the same content.
            first.part_of(&Arc::new(Head::clone(&whole))).await.unwrap();
        }
        assert_eq!(first.made.lock().await.len(), KEPT);
    }

    #[test]
    fn who_comes_with_ever_new_labels_displaces_nobody_who_follows() {
        let parts = Parts::default();
        let followed = parts.follow(&selection(0)).unwrap();
        for passing in 1..4 * MAX_FOLLOWED {
            drop(parts.follow(&selection(passing)).unwrap());
        }
        assert!(Arc::ptr_eq(&followed, &parts.follow(&selection(0)).unwrap()));
        let known = parts.known.lock().unwrap().len();
        assert!(known <= 2 + MAX_LEFT, "{known}");
    }

    #[test]
    fn selections_are_limited_to_those_that_are_there() {
        let parts = Parts::default();
        let mut all: Vec<_> = (0..MAX_FOLLOWED)
            .map(|team| parts.follow(&selection(team)).unwrap())
            .collect();
        let one_more = parts.follow(&selection(MAX_FOLLOWED));
        assert_eq!(one_more.unwrap_err(), TooManySelections);
        all.push(parts.follow(&selection(7)).unwrap());
        all.remove(3);
        all.push(parts.follow(&selection(MAX_FOLLOWED)).unwrap());
    }

    #[test]
    fn who_comes_back_finds_what_was_made() {
        let parts = Parts::default();
        let before = Arc::downgrade(&parts.follow(&selection(0)).unwrap());
        let again = parts.follow(&selection(0)).unwrap();
        assert!(
            before
                .upgrade()
                .is_some_and(|before| Arc::ptr_eq(&before, &again))
        );
    }
}
