//! A map of bounded size that knows the order in which its entries were last used.
//!
//! Entries live in one vector and are linked by index into a list from the latest used to the
//! longest unused, so that use and eviction take constant time.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// How many of the longest unused are looked at for one that can be dropped without a loss.
const LOOKED_AT: usize = 8;

#[derive(Debug)]
pub(super) struct Recency<K, V, S> {
    capacity: usize,
    at: HashMap<K, usize, S>,
    entries: Vec<Entry<K, V>>,
    latest: Option<usize>,
    oldest: Option<usize>,
}

#[derive(Debug)]
struct Entry<K, V> {
    key: K,
    value: V,
    newer: Option<usize>,
    older: Option<usize>,
}

impl<K: Hash + Eq + Clone, V, S: BuildHasher> Recency<K, V, S> {
    /// Room for `capacity` entries, at least one.
    pub(super) fn new(capacity: usize, hasher: S) -> Self {
        Self {
            capacity: capacity.max(1),
            at: HashMap::with_hasher(hasher),
            entries: Vec::new(),
            latest: None,
            oldest: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Brings the entry of `key` to the front and applies `act` to it. One that is not there begins as
    /// `fresh`; if there is no room for it, another makes way: the longest unused that is
    /// `expendable`, else the longest unused.
    pub(super) fn update<T>(
        &mut self,
        key: &K,
        fresh: V,
        expendable: impl Fn(&V) -> bool,
        act: impl FnOnce(&mut V) -> T,
    ) -> Option<T> {
        let index = match self.at.get(key) {
            Some(index) => {
                let index = *index;
                self.unlink(index);
                index
            }
            None => self.place(key, fresh, expendable)?,
        };
        self.link(index);
        self.entries.get_mut(index).map(|entry| act(&mut entry.value))
    }

    /// Puts a new entry where there is room, without linking it.
    fn place(&mut self, key: &K, value: V, expendable: impl Fn(&V) -> bool) -> Option<usize> {
        let entry = Entry {
            key: key.clone(),
            value,
            newer: None,
            older: None,
        };
        let index = if self.entries.len() < self.capacity {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let index = self.victim(expendable)?;
            self.unlink(index);
            let slot = self.entries.get_mut(index)?;
            self.at.remove(&slot.key);
            *slot = entry;
            index
        };
        self.at.insert(key.clone(), index);
        Some(index)
    }

    /// Who makes way.
    fn victim(&self, expendable: impl Fn(&V) -> bool) -> Option<usize> {
        let entry = |index: usize| self.entries.get(index);
        std::iter::successors(self.oldest, |index| entry(*index)?.newer)
            .take(LOOKED_AT)
            .find(|index| entry(*index).is_some_and(|entry| expendable(&entry.value)))
            .or(self.oldest)
    }

    fn unlink(&mut self, index: usize) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let (newer, older) = (entry.newer.take(), entry.older.take());
        match newer.and_then(|newer| self.entries.get_mut(newer)) {
            Some(entry) => entry.older = older,
            None => self.latest = older,
        }
        match older.and_then(|older| self.entries.get_mut(older)) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Links an entry in as the latest used.
    fn link(&mut self, index: usize) {
        let before = self.latest.replace(index);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.older = before;
        }
        match before.and_then(|before| self.entries.get_mut(before)) {
            Some(entry) => entry.newer = Some(index),
            None => self.oldest = Some(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keeps_the_latest_used_keys_like_a_plain_list(
            keys in vec(0_u8..12, 0..200), capacity in 1_usize..8,
        ) {
            let mut recency = Recency::new(capacity, RandomState::new());
            let mut list: Vec<(u8, u32)> = Vec::new();
            for key in keys {
                let uses = recency.update(&key, 0, |_| false, |uses| { *uses += 1; *uses });
                let known = list.iter().position(|(known, _)| *known == key).map(|at| list.remove(at));
                let (_, before) = known.unwrap_or((key, 0));
                list.push((key, before + 1));
                if list.len() > capacity {
                    list.remove(0);
                }
                prop_assert_eq!(uses, Some(before + 1));
                prop_assert_eq!(recency.len(), list.len());
            }
        }
    }

    #[test]
    fn the_expendable_makes_way_before_the_longest_unused() {
        let mut recency = Recency::new(3, RandomState::new());
        for (key, expendable) in [("a", false), ("b", true), ("c", false), ("d", false)] {
            recency.update(&key, expendable, |expendable| *expendable, |_| ());
        }
        let mut kept: Vec<_> = recency.at.keys().copied().collect();
        kept.sort_unstable();
        assert_eq!(kept, ["a", "c", "d"]);
    }
}
