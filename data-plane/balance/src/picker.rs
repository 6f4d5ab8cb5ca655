//! Picks the upstream for a request.
//!
//! A [`Picker`] holds a route's weights and the little state its [`Strategy`] needs; the
//! [`Candidate`]s say, for the moment of one request, who may take it. The same rules hold for every
//! strategy: an ineligible or drained (weight 0) upstream is never picked, and as long as one is left
//! somebody is.

mod failover_priority;
mod least_load;
mod peak_ewma;
mod weight;
mod weight_round_robin;

use std::sync::{Mutex, MutexGuard, PoisonError};

use self::least_load::LeastLoad;
use self::weight::Weight;
use self::weight_round_robin::WeightRoundRobin;
use crate::peak_ewma::Latency;

/// How a route picks an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// In turn, each as often as its weight says.
    WeightRoundRobin,
    /// The one with the fewest requests in flight for its weight.
    LeastLoad,
    /// The highest weight as long as it is eligible, then the next.
    FailoverPriority,
    /// Of two drawn at random, the one with less latency × requests in flight for its weight.
    PeakEwma,
}

impl Strategy {
    /// Whether the latency of upstreams makes a difference.
    #[must_use]
    pub const fn compares_latency(self) -> bool {
        matches!(self, Self::PeakEwma)
    }
}

/// What one upstream of the route can do for the request at hand.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Candidate {
    /// Requests it is working on now.
    pub in_flight: u32,
    /// Whether it may take this request: healthy, admitted by its breaker, not tried yet.
    pub eligible: bool,
    /// How fast it answers ([`PeakEwma::latency`](crate::PeakEwma::latency)); `None` while that is not
    /// known. Only [`Strategy::PeakEwma`] looks at it.
    pub latency: Option<Latency>,
}

/// Picks among the upstreams of one route.
///
/// Upstreams are known by their position: `weights` at construction and `candidates` at each pick
/// stand in the same order. Whoever lacks a counterpart in the other list is not picked.
///
/// Any thread may pick. Strategies that go in turns hold a lock for the few steps of one pick; the
/// others hold none.
#[derive(Debug)]
pub struct Picker {
    weights: Vec<Weight>,
    state: State,
}

#[derive(Debug)]
enum State {
    WeightRoundRobin(Mutex<WeightRoundRobin>),
    LeastLoad(Mutex<LeastLoad>),
    FailoverPriority,
    PeakEwma,
}

impl Picker {
    /// A picker that starts from nothing. Weights count to six decimals and up to 10,000; zero, a
    /// negative number or NaN drains the upstream.
    #[must_use]
    pub fn new(strategy: Strategy, weights: &[f64]) -> Self {
        let state = match strategy {
            Strategy::WeightRoundRobin => {
                State::WeightRoundRobin(Mutex::new(WeightRoundRobin::new(weights.len())))
            }
            Strategy::LeastLoad => State::LeastLoad(Mutex::new(LeastLoad::new(weights.len()))),
            Strategy::FailoverPriority => State::FailoverPriority,
            Strategy::PeakEwma => State::PeakEwma,
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
        let next = Self::new(strategy, weights);
        match (&next.state, &self.state) {
            (State::WeightRoundRobin(next_turns), State::WeightRoundRobin(turns)) => {
                let scale = weight::Scale {
                    from: weight::total(&self.weights),
                    to: weight::total(&next.weights),
                };
                lock(next_turns).carry(&lock(turns), carried, scale);
            }
            (State::LeastLoad(next_turns), State::LeastLoad(turns)) => {
                lock(next_turns).carry(&lock(turns), carried);
            }
            _ => {}
        }
        next
    }

    /// The position of the upstream that takes the request; `None` when nobody may. `random`, evenly
    /// drawn from all of `u64`, decides where the strategy leaves it to chance.
    pub fn pick(&self, candidates: &[Candidate], random: u64) -> Option<usize> {
        match &self.state {
            State::WeightRoundRobin(turns) => lock(turns).pick(&self.weights, candidates),
            State::LeastLoad(turns) => lock(turns).pick(&self.weights, candidates),
            State::FailoverPriority => failover_priority::pick(&self.weights, candidates),
            State::PeakEwma => peak_ewma::pick(&self.weights, candidates, random),
        }
    }

    /// Whether two upstreams are all that the strategy compares.
    pub(crate) const fn compares_two(&self) -> bool {
        matches!(self.state, State::PeakEwma)
    }

    /// The better of two, as p2c compares them; `None` when one has no weight.
    pub(crate) fn better(&self, pair: [(usize, Candidate); 2]) -> Option<usize> {
        let [a, b] = pair.map(|(position, candidate)| {
            let weight = self.weights.get(position).filter(|weight| !weight.is_drained());
            weight.map(|weight| (position, *weight, candidate))
        });
        Some(peak_ewma::better(a?, b?))
    }

    /// Whether the upstream at `position` has weight 0, or is not there.
    pub(crate) fn is_drained(&self, position: usize) -> bool {
        self.weights
            .get(position)
            .is_none_or(|weight| weight.is_drained())
    }
}

fn lock<T>(turns: &Mutex<T>) -> MutexGuard<'_, T> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
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
