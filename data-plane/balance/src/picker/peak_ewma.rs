//! Two random choices by peak EWMA: of two upstreams drawn at random, the one with the smaller
//! latency × requests in flight (this one included) ÷ weight.
//!
//! Two choices come close to picking the best of all, without everybody running to the same one at
//! the same moment. Source: M. Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", IEEE TPDS 12(10), 2001. The cost is Finagle's (see [`PeakEwma`](crate::PeakEwma)).
//!
//! An upstream whose latency is not known yet is taken to be as fast as the one it is compared
//! with: it gets its share, and what piles up on it counts against it.

use super::weight::Weight;
use super::{Candidate, eligible};
use crate::draws::Draws;
use crate::peak_ewma::Latency;

pub(super) fn pick(weights: &[Weight], candidates: &[Candidate], random: u64) -> Option<usize> {
    let count = eligible(weights, candidates).count();
    let mut draws = Draws::new(random);
    let [first, second] = draws.two_below(count);
    let nth = |nth| eligible(weights, candidates).nth(nth);
    let (a, b) = (nth(first)?, nth(second)?);
    Some(better(a, b))
}

pub(super) fn better(a: (usize, Weight, Candidate), b: (usize, Weight, Candidate)) -> usize {
    if costs_less(&b, &a) { b.0 } else { a.0 }
}

fn costs_less(a: &(usize, Weight, Candidate), b: &(usize, Weight, Candidate)) -> bool {
    let known = [a, b].map(|it| it.2.latency.map(Latency::nanos));
    let (a_nanos, b_nanos) = match known {
        [Some(a), Some(b)] => (a, b),
        _ => (1.0, 1.0),
    };
    cost(a_nanos, a) < cost(b_nanos, b)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a weight in millionths fits the 53 bits"
)]
fn cost(nanos: f64, (_, weight, candidate): &(usize, Weight, Candidate)) -> f64 {
    nanos * (f64::from(candidate.in_flight) + 1.0) / weight.millionths() as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn candidate(latency: Option<Duration>, in_flight: u32) -> Candidate {
        Candidate {
            in_flight,
            eligible: true,
            latency: latency.map(Latency::from),
        }
    }

    fn counts(weights: &[f64], candidates: &[Candidate]) -> Vec<u32> {
        let weights: Vec<Weight> = weights.iter().copied().map(Weight::new).collect();
        let mut counts = vec![0; weights.len()];
        for random in 0..3_000 {
            counts[pick(&weights, candidates, random).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn of_two_the_cheaper_always_wins() {
        let busy = [candidate(Some(10 * MS), 4), candidate(Some(40 * MS), 0)];
        assert_eq!(counts(&[1.0, 1.0], &busy), [0, 3_000]);
        assert_eq!(counts(&[2.0, 1.0], &busy), [3_000, 0]);
    }

    #[test]
    fn the_dearest_of_many_is_never_taken_and_the_rest_share() {
        let candidates = [1, 2, 3, 90].map(|latency| candidate(Some(latency * MS), 0));
        let counts = counts(&[1.0; 4], &candidates);
        assert_eq!(counts[3], 0);
        assert!(counts[..3].iter().all(|count| *count > 300), "{counts:?}");
    }

    #[test]
    fn equals_share_evenly() {
        for latency in [None, Some(MS)] {
            let counts = counts(&[1.0; 3], &[candidate(latency, 0); 3]);
            assert!(
                counts.iter().all(|count| (900..1_100).contains(count)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn a_newcomer_takes_requests_but_not_all_of_them() {
        let idle = [
            candidate(Some(20 * MS), 0),
            candidate(None, 0),
            candidate(Some(20 * MS), 0),
        ];
        let counts_idle = counts(&[1.0; 3], &idle);
        assert!((900..1_100).contains(&counts_idle[1]), "{counts_idle:?}");
        let waiting = [
            candidate(Some(20 * MS), 0),
            candidate(None, 1),
            candidate(Some(20 * MS), 0),
        ];
        assert_eq!(
            counts(&[1.0; 3], &waiting)[1],
            0,
            "its first answers are not in yet"
        );
    }

    #[test]
    fn the_last_one_left_is_taken() {
        let mut candidates = [candidate(None, 9); 3];
        (candidates[0].eligible, candidates[2].eligible) = (false, false);
        assert_eq!(counts(&[1.0; 3], &candidates), [0, 3_000, 0]);
    }
}
