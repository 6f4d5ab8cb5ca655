//! Whether an upstream has the block that a request is about.
//!
//! Nodes keep different ranges of the chain: all blocks but only recent state, no traces before a
//! fork, everything. What one keeps shows when it answers "missing": [`BlockBounds`] remembers the
//! lowest block that it can have, for each [`DataKind`] apart, and forgets after a while, since nodes
//! are resynchronised and replaced. An answer that proves a lesson wrong ends it at once. A revert
//! proves nothing and must not be told.

use std::time::{Duration, Instant};

use crate::head::{Head, HeadChange, HeadSettings};

/// What kind of data a request reads. Nodes keep each for a different range of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataKind {
    /// Accounts, code, storage, calls.
    State,
    /// Blocks, transactions, receipts, logs.
    Blocks,
    /// Traces.
    Traces,
}

/// The block that a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockRef {
    /// None in particular, a hash, or a tag that each node resolves for itself.
    Any,
    /// The one of this height. `earliest` is 0; `latest` is what clients have been shown of the
    /// chain's head, less the tolerated lag.
    Number(u64),
}

/// Whether an upstream has a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// As far as is known.
    Yes,
    /// It cannot be said: used when nobody is known to have it.
    Unknown,
    /// It does not.
    No(OutOfReach),
}

/// Why an upstream does not have a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutOfReach {
    /// Its data begins later.
    Pruned {
        /// The lowest block that it can have.
        lowest: u64,
    },
    /// It has not come so far.
    AboveHead {
        /// The highest block that it has.
        head: u64,
    },
}

/// How lessons about an upstream's blocks are learnt and forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundSettings {
    /// What is believed of its heads.
    pub head: HeadSettings,
    /// How long a lesson lasts.
    pub lesson_lasts: Duration,
    /// A block this close to the head that is missing is late, not pruned: no lesson.
    pub near_head: u64,
    /// How long a head is the last word: an older one may have moved on unseen.
    pub head_fresh_for: Duration,
    /// How many of the latest blocks' state it keeps, if the configuration says so.
    pub keeps_state: Option<u64>,
}

impl Default for BoundSettings {
    /// Lessons last 10 minutes, 32 blocks are near, heads stay fresh for 2 s.
    fn default() -> Self {
        Self {
            head: HeadSettings::default(),
            lesson_lasts: Duration::from_secs(600),
            near_head: 32,
            head_fresh_for: Duration::from_secs(2),
            keeps_state: None,
        }
    }
}

/// The range of blocks that one upstream has, as far as is known.
#[derive(Debug, Clone)]
pub struct BlockBounds {
    settings: BoundSettings,
    head: Head,
    state: Option<Lesson>,
    blocks: Option<Lesson>,
    traces: Option<Lesson>,
}

/// Below `lowest` it has nothing.
#[derive(Debug, Clone, Copy)]
struct Lesson {
    lowest: u64,
    ends: Instant,
}

impl BlockBounds {
    /// Nothing is known: everything is taken to be there.
    #[must_use]
    pub const fn new(settings: BoundSettings) -> Self {
        Self {
            settings,
            head: Head::new(settings.head),
            state: None,
            blocks: None,
            traces: None,
        }
    }

    /// The upstream reported that it has a block of this height.
    pub fn saw_head(&mut self, height: u64, now: Instant) -> HeadChange {
        self.head.saw(height, now)
    }

    /// The upstream's head.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// It answered that the data of this block is missing. Returns whether that was a lesson: it is
    /// none for a block near its head or above.
    pub fn on_missing(&mut self, kind: DataKind, block: u64, now: Instant) -> bool {
        let near = self.settings.near_head;
        if self
            .head
            .height()
            .is_some_and(|head| block.saturating_add(near) > head)
        {
            return false;
        }
        let ends = now + self.settings.lesson_lasts;
        let lesson = self.lesson_mut(kind);
        let known = lesson
            .filter(|lesson| now < lesson.ends)
            .map_or(0, |lesson| lesson.lowest);
        *lesson = Some(Lesson {
            lowest: known.max(block.saturating_add(1)),
            ends,
        });
        true
    }

    /// It answered with the data of this block: a lesson that says otherwise was wrong.
    pub fn on_served(&mut self, kind: DataKind, block: u64) {
        let lesson = self.lesson_mut(kind);
        if lesson.is_some_and(|lesson| block < lesson.lowest) {
            *lesson = None;
        }
    }

    /// The lowest block that it can have; 0 unless something else is known.
    #[must_use]
    pub fn lowest(&self, kind: DataKind, now: Instant) -> u64 {
        let learnt = self
            .lesson(kind)
            .filter(|lesson| now < lesson.ends)
            .map_or(0, |lesson| lesson.lowest);
        let kept = match (kind, self.settings.keeps_state, self.head.height()) {
            (DataKind::State, Some(keeps), Some(head)) => head.saturating_add(1).saturating_sub(keeps),
            _ => 0,
        };
        learnt.max(kept)
    }

    /// Whether it has the data of a block.
    #[must_use]
    pub fn reach(&self, kind: DataKind, block: BlockRef, now: Instant) -> Reach {
        let BlockRef::Number(number) = block else {
            return Reach::Yes;
        };
        let lowest = self.lowest(kind, now);
        if number < lowest {
            return Reach::No(OutOfReach::Pruned { lowest });
        }
        match (self.head.height(), self.head.age(now)) {
            (Some(head), _) if number <= head => Reach::Yes,
            (Some(head), Some(age)) if age <= self.settings.head_fresh_for => {
                Reach::No(OutOfReach::AboveHead { head })
            }
            _ => Reach::Unknown,
        }
    }

