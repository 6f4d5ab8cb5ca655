//! How far back a node has state: a binary search of bounded length, one call a round. Pure.

use std::time::{Duration, Instant};

/// Between two searches.
pub(crate) const EVERY: Duration = Duration::from_secs(6 * 3600);
/// The most calls of a search: more than any height has bits.
const MAX_CALLS: u8 = 60;

/// The search for the oldest block whose state is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    due: Instant,
    under_way: Option<UnderWay>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UnderWay {
    /// The highest block found to have no state; none: block 0 is next.
    missing: Option<u64>,
    /// The lowest found to have it; the head, to begin with.
    served: u64,
    calls: u8,
}

impl Search {
    /// The first search begins at once.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            due: now,
            under_way: None,
        }
    }

    /// The block to ask for, with the chain's head at `head`; none when no search is due.
    pub(crate) fn next_block(&mut self, head: Option<u64>, now: Instant) -> Option<u64> {
        if now < self.due {
            return None;
        }
        let served = head?;
        let search = self.under_way.get_or_insert(UnderWay {
            missing: None,
            served,
            calls: 0,
        });
        if search.calls >= MAX_CALLS {
            self.rest(now);
            return None;
        }
        search.calls += 1;
        Some(match search.missing {
            None => 0,
            Some(missing) => missing + (search.served - missing) / 2,
        })
    }

    /// What came of the question for `block`. Tells the oldest block with state when it is found.
    pub(crate) fn found(&mut self, block: u64, is_served: bool, now: Instant) -> Option<u64> {
        let search = self.under_way.as_mut()?;
        match is_served {
            true => search.served = search.served.min(block),
            false => search.missing = Some(search.missing.unwrap_or(0).max(block)),
        }
        let oldest = search.served;
        let is_found = match search.missing {
            None => oldest == 0,
            Some(missing) => missing + 1 >= oldest,
        };
        if !is_found {
            return None;
        }
        self.rest(now);
        Some(oldest)
    }

    fn rest(&mut self, now: Instant) {
        self.due = now + EVERY;
        self.under_way = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_finds_the_oldest_block_with_state_in_few_calls(head in 0u64..1 << 53, at in any::<u64>()) {
            let oldest = at % (head + 1);
            let now = Instant::now();
            let mut search = Search::new(now);
            let mut calls = 0;
            let found = loop {
                let block = search.next_block(Some(head), now).unwrap();
                calls += 1;
                prop_assert!(block <= head);
                if let Some(found) = search.found(block, block >= oldest, now) {
                    break found;
                }
            };
            prop_assert_eq!(found, oldest);
            prop_assert!(calls <= 55, "{} calls", calls);
            prop_assert_eq!(search.next_block(Some(head), now), None);
            prop_assert!(search.next_block(Some(head), now + EVERY).is_some());
        }
    }

    #[test]
    fn without_a_head_it_waits_and_without_answers_it_gives_up() {
        let now = Instant::now();
        let mut search = Search::new(now);
        assert_eq!(search.next_block(None, now), None);
        let calls = std::iter::from_fn(|| search.next_block(Some(100), now)).count();
        assert_eq!(calls, usize::from(MAX_CALLS));
        assert_eq!(search.next_block(Some(100), now), None);
    }
}
