use proptest::collection::vec;
use proptest::prelude::{Just, any, prop_assert, prop_oneof, proptest};
use proptest::strategy::Strategy as Generate;

use super::{Candidate, Picker, Strategy};

const STRATEGIES: [Strategy; 4] = [
    Strategy::WeightRoundRobin,
    Strategy::LeastLoad,
    Strategy::FailoverPriority,
    Strategy::PeakEwma,
];

fn idle(upstreams: usize) -> Vec<Candidate> {
    vec![
        Candidate {
            in_flight: 0,
            eligible: true,
            latency: None,
        };
        upstreams
    ]
}

fn loaded(in_flight: &[u32]) -> Vec<Candidate> {
    in_flight
        .iter()
        .map(|&in_flight| Candidate {
            in_flight,
            eligible: true,
            latency: None,
        })
        .collect()
}

/// How often each upstream is picked when nothing is in the way.
fn shares(picker: &Picker, upstreams: usize, requests: usize) -> Vec<usize> {
    let mut counts = vec![0; upstreams];
    for _ in 0..requests {
        counts[picker.pick(&idle(upstreams), 0).unwrap()] += 1;
    }
    counts
}

/// One request that fails on `failing` and tries the others in turn; returns whom it tried.
fn request_with_retries(picker: &Picker, upstreams: usize, failing: usize) -> Vec<usize> {
    let mut candidates = idle(upstreams);
    let mut tried = Vec::new();
    while let Some(position) = picker.pick(&candidates, 0) {
        tried.push(position);
        if position != failing {
            break;
        }
        candidates[position].eligible = false;
    }
    tried
}

#[test]
fn case_147_fractional_weights_share_exactly() {
    let even = Picker::new(Strategy::WeightRoundRobin, &[0.5, 0.5]);
    assert_eq!(shares(&even, 2, 100), [50, 50]);

    let uneven = Picker::new(Strategy::WeightRoundRobin, &[99.5, 0.5]);
    for _ in 0..3 {
        assert_eq!(shares(&uneven, 2, 200), [199, 1]);
    }
}

#[test]
fn round_robin_of_50_30_20_is_exact_and_spread_out_in_each_ten() {
    let picker = Picker::new(Strategy::WeightRoundRobin, &[50.0, 30.0, 20.0]);
    for _ in 0..3 {
        let ten: Vec<usize> = (0..10).map(|_| picker.pick(&idle(3), 0).unwrap()).collect();
        assert_eq!(ten, [0, 1, 2, 0, 0, 1, 0, 2, 1, 0]);
    }
}

#[test]
fn round_robin_does_not_drift_over_many_picks() {
    let weights = [0.1, 0.2, 33.3, 66.4];
    let picker = Picker::new(Strategy::WeightRoundRobin, &weights);
    assert_eq!(shares(&picker, 4, 300_000), [300, 600, 99_900, 199_200]);
}

#[test]
fn case_148_every_request_finds_an_upstream_that_works() {
    for strategy in STRATEGIES {
        let picker = Picker::new(strategy, &[1.0, 1.0, 1.0]);
        for _ in 0..100 {
            let tried = request_with_retries(&picker, 3, 0);
            assert!(
                tried.last().is_some_and(|last| *last != 0),
                "{strategy:?} ended on {tried:?}"
            );
        }
    }
}

#[test]
fn retries_leave_the_shares_of_first_attempts_alone() {
    let picker = Picker::new(Strategy::WeightRoundRobin, &[50.0, 30.0, 20.0]);
    let (mut first, mut second) = ([0_i32; 3], [0_i32; 3]);
    for _ in 0..1_000 {
        let tried = request_with_retries(&picker, 3, 0);
        first[tried[0]] += 1;
        if let Some(retried_on) = tried.get(1) {
            second[*retried_on] += 1;
        }
    }
    for (count, share) in first.iter().zip([500, 300, 200]) {
        assert!((count - share).abs() <= 2, "first attempts {first:?}");
    }
    for (count, share) in second.iter().zip([0, 300, 200]) {
        assert!((count - share).abs() <= 2, "retries {second:?}");
    }
}

