//! A route of nodes that fail, lag, throttle and oscillate, by the seed.

use fastrand::Rng;
use tyrscale_model::{Guards, Parameters, RecommendationPrior, RecommendationStrategy};
use tyrscale_scoring::{
    Candidate, Distribution, HeightPoint, History, Rule, Scoring, Span, Standing, TrafficPoint,
    TrafficSeries, decide, measure, prior_points, score,
};

use super::id;

/// Attempts per second of the route.
const DEMAND: f64 = 200.0;
/// Between two points of a history, milliseconds.
pub(crate) const STEP: u64 = 10_000;
/// Between two runs, milliseconds.
pub(crate) const RUN: u64 = 60_000;
const BLOCK: u64 = 12_000;
const START: u64 = 1_700_000_000_000;
/// How long a simulation takes, milliseconds.
pub(crate) const LENGTH: u64 = 6 * 3600 * 1000;

/// What is wrong with a node for a while.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// This share of attempts fails.
    Errors(f64),
    /// Answers take so many times as long.
    Slow(f64),
    /// Its head stands still, and half of what it is asked cannot be answered.
    Stuck,
    /// It bears so many attempts per second.
    Throttle(f64),
}

/// How a node is for one step.
#[derive(Debug, Clone, Copy)]
struct Step {
    errors: f64,
    latency: f64,
    stuck: bool,
    bears: f64,
}

/// The nodes of a route over time; what they do does not depend on the weights, but for throttling.
pub(crate) struct World {
    nodes: Vec<Vec<Step>>,
}

impl World {
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let count = dice.usize(3..=6);
        Self {
            nodes: (0..count).map(|_| node(&mut dice)).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The share of attempts that fail and the mean latency of the others, in one step.
    fn outcome(&self, step: usize, weights: &[f64]) -> (f64, f64) {
        let total: f64 = weights.iter().sum();
        let (mut errors, mut latency) = (0.0, 0.0);
        for (node, weight) in self.nodes.iter().zip(weights) {
            let share = weight / total;
            let failed = failed(node[step], share * DEMAND);
            errors += share * failed;
            latency += share * node[step].latency;
        }
        (errors, latency)
    }

    /// The same over the whole time, with weights that never change.
    pub(crate) fn of_static(&self, weights: &[f64]) -> (f64, f64) {
        let steps = self.nodes[0].len();
        let (errors, latency) = (0..steps)
            .map(|step| self.outcome(step, weights))
            .fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (errors / steps as f64, latency / steps as f64)
    }

    /// The best weights that never change, in hindsight: of even ones, each node alone, and 200 at random those with
    /// the lowest product of error rate and latency. Gives what they bring.
    pub(crate) fn best_static(&self, seed: u64) -> (f64, f64) {
        let mut dice = Rng::with_seed(seed);
        let mut tried = vec![vec![1.0; self.len()]];
        for alone in 0..self.len() {
            tried.push(
                (0..self.len())
                    .map(|node| f64::from(u8::from(node == alone)))
                    .collect(),
            );
        }
        for _ in 0..200 {
            tried.push((0..self.len()).map(|_| -dice.f64().max(1e-9).ln()).collect());
        }
        let outcomes = tried.iter().map(|weights| self.of_static(weights));
        let best = outcomes.min_by(|one, other| (one.0 * one.1).total_cmp(&(other.0 * other.1)));
        best.unwrap_or_default()
    }
}

/// The share of attempts that fail at a node that gets `rate` of them per second.
fn failed(step: Step, rate: f64) -> f64 {
    let refused = if rate > step.bears {
        1.0 - step.bears / rate
    } else {
        0.0
    };
    1.0 - (1.0 - step.errors) * (1.0 - refused)
}

fn node(dice: &mut Rng) -> Vec<Step> {
    let base = Step {
        errors: dice.f64() * 0.004,
        latency: 0.02 + dice.f64() * 0.1,
        stuck: false,
        bears: f64::INFINITY,
    };
    let steps = usize::try_from(LENGTH / STEP).unwrap();
    let mut node = vec![base; steps];
    if dice.u8(0..5) == 0 {
        oscillate(&mut node, dice);
    }
    for _ in 0..dice.usize(2..6) {
        let length = dice.usize(12..180);
        let begin = dice.usize(0..steps - length);
        let fault = match dice.u8(0..4) {
            0 => Fault::Errors(0.05 + dice.f64() * 0.9),
            1 => Fault::Slow(2.0 + dice.f64() * 18.0),
            2 => Fault::Stuck,
            _ => Fault::Throttle(5.0 + dice.f64() * 40.0),
        };
        node[begin..begin + length]
            .iter_mut()
            .for_each(|step| suffer(step, fault));
    }
    node
}

/// Half of the time bad, in turns of half a minute to five.
fn oscillate(node: &mut [Step], dice: &mut Rng) {
    let turn = dice.usize(3..30);
    for (place, step) in node.iter_mut().enumerate() {
        if (place / turn) % 2 == 1 {
            suffer(step, Fault::Errors(0.3));
        }
    }
}

fn suffer(step: &mut Step, fault: Fault) {
    match fault {
        Fault::Errors(share) => step.errors = step.errors.max(share),
        Fault::Slow(times) => step.latency *= times,
        Fault::Stuck => (step.stuck, step.errors) = (true, step.errors.max(0.5)),
        Fault::Throttle(rate) => step.bears = step.bears.min(rate),
    }
}

/// What came of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Played {
    pub(crate) errors: f64,
    pub(crate) latency: f64,
    pub(crate) runs: u32,
    /// When weights changed, milliseconds.
    pub(crate) changes: Vec<u64>,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) farthest: f64,
    pub(crate) rules: Vec<Rule>,
}

