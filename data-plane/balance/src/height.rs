//! Heights that upstreams report, and which of them is taken for the chain's.
//!
//! One upstream may say anything. What it says alone must neither make the others look behind nor move what a route takes
//! for its head, so a height counts once enough others have come as far.

/// How many of the `watched` upstreams must have come to a height for it to be the chain's: a quarter of them, and two at
/// least. Of two upstreams nothing tells which one is right; the higher is taken to be, for falling behind is common.
#[must_use]
pub const fn witnesses(watched: usize) -> usize {
    match watched {
        0..=2 => 1,
        3..=8 => 2,
        more => more.div_ceil(4),
    }
}

/// The height that is taken for the chain's: the highest that enough of the upstreams have reached, or all of those that
/// tell theirs. One entry for each upstream, `None` where its height is not known.
#[must_use]
pub fn corroborated(heights: &[Option<u64>]) -> Option<u64> {
    let mut known: Vec<u64> = heights.iter().flatten().copied().collect();
    let last = known.len().checked_sub(1)?;
    known.sort_unstable_by(|a, b| b.cmp(a));
    known.get((witnesses(heights.len()) - 1).min(last)).copied()
}

/// Whether an upstream at `height` keeps up with the chain: at most `tolerance` blocks below what is taken for its height.
/// Height 0 never does: nodes report it while they have no chain yet.
#[must_use]
pub const fn is_level(height: u64, chain: Option<u64>, tolerance: u64) -> bool {
    let lowest = match chain {
        Some(chain) => chain.saturating_sub(tolerance),
        None => 0,
    };
    height > 0 && height >= lowest
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn level(heights: &[Option<u64>], tolerance: u64) -> Vec<bool> {
        let chain = corroborated(heights);
        let is_level = |height: &Option<u64>| height.is_some_and(|it| is_level(it, chain, tolerance));
        heights.iter().map(is_level).collect()
    }

    #[test]
    fn of_two_the_higher_is_the_chain() {
        assert_eq!(level(&[Some(100), Some(98)], 2), [true, true]);
        assert_eq!(level(&[Some(100), Some(97)], 2), [true, false]);
        assert_eq!(level(&[Some(u64::MAX), Some(1)], u64::MAX), [true, true]);
        assert_eq!(level(&[None, None], 2), [false, false]);
    }

    #[test]
    fn one_that_lies_makes_no_other_look_behind() {
        assert_eq!(level(&[Some(103), Some(100), Some(100)], 2), [true; 3]);
        assert_eq!(level(&[Some(103), Some(100), Some(97)], 2), [true, true, false]);
        assert_eq!(level(&[Some(103), Some(100), None], 2), [true, true, false]);
        assert_eq!(level(&[Some(103), None, None], 2), [true, false, false]);
    }

    #[test]
    fn height_zero_is_a_node_without_a_chain() {
        assert_eq!(level(&[Some(0), Some(1)], 2), [false, true]);
        assert_eq!(level(&[Some(0)], 2), [false]);
    }

    proptest! {
        #[test]
        fn fewer_than_the_witnesses_cannot_raise_the_chain_whatever_they_say(
            honest in vec(90_u64..=100, 2..20), lies in vec(any::<u64>(), 0..6),
        ) {
            let watched = honest.len() + lies.len();
            prop_assume!(lies.len() < witnesses(watched));
            let all: Vec<Option<u64>> = honest.iter().chain(&lies).copied().map(Some).collect();
            prop_assert!(corroborated(&all) <= honest.iter().max().copied());
        }

        #[test]
        fn somebody_keeps_up_and_being_higher_is_never_worse(
            heights in vec(proptest::option::of(1_u64..50), 1..12), tolerance in 0_u64..20,
        ) {
            let good = level(&heights, tolerance);
            for (a, a_good) in heights.iter().zip(&good) {
                prop_assert!(!a_good || heights.iter().zip(&good).all(|(b, b_good)| b < a || *b_good));
            }
            prop_assert_eq!(good.contains(&true), heights.iter().any(Option::is_some));
        }
    }
}
