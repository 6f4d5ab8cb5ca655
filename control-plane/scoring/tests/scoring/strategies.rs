//! Each strategy sees what it is for.

use std::collections::BTreeMap;

use tyrscale_model::{
    CallPrices, Expression, Guards, Parameters, RecommendationStrategy as Strategy, UpstreamId,
};
use tyrscale_scoring::{Candidate, History, Scoring, score};

use super::{
    histories::{candidate, heights, measured, traffic},
    id,
};

fn scoring(strategy: Strategy) -> Scoring<'static> {
    Scoring {
        strategy,
        parameters: Parameters::default(),
        guards: Guards::default(),
        expression: None,
        given: None,
    }
}

fn scores(scoring: &Scoring<'_>, candidates: &[Candidate]) -> Vec<Option<f64>> {
    let ids: Vec<UpstreamId> = candidates.iter().map(|candidate| candidate.id).collect();
    score(scoring, &ids, &measured(candidates))
}

/// An upstream at a height, with 100 attempts of which some failed and the others took so long on average.
fn node(number: usize, height: u64, failures: f64, latency: f64) -> Candidate {
    let answered = 100.0 - failures;
    History {
        traffic: vec![traffic(&[
            (0, 0.0, 0.0, 0.0, 0.0),
            (99, answered, failures, 0.0, answered * latency),
        ])],
        ..heights(&[(0, height), (99, height)])
    }
    .into_candidate(number)
}

trait IntoCandidate {
    fn into_candidate(self, number: usize) -> Candidate;
}

impl IntoCandidate for History {
    fn into_candidate(self, number: usize) -> Candidate {
        candidate(number, self)
    }
}

fn near(found: Option<f64>, expected: f64) -> bool {
    found.is_some_and(|found| (found - expected).abs() < 1e-6)
}

#[test]
fn freshness_halves_for_each_half_life_beyond_the_tolerance() {
    let nodes = [
        node(1, 1000, 0.0, 0.1),
        node(2, 998, 0.0, 0.1),
        node(3, 992, 0.0, 0.1),
    ];
    for strategy in [
        Strategy::HighestBlock,
        Strategy::AreaUnderTheCurve,
        Strategy::AreaBlockNumber,
        Strategy::AirUnderTheCurve,
    ] {
        let found = scores(&scoring(strategy), &nodes);
        assert!(
            near(found[0], 1.0) && near(found[1], 1.0) && near(found[2], 0.25),
            "{strategy} {found:?}"
        );
    }
}

#[test]
fn the_area_forgives_a_moment_that_the_height_does_not() {
    let nodes = [
        candidate(1, heights(&[(0, 1000), (98, 1010), (99, 1010)])),
        candidate(2, heights(&[(0, 1000), (99, 1000)])),
    ];
    let now = scores(&scoring(Strategy::HighestBlock), &nodes)[1].unwrap();
    let area = scores(&scoring(Strategy::AreaUnderTheCurve), &nodes)[1].unwrap();
    assert!(now < 0.2 && area > 0.99, "{now} {area}");
}

#[test]
fn a_silent_node_is_no_good_while_another_speaks_and_unknown_when_none_does() {
    let silent = || candidate(1, heights(&[(0, 1000)]));
    let speaking = candidate(2, heights(&[(0, 1000), (99, 1000)]));
    let strategy = scoring(Strategy::HighestBlock);
    assert_eq!(scores(&strategy, &[silent(), speaking]), [Some(0.0), Some(1.0)]);
    assert_eq!(scores(&strategy, &[silent(), silent()]), [None, None]);
}

#[test]
fn latency_is_against_the_quickest() {
    let nodes = [
        node(1, 1, 0.0, 0.09),
        node(2, 1, 0.0, 0.39),
        node(3, 1, 100.0, 0.1),
    ];
    let found = scores(&scoring(Strategy::Latency), &nodes);
    assert!(
        near(found[0], 1.0) && near(found[1], 0.0625) && near(found[2], 0.0),
        "{found:?}"
    );
}

#[test]
fn every_strategy_that_minds_latency_minds_400_ms_against_2() {
    let nodes = [node(1, 1000, 0.0, 0.002), node(2, 1000, 0.0, 0.4)];
    for strategy in [Strategy::Latency, Strategy::Balanced, Strategy::Cost] {
        let found = scores(&scoring(strategy), &nodes);
        assert!(
            near(found[0], 1.0) && found[1].unwrap() < 0.01,
            "{strategy} {found:?}"
        );
    }
}

#[test]
fn errors_halve_the_score_for_each_half_life_and_need_samples() {
    let mut nodes = vec![node(1, 1, 0.0, 0.1), node(2, 1, 4.0, 0.1)];
    nodes.push(
        History {
            traffic: vec![traffic(&[(0, 0.0, 0.0, 0.0, 0.0), (99, 19.0, 0.0, 0.0, 1.0)])],
            ..History::default()
        }
        .into_candidate(3),
    );
    let found = scores(&scoring(Strategy::ErrorRate), &nodes);
    assert!(
        near(found[0], 1.0) && near(found[1], 0.25) && found[2].is_none(),
        "{found:?}"
    );
}

