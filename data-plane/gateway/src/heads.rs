//! The heads that a route shows its clients: what `latest`, `safe` and `finalized` stand for.
//!
//! A head is the highest that an upstream which serves has reached, as long as that is within the tolerance of what
//! enough others have: one upstream alone moves it no further. It never goes down only because the upstream that was ahead
//! has left, and never follows some far up while the others stay where they are: both need a majority or [`HOLD`].

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tyrscale_balance::{corroborated, witnesses};
use tyrscale_jsonrpc::Tag;

/// How long upstreams have to say so until a head goes down, or far up against the word of others.
const HOLD: Duration = Duration::from_secs(60);
/// How long a look at all upstreams is the last word on what is above their heads.
const FRESH: Duration = Duration::from_secs(2);
/// A block so close above the head may have been made since the last look.
const NEAR: u64 = 32;

/// What was last seen of one upstream: its height and when.
pub(crate) type Sample = (u64, Instant);

/// How far a height is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Blocks by which what upstreams say may go up at once.
    pub(crate) max_jump: u64,
    /// Blocks by which one upstream may be ahead of those who bear it out.
    pub(crate) tolerance: u64,
    /// Upstreams in use, also those that do not serve now.
    pub(crate) upstreams: usize,
}

/// The heads of one route.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    latest: Mutex<Published>,
    safe: Mutex<Published>,
    finalized: Mutex<Published>,
}

/// One head.
#[derive(Debug, Default)]
struct Published {
    height: Option<u64>,
    /// What enough upstreams had reached at the last look: no single one moves it.
    chain: Option<u64>,
    /// How far what one upstream tells a client may raise the height.
    lead: u64,
    /// The highest that any upstream said last, believed or not.
    highest: u64,
    /// Whether an upstream that serves has come as far as the height.
    is_reached: bool,
    /// Since when the highest are below the height.
    below_since: Option<Instant>,
    /// Since when some are far above it.
    above_since: Option<Instant>,
    /// The oldest of the samples, when there is one of each upstream that serves.
    looked_at_all: Option<Instant>,
    /// Until when it is worth something without another look.
    ends: Option<Instant>,
}

impl Heads {
    /// Takes in what was last seen of each upstream that serves, `None` for one of which nothing is known. It is worth
    /// something for `lasts`.
    pub(crate) fn look(
        &self,
        tag: Tag,
        samples: &[Option<Sample>],
        trust: Trust,
        lasts: Duration,
        now: Instant,
    ) {
        if let Some(mut published) = self.of(tag) {
            published.look(samples, trust, now);
            published.ends = Some(now + lasts);
        }
    }

    /// An answer to a client said that there is a block of this height. Returns whether that is believed: it is not on a
    /// route whose upstreams nobody looks at.
    pub(crate) fn saw(&self, height: u64, trust: Trust) -> bool {
        let Some(mut published) = self.of(Tag::Latest) else {
            return false;
        };
        let (Some(known), Some(chain)) = (published.height, published.chain) else {
            return false;
        };
        if height >= known && height <= chain.saturating_add(published.lead) {
            published.height = Some(height);
            published.highest = published.highest.max(height);
            published.is_reached = true;
            published.below_since = None;
        }
        height <= chain.saturating_add(trust.max_jump)
    }

    /// The tags that have a head, with it where it is known.
    pub(crate) fn each(&self) -> impl Iterator<Item = (Tag, u64)> {
        let tags = [Tag::Latest, Tag::Safe, Tag::Finalized].into_iter();
        tags.filter_map(|tag| Some((tag, self.height(tag)?)))
    }

    /// Whether this height may be, next to what enough upstreams have reached.
    pub(crate) fn believes(&self, height: u64, trust: Trust) -> bool {
        let chain = self.of(Tag::Latest).and_then(|published| published.chain);
        chain.is_none_or(|chain| height <= chain.saturating_add(trust.max_jump))
    }

    /// The number that a tag stands for; `None` while none is known.
    pub(crate) fn height(&self, tag: Tag) -> Option<u64> {
        self.of(tag)?.height
    }

    /// The number to put in the place of a tag; `None` when no upstream that serves is known to have come so far, or
    /// the last look is too long ago.
    pub(crate) fn number(&self, tag: Tag, now: Instant) -> Option<u64> {
        let published = self.of(tag)?;
        let holds = published.is_reached && published.ends.is_some_and(|ends| now < ends);
        published.height.filter(|_| holds)
    }