#[test]
fn an_upstream_that_was_away_returns_without_a_burst() {
    let picker = Picker::new(Strategy::WeightRoundRobin, &[1.0, 1.0]);
    let mut without_first = idle(2);
    without_first[0].eligible = false;
    for _ in 0..1_000 {
        assert_eq!(picker.pick(&without_first, 0), Some(1));
    }
    assert_eq!(shares(&picker, 2, 10), [5, 5]);
}

#[test]
fn case_150_least_load_spares_a_slow_upstream() {
    // A holds each request for ten picks, B answers before the next.
    let picker = Picker::new(Strategy::LeastLoad, &[1.0, 1.0]);
    let mut held_until = Vec::new();
    let mut counts = [0; 2];
    for now in 0..1_000 {
        held_until.retain(|until| *until > now);
        let picked = picker
            .pick(&loaded(&[u32::try_from(held_until.len()).unwrap(), 0]), 0)
            .unwrap();
        counts[picked] += 1;
        if picked == 0 {
            held_until.push(now + 10);
        }
    }
    assert!(counts[0] >= 80 && counts[0] * 4 < counts[1], "{counts:?}");
}

#[test]
fn case_151_least_load_serves_an_upstream_whose_weight_was_raised() {
    let before = Picker::new(Strategy::LeastLoad, &[50.0, 50.0]);
    shares(&before, 2, 1_000);
    let after = before.rebuilt(Strategy::LeastLoad, &[60.0, 50.0], &[Some(0), Some(1)]);
    assert_eq!(after.pick(&idle(2), 0), Some(0));
    // Six to five in flight is in proportion: equal loads, so both get their turn.
    let at_par: Vec<_> = (0..4).map(|_| after.pick(&loaded(&[5, 4]), 0).unwrap()).collect();
    assert_eq!(at_par, [1, 0, 1, 0]);
}

#[test]
fn least_load_rotates_among_equals() {
    let picker = Picker::new(Strategy::LeastLoad, &[2.0, 2.0, 2.0, 2.0]);
    assert_eq!(shares(&picker, 4, 40), [10; 4]);
    // A busy one between equals does not double its neighbour's turns.
    let mut counts = [0; 4];
    for _ in 0..30 {
        counts[picker.pick(&loaded(&[0, 7, 0, 0]), 0).unwrap()] += 1;
    }
    assert_eq!(counts, [10, 0, 10, 10]);
}

#[test]
fn least_load_fills_upstreams_in_proportion_to_weight() {
    let picker = Picker::new(Strategy::LeastLoad, &[50.0, 30.0, 20.0]);
    let mut in_flight = [0; 3];
    for _ in 0..100 {
        in_flight[picker.pick(&loaded(&in_flight), 0).unwrap()] += 1;
    }
    assert_eq!(in_flight, [50, 30, 20]);
}

#[test]
fn case_152_failover_keeps_to_the_highest_weight() {
    let picker = Picker::new(Strategy::FailoverPriority, &[50.0, 20.0]);
    assert_eq!(shares(&picker, 2, 20), [20, 0]);
    let raised = picker.rebuilt(Strategy::FailoverPriority, &[50.0, 60.0], &[Some(0), Some(1)]);
    assert_eq!(shares(&raised, 2, 20), [0, 20]);
}

#[test]
fn failover_goes_down_the_ranks_and_keeps_the_order_of_equals() {
    let picker = Picker::new(Strategy::FailoverPriority, &[10.0, 30.0, 10.0, 20.0]);
    let mut candidates = idle(4);
    let mut order = Vec::new();
    while let Some(position) = picker.pick(&candidates, 0) {
        candidates[position].eligible = false;
        order.push(position);
    }
    assert_eq!(order, [1, 3, 0, 2]);
}

