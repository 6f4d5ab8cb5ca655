use std::time::{Duration, Instant};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::breaker::{Breaker, BreakerSettings, BreakerState};
use crate::{corroborated, is_level};

const CHECKS: [HealthCheckType; 3] = [
    HealthCheckType::EthBlockNumber,
    HealthCheckType::EthSyncing,
    HealthCheckType::Custom,
];

#[test]
fn starts_healthy_and_needs_several_bad_probes_in_a_row_to_leave() {
    let mut health = HealthState::new(HealthThresholds::new(3, 2));
    assert!(health.is_healthy());
    let changes: Vec<_> = [false, false, true, false, false, false, false]
        .map(|ok| health.observe(ok))
        .to_vec();
    assert_eq!(
        changes,
        [
            None,
            None,
            None,
            None,
            None,
            Some(Transition::BecameUnhealthy),
            None
        ]
    );
    assert!(!health.is_healthy());
}

#[test]
fn needs_several_good_probes_in_a_row_to_return() {
    let mut health = HealthState::new(HealthThresholds::new(1, 2));
    assert_eq!(health.observe(false), Some(Transition::BecameUnhealthy));
    let changes: Vec<_> = [true, false, true, true].map(|ok| health.observe(ok)).to_vec();
    assert_eq!(changes, [None, None, None, Some(Transition::BecameHealthy)]);
}

#[test]
fn zero_thresholds_stand_for_two() {
    assert_eq!(HealthThresholds::new(0, 0), HealthThresholds::new(2, 2));
}

#[test]
fn case_157_a_lagging_upstream_leaves_and_returns_within_two_rounds() {
    let mut healths = [
        HealthState::new(HealthThresholds::new(2, 2)),
        HealthState::new(HealthThresholds::new(2, 2)),
    ];
    let mut round = |heights: [u64; 2]| {
        let chain = corroborated(&heights.map(Some));
        for (health, height) in healths.iter_mut().zip(heights) {
            let outcome = if is_level(height, chain, 2) {
                ProbeOutcome::Passed
            } else {
                ProbeOutcome::Behind
            };
            if let Some(good) = judge_probe(HealthCheckType::EthBlockNumber, false, outcome).health {
                health.observe(good);
            }
        }
        healths.each_ref().map(HealthState::is_healthy)
    };
    assert_eq!(round([100, 100]), [true, true]);
    assert_eq!(round([101, 91]), [true, true]);
    assert_eq!(round([102, 92]), [true, false]);
    assert_eq!(round([103, 103]), [true, false]);
    assert_eq!(round([104, 104]), [true, true]);
}

#[test]
fn case_163_probes_alone_open_the_breaker_and_close_it_again() {
    let t0 = Instant::now();
    let timeout = Duration::from_secs(5);
    for check in CHECKS {
        let mut breaker = Breaker::new(BreakerSettings::new(2, 3, Duration::from_secs(120), timeout), t0);
        let mut health = HealthState::new(HealthThresholds::new(2, 2));
        let mut probe = |answers: bool, second: u64| {
            let now = t0 + Duration::from_secs(second);
            let permit = breaker.try_acquire(now);
            let outcome = match (&permit, answers) {
                (Err(refusal), _) => ProbeOutcome::Refused(*refusal),
                (Ok(_), true) => ProbeOutcome::Passed,
                (Ok(_), false) => ProbeOutcome::Failed,
            };
            let judgement = judge_probe(check, true, outcome);
            match (judgement.breaker, permit) {
                (Some(Verdict::Success), Ok(permit)) => breaker.on_success(permit, now),
                (Some(Verdict::Failure), Ok(permit)) => breaker.on_failure(permit, now),
                (None, Err(_)) => None,
                mismatch => panic!("{mismatch:?}"),
            };
            if let Some(good) = judgement.health {
                health.observe(good);
            }
            (breaker.state(now), health.is_healthy())
        };
        for second in 0..3 {
            probe(false, second);
        }
        assert_eq!(probe(true, 3).0, BreakerState::Open, "{check:?}");
        assert_eq!(
            probe(true, 4),
            (BreakerState::Open, false),
            "an open breaker is unhealthy without a probe"
        );
        assert_eq!(probe(true, 7).0, BreakerState::HalfOpen);
        assert_eq!(probe(true, 8), (BreakerState::Closed, true));
    }
}