    /// Whether a block is so far above all heads, seen a moment ago, that nobody can have it.
    pub(crate) fn is_beyond_all(&self, number: u64, now: Instant) -> bool {
        let Some(published) = self.of(Tag::Latest) else {
            return false;
        };
        let is_fresh = published
            .looked_at_all
            .is_some_and(|at| now.saturating_duration_since(at) <= FRESH);
        let highest = published.height.map(|height| height.max(published.highest));
        is_fresh && highest.is_some_and(|highest| number > highest.saturating_add(NEAR))
    }

    fn of(&self, tag: Tag) -> Option<MutexGuard<'_, Published>> {
        let published = match tag {
            Tag::Latest => &self.latest,
            Tag::Safe => &self.safe,
            Tag::Finalized => &self.finalized,
            Tag::Pending | Tag::Earliest => return None,
        };
        Some(published.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Published {
    fn look(&mut self, samples: &[Option<Sample>], trust: Trust, now: Instant) {
        let mut heights: Vec<Option<u64>> = samples.iter().map(|sample| Some(sample.as_ref()?.0)).collect();
        let Some(highest) = heights.iter().copied().max().flatten() else {
            self.looked_at_all = None;
            self.is_reached = false;
            return;
        };
        self.highest = highest;
        let is_whole = samples.iter().all(Option::is_some);
        let oldest = samples.iter().flatten().map(|(_, at)| *at).min();
        self.looked_at_all = oldest.filter(|_| is_whole);
        heights.resize(samples.len().max(trust.upstreams), None);
        // Where nobody bears an upstream out, it is believed as far as it may jump.
        self.lead = match witnesses(heights.len()) {
            1 => trust.max_jump,
            _ => trust.tolerance,
        };
        let Some(reached) = self.believed(heights, trust.max_jump, now) else {
            self.is_reached = false;
            return;
        };
        let known = self.height.unwrap_or(reached);
        let has_gone_down = has_held(&mut self.below_since, reached < known, now);
        if reached >= known || has_gone_down {
            self.below_since = None;
            self.height = Some(reached);
        }
        self.is_reached = self.height <= Some(reached);
    }

    /// The highest of these heights of all upstreams that is believed.
    fn believed(&mut self, mut heights: Vec<Option<u64>>, max_jump: u64, now: Instant) -> Option<u64> {
        let limit = self
            .chain
            .map_or(u64::MAX, |chain| chain.saturating_add(max_jump));
        let far = heights.iter().flatten().filter(|height| **height > limit).count();
        let told = heights.iter().flatten().count();
        let is_settled = far * 2 > told || has_held(&mut self.above_since, far > 0, now);
        if is_settled {
            self.above_since = None;
        } else {
            for height in &mut heights {
                *height = height.filter(|height| *height <= limit);
            }
        }
        let chain = corroborated(&heights)?;
        self.chain = Some(chain);
        let lead = chain.saturating_add(self.lead);
        heights
            .into_iter()
            .flatten()
            .filter(|height| *height <= lead)
            .max()
    }
}

/// Whether something has been so for long enough.
fn has_held(since: &mut Option<Instant>, is_so: bool, now: Instant) -> bool {
    if !is_so {
        *since = None;
        return false;
    }
    let since = *since.get_or_insert(now);
    now.saturating_duration_since(since) >= HOLD
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const TRUST: Trust = Trust {
        max_jump: 15_000,
        tolerance: 2,
        upstreams: 0,
    };
    const LONG: Duration = Duration::from_secs(3600);

    fn look(heads: &Heads, heights: &[u64], now: Instant) -> Option<u64> {
        let samples: Vec<_> = heights.iter().map(|height| Some((*height, now))).collect();
        heads.look(Tag::Latest, &samples, TRUST, LONG, now);
        heads.height(Tag::Latest)
    }

    #[test]
    fn the_head_is_the_highest_and_does_not_drop_with_who_left() {
        let heads = Heads::default();
        let now = Instant::now();
        assert_eq!(look(&heads, &[100, 105], now), Some(105));
        assert_eq!(look(&heads, &[100], now), Some(105));
        assert_eq!(heads.number(Tag::Latest, now), None, "nobody has it");
        assert_eq!(look(&heads, &[106], now), Some(106));
        assert_eq!(heads.number(Tag::Latest, now), Some(106));
    }

    #[test]
    fn what_all_say_for_a_minute_is_followed_down() {
        let heads = Heads::default();
        let now = Instant::now();
        look(&heads, &[105, 105], now);
        assert_eq!(look(&heads, &[90, 91], now), Some(105));
        assert_eq!(look(&heads, &[90, 92], now + HOLD / 2), Some(105));
        assert_eq!(look(&heads, &[90, 93], now + HOLD), Some(93));
    }

    #[test]
    fn one_that_jumps_is_not_followed_until_the_others_do_or_it_stays() {
        let heads = Heads::default();
        let now = Instant::now();
        look(&heads, &[1000, 1000], now);
        assert_eq!(look(&heads, &[1001, 10_000_000], now), Some(1001));
        assert!(!heads.believes(10_000_000, TRUST));
        assert_eq!(look(&heads, &[10_000_000, 10_000_000], now), Some(10_000_000));
        let heads = Heads::default();
        look(&heads, &[1000, 1000], now);
        look(&heads, &[1000, 10_000_000], now);
        assert_eq!(look(&heads, &[1001, 10_000_001], now + HOLD), Some(10_000_001));
    }

    #[test]
    fn one_of_three_leads_by_no_more_than_the_tolerance() {
        let heads = Heads::default();
        let now = Instant::now();
        look(&heads, &[1000, 1000, 1000], now);
        assert_eq!(look(&heads, &[1002, 1000, 1000], now), Some(1002));
        for lie in [1003, 10_000, 16_000, 10_000_000] {
            assert_eq!(look(&heads, &[lie, 1000, 1000], now), Some(1002), "{lie}");
        }
        assert!(
            !heads.believes(16_002, TRUST),
            "the jump is from what others bear out"
        );
        assert!(heads.saw(16_000, TRUST), "as a height of the upstream's own");
        assert_eq!(heads.height(Tag::Latest), Some(1002));
        look(&heads, &[1001, 1001, 1001], now);
        heads.saw(1003, TRUST);
        assert_eq!(heads.height(Tag::Latest), Some(1003));
        for after in [HOLD, 2 * HOLD, 3 * HOLD] {
            let head = look(&heads, &[10_000_000, 1004, 1003], now + after);
            assert_eq!(head, Some(1004), "however long it goes on");
        }
        assert_eq!(look(&heads, &[2000, 2000, 1003], now), Some(2000));
    }

    #[test]
    fn while_one_of_three_is_out_another_still_leads_nobody() {
        let heads = Heads::default();
        let now = Instant::now();
        let three = Trust {
            upstreams: 3,
            ..TRUST
        };
        let samples = [1003, 1000].map(|height| Some((height, now)));
        heads.look(Tag::Latest, &samples, three, LONG, now);
        assert_eq!(heads.height(Tag::Latest), Some(1000));
    }

    #[test]
    fn only_a_fresh_look_at_all_says_that_a_block_is_beyond_all() {
        let heads = Heads::default();
        let now = Instant::now();
        assert!(!heads.is_beyond_all(u64::MAX, now));
        look(&heads, &[1000, 1001], now);
        assert!(heads.is_beyond_all(1001 + NEAR + 1, now));
        assert!(
            !heads.is_beyond_all(1001 + NEAR, now),
            "it may just have been made"
        );
        assert!(!heads.is_beyond_all(u64::MAX, now + 2 * FRESH));
        heads.look(Tag::Latest, &[Some((1000, now)), None], TRUST, LONG, now);
        assert!(!heads.is_beyond_all(u64::MAX, now), "one was not seen");
    }

    #[test]
    fn an_old_look_is_worth_nothing() {
        let heads = Heads::default();
        let now = Instant::now();
        look(&heads, &[1000], now);
        assert_eq!(heads.number(Tag::Latest, now + 2 * LONG), None);
        heads.saw(1005, TRUST);
        assert_eq!(heads.number(Tag::Latest, now), Some(1005));
        heads.saw(1_000_000, TRUST);
        heads.saw(3, TRUST);
        assert_eq!(heads.number(Tag::Latest, now), Some(1005));
    }

    proptest! {
        #[test]
        fn within_the_hold_a_head_never_goes_down(looks in vec(vec(0_u64..40_000, 0..4), 1..60)) {
            let heads = Heads::default();
            let now = Instant::now();
            let mut before = None;
            for heights in looks {
                let after = look(&heads, &heights, now);
                prop_assert!(after >= before);
                before = after;
            }
        }
    }
}
