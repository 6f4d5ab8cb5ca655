//! Laws of decisions: whatever the scores, weights stay within their bounds and change for a reason.

use proptest::{collection::vec, option, prelude::*};
use tyrscale_model::Guards;
use tyrscale_scoring::{Decision, Rule, Standing, decide};

use super::id;

/// Upstreams of one tier with priors and current weights that sum to 100, and scores.
fn standings(rows: &[(f64, f64, Option<f64>)]) -> Vec<Standing> {
    let priors: f64 = rows.iter().map(|row| row.0).sum();
    let currents: f64 = rows.iter().map(|row| row.1).sum();
    let standing = |(number, row): (usize, &(f64, f64, Option<f64>))| Standing {
        id: id(number),
        tier: 0,
        prior: row.0 / priors * 100.0,
        current: row.1 / currents * 100.0,
        score: row.2,
    };
    rows.iter().enumerate().map(standing).collect()
}

fn even(scores: &[Option<f64>]) -> Vec<Standing> {
    let rows: Vec<_> = scores.iter().map(|score| (1.0, 1.0, *score)).collect();
    standings(&rows)
}

fn after(decision: &Decision) -> Vec<f64> {
    decision.moved.iter().map(|moved| moved.after).collect()
}

fn free() -> Guards {
    Guards {
        max_step: Some(100.0),
        min_dwell_s: Some(0),
        ..Guards::default()
    }
}

fn close(found: &[f64], expected: &[f64]) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(one, other)| (one - other).abs() < 1e-6)
}

#[test]
fn weights_go_by_prior_times_score() {
    let rows = [
        (50.0, 50.0, Some(1.0)),
        (30.0, 30.0, Some(0.5)),
        (20.0, 20.0, Some(0.25)),
    ];
    let decision = decide(&standings(&rows), free(), None);
    assert_eq!(decision.rule, Rule::Scored);
    let expected = [50.0 / 0.7, 15.0 / 0.7, 5.0 / 0.7];
    assert!(close(&after(&decision), &expected), "{decision:?}");
}

#[test]
fn a_dead_upstream_keeps_the_floor_and_a_step_is_bounded() {
    let dead = even(&[Some(0.0), Some(1.0)]);
    assert!(close(&after(&decide(&dead, free(), None)), &[1.0, 99.0]));
    let decision = decide(&dead, Guards::default(), None);
    assert_eq!(decision.rule, Rule::StepLimited);
    assert!(close(&after(&decision), &[20.0, 80.0]));
}

#[test]
fn the_best_stay_usable() {
    let guards = Guards {
        min_usable: Some(2),
        ..free()
    };
    let decision = decide(&even(&[Some(0.0), Some(1.0), Some(0.001)]), guards, None);
    assert!(close(&after(&decision), &[1.0, 89.0, 10.0]), "{decision:?}");
}

#[test]
fn when_everything_looks_bad_nothing_is_believed() {
    let rows = [(50.0, 90.0, Some(0.0)), (50.0, 10.0, Some(0.001))];
    let decision = decide(&standings(&rows), free(), None);
    assert_eq!(decision.rule, Rule::FailOpen);
    assert!(close(&after(&decision), &[50.0, 50.0]));
}

#[test]
fn nothing_changes_without_measurements_a_choice_a_reason_or_the_time() {
    let rule = |standings: &[Standing], dwelled| decide(standings, Guards::default(), dwelled).rule;
    assert_eq!(rule(&even(&[None, None]), None), Rule::NothingMeasured);
    assert_eq!(rule(&even(&[Some(1.0)]), None), Rule::NothingToChoose);
    assert_eq!(
        rule(&even(&[Some(1.0), Some(0.95)]), None),
        Rule::WithinHysteresis
    );
    let apart = even(&[Some(1.0), Some(0.5)]);
    assert_eq!(rule(&apart, Some(59_999)), Rule::Dwelling);
    assert_eq!(rule(&apart, Some(60_000)), Rule::Scored);
}