#[test]
fn a_rebuilt_round_robin_goes_on_where_the_old_one_was() {
    let weights = [50.0, 30.0, 20.0];
    let old = Picker::new(Strategy::WeightRoundRobin, &weights);
    shares(&old, 3, 4);
    // Same upstreams in another order.
    let rebuilt = old.rebuilt(
        Strategy::WeightRoundRobin,
        &[20.0, 50.0, 30.0],
        &[Some(2), Some(0), Some(1)],
    );
    for _ in 0..20 {
        let expected = [1, 2, 0][old.pick(&idle(3), 0).unwrap()];
        assert_eq!(rebuilt.pick(&idle(3), 0), Some(expected));
    }
}

#[test]
fn rebuilding_at_each_request_keeps_the_shares() {
    let mut picker = Picker::new(Strategy::WeightRoundRobin, &[75.0, 25.0]);
    let mut counts = [0; 2];
    for round in 0..400 {
        // The same proportion on ever other scales.
        let scale = f64::from(1 + round % 7);
        let weights = [3.0 * scale, scale];
        picker = picker.rebuilt(Strategy::WeightRoundRobin, &weights, &[Some(0), Some(1)]);
        counts[picker.pick(&idle(2), 0).unwrap()] += 1;
    }
    assert!((299..=301).contains(&counts[0]), "{counts:?}");
}

#[test]
fn a_newcomer_gets_its_share_at_once_however_many_came_and_went() {
    let mut picker = Picker::new(Strategy::WeightRoundRobin, &[1.0, 1.0, 1.0]);
    for _ in 0..1_000 {
        let left = picker.pick(&idle(3), 0).unwrap();
        let mut carried = [Some(0), Some(1), Some(2)];
        carried[left] = None;
        picker = picker.rebuilt(Strategy::WeightRoundRobin, &[1.0; 3], &carried);
    }
    for share in shares(&picker, 3, 30) {
        assert!((9..=11).contains(&share));
    }
}

#[test]
fn lists_of_different_length_never_pick_beyond_the_shorter() {
    for strategy in STRATEGIES {
        let picker = Picker::new(strategy, &[1.0, 1.0]);
        assert!(picker.pick(&idle(5), 0).is_some_and(|position| position < 2));
        assert_eq!(picker.pick(&idle(1), 0), Some(0));
        assert_eq!(picker.pick(&[], 0), None);
        let rebuilt = picker.rebuilt(strategy, &[1.0; 3], &[Some(9)]);
        assert!(rebuilt.pick(&idle(3), 0).is_some());
    }
}

fn any_weight() -> impl Generate<Value = f64> {
    prop_oneof![
        2 => Just(0.0),
        6 => (1_u32..1_000).prop_map(|tenths| f64::from(tenths) / 10.0),
        1 => any::<f64>(),
    ]
}

fn any_candidate() -> impl Generate<Value = Candidate> {
    (prop_oneof![4 => 0_u32..5, 1 => any::<u32>()], any::<bool>()).prop_map(|(in_flight, eligible)| {
        Candidate {
            in_flight,
            eligible,
            latency: None,
        }
    })
}

