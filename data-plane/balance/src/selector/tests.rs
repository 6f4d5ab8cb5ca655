mod fail_open;
mod laws;
mod tiers_and_ramps;

use std::time::Duration;

use super::*;
use crate::facts::{Bar, BreakerView};
use crate::reach::OutOfReach;
use crate::{Exclusion, ExclusionCause};

const SECOND: Duration = Duration::from_secs(1);
const STRATEGIES: [Strategy; 4] = [
    Strategy::WeightRoundRobin,
    Strategy::LeastLoad,
    Strategy::FailoverPriority,
    Strategy::PeakEwma,
];

fn members(tiers: &[u32]) -> Vec<Member> {
    tiers
        .iter()
        .map(|tier| Member {
            weight: 1.0,
            tier: *tier,
        })
        .collect()
}

fn selector(strategy: Strategy, tiers: &[u32], now: Instant) -> Selector {
    Selector::new(SelectorSettings::new(strategy), &members(tiers), now)
}

fn opening(fail_open: FailOpen, strategy: Strategy, tiers: &[u32], now: Instant) -> Selector {
    let settings = SelectorSettings {
        fail_open,
        ..SelectorSettings::new(strategy)
    };
    Selector::new(settings, &members(tiers), now)
}

fn ask(now: Instant, random: u64) -> Ask {
    Ask {
        now,
        random,
        patience: now,
    }
}

fn taken(choice: Choice) -> Option<usize> {
    match choice {
        Choice::Take {
            position,
            fail_open: false,
        } => Some(position),
        _ => None,
    }
}

fn good() -> Facts {
    Facts::default()
}

/// Facts that stand against an upstream, and the obstacle that they are.
fn obstructed(now: Instant) -> Vec<(Facts, Obstacle)> {
    let until = now + SECOND;
    let rests = |cause| Exclusion { cause, until };
    let mut all = vec![(
        Facts {
            tried: true,
            ..good()
        },
        Obstacle::Tried,
    )];
    let mut add = |obstacle, change: &dyn Fn(&mut Facts)| {
        let mut facts = good();
        change(&mut facts);
        all.push((facts, obstacle));
    };
    for why in [Bar::Cordoned, Bar::WrongChain] {
        add(Obstacle::Barred(why), &|it| it.bar = Some(why));
    }
    add(Obstacle::MethodUnsupported, &|it| it.serves_method = false);
    let pruned = OutOfReach::Pruned { lowest: 9 };
    add(Obstacle::OutOfReach(pruned), &|it| it.reach = Reach::No(pruned));
    add(Obstacle::Throttled { until }, &|it| {
        it.exclusion = Some(rests(ExclusionCause::Throttled));
    });
    let unpaid = rests(ExclusionCause::Billing);
    add(Obstacle::Excluded(unpaid), &|it| it.exclusion = Some(unpaid));
    add(Obstacle::Unhealthy, &|it| it.healthy = false);
    for (view, until) in [
        (BreakerView::OpenUntil(until), Some(until)),
        (BreakerView::Trying, None),
    ] {
        add(Obstacle::BreakerOpen { until }, &|it| it.breaker = view);
    }
    for (headroom, until) in [(Headroom::At(until), Some(until)), (Headroom::NoSlot, None)] {
        add(Obstacle::Limited { until }, &|it| it.headroom = headroom);
    }
    all
}

#[test]
fn whatever_stands_against_one_the_other_is_taken() {
    let now = Instant::now();
    for strategy in STRATEGIES {
        let selector = selector(strategy, &[0, 0], now);
        for (facts, obstacle) in obstructed(now) {
            for random in 0..20 {
                let choice = selector.select(&[facts, good()], &ask(now, random));
                assert_eq!(taken(choice), Some(1), "{strategy:?} {obstacle:?}");
            }
        }
    }
}

#[test]
fn scenario_l8_each_upstream_says_what_stands_against_it() {
    let now = Instant::now();
    let (facts, expected): (Vec<_>, Vec<_>) = obstructed(now).into_iter().unzip();
    let mut tiers = vec![0; facts.len()];
    tiers.push(0);
    let mut members = members(&tiers);
    members[facts.len()].weight = 0.0;
    let selector = Selector::new(SelectorSettings::new(Strategy::PeakEwma), &members, now);
    let facts: Vec<Facts> = facts.into_iter().chain([good()]).collect();
    let told: Vec<_> = selector.obstacles(&facts).map(Option::unwrap).collect();
    assert_eq!(told[..expected.len()], expected);
    assert_eq!(told.last(), Some(&Obstacle::Drained));
    let names: std::collections::BTreeSet<_> = told.iter().map(Obstacle::name).collect();
    assert_eq!(
        names.len(),
        told.len() - 2,
        "a breaker has one name, and so has a limit"
    );
}

#[test]
fn scenario_l10_who_has_the_block_goes_before_who_may_have_it() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0, 0], now);
    let unknown = Facts {
        reach: Reach::Unknown,
        ..good()
    };
    for random in 0..20 {
        let choice = selector.select(&[unknown, good(), unknown], &ask(now, random));
        assert_eq!(taken(choice), Some(1));
        let choice = selector.select(&[unknown; 3], &ask(now, random));
        assert!(taken(choice).is_some(), "when nobody is sure, anybody");
    }
}

#[test]
fn a_rebuilt_selector_goes_on_where_the_old_one_was() {
    let now = Instant::now();
    let old = selector(Strategy::WeightRoundRobin, &[0, 0], now);
    assert_eq!(taken(old.select(&[good(); 2], &ask(now, 0))), Some(0));
    let swapped = old.rebuilt(
        SelectorSettings::new(Strategy::WeightRoundRobin),
        &members(&[0, 0]),
        &[Some(1), Some(0)],
        now,
    );
    assert_eq!(
        taken(swapped.select(&[good(); 2], &ask(now, 0))),
        Some(0),
        "whose turn it was"
    );
}

#[test]
fn racers_are_different_and_of_one_tier() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0, 0, 1], now);
    let mut facts = [good(); 4];
    facts[1].healthy = false;
    let raced = |facts: &[Facts], width| {
        let mut racers: Vec<_> = selector.racers(facts, &ask(now, 7), width).iter().collect();
        racers.sort_unstable();
        racers
    };
    facts[1].healthy = true;
    assert_eq!(raced(&facts, 9), [0, 1, 2]);
    assert_eq!(raced(&facts, 2).len(), 2);
    facts[..3].iter_mut().for_each(|facts| facts.tried = true);
    assert_eq!(raced(&facts, 9), [3]);
    facts[3].tried = true;
    assert!(raced(&facts, 9).is_empty());
}