#[test]
fn what_is_not_known_drifts_to_its_prior_so_that_it_is_measured_again() {
    let rows = [(1.0, 1.0, None), (1.0, 99.0, Some(1.0))];
    for (hysteresis, drifted) in [(0.0, 3.0), (3.0, 4.03), (10.0, 11.1)] {
        let guards = Guards {
            hysteresis: Some(hysteresis),
            ..free()
        };
        let decision = decide(&standings(&rows), guards, None);
        assert!(
            close(&after(&decision), &[drifted, 100.0 - drifted]),
            "{decision:?}"
        );
    }
}

#[test]
fn tiers_are_weighed_apart() {
    let mut both = even(&[Some(1.0), Some(0.0), Some(1.0), Some(1.0)]);
    for (standing, tier) in both.iter_mut().zip([0, 0, 1, 1]) {
        standing.tier = tier;
        standing.prior = 50.0;
        standing.current = 50.0;
    }
    let decision = decide(&both, free(), None);
    assert!(close(&after(&decision), &[99.0, 1.0, 50.0, 50.0]), "{decision:?}");
}

fn any_guards() -> impl Strategy<Value = Guards> {
    (0.1..100.0, 0.0..20.0, 0.0..20.0, 1u32..6).prop_map(
        |(max_step, floor_weight, hysteresis, min_usable)| Guards {
            max_step: Some(max_step),
            floor_weight: Some(floor_weight),
            hysteresis: Some(hysteresis),
            min_usable: Some(min_usable),
            ..Guards::default()
        },
    )
}

proptest! {
    #[test]
    fn weights_sum_to_100_within_floor_and_step(
        rows in vec((0.01..100.0, 0.01..100.0, option::of(prop_oneof![Just(0.0), 0.0..1.0, 0.0..1e12])), 1..9),
        guards in any_guards(),
    ) {
        let standings = standings(&rows);
        let decision = decide(&standings, guards, None);
        let after = after(&decision);
        prop_assert!((after.iter().sum::<f64>() - 100.0).abs() < 1e-6);
        let floor = guards.floor_weight(rows.len());
        for (standing, moved) in standings.iter().zip(&decision.moved) {
            // One that begins below the floor never falls further, unless the operator's own weights are gone back to.
            let least = match decision.rule {
                Rule::FailOpen => standing.prior.min(standing.current),
                _ => floor.min(standing.current),
            };
            prop_assert!(moved.after >= least - 1e-9 && moved.after <= 100.0 + 1e-9);
            prop_assert!((moved.after - standing.current).abs() <= guards.max_step() + 1e-9);
        }
        if decision.rule.changes() && decision.rule != Rule::FailOpen {
            let usable = guards.usable_weight(rows.len());
            let kept = decision.moved.iter().filter(|moved| moved.target >= usable - 1e-6).count();
            prop_assert!(kept >= guards.min_usable().min(rows.len()));
        }
        if !decision.rule.changes() {
            let stays = standings.iter().zip(&after).all(|(standing, after)| standing.current == *after);
            prop_assert!(stays);
        }
    }

    #[test]
    fn runs_that_see_the_same_settle(
        rows in vec((0.01..100.0, 0.01..100.0, (0.0..1.0).prop_map(Some)), 2..9),
        guards in any_guards(),
    ) {
        let mut standings = standings(&rows);
        let mut changes = 0;
        for _ in 0..1100 {
            let decision = decide(&standings, guards, None);
            if !decision.rule.changes() {
                break;
            }
            changes += 1;
            for (standing, moved) in standings.iter_mut().zip(&decision.moved) {
                standing.current = moved.after;
            }
        }
        let needed = (100.0 / guards.max_step()).ceil() + 1.0;
        prop_assert!(f64::from(changes) <= needed, "{changes} changes");
    }
}