proptest! {
    #[test]
    fn picks_an_eligible_undrained_upstream_iff_there_is_one(
        upstreams in vec((any_weight(), vec(any_candidate(), 30)), 0..8),
    ) {
        let weights: Vec<f64> = upstreams.iter().map(|(weight, _)| *weight).collect();
        for strategy in STRATEGIES {
            let picker = Picker::new(strategy, &weights);
            for request in 0..30 {
                let candidates: Vec<Candidate> = upstreams.iter().map(|(_, candidates)| candidates[request]).collect();
                let may = |position: usize| candidates[position].eligible && weights[position] > 0.0;
                match picker.pick(&candidates, 0) {
                    Some(position) => prop_assert!(may(position)),
                    None => prop_assert!(!(0..weights.len()).any(may)),
                }
            }
        }
    }

    #[test]
    fn round_robin_is_exact_at_the_end_of_each_cycle_and_never_a_request_ahead(
        weights in vec(0_u32..40, 1..7),
    ) {
        let total: u32 = weights.iter().sum();
        let picker =
            Picker::new(Strategy::WeightRoundRobin, &weights.iter().map(|w| f64::from(*w) / 10.0).collect::<Vec<_>>());
        let mut counts = vec![0_u32; weights.len()];
        for request in 1..=2 * total {
            let picked = picker.pick(&idle(weights.len()), 0).unwrap();
            counts[picked] += 1;
            for (count, weight) in counts.iter().zip(&weights) {
                // count < share + 1, in whole numbers
                prop_assert!(count * total < request * weight + total);
            }
            if request % total == 0 {
                let cycles = request / total;
                prop_assert!(counts.iter().zip(&weights).all(|(count, weight)| *count == weight * cycles));
            }
        }
    }

    #[test]
    fn round_robin_keeps_to_the_shares_whoever_is_away(
        weights in vec(1_u32..40, 2..6), away in vec(any::<u8>(), 400),
    ) {
        let upstreams = weights.len();
        let picker =
            Picker::new(Strategy::WeightRoundRobin, &weights.iter().copied().map(f64::from).collect::<Vec<_>>());
        let total: i64 = weights.iter().copied().map(i64::from).sum();
        let mut owed = vec![0_i64; upstreams];
        for bits in away {
            let mut candidates = idle(upstreams);
            for (position, candidate) in candidates.iter_mut().enumerate() {
                candidate.eligible = bits & (1 << position) == 0;
            }
            let Some(picked) = picker.pick(&candidates, 0) else { continue };
            for (position, candidate) in candidates.iter().enumerate() {
                if candidate.eligible {
                    owed[position] += i64::from(weights[position]);
                    owed[picked] -= i64::from(weights[position]);
                }
            }
            // What is owed stays bounded, however long and whoever is away.
            let bound = total * i64::try_from(upstreams).unwrap();
            prop_assert!(owed.iter().all(|owed| owed.abs() <= bound), "{owed:?} of {bound}");
        }
    }

    #[test]
    fn least_load_never_picks_a_busier_upstream(
        upstreams in vec((1_u32..100, any_candidate()), 1..8),
    ) {
        let weights: Vec<f64> = upstreams.iter().map(|(weight, _)| f64::from(*weight)).collect();
        let candidates: Vec<Candidate> = upstreams.iter().map(|(_, candidate)| *candidate).collect();
        let load = |(weight, candidate): &(u32, Candidate)| (f64::from(candidate.in_flight) + 1.0) / f64::from(*weight);
        if let Some(position) = Picker::new(Strategy::LeastLoad, &weights).pick(&candidates, 0) {
            let picked = load(&upstreams[position]);
            prop_assert!(upstreams.iter().filter(|(_, c)| c.eligible).all(|other| picked <= load(other)));
        }
    }

    #[test]
    fn changes_never_starve_an_upstream(
        changes in vec((vec(1_u32..100, 2..6), any::<[bool; 6]>(), 0_usize..20), 1..12),
    ) {
        let mut picker = Picker::new(Strategy::WeightRoundRobin, &[]);
        let mut last: Vec<u32> = Vec::new();
        for (weights, kept, requests) in changes {
            let carried: Vec<Option<usize>> =
                (0..weights.len()).map(|position| (kept[position] && position < last.len()).then_some(position)).collect();
            let as_floats: Vec<f64> = weights.iter().copied().map(f64::from).collect();
            picker = picker.rebuilt(Strategy::WeightRoundRobin, &as_floats, &carried);
            shares(&picker, weights.len(), requests);
            last = weights;
        }
        // However the route came to be, a few cycles later each has had about its share.
        let total: u32 = last.iter().sum();
        let cycles = u32::try_from(last.len()).unwrap() * 4;
        let counts = shares(&picker, last.len(), usize::try_from(total * cycles).unwrap());
        for (count, weight) in counts.iter().zip(&last) {
            prop_assert!(*count > 0, "weight {weight} got nothing of {counts:?}");
        }
    }
}
