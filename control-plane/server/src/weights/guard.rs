//! The rails that recommended weights keep to, whoever computed them. Pure.

use std::time::Duration;

use tyrscale_model::{UpstreamId, Violation, ViolationCode};

/// How far recommended weights may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Guards {
    /// The least weight above 0, so that an upstream is still tried: above 0, at most 100.
    pub(crate) floor: f64,
    /// By how much one call may change a weight: above 0, at most 100.
    pub(crate) max_step: f64,
    /// The share of a route's usable upstreams that may have weight 0, in percent: 0 to 99.
    pub(crate) max_zero_percent: u32,
    /// Between two calls for one route.
    pub(crate) min_interval: Duration,
}

/// An upstream of the route as it is now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Member {
    pub(crate) upstream: UpstreamId,
    /// The weight that counts now.
    pub(crate) current: f64,
    /// Whether its operator lets it take traffic.
    pub(crate) usable: bool,
}

/// Moves what is `wanted` to the nearest that the rails allow, and tells what was moved. Whoever is not usable is left
/// alone: what is recommended for it does not count.
pub(crate) fn clamp(members: &[Member], wanted: &mut [(UpstreamId, f64)], guards: &Guards) -> Vec<Violation> {
    let mut moved = Vec::new();
    let member = |upstream| {
        members
            .iter()
            .find(|member| member.upstream == upstream && member.usable)
    };
    for (upstream, weight) in wanted.iter_mut() {
        let Some(member) = member(*upstream) else { continue };
        let low = (member.current - guards.max_step).max(0.0);
        let high = (member.current + guards.max_step).min(100.0);
        if *weight < low || *weight > high {
            let allowed = weight.clamp(low, high);
            let rule = format!("one step is at most {} from {}", guards.max_step, member.current);
            moved.push(moves(*upstream, *weight, allowed, &rule));
            *weight = allowed;
        }
        if *weight > 0.0 && *weight < guards.floor {
            let rule = format!("the least above 0 is {}", guards.floor);
            moved.push(moves(*upstream, *weight, guards.floor, &rule));
            *weight = guards.floor;
        }
    }
    let usable: Vec<&Member> = members.iter().filter(|member| member.usable).collect();
    let allowed = usable.len()
        * usize::try_from(guards.max_zero_percent)
            .unwrap_or(usize::MAX)
            .min(99)
        / 100;
    let weight_of = |wanted: &[(UpstreamId, f64)], member: &Member| {
        let named = wanted.iter().find(|(upstream, _)| *upstream == member.upstream);
        named.map_or(member.current, |(_, weight)| *weight)
    };
    let zeros = usable.iter().filter(|member| weight_of(wanted, member) <= 0.0);
    let mut excess = zeros.count().saturating_sub(allowed);
    // Those that carry most now are kept.
    let mut by_current: Vec<&&Member> = usable.iter().collect();
    by_current.sort_by(|a, b| b.current.total_cmp(&a.current));
    for member in by_current {
        let slot = wanted
            .iter_mut()
            .find(|(upstream, weight)| *upstream == member.upstream && *weight <= 0.0);
        if let Some((upstream, weight)) = slot.filter(|_| excess > 0) {
            let rule = format!(
                "at most {allowed} of {} usable upstreams may have weight 0",
                usable.len()
            );
            moved.push(moves(*upstream, *weight, guards.floor, &rule));
            *weight = guards.floor;
            excess -= 1;
        }
    }
    moved
}

fn moves(upstream: UpstreamId, from: f64, to: f64, rule: &str) -> Violation {
    let message = format!("{from} is set to {to}: {rule}");
    Violation::new("weight", ViolationCode::OutOfRange, message).of(upstream.key())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GUARDS: Guards = Guards {
        floor: 1.0,
        max_step: 50.0,
        max_zero_percent: 50,
        min_interval: Duration::from_secs(5),
    };

    fn upstream(number: usize) -> UpstreamId {
        format!("00000000-0000-4000-8000-0000000000{number:02x}")
            .parse()
            .unwrap()
    }

    fn members(current: &[f64]) -> Vec<Member> {
        let member = |(number, current): (usize, &f64)| Member {
            upstream: upstream(number),
            current: *current,
            usable: true,
        };
        current.iter().enumerate().map(member).collect()
    }

    fn clamped(current: &[f64], wanted: &[f64]) -> (Vec<f64>, usize) {
        let mut wanted: Vec<_> = wanted
            .iter()
            .enumerate()
            .map(|(number, weight)| (upstream(number), *weight))
            .collect();
        let moved = clamp(&members(current), &mut wanted, &GUARDS).len();
        (wanted.into_iter().map(|(_, weight)| weight).collect(), moved)
    }

    #[test]
    fn steps_floor_and_zeros_are_kept_and_told() {
        assert_eq!(clamped(&[10.0, 10.0], &[20.0, 5.0]), (vec![20.0, 5.0], 0));
        assert_eq!(clamped(&[10.0, 80.0], &[90.0, 10.0]), (vec![60.0, 30.0], 2));
        assert_eq!(clamped(&[10.0, 10.0], &[0.2, 5.0]), (vec![1.0, 5.0], 1));
        assert_eq!(
            clamped(&[10.0, 40.0, 20.0], &[0.0, 0.0, 0.0]),
            (vec![0.0, 1.0, 1.0], 2),
            "one of three may go, and not those that carry most"
        );
        assert_eq!(clamped(&[10.0], &[0.0]), (vec![1.0], 1), "the only one stays");
    }

    #[test]
    fn whom_the_operator_has_taken_out_is_neither_counted_nor_moved() {
        let mut members = members(&[10.0, 0.0]);
        members[1].usable = false;
        let mut wanted = vec![(upstream(0), 0.0), (upstream(1), 99.0)];
        clamp(&members, &mut wanted, &GUARDS);
        assert_eq!(wanted, [(upstream(0), 1.0), (upstream(1), 99.0)]);
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_the_route_stays_served(
            current in proptest::collection::vec(prop_oneof![Just(0.0), 0.1..100.0f64], 1..8),
            wanted in proptest::collection::vec(prop_oneof![Just(0.0), 0.0..=100.0f64], 8),
        ) {
            let (weights, _) = clamped(&current, &wanted[..current.len()]);
            let zeros = weights.iter().filter(|weight| **weight == 0.0).count();
            prop_assert!(zeros <= current.len() / 2);
            prop_assert!(weights.iter().sum::<f64>() > 0.0);
            for (weight, current) in weights.iter().zip(&current) {
                prop_assert!((weight - current).abs() <= GUARDS.max_step + GUARDS.floor);
                prop_assert!(*weight == 0.0 || *weight >= GUARDS.floor);
            }
        }
    }
}
