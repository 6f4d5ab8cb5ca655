//! Picks the upstream for a request.
//!
//! A [`Picker`] holds a route's weights and the little state its [`Strategy`] needs; the
//! [`Candidate`]s say, for the moment of one request, who may take it. The same rules hold for every
//! strategy: an ineligible or drained (weight 0) upstream is never picked, and as long as one is left
//! somebody is.

mod failover_priority;
mod least_load;
mod weight;
mod weight_round_robin;

use self::least_load::LeastLoad;
use self::weight::Weight;
use self::weight_round_robin::WeightRoundRobin;

/// How a route picks an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// In turn, each as often as its weight says.
    WeightRoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastLoad,
    /// The highest weight as long as it is eligible, then the next.
    FailoverPriority,
}

/// What one upstream of the route can do for the request at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// Requests it is working on now.
    pub in_flight: u32,
    /// Whether it may take this request: healthy, admitted by its breaker, not tried yet.
    pub eligible: bool,
}

/// Picks among the upstreams of one route.
///
/// Upstreams are known by their position: `weights` at construction and `candidates` at each pick
/// stand in the same order. Whoever lacks a counterpart in the other list is not picked.
#[derive(Debug, Clone)]
pub struct Picker {
    weights: Vec<Weight>,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    WeightRoundRobin(WeightRoundRobin),
    LeastLoad(LeastLoad),
    FailoverPriority,
}

impl Picker {
    /// A picker that starts from nothing. Weights count to six decimals and up to 10,000; zero, a
    /// negative number or NaN drains the upstream.
    #[must_use]
    pub fn new(strategy: Strategy, weights: &[f64]) -> Self {
        let state = match strategy {
            Strategy::WeightRoundRobin => State::WeightRoundRobin(WeightRoundRobin::new(weights.len())),
            Strategy::LeastLoad => State::LeastLoad(LeastLoad::new(weights.len())),
            Strategy::FailoverPriority => State::FailoverPriority,
        };
        Self {
            weights: weights.iter().copied().map(Weight::new).collect(),
            state,
        }
    }

    /// A picker for changed weights or upstreams that goes on where this one is. `carried` says, for
    /// each upstream of the new picker, which position it has in this one (`None`: it is new). A
    /// change of strategy starts from nothing.
    #[must_use]
    pub fn rebuilt(&self, strategy: Strategy, weights: &[f64], carried: &[Option<usize>]) -> Self {
        let mut next = Self::new(strategy, weights);
        match (&mut next.state, &self.state) {
            (State::WeightRoundRobin(next_turns), State::WeightRoundRobin(turns)) => {
                let scale = weight::Scale {
                    from: weight::total(&self.weights),
                    to: weight::total(&next.weights),
                };
                next_turns.carry(turns, carried, scale);
            }
            (State::LeastLoad(next_turns), State::LeastLoad(turns)) => next_turns.carry(turns, carried),
            _ => {}
        }
        next
    }

    /// The position of the upstream that takes the request; `None` when nobody may.
    pub fn pick(&mut self, candidates: &[Candidate]) -> Option<usize> {
        match &mut self.state {
            State::WeightRoundRobin(turns) => turns.pick(&self.weights, candidates),
            State::LeastLoad(turns) => turns.pick(&self.weights, candidates),
            State::FailoverPriority => failover_priority::pick(&self.weights, candidates),
        }
    }
}

/// Who may take the request: position, weight and candidate, in order.
fn eligible<'a>(
    weights: &'a [Weight],
    candidates: &'a [Candidate],
) -> impl Iterator<Item = (usize, Weight, Candidate)> + 'a {
    weights
        .iter()
        .zip(candidates)
        .enumerate()
        .map(|(position, (weight, candidate))| (position, *weight, *candidate))
        .filter(|(_, weight, candidate)| candidate.eligible && !weight.is_drained())
}

#[cfg(test)]
mod tests;
