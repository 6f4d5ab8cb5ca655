//! Revisions that must not be forgotten while somebody works with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tyrscale_model::Revision;

/// How many hold each revision.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins(Arc<Mutex<BTreeMap<Revision, usize>>>);

impl Pins {
    fn held(&self) -> MutexGuard<'_, BTreeMap<Revision, usize>> {
        // Counts are never left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pin(&self, revision: Revision) -> Pin {
        *self.held().entry(revision).or_default() += 1;
        Pin {
            pins: self.clone(),
            revision,
        }
    }

    pub(crate) fn oldest(&self) -> Option<Revision> {
        self.held().first_key_value().map(|(revision, _)| *revision)
    }
}

/// Keeps the content of a revision, and what came after it, until it is dropped.
#[derive(Debug)]
pub struct Pin {
    pins: Pins,
    revision: Revision,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held();
        if let Some(count) = held.get_mut(&self.revision) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.revision);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_held_as_long_as_anybody_holds_it() {
        let pins = Pins::default();
        let (one, other) = (pins.pin(Revision(3)), pins.pin(Revision(3)));
        let newer = pins.pin(Revision(5));
        drop(one);
        assert_eq!(pins.oldest(), Some(Revision(3)));
        drop(other);
        assert_eq!(pins.oldest(), Some(Revision(5)));
        drop(newer);
        assert_eq!(pins.oldest(), None);
    }
}