#[test]
fn combined_a_failed_probe_leaves_health_to_the_breaker_except_for_block_numbers() {
    let health = CHECKS.map(|check| judge_probe(check, true, ProbeOutcome::Failed).health);
    assert_eq!(health, [Some(false), None, None]);
    let alone = CHECKS.map(|check| judge_probe(check, false, ProbeOutcome::Failed).health);
    assert_eq!(alone, [Some(false); 3]);
}

#[test]
fn being_behind_is_bad_health_but_no_breaker_failure() {
    let judgement = judge_probe(HealthCheckType::EthBlockNumber, true, ProbeOutcome::Behind);
    assert_eq!(
        judgement,
        Judgement {
            breaker: Some(Verdict::Success),
            health: Some(false)
        }
    );
}

#[test]
fn waiting_for_other_trials_says_nothing_about_health() {
    let refused = ProbeOutcome::Refused(CircuitOpen { until: None });
    assert_eq!(
        judge_probe(HealthCheckType::EthBlockNumber, true, refused),
        Judgement {
            breaker: None,
            health: None
        }
    );
}

#[test]
fn a_health_check_on_its_own_leaves_the_breaker_alone() {
    for outcome in [ProbeOutcome::Failed, ProbeOutcome::Behind, ProbeOutcome::Passed] {
        assert!(
            CHECKS
                .iter()
                .all(|check| judge_probe(*check, false, outcome).breaker.is_none())
        );
    }
}

proptest! {
    #[test]
    fn health_changes_exactly_after_a_full_row(
        unhealthy in 1_u32..5, healthy in 1_u32..5, probes in vec(any::<bool>(), 0..80),
    ) {
        let mut health = HealthState::new(HealthThresholds::new(unhealthy, healthy));
        let mut since_change = Vec::new();
        for ok in probes {
            let was_healthy = health.is_healthy();
            since_change.push(ok);
            let row = since_change.iter().rev().take_while(|ok| **ok != was_healthy).count();
            let needed = usize::try_from(if was_healthy { unhealthy } else { healthy }).unwrap();
            let changed = health.observe(ok);
            prop_assert_eq!(changed.is_some(), row >= needed);
            prop_assert_eq!(health.is_healthy() != was_healthy, changed.is_some());
            if changed.is_some() {
                since_change.clear();
            }
        }
    }
}

#[test]
fn scenario_a32_two_failed_requests_in_a_row_take_it_out_and_two_good_probes_bring_it_back() {
    let mut health = HealthState::new(HealthThresholds::new(2, 2));
    let traffic = |health: &mut HealthState, good| {
        let ticket = health.begin();
        health.observe_traffic(ticket, good)
    };
    for good in [false, true, false, true] {
        assert_eq!(traffic(&mut health, good), None);
    }
    assert_eq!(traffic(&mut health, false), None);
    assert_eq!(traffic(&mut health, false), Some(Transition::BecameUnhealthy));
    assert_eq!(health.observe(true), None);
    assert_eq!(health.observe(true), Some(Transition::BecameHealthy));
}

#[test]
fn requests_from_before_it_left_neither_bring_it_back_nor_keep_it_out() {
    let mut health = HealthState::new(HealthThresholds::new(1, 2));
    let early = [health.begin(); 3];
    health.observe(false);
    for ticket in early {
        assert_eq!(health.observe_traffic(ticket, true), None);
    }
    assert!(!health.is_healthy());
    health.observe(true);
    health.observe_traffic(early[0], false);
    assert_eq!(health.observe(true), Some(Transition::BecameHealthy));
}

#[test]
fn probes_and_traffic_count_together() {
    let mut health = HealthState::new(HealthThresholds::new(2, 2));
    health.observe(false);
    let ticket = health.begin();
    let left = health.observe_traffic(ticket, false);
    assert_eq!(left, Some(Transition::BecameUnhealthy));
}
