//! From histories to measurements over a window.

use std::collections::BTreeMap;

use tyrscale_model::{CallMix, CallPrices, Guards, Measure, RecommendationPrior, UpstreamId};

use crate::{
    History, Span,
    history::{HeightPoint, seconds},
};

/// Blocks by which an upstream may be above the middle one of three or more and be believed: what a route's
/// consistency allows by default.
const MAX_LEAD: u64 = 15_000;
/// Into how many slices a window is cut to find a rate.
const SLICES: u64 = 20;
/// The shortest slice, milliseconds.
const MIN_SLICE: u64 = 5000;
/// The share of attempts refused in a slice from which on it counts as throttled.
const THROTTLED_SHARE: f64 = 0.02;
/// The fewest attempts of a slice that says something.
const MIN_SLICE_REQUESTS: f64 = 5.0;

/// An upstream that may get a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Which.
    pub id: UpstreamId,
    /// Its tier; weights count within one.
    pub tier: u32,
    /// The weight its operator gave it, above 0.
    pub operator_weight: f64,
    /// What calls to it cost.
    pub prices: Option<CallPrices>,
    /// What is known of it.
    pub history: History,
}

/// What was measured of an upstream; what could not be is absent.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measurements(pub BTreeMap<Measure, f64>);

impl Measurements {
    /// One of them.
    #[must_use]
    pub fn get(&self, measure: Measure) -> Option<f64> {
        self.0.get(&measure).copied()
    }

    fn set(&mut self, measure: Measure, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.0.insert(measure, value);
        }
    }
}

/// What each candidate gets of 100 points per tier for equal scores.
#[must_use]
pub fn prior_points(candidates: &[Candidate], prior: RecommendationPrior) -> Vec<f64> {
    let weight = |candidate: &Candidate| match prior {
        RecommendationPrior::Operator => candidate.operator_weight,
        RecommendationPrior::Even => 1.0,
    };
    let total = |tier: u32| -> f64 {
        let of_tier = candidates.iter().filter(|candidate| candidate.tier == tier);
        of_tier.map(weight).sum()
    };
    let points = |candidate: &Candidate| weight(candidate) / total(candidate.tier) * 100.0;
    candidates.iter().map(points).collect()
}

/// Measures the candidates over a window. Counters that were not seen since `guards.max_age_ms` before its end say
/// nothing.
#[must_use]
pub fn measure(
    candidates: &[Candidate],
    span: Span,
    guards: Guards,
    mix: CallMix,
    prior: RecommendationPrior,
) -> Vec<Measurements> {
    let heights: Vec<Vec<HeightPoint>> = believable(candidates, span.to);
    let best = best_over_time(&heights);
    let priors = prior_points(candidates, prior);
    let each = candidates.iter().zip(&heights).zip(priors);
    each.map(|((candidate, heights), prior)| {
        let mut found = Measurements::default();
        found.set(Measure::Prior, Some(prior));
        found.set(Measure::Price, candidate.prices.map(|prices| price(prices, mix)));
        measure_heights(&mut found, heights, &best, span);
        measure_traffic(&mut found, &candidate.history, span, guards);
        found
    })
    .collect()
}

/// The heights of each candidate until `to`, without those of one that is too far above the middle to be believed.
fn believable(candidates: &[Candidate], to: u64) -> Vec<Vec<HeightPoint>> {
    let until = |candidate: &Candidate| -> Vec<HeightPoint> {
        let heights = candidate.history.heights.iter();
        heights.filter(|point| point.at <= to).copied().collect()
    };
    let all: Vec<Vec<HeightPoint>> = candidates.iter().map(until).collect();
    let mut last: Vec<u64> = all
        .iter()
        .filter_map(|points| points.last())
        .map(|point| point.height)
        .collect();
    last.sort_unstable();
    let limit = match last.get((last.len().saturating_sub(1)) / 2) {
        Some(middle) if last.len() >= 3 => middle.saturating_add(MAX_LEAD),
        _ => u64::MAX,
    };
    let keep = |points: Vec<HeightPoint>| points.into_iter().filter(|point| point.height <= limit).collect();
    all.into_iter().map(keep).collect()
}

/// The highest height known at each time it rose.
fn best_over_time(heights: &[Vec<HeightPoint>]) -> Vec<HeightPoint> {
    let mut all: Vec<HeightPoint> = heights.iter().flatten().copied().collect();
    all.sort_unstable_by_key(|point| (point.at, point.height));
    let mut best: Vec<HeightPoint> = Vec::new();
    for point in all {
        if best.last().is_none_or(|last| point.height > last.height) {
            best.push(point);
        }
    }
    best
}

