//! Thousands of runs over nodes that fail, lag, throttle and oscillate: what the weights are worth, and that they keep
//! to their guards.

use tyrscale_model::{Guards, RecommendationStrategy as Strategy};

use super::world::{Played, Player, RUN, World};

/// Worlds played per strategy; each has 360 runs.
const SEEDS: u64 = 40;
/// How much higher than that of the best static weights the error rate may be, in share of attempts.
const ERROR_MARGIN: f64 = 0.005;
/// How much higher than that of the best static weights the latency may be, as a share of it.
const LATENCY_MARGIN: f64 = 0.10;

fn guards() -> Guards {
    Guards {
        min_dwell_s: Some(120),
        ..Guards::default()
    }
}

fn play(world: &World, seed: u64, strategy: Strategy) -> Played {
    Player::new(world, seed).play(strategy, guards())
}

/// Means over all worlds: error rate and latency as played, of even weights, and of the best static weights.
#[derive(Debug, Default)]
struct Totals {
    played: (f64, f64),
    even: (f64, f64),
    best: (f64, f64),
    runs: u32,
    changes: usize,
}

fn totals(strategy: Strategy) -> Totals {
    let mut totals = Totals::default();
    let add = |sum: &mut (f64, f64), one: (f64, f64)| {
        sum.0 += one.0 / SEEDS as f64;
        sum.1 += one.1 / SEEDS as f64;
    };
    for seed in 0..SEEDS {
        let world = World::of(seed);
        let played = play(&world, seed, strategy);
        keeps_to_its_guards(&played, seed);
        add(&mut totals.played, (played.errors, played.latency));
        add(&mut totals.even, world.of_static(&vec![1.0; world.len()]));
        add(&mut totals.best, world.best_static(seed));
        totals.runs += played.runs;
        totals.changes += played.changes.len();
    }
    totals
}

fn keeps_to_its_guards(played: &Played, seed: u64) {
    let guards = guards();
    assert!(
        played.lowest >= 1.0 - 1e-9 && played.highest <= 100.0,
        "seed {seed}: {played:?}"
    );
    assert!(
        played.farthest <= guards.max_step() + 1e-9,
        "seed {seed}: {played:?}"
    );
    let dwell = guards.min_dwell_ms();
    let flaps = played
        .changes
        .windows(2)
        .filter(|pair| pair[1] - pair[0] < dwell)
        .count();
    assert_eq!(flaps, 0, "seed {seed}");
    assert!(dwell > RUN, "runs come more often than changes may");
}

#[test]
fn weights_are_no_worse_than_the_best_that_never_change() {
    let totals = totals(Strategy::Balanced);
    println!("{totals:?}");
    assert!(totals.runs >= 14_000, "{totals:?}");
    assert!(totals.played.0 <= totals.best.0 + ERROR_MARGIN, "{totals:?}");
    assert!(
        totals.played.1 <= totals.best.1 * (1.0 + LATENCY_MARGIN),
        "{totals:?}"
    );
    assert!(totals.played.0 < totals.even.0 / 2.0, "{totals:?}");
}

#[test]
fn each_strategy_keeps_to_its_guards_and_betters_what_it_is_for() {
    for (strategy, of) in [
        (
            Strategy::ErrorRate,
            (|pair: (f64, f64)| pair.0) as fn((f64, f64)) -> f64,
        ),
        (Strategy::Latency, |pair| pair.1),
        (Strategy::HighestBlock, |pair| pair.0),
        (Strategy::AreaUnderTheCurve, |pair| pair.0),
        (Strategy::RateLimit, |pair| pair.0),
        (Strategy::Cost, |pair| pair.0),
    ] {
        let totals = totals(strategy);
        println!("{strategy}: {totals:?}");
        assert!(of(totals.played) < of(totals.even), "{strategy}: {totals:?}");
    }
}
