//! Tiers, and upstreams that start slowly.

use super::*;
use crate::share::Share;

const DOWN: fn() -> Facts = || Facts {
    healthy: false,
    ..good()
};

fn counts(selector: &Selector, facts: &[Facts], now: Instant, requests: u64) -> Vec<u64> {
    let mut counts = vec![0; facts.len()];
    for random in 0..requests {
        counts[taken(selector.select(facts, &ask(now, random))).unwrap()] += 1;
    }
    counts
}

#[test]
fn scenario_113_a_fallback_gets_nothing_while_the_primaries_are_well_and_all_when_none_is() {
    let now = Instant::now();
    for strategy in STRATEGIES {
        let selector = selector(strategy, &[5, 5, 70], now);
        assert_eq!(counts(&selector, &[good(); 3], now, 500)[2], 0);
        assert_eq!(
            counts(&selector, &[DOWN(), DOWN(), good()], now, 500),
            [0, 0, 500]
        );
        // Back in rotation, but not yet settled.
        assert_eq!(counts(&selector, &[good(); 3], now, 500)[2], 500);
        assert_eq!(counts(&selector, &[good(); 3], now + 10 * SECOND, 500)[2], 0);
    }
}

#[test]
fn half_of_the_primaries_keep_70_percent_and_the_rest_overflows() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0, 1], now);
    let counts = counts(&selector, &[good(), DOWN(), good()], now, 10_000);
    assert!((6_800..7_200).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[0] + counts[2], 10_000);
}

#[test]
fn a_retry_goes_to_the_next_tier_when_the_first_is_tried() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 1, 2], now);
    let tried = Facts {
        tried: true,
        ..good()
    };
    assert_eq!(
        taken(selector.select(&[tried, good(), good()], &ask(now, 1))),
        Some(1)
    );
    assert_eq!(
        taken(selector.select(&[tried, tried, good()], &ask(now, 1))),
        Some(2)
    );
}

#[test]
fn more_tiers_than_are_told_apart_still_serve() {
    let now = Instant::now();
    let tiers: Vec<u32> = (0..20).collect();
    let selector = selector(Strategy::WeightRoundRobin, &tiers, now);
    let mut facts = vec![DOWN(); 20];
    facts[19] = good();
    assert_eq!(taken(selector.select(&facts, &ask(now, 1))), Some(19));
}

#[test]
fn a_ramping_upstream_takes_its_part_of_its_share_under_every_strategy() {
    let now = Instant::now();
    for strategy in STRATEGIES {
        for percent in [10_u32, 50, 100] {
            let selector = selector(strategy, &[0, 0], now);
            let ramping = Facts {
                ramp: Share::new(f64::from(percent) / 100.0),
                ..good()
            };
            let counts = counts(&selector, &[ramping, good()], now, 10_000);
            // Of 10,000: its part of its share at least; at most what its part of its weight is worth.
            let (least, most) = if strategy == Strategy::FailoverPriority {
                (percent * 100, percent * 100)
            } else {
                (percent * 50, percent * 10_000 / (100 + percent))
            };
            let (least, most) = (u64::from(least.saturating_sub(200)), u64::from(most + 200));
            assert!(
                (least..=most).contains(&counts[0]),
                "{strategy:?} at {percent} %: {counts:?}"
            );
        }
    }
}

#[test]
fn those_who_start_together_share_as_if_they_had_not() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0], now);
    let ramping = Facts {
        ramp: Share::new(0.1),
        ..good()
    };
    assert_eq!(counts(&selector, &[ramping; 2], now, 1_000), [500, 500]);
    let alone = counts(&selector, &[ramping, DOWN()], now, 100);
    assert_eq!(alone, [100, 0], "the only one left takes everything");
}
