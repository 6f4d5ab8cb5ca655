//! The choice of most requests at the cost of two looks, however many upstreams there are.
//!
//! Of two random choices the others need not be known, as long as nothing stands against the two: nobody can be
//! preferred to them. Where something does, the caller looks at all and asks [`Selector::select`], so what a pair is
//! drawn from are always those that are eligible. Whoever may ramp is not for this: a ramp decides who takes part before two
//! are drawn.

use crate::draws::Draws;
use crate::facts::Facts;
use crate::picker::Candidate;
use crate::reach::Reach;
use crate::selector::Selector;
use crate::share::Share;

/// Fewer upstreams are as quickly looked at.
const MANY: usize = 3;

impl Selector {
    /// Two positions, evenly drawn, that may be enough to choose from; `None` when all have to be looked at: another
    /// strategy than p2c, several tiers, or few upstreams. `random` is evenly drawn from all of `u64`.
    #[must_use]
    pub fn pair(&self, random: u64) -> Option<[usize; 2]> {
        let count = self.tier_of.len();
        if count < MANY || !self.picker.compares_two() || self.tiers.count() > 1 {
            return None;
        }
        Some(Draws::new(random).two_below(count))
    }

    /// The better of a [pair](Self::pair); `None` when something stands against one of them, or would make another
    /// preferable.
    #[must_use]
    pub fn better(&self, pair: [(usize, &Facts); 2]) -> Option<usize> {
        let is_plain = |(position, facts): &(usize, &Facts)| {
            self.obstacle(*position, facts).is_none()
                && facts.reach == Reach::Yes
                && facts.ramp.get() >= Share::FULL.get()
        };
        if !pair.iter().all(is_plain) {
            return None;
        }
        let candidates = pair.map(|(position, facts)| {
            let candidate = Candidate {
                in_flight: facts.in_flight,
                eligible: true,
                latency: facts.latency,
            };
            (position, candidate)
        });
        self.picker.better(candidates)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::facts::Bar;
    use crate::picker::Strategy;
    use crate::selector::{Ask, Choice, Member, SelectorSettings};

    fn selector(strategy: Strategy, tiers: &[u32]) -> Selector {
        let members: Vec<Member> = tiers
            .iter()
            .map(|tier| Member {
                weight: 1.0,
                tier: *tier,
            })
            .collect();
        Selector::new(SelectorSettings::new(strategy), &members, Instant::now())
    }

    /// How often each is chosen, by its pair where that is enough.
    fn counts(selector: &Selector, facts: &[Facts], by_pair: bool) -> Vec<u32> {
        let now = Instant::now();
        let mut counts = vec![0; facts.len()];
        for random in 0..20_000 {
            let pair = selector.pair(random).filter(|_| by_pair);
            let better = pair.and_then(|pair| selector.better(pair.map(|at| (at, &facts[at]))));
            let chosen = better.unwrap_or_else(|| {
                let ask = Ask {
                    now,
                    random: random ^ 0x5555_5555,
                    patience: now,
                };
                match selector.select(facts, &ask) {
                    Choice::Take { position, .. } => position,
                    other => panic!("{other:?}"),
                }
            });
            counts[chosen] += 1;
        }
        counts
    }

    #[test]
    fn shares_are_those_of_a_look_at_all() {
        let selector = selector(Strategy::PeakEwma, &[0; 6]);
        let facts: Vec<Facts> = (0..6_u32)
            .map(|nth| Facts {
                in_flight: nth % 3,
                latency: Some(Duration::from_millis((1 + nth).into()).into()),
                bar: (nth == 1).then_some(Bar::Cordoned),
                ..Facts::default()
            })
            .collect();
        let (quick, whole) = (counts(&selector, &facts, true), counts(&selector, &facts, false));
        assert_eq!(quick[1], 0);
        for (quick, whole) in quick.iter().zip(&whole) {
            assert!(quick.abs_diff(*whole) < 500, "{quick} {whole}");
        }
    }

    #[test]
    fn only_two_that_nothing_stands_against_are_enough() {
        let selector = selector(Strategy::PeakEwma, &[0; 4]);
        let good = Facts::default();
        assert!(selector.better([(0, &good), (1, &good)]).is_some());
        for other in [
            Facts {
                healthy: false,
                ..good
            },
            Facts { tried: true, ..good },
            Facts {
                reach: Reach::Unknown,
                ..good
            },
        ] {
            assert_eq!(selector.better([(0, &good), (1, &other)]), None, "{other:?}");
            assert_eq!(selector.better([(0, &other), (1, &good)]), None, "{other:?}");
        }
    }

    #[test]
    fn strategies_that_look_at_all_and_tiers_have_no_pair() {
        for strategy in [
            Strategy::WeightRoundRobin,
            Strategy::LeastLoad,
            Strategy::FailoverPriority,
        ] {
            assert_eq!(selector(strategy, &[0; 9]).pair(7), None);
        }
        assert_eq!(selector(Strategy::PeakEwma, &[0, 0, 1]).pair(7), None);
        assert_eq!(selector(Strategy::PeakEwma, &[0, 0]).pair(7), None);
        let many = selector(Strategy::PeakEwma, &[4; 5]);
        for random in 0..1000 {
            let [first, second] = many.pair(random).unwrap();
            assert!(first != second && first < 5 && second < 5);
        }
    }
}
