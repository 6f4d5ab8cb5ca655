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
/// Selections that are kept; of further ones each part is made anew.
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
        if made.len() < MAX_SELECTIONS || made.contains_key(selection) {
            let parts = made.entry(selection.clone()).or_default();
            parts.push_back(Part {
                whole: Arc::clone(whole),
                head: Arc::clone(&head),
            });
            if parts.len() > KEPT {
                parts.pop_front();
            }
        }
        Ok(head)
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