    const fn lesson(&self, kind: DataKind) -> Option<Lesson> {
        match kind {
            DataKind::State => self.state,
            DataKind::Blocks => self.blocks,
            DataKind::Traces => self.traces,
        }
    }

    const fn lesson_mut(&mut self, kind: DataKind) -> &mut Option<Lesson> {
        match kind {
            DataKind::State => &mut self.state,
            DataKind::Blocks => &mut self.blocks,
            DataKind::Traces => &mut self.traces,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use DataKind::{Blocks, State, Traces};

    const HEAD: u64 = 20_000_000;

    fn bounds(now: Instant) -> BlockBounds {
        let mut bounds = BlockBounds::new(BoundSettings::default());
        bounds.saw_head(HEAD, now);
        bounds
    }

    fn reach(bounds: &BlockBounds, kind: DataKind, block: u64, now: Instant) -> Reach {
        bounds.reach(kind, BlockRef::Number(block), now)
    }

    #[test]
    fn scenario_l12_a_missing_block_lifts_the_bound_above_it() {
        let now = Instant::now();
        let mut bounds = bounds(now);
        assert_eq!(reach(&bounds, State, 5_000, now), Reach::Yes);
        assert!(bounds.on_missing(State, 5_000, now));
        let pruned = Reach::No(OutOfReach::Pruned { lowest: 5_001 });
        assert_eq!(reach(&bounds, State, 5_000, now), pruned);
        assert_eq!(reach(&bounds, State, 3, now), pruned);
        assert_eq!(reach(&bounds, State, 5_001, now), Reach::Yes);
        assert_eq!(bounds.reach(State, BlockRef::Any, now), Reach::Yes);
    }

    #[test]
    fn scenario_l15_each_kind_of_data_has_its_own_bound() {
        let now = Instant::now();
        let mut bounds = bounds(now);
        bounds.on_missing(Traces, 9_000, now);
        bounds.on_missing(State, 5_000, now);
        let lowest = [State, Blocks, Traces].map(|kind| bounds.lowest(kind, now));
        assert_eq!(lowest, [5_001, 0, 9_001]);
    }

    #[test]
    fn scenario_l11_what_the_configuration_says_it_keeps_moves_with_the_head() {
        let now = Instant::now();
        let mut bounds = BlockBounds::new(BoundSettings {
            keeps_state: Some(128),
            ..BoundSettings::default()
        });
        bounds.saw_head(1_000, now);
        assert_eq!(bounds.lowest(State, now), 873);
        bounds.saw_head(1_001, now);
        assert_eq!(bounds.lowest(State, now), 874);
        assert_eq!(bounds.lowest(Blocks, now), 0);
    }

    #[test]
    fn a_block_near_the_head_is_late_not_pruned() {
        let now = Instant::now();
        let mut bounds = bounds(now);
        for block in [HEAD - 31, HEAD, HEAD + 5, u64::MAX] {
            assert!(!bounds.on_missing(State, block, now));
        }
        assert_eq!(bounds.lowest(State, now), 0);
    }

    #[test]
    fn a_lesson_ends_with_time_or_with_an_answer() {
        let now = Instant::now();
        let later = now + BoundSettings::default().lesson_lasts;
        let mut bounds = bounds(now);
        bounds.on_missing(State, 5_000, now);
        assert_eq!(reach(&bounds, State, 5_000, later), Reach::Yes);
        bounds.on_missing(State, 40, later);
        assert_eq!(bounds.lowest(State, later), 41, "an ended lesson adds nothing");
        bounds.on_served(State, 41);
        assert_eq!(bounds.lowest(State, later), 41);
        bounds.on_served(State, 39);
        assert_eq!(bounds.lowest(State, later), 0);
    }

    #[test]
    fn scenario_l10_above_a_fresh_head_is_out_of_reach_above_an_old_one_is_unknown() {
        let now = Instant::now();
        let bounds = bounds(now);
        let above = Reach::No(OutOfReach::AboveHead { head: HEAD });
        assert_eq!(reach(&bounds, Blocks, HEAD + 1, now), above);
        let old = now + Duration::from_secs(3);
        assert_eq!(reach(&bounds, Blocks, HEAD + 1, old), Reach::Unknown);
        assert_eq!(reach(&bounds, Blocks, HEAD, old), Reach::Yes);
        let blank = BlockBounds::new(BoundSettings::default());
        assert_eq!(reach(&blank, Blocks, 1, now), Reach::Unknown);
    }

    proptest! {
        #[test]
        fn the_bound_is_just_above_the_highest_lesson_not_disproved(
            events in vec((any::<bool>(), 0_u64..1_000), 1..60),
        ) {
            let now = Instant::now();
            let mut bounds = bounds(now);
            let mut expected = 0;
            for (missing, block) in events {
                if missing {
                    bounds.on_missing(State, block, now);
                    expected = expected.max(block + 1);
                } else {
                    bounds.on_served(State, block);
                    if block < expected {
                        expected = 0;
                    }
                }
                prop_assert_eq!(bounds.lowest(State, now), expected);
            }
        }
    }
}