/// Plays a world with a strategy that sets the weights, and with noise in what is measured.
pub(crate) struct Player<'a> {
    world: &'a World,
    dice: Rng,
    candidates: Vec<Candidate>,
    current: Vec<f64>,
    changed_at: Option<u64>,
    head: u64,
    own_heads: Vec<u64>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(world: &'a World, seed: u64) -> Self {
        let candidate = |number| Candidate {
            id: id(number),
            tier: 0,
            operator_weight: 1.0,
            prices: None,
            history: History {
                traffic: vec![TrafficSeries::default()],
                ..History::default()
            },
        };
        let count = world.len();
        Self {
            world,
            dice: Rng::with_seed(seed ^ 0x5eed),
            candidates: (0..count).map(candidate).collect(),
            current: vec![100.0 / count as f64; count],
            changed_at: None,
            head: 1000,
            own_heads: vec![1000; count],
        }
    }

    pub(crate) fn play(mut self, strategy: RecommendationStrategy, guards: Guards) -> Played {
        let mut played = Played {
            lowest: 100.0,
            ..Played::default()
        };
        let steps = self.world.nodes[0].len();
        for step in 0..steps {
            let now = START + (step as u64 + 1) * STEP;
            let (errors, latency) = self.world.outcome(step, &self.current);
            played.errors += errors / steps as f64;
            played.latency += latency / steps as f64;
            self.observe(step, now);
            if now % RUN == START % RUN {
                self.run(strategy, guards, now, &mut played);
            }
        }
        played
    }

    /// Adds what the step shows: counts vary by their square root, heights are sometimes not read.
    fn observe(&mut self, step: usize, now: u64) {
        if now / BLOCK != (now - STEP) / BLOCK {
            self.head += 1;
        }
        let (world, dice) = (self.world, &mut self.dice);
        let each = world
            .nodes
            .iter()
            .zip(&mut self.candidates)
            .zip(&self.current)
            .zip(&mut self.own_heads);
        for (((node, candidate), weight), own) in each {
            let state = node[step];
            if !state.stuck {
                *own = self.head;
            }
            if dice.u8(0..10) > 0 {
                let read = (*own).saturating_sub(u64::from(dice.bool()));
                candidate.history.heights.push(HeightPoint {
                    at: now - dice.u64(0..5000),
                    height: read,
                });
            }
            let rate = weight / 100.0 * DEMAND;
            let expected = rate * STEP as f64 / 1000.0;
            let noise = |dice: &mut Rng, count: f64| {
                (count + count.sqrt() * (dice.f64() * 2.0 - 1.0)).max(0.0).round()
            };
            let requests = noise(dice, expected);
            let failures = noise(dice, requests * failed(state, rate)).min(requests);
            let refused = if rate > state.bears {
                1.0 - state.bears / rate
            } else {
                0.0
            };
            let throttled = (requests * refused).round().min(failures);
            let answered = requests - failures;
            let latency = state.latency * (0.9 + dice.f64() * 0.2);
            let series = &mut candidate.history.traffic[0].0;
            let last = series.last().cloned().unwrap_or_default();
            series.push(TrafficPoint {
                at: now,
                answered: last.answered + answered,
                failures: last.failures + failures,
                throttled: last.throttled + throttled,
                latency_sum: last.latency_sum + answered * latency,
                latency_count: last.latency_count + answered,
                latency: Distribution::default(),
            });
            trim(&mut candidate.history);
        }
    }

    fn run(&mut self, strategy: RecommendationStrategy, guards: Guards, now: u64, played: &mut Played) {
        let span = Span {
            from: now - 120_000,
            to: now,
        };
        let prior = RecommendationPrior::Even;
        let measured = measure(&self.candidates, span, guards, Default::default(), prior);
        let scoring = Scoring {
            strategy,
            parameters: Parameters::default(),
            guards,
            expression: None,
            given: None,
        };
        let ids: Vec<_> = self.candidates.iter().map(|candidate| candidate.id).collect();
        let scores = score(&scoring, &ids, &measured);
        let priors = prior_points(&self.candidates, prior);
        let each = ids.iter().zip(scores).zip(priors).zip(&self.current);
        let standings: Vec<Standing> = each
            .map(|(((id, score), prior), current)| Standing {
                id: *id,
                tier: 0,
                prior,
                current: *current,
                score,
            })
            .collect();
        let decision = decide(&standings, guards, self.changed_at.map(|changed| now - changed));
        played.runs += 1;
        played.rules.push(decision.rule);
        if decision.rule.changes() {
            for (current, moved) in self.current.iter_mut().zip(&decision.moved) {
                played.farthest = played.farthest.max((moved.after - *current).abs());
                *current = moved.after;
            }
            self.changed_at = Some(now);
            played.changes.push(now);
        }
        played.lowest = self.current.iter().copied().fold(played.lowest, f64::min);
        played.highest = self.current.iter().copied().fold(played.highest, f64::max);
    }
}

/// Keeps the last few minutes.
fn trim(history: &mut History) {
    let heights = history.heights.len().saturating_sub(20);
    history.heights.drain(..heights);
    let points = history.traffic[0].0.len().saturating_sub(20);
    history.traffic[0].0.drain(..points);
}
