//! Smooth weighted round robin, the idea of nginx's upstream balancer (2012): each pick credits every
//! eligible upstream with its weight, takes the one with the most credit and debits it with all that
//! was credited.
//!
//! Credit is what an upstream deserved minus what it got, in weight. Picks never change the sum, so
//! credits stay bounded. Who is picked is the most behind, so with everybody eligible nobody runs
//! ahead of its share by a whole request, and a cycle ends where it began, with exact shares. A retry
//! is shared among those left only: it moves no credit of those already tried, and an upstream that
//! was away comes back with its old credit instead of a burst.

use super::weight::{Scale, Weight};
use super::{Candidate, eligible};

#[derive(Debug, Clone)]
pub(super) struct WeightRoundRobin {
    credits: Vec<i64>,
}

impl WeightRoundRobin {
    pub(super) fn new(upstreams: usize) -> Self {
        Self {
            credits: vec![0; upstreams],
        }
    }

    pub(super) fn pick(&mut self, weights: &[Weight], candidates: &[Candidate]) -> Option<usize> {
        let mut credited: i64 = 0;
        let mut richest: Option<(usize, i64)> = None;
        for (position, weight, _) in eligible(weights, candidates) {
            let Some(credit) = self.credits.get_mut(position) else {
                continue;
            };
            *credit = credit.saturating_add(weight.millionths());
            credited = credited.saturating_add(weight.millionths());
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((position, *credit));
            }
        }
        let (position, _) = richest?;
        let credit = self.credits.get_mut(position)?;
        *credit = credit.saturating_sub(credited);
        Some(position)
    }

    /// Takes over the credits of `old`, in proportion to the new weights: a credit earned under
    /// heavier weights would otherwise take many picks to even out.
    pub(super) fn carry(&mut self, old: &Self, carried: &[Option<usize>], scale: Scale) {
        for (credit, from) in self.credits.iter_mut().zip(carried) {
            let earned = from.and_then(|position| old.credits.get(position));
            *credit = earned.map_or(0, |earned| scale.apply(*earned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_ends_where_it_began() {
        let weights = [99.5, 0.5, 33.3].map(Weight::new);
        let candidates = [Candidate {
            in_flight: 0,
            eligible: true,
            latency: None,
        }; 3];
        let mut turns = WeightRoundRobin::new(3);
        for _ in 0..1_333 {
            turns.pick(&weights, &candidates);
        }
        assert_eq!(turns.credits, [0; 3]);
    }
}
