//! Failover priority: the weight is a rank, the highest eligible takes everything, equals keep their
//! order.

use std::cmp::Reverse;

use super::weight::Weight;
use super::{Candidate, eligible};

pub(super) fn pick(weights: &[Weight], candidates: &[Candidate]) -> Option<usize> {
    eligible(weights, candidates)
        .min_by_key(|(position, weight, _)| (Reverse(*weight), *position))
        .map(|(position, ..)| position)
}
