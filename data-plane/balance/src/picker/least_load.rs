//! Least load: the smallest number of requests in flight, this one included, per weight (weighted
//! least connections, as in the Linux virtual server and nginx). Among equals the one that has waited
//! longest since its last turn, so idle upstreams share.

use std::cmp::Ordering;

use super::weight::Weight;
use super::{Candidate, eligible};

#[derive(Debug, Clone)]
pub(super) struct LeastLoad {
    picks: u64,
    /// The number of the pick that last chose each upstream; 0 is never.
    last_turn: Vec<u64>,
}

impl LeastLoad {
    pub(super) fn new(upstreams: usize) -> Self {
        Self {
            picks: 0,
            last_turn: vec![0; upstreams],
        }
    }

    pub(super) fn pick(&mut self, weights: &[Weight], candidates: &[Candidate]) -> Option<usize> {
        let last_turn = |position: usize| self.last_turn.get(position).copied();
        let (position, ..) = eligible(weights, candidates)
            .min_by(|a, b| compare_load(a, b).then_with(|| last_turn(a.0).cmp(&last_turn(b.0))))?;
        self.picks = self.picks.saturating_add(1);
        *self.last_turn.get_mut(position)? = self.picks;
        Some(position)
    }

    /// Takes over whose turn it is from `old`.
    pub(super) fn carry(&mut self, old: &Self, carried: &[Option<usize>]) {
        self.picks = old.picks;
        for (last_turn, from) in self.last_turn.iter_mut().zip(carried) {
            *last_turn = from
                .and_then(|position| old.last_turn.get(position))
                .copied()
                .unwrap_or(0);
        }
    }
}

/// Compares requests per weight, multiplied out to stay in whole numbers.
fn compare_load(a: &(usize, Weight, Candidate), b: &(usize, Weight, Candidate)) -> Ordering {
    let with_this_one = |candidate: Candidate| i128::from(candidate.in_flight) + 1;
    let (a_load, b_load) = (with_this_one(a.2), with_this_one(b.2));
    (a_load * i128::from(b.1.millionths())).cmp(&(b_load * i128::from(a.1.millionths())))
}
