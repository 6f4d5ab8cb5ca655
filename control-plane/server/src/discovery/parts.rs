//! The parts of the configuration that subscribers see who select routes by labels. Each is made once for all who select
//! alike, from the part before it in the time that the change takes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tyrscale_model::{Rejection, ResourceKey, Revision, Selection};
use tyrscale_store::Head;

/// Parts of one selection that are kept: those of the newest heads, for stages of a rollout lead to different ones.
const KEPT: usize = 8;
/// Selections that are kept. Those that nobody follows any more fall behind, and go first.
const MAX_SELECTIONS: usize = 64;

/// What was made of the configuration for each selection.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    made: Mutex<HashMap<Selection, VecDeque<Part>>>,
}

#[derive(Debug, Clone)]
struct Part {
    /// What it is a part of.
    whole: Arc<Head>,
    head: Arc<Head>,
}

impl Parts {
    /// The part of a head that a selection sees: itself, when that is all.
    ///
    /// # Errors
    /// A [`Rejection`] when the part does not fit together.
    pub(crate) fn of(&self, whole: &Arc<Head>, selection: &Selection) -> Result<Arc<Head>, Rejection> {
        if selection.is_everything() {
            return Ok(Arc::clone(whole));
        }
        // Who comes meanwhile waits: it would make the same. It holds nothing that a panic could leave half done.
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = made.get(selection);
        let known = parts.and_then(|parts| parts.iter().find(|part| Arc::ptr_eq(&part.whole, whole)));
        if let Some(known) = known {
            return Ok(Arc::clone(&known.head));
        }
        let earlier = parts.and_then(|parts| earlier(parts, whole));
        let head = Arc::new(match earlier {
            Some(earlier) => after(earlier, whole, selection)?,
            None => Head::of_part(whole.snapshot.selected(selection)?),
        });
        if made.len() >= MAX_SELECTIONS && !made.contains_key(selection) {
            forget_oldest(&mut made);
        }
        let parts = made.entry(selection.clone()).or_default();
        parts.push_back(Part {
            whole: Arc::clone(whole),
            head: Arc::clone(&head),
        });
        if parts.len() > KEPT {
            parts.pop_front();
        }
        Ok(head)
    }
}

/// Forgets the selection whose newest part is the oldest.
fn forget_oldest(made: &mut HashMap<Selection, VecDeque<Part>>) {
    let newest = |parts: &VecDeque<Part>| {
        let revisions = parts.iter().map(|part| part.whole.snapshot.revision());
        revisions.max()
    };
    let oldest = made.iter().min_by_key(|(_, parts)| newest(parts));
    if let Some(oldest) = oldest.map(|(selection, _)| selection.clone()) {
        made.remove(&oldest);
    }
}

/// The newest of the parts from which that of `whole` can be had.
fn earlier<'p>(parts: &'p VecDeque<Part>, whole: &Head) -> Option<&'p Part> {
    let is_earlier = |part: &&Part| {
        let known = &part.whole.snapshot;
        known.lineage() == whole.snapshot.lineage()
            && known.revision() < whole.snapshot.revision()
            && whole.history.hashes_at(known.revision()) == Some(known.hashes())
    };
    parts
        .iter()
        .filter(is_earlier)
        .max_by_key(|part| part.whole.snapshot.revision())
}

fn after(earlier: &Part, whole: &Head, selection: &Selection) -> Result<Head, Rejection> {
    let from: Revision = earlier.whole.snapshot.revision();
    // Labels too are news here, which say who sees a route.
    let touched = whole
        .history
        .range(from.next()..)
        .flat_map(|summary| &summary.touched);
    let touched: Vec<ResourceKey> = touched.map(|touched| touched.key.clone()).collect();
    let before = &earlier.head.snapshot;
    let (snapshot, changed) = whole.snapshot.selected_after(before, touched, selection)?;
    Ok(earlier.head.followed_by(snapshot, changed))
}

#[cfg(test)]
mod tests {
    use tyrscale_model::{Lineage, Snapshot};

    use super::*;

    fn selection(team: usize) -> Selection {
        Selection::of([("team".to_owned(), team.to_string())].into())
    }

    #[test]
    fn parts_are_shared_and_bounded_and_all_is_the_head_itself() {
        let parts = Parts::default();
        let whole = Arc::new(Head::of_part(Snapshot::empty(Lineage([1; 16]))));
        let all = parts.of(&whole, &Selection::default()).unwrap();
        assert!(Arc::ptr_eq(&all, &whole));
        let first = parts.of(&whole, &selection(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &parts.of(&whole, &selection(0)).unwrap()));
        for team in 0..2 * MAX_SELECTIONS {
            parts.of(&whole, &selection(team)).unwrap();
        }
        assert_eq!(parts.made.lock().unwrap().len(), MAX_SELECTIONS);
        for _ in 0..2 * KEPT {
            // Another head of the same content.
            parts.of(&Arc::new(Head::clone(&whole)), &selection(0)).unwrap();
        }
        assert_eq!(parts.made.lock().unwrap()[&selection(0)].len(), KEPT);
    }
}
