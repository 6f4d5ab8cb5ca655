//! Counters and heights as sources tell them.

use proptest::prelude::*;
use tyrscale_model::{CallMix, CallPrices, Guards, Measure, RecommendationPrior};
use tyrscale_scoring::{
    Candidate, Distribution, HeightPoint, History, Measurements, Span, TrafficPoint, TrafficSeries, measure,
};

use super::id;

pub(crate) const SPAN: Span = Span {
    from: 1_000_000,
    to: 1_100_000,
};

pub(crate) fn candidate(number: usize, history: History) -> Candidate {
    Candidate {
        id: id(number),
        tier: 0,
        operator_weight: 1.0,
        prices: None,
        history,
    }
}

/// Heights at seconds of the window.
pub(crate) fn heights(points: &[(u64, u64)]) -> History {
    let point = |(second, height): &(u64, u64)| HeightPoint {
        at: SPAN.from + second * 1000,
        height: *height,
    };
    History {
        heights: points.iter().map(point).collect(),
        ..History::default()
    }
}

/// Counters at seconds of the window: answered, failed, throttled, and the sum of latencies.
pub(crate) fn traffic(points: &[(u64, f64, f64, f64, f64)]) -> TrafficSeries {
    let point =
        |(second, answered, failures, throttled, latency_sum): &(u64, f64, f64, f64, f64)| TrafficPoint {
            at: SPAN.from + second * 1000,
            answered: *answered,
            failures: *failures,
            throttled: *throttled,
            latency_sum: *latency_sum,
            latency_count: *answered,
            latency: Distribution::default(),
        };
    TrafficSeries(points.iter().map(point).collect())
}

pub(crate) fn measured(candidates: &[Candidate]) -> Vec<Measurements> {
    measure(
        candidates,
        SPAN,
        Guards::default(),
        CallMix::default(),
        RecommendationPrior::Operator,
    )
}

#[test]
fn lag_is_now_and_on_average_over_the_window() {
    let found = measured(&[
        candidate(1, heights(&[(0, 100), (50, 110)])),
        candidate(2, heights(&[(0, 100), (90, 110)])),
        candidate(3, heights(&[(20, 90)])),
    ]);
    let lag = |place: usize| (found[place].get(Measure::Lag), found[place].get(Measure::MeanLag));
    assert_eq!(lag(0), (Some(0.0), Some(0.0)));
    assert_eq!(lag(1), (Some(0.0), Some(4.0)), "10 blocks behind for 40 of 100 s");
    assert_eq!(
        lag(2),
        (Some(20.0), Some(16.25)),
        "10 for 30 s, 20 for 50 s, since it is known"
    );
    assert_eq!(found[2].get(Measure::HeightAge), Some(80.0));
}

#[test]
fn a_height_from_before_the_window_counts_at_its_begin() {
    let early = HeightPoint {
        at: SPAN.from - 5000,
        height: 90,
    };
    let mut history = heights(&[(50, 100)]);
    history.heights.insert(0, early);
    let found = measured(&[candidate(1, history), candidate(2, heights(&[(0, 100)]))]);
    assert_eq!(found[0].get(Measure::MeanLag), Some(5.0));
}

#[test]
fn a_height_far_above_the_others_is_not_believed() {
    let found = measured(&[
        candidate(1, heights(&[(0, 100)])),
        candidate(2, heights(&[(0, 101)])),
        candidate(3, heights(&[(0, u64::MAX)])),
    ]);
    assert_eq!(found[0].get(Measure::Lag), Some(1.0));
    assert_eq!(found[2].get(Measure::Height), None);
}