/// The last value not after `at`.
fn value_at(points: &[HeightPoint], at: u64) -> Option<u64> {
    let passed = points.partition_point(|point| point.at <= at);
    points.get(passed.checked_sub(1)?).map(|point| point.height)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a difference of believable heights is below 2^52"
)]
fn blocks(best: u64, own: u64) -> f64 {
    best.saturating_sub(own) as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a height that is shown or compared may be rounded"
)]
fn measure_heights(found: &mut Measurements, own: &[HeightPoint], best: &[HeightPoint], span: Span) {
    let Some(last) = own.last() else { return };
    found.set(Measure::Height, Some(last.height as f64));
    found.set(Measure::HeightAge, Some(seconds(span.to - last.at)));
    let highest = best.last().map_or(last.height, |best| best.height);
    found.set(Measure::Lag, Some(blocks(highest, last.height)));
    found.set(Measure::MeanLag, mean_lag(own, best, span));
}

/// The area between the best height and the own over the window, through its length: blocks. Where the own height
/// is not known yet there is no area; before the first point of the window the one before it counts.
fn mean_lag(own: &[HeightPoint], best: &[HeightPoint], span: Span) -> Option<f64> {
    let from = own.first()?.at.max(span.from);
    let within = |point: &&HeightPoint| point.at > from && point.at < span.to;
    let mut times: Vec<u64> = own
        .iter()
        .chain(best)
        .filter(within)
        .map(|point| point.at)
        .collect();
    times.extend([from, span.to]);
    times.sort_unstable();
    let mut area = 0.0;
    for pair in times.windows(2) {
        if let [begin, end] = pair {
            let lag = blocks(value_at(best, *begin)?, value_at(own, *begin)?);
            area += lag * seconds(end - begin);
        }
    }
    let length = seconds(span.to - from);
    if length > 0.0 {
        return Some(area / length);
    }
    Some(blocks(value_at(best, span.to)?, value_at(own, span.to)?))
}

fn measure_traffic(found: &mut Measurements, history: &History, span: Span, guards: Guards) {
    let seen = history.traffic_seen(span.to);
    if seen.is_none_or(|seen| span.to - seen > guards.max_age_ms()) {
        return;
    }
    let increase = history.increase(span);
    let requests = increase.requests();
    found.set(Measure::Requests, Some(requests));
    found.set(Measure::RequestRate, Some(requests / span.seconds()));
    found.set(Measure::Failures, Some(increase.failures));
    found.set(Measure::ErrorRate, Some(increase.failures / requests));
    found.set(Measure::Throttled, Some(increase.throttled));
    found.set(Measure::BearableRate, bearable_rate(history, span));
    found.set(
        Measure::Latency,
        Some(increase.latency_sum / increase.latency_count),
    );
    for (measure, share) in [
        (Measure::LatencyP50, 0.5),
        (Measure::LatencyP90, 0.9),
        (Measure::LatencyP99, 0.99),
    ] {
        found.set(measure, increase.latency.quantile(share));
    }
}

/// Attempts per second that were served while others were refused for coming too fast: the middle one of the
/// slices in which that was so.
fn bearable_rate(history: &History, span: Span) -> Option<f64> {
    let length = (span.to.saturating_sub(span.from) / SLICES).max(MIN_SLICE);
    let mut rates = Vec::new();
    let mut to = span.to;
    while to > span.from {
        let slice = Span {
            from: to.saturating_sub(length).max(span.from),
            to,
        };
        let came = history.increase(slice);
        let requests = came.requests();
        if requests >= MIN_SLICE_REQUESTS && came.throttled > THROTTLED_SHARE * requests {
            rates.push((requests - came.throttled).max(0.0) / slice.seconds());
        }
        to = slice.from;
    }
    rates.sort_unstable_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied()
}

/// What a million calls of the mix cost.
fn price(prices: CallPrices, mix: CallMix) -> f64 {
    let classes = [
        (mix.calls.unwrap_or(1.0), prices.calls),
        (mix.logs.unwrap_or(0.0), prices.logs.unwrap_or(prices.calls)),
        (mix.traces.unwrap_or(0.0), prices.traces.unwrap_or(prices.calls)),
        (
            mix.transactions.unwrap_or(0.0),
            prices.transactions.unwrap_or(prices.calls),
        ),
    ];
    let whole: f64 = classes.iter().map(|(part, _)| part).sum();
    let cost: f64 = classes.iter().map(|(part, price)| part * price).sum();
    if whole > 0.0 { cost / whole } else { prices.calls }
}
