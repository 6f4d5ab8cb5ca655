//! The strategies: from measurements to a score of 0 and above each.

use std::collections::BTreeMap;

use tyrscale_model::{Expression, Guards, Measure, Parameters, RecommendationStrategy, UpstreamId};

use crate::Measurements;

/// A free or unpriced upstream counts as costing this share of the dearest, so that it does not take everything.
const LOWEST_PRICE: f64 = 0.01;
/// Seconds that count as no difference in latency: what clients hardly notice.
const LATENCY_GRAIN: f64 = 0.01;
/// What a score computed elsewhere is cut to.
const HIGHEST_SCORE: f64 = 1e12;

/// How to score.
#[derive(Debug, Clone)]
pub struct Scoring<'a> {
    /// By which formula.
    pub strategy: RecommendationStrategy,
    /// The numbers in it.
    pub parameters: Parameters,
    /// What counts as stale and as too little.
    pub guards: Guards,
    /// For the custom strategy.
    pub expression: Option<&'a Expression>,
    /// For the custom strategy: scores computed elsewhere.
    pub given: Option<&'a BTreeMap<UpstreamId, f64>>,
}

/// Scores the upstreams `ids` by what was `measured` of each. `None` where the measurements say too little; an upstream
/// that was asked often enough and answered nothing has 0 even where its strategy has nothing to go by.
#[must_use]
pub fn score(scoring: &Scoring<'_>, ids: &[UpstreamId], measured: &[Measurements]) -> Vec<Option<f64>> {
    let is_dead = |found: &Measurements| {
        has_samples(scoring, found) && found.get(Measure::ErrorRate).is_some_and(|rate| rate >= 1.0)
    };
    by_strategy(scoring, ids, measured)
        .into_iter()
        .zip(measured)
        .map(|(score, found)| score.or_else(|| is_dead(found).then_some(0.0)))
        .collect()
}

fn by_strategy(scoring: &Scoring<'_>, ids: &[UpstreamId], measured: &[Measurements]) -> Vec<Option<f64>> {
    use RecommendationStrategy as Strategy;
    match scoring.strategy {
        Strategy::HighestBlock => freshness(scoring, measured, Measure::Lag),
        Strategy::AreaUnderTheCurve | Strategy::AreaBlockNumber | Strategy::AirUnderTheCurve => {
            freshness(scoring, measured, Measure::MeanLag)
        }
        Strategy::Latency => latency(scoring, measured),
        Strategy::ErrorRate => errors(scoring, measured),
        Strategy::Balanced => blend(scoring, measured, scoring.parameters.blend.shares()),
        Strategy::Cost => cost(scoring, measured),
        Strategy::RateLimit => rate_limit(scoring, measured),
        Strategy::Custom => custom(scoring, ids, measured),
    }
}

/// 1 within the tolerance, half for each half-life beyond; 0 for one whose height is stale while that of another is
/// not.
fn freshness(scoring: &Scoring<'_>, measured: &[Measurements], behind: Measure) -> Vec<Option<f64>> {
    let limit = f64::from(scoring.guards.max_age_s.unwrap_or(60));
    let is_fresh = |found: &Measurements| found.get(Measure::HeightAge).is_some_and(|age| age <= limit);
    if !measured.iter().any(is_fresh) {
        return vec![None; measured.len()];
    }
    let parameters = &scoring.parameters;
    let of = |found: &Measurements| {
        let lag = found.get(behind)?;
        if !is_fresh(found) {
            return Some(0.0);
        }
        let beyond = (lag - parameters.tolerance_blocks()).max(0.0);
        Some((-beyond / parameters.half_life_blocks()).exp2())
    };
    measured.iter().map(of).collect()
}

fn has_samples(scoring: &Scoring<'_>, found: &Measurements) -> bool {
    let requests = found.get(Measure::Requests);
    requests.is_some_and(|requests| requests >= f64::from(scoring.guards.min_samples()))
}

/// The lowest mean latency through the own, both a grain longer, to the exponent; 0 for one that answers nothing.
fn latency(scoring: &Scoring<'_>, measured: &[Measurements]) -> Vec<Option<f64>> {
    let known = measured.iter().filter(|found| has_samples(scoring, found));
    let best = known
        .filter_map(|found| found.get(Measure::Latency))
        .fold(f64::INFINITY, f64::min);
    let exponent = scoring.parameters.latency_exponent();
    let of = |found: &Measurements| {
        has_samples(scoring, found).then(|| match found.get(Measure::Latency) {
            Some(own) => ((best + LATENCY_GRAIN) / (own.max(0.0) + LATENCY_GRAIN)).powf(exponent),
            None => 0.0,
        })
    };
    measured.iter().map(of).collect()
}

/// Half for each half-life of the share of failed attempts.
fn errors(scoring: &Scoring<'_>, measured: &[Measurements]) -> Vec<Option<f64>> {
    let half_life = scoring.parameters.half_life_errors();
    let of = |found: &Measurements| {
        let rate = found
            .get(Measure::ErrorRate)
            .filter(|_| has_samples(scoring, found))?;
        Some((-rate / half_life).exp2())
    };
    measured.iter().map(of).collect()
}

