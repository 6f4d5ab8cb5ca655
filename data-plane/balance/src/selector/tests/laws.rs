//! What holds for any facts.

use proptest::collection::vec;
use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generate;

use super::*;
use crate::share::Share;

type AnyFacts = (Facts, u32, bool);

fn any_facts(now: Instant) -> impl Generate<Value = AnyFacts> {
    let obstructed: Vec<Facts> = obstructed(now).into_iter().map(|(facts, _)| facts).collect();
    let base = prop_oneof![
        2 => Just(good()),
        3 => proptest::sample::select(obstructed),
    ];
    let rest = (
        0_u32..4,
        0.0..1.0,
        any::<u32>(),
        proptest::option::of(0_u64..5_000),
    );
    (base, rest, any::<bool>(), proptest::bool::weighted(0.2)).prop_map(
        |(facts, (tier, ramp, in_flight, latency), tried, drained)| {
            let facts = Facts {
                ramp: Share::new(ramp),
                in_flight,
                latency: latency.map(|millis| Duration::from_millis(millis).into()),
                tried: facts.tried || tried,
                ..facts
            };
            (facts, tier, drained)
        },
    )
}

proptest! {
    #[test]
    fn an_eligible_upstream_is_taken_iff_there_is_one(
        upstreams in vec(any_facts(Instant::now()), 0..40), random: u64,
    ) {
        let now = Instant::now();
        let members: Vec<Member> = upstreams
            .iter()
            .map(|(_, tier, drained)| Member { weight: if *drained { 0.0 } else { 1.5 }, tier: *tier })
            .collect();
        let facts: Vec<Facts> = upstreams.iter().map(|(facts, ..)| *facts).collect();
        for strategy in STRATEGIES {
            let selector = Selector::new(SelectorSettings { fail_open: FailOpen::All, ..SelectorSettings::new(strategy) }, &members, now);
            let obstacles: Vec<_> = selector.obstacles(&facts).collect();
            let somebody = obstacles.contains(&None);
            match selector.select(&facts, &ask(now, random)) {
                Choice::Take { position, fail_open: false } => prop_assert_eq!(obstacles[position], None),
                Choice::Take { position, fail_open: true } => {
                    prop_assert!(!somebody);
                    let remedy = obstacles[position].unwrap().remedy();
                    prop_assert!(matches!(remedy, Remedy::Doubt | Remedy::Return(_) | Remedy::Account(_)));
                }
                Choice::Wait { .. } | Choice::Nobody { .. } => prop_assert!(!somebody),
            }
            let racers: Vec<_> = selector.racers(&facts, &ask(now, random), 3).iter().collect();
            prop_assert_eq!(racers.is_empty(), !somebody);
            for (nth, racer) in racers.iter().enumerate() {
                prop_assert_eq!(obstacles[*racer], None);
                prop_assert!(!racers[..nth].contains(racer));
            }
        }
    }

}

proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn scenario_114_fractional_weights_are_exact_over_10_000_requests(
        tenths in vec(0_u32..1_000, 2..6), random: u64,
    ) {
        // The last brings the sum to 1,000, so that 10,000 requests are ten cycles.
        let mut tenths = tenths;
        let sum: u32 = tenths.iter().sum();
        let whole = sum.div_ceil(1_000).max(1) * 1_000;
        tenths.push(whole - sum);
        let now = Instant::now();
        let members: Vec<Member> =
            tenths.iter().map(|tenths| Member { weight: f64::from(*tenths) / 10.0, tier: 0 }).collect();
        let selector = Selector::new(SelectorSettings::new(Strategy::WeightRoundRobin), &members, now);
        let facts = vec![good(); members.len()];
        let mut counts = vec![0_u32; members.len()];
        for request in 0..10_000 {
            let choice = selector.select(&facts, &ask(now, random ^ request));
            counts[taken(choice).unwrap()] += 1;
        }
        for (count, tenths) in counts.iter().zip(&tenths) {
            let share = f64::from(10_000 * tenths) / f64::from(whole);
            prop_assert!((f64::from(*count) - share).abs() < 1.0 + f64::from(u8::try_from(counts.len()).unwrap()));
            prop_assert!(10_000 % whole != 0 || f64::from(*count) == share, "{count} of {share}");
        }
    }
}
