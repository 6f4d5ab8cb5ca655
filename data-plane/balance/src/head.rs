//! The highest block that one upstream is known to have.
//!
//! Heights go up. A node behind a load balancer, or one that drops a few blocks in a reorganisation,
//! reports lower ones now and then, and they are passed over; one that keeps reporting lower ones is
//! really there, and is followed down. A height far above the last one is believed only when the next
//! one confirms it, so that a single wrong answer moves nothing.

use std::time::{Duration, Instant};

/// What is believed of reported heights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadSettings {
    /// A jump up by more than this many blocks has to be confirmed.
    pub max_jump: u64,
    /// So many lower heights in a row are followed down; at least 1.
    pub lower_in_a_row: u32,
}

impl Default for HeadSettings {
    /// 15,000 blocks; 3 in a row.
    fn default() -> Self {
        Self {
            max_jump: 15_000,
            lower_in_a_row: 3,
        }
    }
}

/// What a reported height did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeadChange {
    /// The head is where it was.
    Unchanged,
    /// The head went up.
    Advanced,
    /// The head went down, after enough reports in a row said so.
    Regressed,
    /// Far above the head: not believed until the next report confirms it. Worth a look at the
    /// chain id.
    Suspect,
}

/// The head of one upstream.
#[derive(Debug, Clone)]
pub struct Head {
    settings: HeadSettings,
    highest: Option<Seen>,
    suspect: Option<u64>,
    lower: Option<Lower>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    height: u64,
    at: Instant,
}

/// Reports below the head, without one at or above it between them.
#[derive(Debug, Clone, Copy)]
struct Lower {
    reports: u32,
    highest: u64,
}

impl Head {
    /// Nothing is known yet.
    #[must_use]
    pub const fn new(settings: HeadSettings) -> Self {
        Self {
            settings,
            highest: None,
            suspect: None,
            lower: None,
        }
    }

    /// The upstream reported that it has a block of this height.
    pub fn saw(&mut self, height: u64, now: Instant) -> HeadChange {
        let Some(highest) = self.highest else {
            self.follow(height, now);
            return HeadChange::Advanced;
        };
        if height > highest.height.saturating_add(self.settings.max_jump) {
            let confirmed = self
                .suspect
                .is_some_and(|suspect| suspect.abs_diff(height) <= self.settings.max_jump);
            if !confirmed {
                self.suspect = Some(height);
                return HeadChange::Suspect;
            }
        }
        self.suspect = None;
        if height >= highest.height {
            self.follow(height, now);
            return if height > highest.height {
                HeadChange::Advanced
            } else {
                HeadChange::Unchanged
            };
        }
        self.saw_lower(height, now)
    }

    fn saw_lower(&mut self, height: u64, now: Instant) -> HeadChange {
        let before = self.lower.unwrap_or(Lower {
            reports: 0,
            highest: height,
        });
        let lower = Lower {
            reports: before.reports + 1,
            highest: before.highest.max(height),
        };
        self.lower = Some(lower);
        if lower.reports < self.settings.lower_in_a_row {
            return HeadChange::Unchanged;
        }
        self.follow(lower.highest, now);
        HeadChange::Regressed
    }

    const fn follow(&mut self, height: u64, at: Instant) {
        self.highest = Some(Seen { height, at });
        self.suspect = None;
        self.lower = None;
    }

    /// The height of the head; `None` while nothing is known.
    #[must_use]
    pub fn height(&self) -> Option<u64> {
        self.highest.map(|seen| seen.height)
    }

    /// How long ago the upstream last reported its head.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        self.highest.map(|seen| now.saturating_duration_since(seen.at))
    }
}

#[cfg(test)]
mod tests {
    use HeadChange::{Advanced, Regressed, Suspect, Unchanged};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn head(heights: &[u64]) -> (Head, Vec<HeadChange>) {
        let mut head = Head::new(HeadSettings::default());
        let now = Instant::now();
        let changes = heights.iter().map(|height| head.saw(*height, now)).collect();
        (head, changes)
    }

    #[test]
    fn scenario_m6_an_older_block_leaves_the_head_where_it_is() {
        let (head, changes) = head(&[100, 101, 99, 101, 102, 100, 102]);
        assert_eq!(head.height(), Some(102));
        assert!(!changes.contains(&Regressed));
    }

    #[test]
    fn three_lower_heights_in_a_row_are_followed_down() {
        let (head, changes) = head(&[100, 60, 61, 59]);
        assert_eq!(changes, [Advanced, Unchanged, Unchanged, Regressed]);
        assert_eq!(head.height(), Some(61));
    }

    #[test]
    fn scenario_53_a_single_jump_is_not_followed() {
        let (head, changes) = head(&[100, 10_000_000, 101]);
        assert_eq!(changes, [Advanced, Suspect, Advanced]);
        assert_eq!(head.height(), Some(101));
    }

    #[test]
    fn scenario_g7_a_confirmed_jump_is_followed() {
        let (head, changes) = head(&[100, 20_000, 20_001]);
        assert_eq!(changes, [Advanced, Suspect, Advanced]);
        assert_eq!(head.height(), Some(20_001));
    }

    #[test]
    fn two_jumps_to_different_places_confirm_nothing() {
        let (head, _) = head(&[100, 20_000, 900_000]);
        assert_eq!(head.height(), Some(100));
    }

    #[test]
    fn a_first_height_that_was_wrong_heals() {
        let (head, _) = head(&[10_000_000, 100, 101, 102]);
        assert_eq!(head.height(), Some(102));
    }

    proptest! {
        #[test]
        fn only_a_regress_goes_down_and_the_head_was_always_reported(heights in vec(0_u64..50_000, 1..80)) {
            let mut head = Head::new(HeadSettings::default());
            let now = Instant::now();
            let mut before = None;
            for (nth, height) in heights.iter().enumerate() {
                let change = head.saw(*height, now);
                let after = head.height();
                prop_assert_eq!(change == Regressed, after < before);
                prop_assert_eq!(change == Advanced, after > before);
                prop_assert!(heights[..=nth].contains(&after.unwrap()));
                before = after;
            }
        }
    }
}
