use proptest::prelude::*;

use super::*;

const SETTLE: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(1);

/// The health of tiers given as (healthy, total).
fn health(tiers: &[(u32, u32)]) -> [TierHealth; MAX_TIERS] {
    let mut health = [TierHealth::default(); MAX_TIERS];
    for (slot, (healthy, total)) in health.iter_mut().zip(tiers) {
        *slot = TierHealth {
            healthy: *healthy,
            total: *total,
        };
    }
    health
}

fn tiers(count: usize, now: Instant) -> Tiers {
    Tiers::new(TierSettings::new(1.4, SETTLE), count, now)
}

/// How many of 1,000 evenly spread requests each of the first three tiers takes.
fn shares(tiers: &Tiers, of: &[(u32, u32)], now: Instant) -> [u32; 3] {
    let mut counts = [0; 3];
    for request in 0..1_000 {
        counts[tiers.choose(&health(of), now, f64::from(request) / 1_000.0)] += 1;
    }
    counts
}

#[test]
fn the_next_tier_gets_nothing_while_the_first_can_carry_all() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    assert_eq!(shares(&tiers, &[(4, 4), (2, 2)], t0), [1_000, 0, 0]);
    assert_eq!(shares(&tiers, &[(3, 4), (2, 2)], t0), [1_000, 0, 0]);
}

#[test]
fn what_a_tier_cannot_carry_flows_to_the_next() {
    let t0 = Instant::now();
    let tiers = tiers(3, t0);
    assert_eq!(shares(&tiers, &[(2, 4), (1, 1), (1, 1)], t0), [700, 300, 0]);
    assert_eq!(shares(&tiers, &[(1, 4), (1, 4), (1, 1)], t0), [350, 350, 300]);
    assert_eq!(shares(&tiers, &[(0, 4), (0, 4), (1, 1)], t0), [0, 0, 1_000]);
}

#[test]
fn tiers_that_cannot_carry_it_all_share_in_proportion() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    assert_eq!(shares(&tiers, &[(1, 7), (1, 7)], t0), [500, 500, 0]);
}

#[test]
fn a_tier_gets_load_back_after_it_was_well_for_the_settling_time() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    assert_eq!(shares(&tiers, &[(0, 1), (1, 1)], t0), [0, 1_000, 0]);
    assert_eq!(shares(&tiers, &[(1, 1), (1, 1)], t0), [0, 1_000, 0]);
    assert_eq!(
        shares(&tiers, &[(1, 1), (1, 1)], t0 + SETTLE - TICK),
        [0, 1_000, 0]
    );
    assert_eq!(shares(&tiers, &[(1, 1), (1, 1)], t0 + SETTLE), [1_000, 0, 0]);
}

#[test]
fn a_relapse_starts_the_settling_time_again() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    for of in [[(0, 1), (1, 1)], [(1, 1), (1, 1)]] {
        shares(&tiers, &of, t0);
    }
    shares(&tiers, &[(0, 1), (1, 1)], t0 + SETTLE / 2);
    assert_eq!(shares(&tiers, &[(1, 1), (1, 1)], t0 + SETTLE), [0, 1_000, 0]);
    assert_eq!(shares(&tiers, &[(1, 1), (1, 1)], t0 + 2 * SETTLE), [1_000, 0, 0]);
}

#[test]
fn when_the_others_are_gone_a_tier_serves_before_it_has_settled() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    shares(&tiers, &[(0, 1), (1, 1)], t0);
    assert_eq!(shares(&tiers, &[(1, 1), (0, 1)], t0 + TICK), [1_000, 0, 0]);
}

#[test]
fn ten_alternations_end_on_the_right_side() {
    let t0 = Instant::now();
    let tiers = tiers(2, t0);
    let mut now = t0;
    for _ in 0..10 {
        assert_eq!(shares(&tiers, &[(0, 2), (1, 1)], now), [0, 1_000, 0]);
        now += SETTLE / 3;
        assert_eq!(
            shares(&tiers, &[(2, 2), (1, 1)], now),
            [0, 1_000, 0],
            "not settled"
        );
        now += SETTLE / 3;
    }
    shares(&tiers, &[(2, 2), (1, 1)], now);
    assert_eq!(shares(&tiers, &[(2, 2), (1, 1)], now + SETTLE), [1_000, 0, 0]);
    let rebuilt = Tiers::new(TierSettings::default(), 2, now).continuing(&tiers);
    assert_eq!(shares(&rebuilt, &[(2, 2), (1, 1)], now + SETTLE), [1_000, 0, 0]);
}

#[test]
fn a_rebuilt_route_remembers_who_has_not_settled() {
    let t0 = Instant::now();
    let old = tiers(2, t0);
    shares(&old, &[(0, 1), (1, 1)], t0);
    let rebuilt = Tiers::new(TierSettings::new(1.4, SETTLE), 2, t0 + TICK).continuing(&old);
    assert_eq!(shares(&rebuilt, &[(1, 1), (1, 1)], t0 + TICK), [0, 1_000, 0]);
}

#[test]
fn an_infinite_factor_keeps_all_load_on_one_healthy_upstream() {
    let t0 = Instant::now();
    let tiers = Tiers::new(TierSettings::new(f64::INFINITY, SETTLE), 2, t0);
    assert_eq!(shares(&tiers, &[(1, 50), (5, 5)], t0), [1_000, 0, 0]);
}

proptest! {
    #[test]
    fn a_tier_without_anybody_healthy_is_never_chosen_while_another_has_somebody(
        steps in proptest::collection::vec((0_u32..3, 0_u32..3, 0_u32..3, 0_u64..8_000, 0.0..1.0), 1..60),
    ) {
        let mut now = Instant::now();
        let tiers = tiers(3, now);
        for (a, b, c, wait, unit) in steps {
            now += Duration::from_millis(wait);
            let of = [(a, 2), (b, 2), (c, 2)];
            let chosen = tiers.choose(&health(&of), now, unit);
            prop_assert!(of[chosen].0 > 0 || a + b + c == 0);
        }
    }
}