#[test]
fn the_blend_is_the_product_of_what_is_known() {
    let nodes = [
        node(1, 1000, 0.0, 0.1),
        node(2, 992, 4.0, 0.1),
        candidate(3, heights(&[(99, 1000)])),
        candidate(4, History::default()),
    ];
    let found = scores(&scoring(Strategy::Balanced), &nodes);
    assert!(
        near(found[0], 1.0) && near(found[2], 1.0) && found[3].is_none(),
        "{found:?}"
    );
    assert!(near(found[1], 0.25 * 0.25), "{found:?}");
}

#[test]
fn a_cheap_upstream_wins_unless_it_is_much_worse() {
    let priced = |mut node: Candidate, calls: f64| {
        node.prices = Some(CallPrices {
            calls,
            ..CallPrices::default()
        });
        node
    };
    let same = [
        priced(node(1, 1, 0.0, 0.1), 40.0),
        priced(node(2, 1, 0.0, 0.1), 10.0),
    ];
    let found = scores(&scoring(Strategy::Cost), &same);
    assert!(near(found[0], 0.25) && near(found[1], 1.0), "{found:?}");
    let worse = [
        priced(node(1, 1, 0.0, 0.1), 40.0),
        priced(node(2, 1, 20.0, 0.1), 10.0),
    ];
    let found = scores(&scoring(Strategy::Cost), &worse);
    assert!(found[0] > found[1], "{found:?}");
    let unpriced = [node(1, 1, 0.0, 0.1), node(2, 1, 0.0, 0.1)];
    assert_eq!(
        scores(&scoring(Strategy::Cost), &unpriced),
        [Some(1.0), Some(1.0)]
    );
}

#[test]
fn one_that_throttles_gets_what_it_bears_and_the_others_the_rest() {
    let steady = |number: usize, rate: f64, throttled: f64| {
        let points: Vec<_> = (0..=100_u32)
            .map(|second| {
                let counted = |per_second: f64| f64::from(second) * per_second;
                let refused = counted(throttled);
                (
                    u64::from(second),
                    counted(rate - throttled),
                    refused,
                    refused,
                    counted(0.1),
                )
            })
            .collect();
        let history = History {
            traffic: vec![traffic(&points)],
            ..History::default()
        };
        candidate(number, history)
    };
    let nodes = [
        steady(1, 100.0, 80.0),
        steady(2, 100.0, 0.0),
        steady(3, 100.0, 0.0),
    ];
    let found = scores(&scoring(Strategy::RateLimit), &nodes);
    let whole: f64 = found.iter().flatten().sum();
    let share = found[0].unwrap() / whole;
    assert!((share - 18.0 / 300.0).abs() < 1e-3, "{share}");
    assert!(near(found[1], found[2].unwrap()));
}

#[test]
fn a_custom_score_is_computed_here_or_elsewhere() {
    let nodes = [node(1, 1000, 0.0, 0.1), node(2, 900, 0.0, 0.1)];
    let expression: Expression = "1 / latency_s - lag_blocks".parse().unwrap();
    let here = Scoring {
        expression: Some(&expression),
        ..scoring(Strategy::Custom)
    };
    let found = scores(&here, &nodes);
    assert!(near(found[0], 10.0) && near(found[1], 0.0), "{found:?}");
    let given: BTreeMap<UpstreamId, f64> = [(id(2), 3.0)].into();
    let elsewhere = Scoring {
        given: Some(&given),
        ..scoring(Strategy::Custom)
    };
    assert_eq!(scores(&elsewhere, &nodes), [None, Some(3.0)]);
    assert_eq!(scores(&scoring(Strategy::Custom), &nodes), [None, None]);
}

#[test]
fn one_that_answers_nothing_is_no_good_even_where_a_strategy_knows_nothing_of_it() {
    let dead = || {
        let counted = History {
            traffic: vec![traffic(&[(0, 0.0, 0.0, 0.0, 0.0), (99, 0.0, 100.0, 0.0, 0.0)])],
            ..History::default()
        };
        counted.into_candidate(1)
    };
    let unknown = History::default().into_candidate(3);
    let nodes = [dead(), node(2, 1000, 0.0, 0.1), unknown];
    assert_eq!(
        scores(&scoring(Strategy::HighestBlock), &nodes),
        [Some(0.0), Some(1.0), None]
    );
    let expression: Expression = "exp(-lag_blocks)".parse().unwrap();
    let custom = Scoring {
        expression: Some(&expression),
        ..scoring(Strategy::Custom)
    };
    assert_eq!(scores(&custom, &nodes), [Some(0.0), Some(1.0), None]);
}