/// The lowest price through the own; 1 for all where none is known.
fn cheapness(measured: &[Measurements]) -> Vec<Option<f64>> {
    let price = |found: &Measurements| found.get(Measure::Price).unwrap_or(0.0);
    let dearest = measured.iter().map(price).fold(0.0, f64::max);
    if dearest <= 0.0 {
        return vec![Some(1.0); measured.len()];
    }
    let counted = |found: &Measurements| price(found).max(dearest * LOWEST_PRICE);
    let cheapest = measured.iter().map(counted).fold(f64::INFINITY, f64::min);
    measured
        .iter()
        .map(|found| Some(cheapest / counted(found)))
        .collect()
}

/// The product of freshness, latency, errors and price, each to its share, of those that are known.
fn blend(scoring: &Scoring<'_>, measured: &[Measurements], shares: [f64; 4]) -> Vec<Option<f64>> {
    let parts = [
        freshness(scoring, measured, Measure::Lag),
        latency(scoring, measured),
        errors(scoring, measured),
        cheapness(measured),
    ];
    let of = |upstream: usize| {
        let (mut product, mut observed) = (1.0_f64, false);
        for (place, (part, share)) in parts.iter().zip(shares).enumerate() {
            let known = part.get(upstream).copied().flatten();
            if let Some(score) = known.filter(|_| share > 0.0) {
                product *= score.powf(share);
                // A price alone is no measurement.
                observed |= place < 3;
            }
        }
        observed.then_some(product)
    };
    (0..measured.len()).map(of).collect()
}

/// Quality to its exponent times cheapness to its own.
fn cost(scoring: &Scoring<'_>, measured: &[Measurements]) -> Vec<Option<f64>> {
    let [fresh, quick, sound, _] = scoring.parameters.blend.shares();
    let quality = blend(scoring, measured, [fresh, quick, sound, 0.0]);
    let each = quality.into_iter().zip(cheapness(measured));
    let value = |(quality, cheapness): (Option<f64>, Option<f64>)| {
        let quality = quality?.powf(scoring.parameters.quality_exponent());
        Some(quality * cheapness?.powf(scoring.parameters.price_exponent()))
    };
    each.map(value).collect()
}

/// The share of the route's rate that each upstream bears, against its prior: those that throttle get what they bear
/// less the headroom, the others what is left.
fn rate_limit(scoring: &Scoring<'_>, measured: &[Measurements]) -> Vec<Option<f64>> {
    let demand: f64 = measured
        .iter()
        .filter_map(|found| found.get(Measure::RequestRate))
        .sum();
    if demand <= 0.0 {
        return vec![None; measured.len()];
    }
    let free = 1.0 - scoring.parameters.headroom();
    let caps: Vec<f64> = measured
        .iter()
        .map(|found| {
            found
                .get(Measure::BearableRate)
                .map_or(f64::INFINITY, |rate| rate * free)
        })
        .collect();
    let priors: Vec<f64> = measured
        .iter()
        .map(|found| found.get(Measure::Prior).unwrap_or(0.0))
        .collect();
    let allotted = fill(demand, &caps, &priors);
    let each = measured.iter().zip(allotted).zip(priors);
    each.map(|((found, rate), prior)| {
        let known = found.get(Measure::RequestRate).is_some() && prior > 0.0;
        known.then(|| rate / prior)
    })
    .collect()
}

/// Shares `demand` by `priors` so that none gets more than its cap, as long as one is left that may.
fn fill(demand: f64, caps: &[f64], priors: &[f64]) -> Vec<f64> {
    let mut full = vec![false; caps.len()];
    loop {
        let taken: f64 = caps
            .iter()
            .zip(&full)
            .filter(|(_, full)| **full)
            .map(|(cap, _)| cap)
            .sum();
        let open: f64 = priors
            .iter()
            .zip(&full)
            .filter(|(_, full)| !**full)
            .map(|(prior, _)| prior)
            .sum();
        if open <= 0.0 {
            return caps.to_vec();
        }
        let per_point = (demand - taken).max(0.0) / open;
        let mut grew = false;
        for ((full, cap), prior) in full.iter_mut().zip(caps).zip(priors) {
            if !*full && prior * per_point > *cap {
                (*full, grew) = (true, true);
            }
        }
        if !grew {
            let each = full.iter().zip(caps).zip(priors);
            return each
                .map(|((full, cap), prior)| if *full { *cap } else { prior * per_point })
                .collect();
        }
    }
}

/// The expression's value, or the given score; below 0 is 0.
fn custom(scoring: &Scoring<'_>, ids: &[UpstreamId], measured: &[Measurements]) -> Vec<Option<f64>> {
    let of = |(id, found): (&UpstreamId, &Measurements)| {
        let value = match (scoring.expression, scoring.given) {
            (Some(expression), _) => expression.evaluate(|measure| found.get(measure)),
            (None, Some(given)) => given.get(id).copied().filter(|score| score.is_finite()),
            (None, None) => None,
        };
        value.map(|score| score.clamp(0.0, HIGHEST_SCORE))
    };
    ids.iter().zip(measured).map(of).collect()
}