#[test]
fn counters_count_what_came_in_the_window_over_restarts_and_processes() {
    let restarted = traffic(&[
        (0, 1000.0, 10.0, 4.0, 100.0),
        (50, 1050.0, 12.0, 5.0, 105.0),
        (60, 20.0, 1.0, 0.0, 2.0),
        (95, 30.0, 1.0, 0.0, 3.0),
    ]);
    let second = traffic(&[(40, 5.0, 0.0, 0.0, 1.0), (95, 25.0, 0.0, 0.0, 5.0)]);
    let history = History {
        traffic: vec![restarted, second],
        ..History::default()
    };
    let found = measured(&[candidate(1, history)]).remove(0);
    let value = |measure| found.get(measure).unwrap();
    assert_eq!(value(Measure::Requests), 50.0 + 30.0 + 20.0 + 3.0);
    assert_eq!(value(Measure::Failures), 3.0);
    assert_eq!(value(Measure::Throttled), 1.0);
    assert!((value(Measure::Latency) - (5.0 + 3.0 + 4.0) / 100.0).abs() < 1e-9);
    assert!((value(Measure::RequestRate) - 1.03).abs() < 1e-9);
}

#[test]
fn counters_that_were_not_seen_lately_say_nothing() {
    let history = History {
        traffic: vec![traffic(&[(0, 0.0, 0.0, 0.0, 0.0), (30, 100.0, 0.0, 0.0, 1.0)])],
        ..History::default()
    };
    let found = measured(&[candidate(1, history)]).remove(0);
    assert_eq!(found.get(Measure::Requests), None);
}

#[test]
fn the_rate_an_upstream_bears_is_what_it_served_while_it_throttled() {
    let mut points = vec![(0, 0.0, 0.0, 0.0, 0.0)];
    for second in 1..=100_u64 {
        let (_, answered, failures, throttled, sum) = points[points.len() - 1];
        let throttles = second > 50;
        let refused = if throttles { 6.0 } else { 0.0 };
        let served = if throttles { 4.0 } else { 3.0 };
        points.push((
            second,
            answered + served,
            failures + refused,
            throttled + refused,
            sum,
        ));
    }
    let history = History {
        traffic: vec![traffic(&points)],
        ..History::default()
    };
    let found = measured(&[candidate(1, history)]).remove(0);
    assert!((found.get(Measure::BearableRate).unwrap() - 4.0).abs() < 1e-9);
}

#[test]
fn a_price_is_that_of_the_mix() {
    let mut priced = candidate(1, History::default());
    priced.prices = Some(CallPrices {
        calls: 10.0,
        logs: Some(70.0),
        ..CallPrices::default()
    });
    let mix = CallMix {
        calls: Some(3.0),
        logs: Some(1.0),
        traces: Some(1.0),
        ..CallMix::default()
    };
    let found = measure(&[priced], SPAN, Guards::default(), mix, RecommendationPrior::Even).remove(0);
    assert_eq!(found.get(Measure::Price), Some((30.0 + 70.0 + 10.0) / 5.0));
}

#[test]
fn quantiles_are_linear_within_a_bucket() {
    let distribution = Distribution {
        buckets: [(100_000, 50.0), (200_000, 40.0), (1_000_000, 10.0)].into(),
    };
    let quantile = |share| distribution.quantile(share).unwrap();
    assert!((quantile(0.5) - 0.1).abs() < 1e-9);
    assert!((quantile(0.9) - 0.2).abs() < 1e-9);
    assert!((quantile(0.95) - 0.6).abs() < 1e-9);
    assert_eq!(Distribution::default().quantile(0.5), None);
}

proptest! {
    /// Garbage in heights and counters gives numbers or nothing, never a panic.
    #[test]
    fn no_history_makes_it_panic(
        points in proptest::collection::vec((0u64..200, any::<u64>()), 0..12),
        counters in proptest::collection::vec((0u64..200, -1e300..1e300f64, -1e300..1e300f64, -1e9..1e9f64, -1e9..1e9f64), 0..12),
    ) {
        let mut points = points;
        points.sort_unstable();
        let mut counters = counters;
        counters.sort_by_key(|point| point.0);
        let mut history = heights(&points);
        history.traffic = vec![traffic(&counters)];
        let found = measured(&[candidate(1, history), candidate(2, heights(&[(0, 5)]))]);
        prop_assert!(found.iter().flat_map(|found| found.0.values()).all(|value| value.is_finite()));
    }
}
