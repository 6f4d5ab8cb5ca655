use super::*;

fn methods(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn scripted_faults_are_met_in_order_by_those_they_name() {
    let (behavior, now) = (Behavior::default(), Instant::now());
    let mut plan = FaultPlan::default();
    plan.fail_next(Some("eth_call".into()), 1, Fault::Silence);
    plan.fail_next(None, 1, Fault::CloseBeforeAnswer);
    let call = methods(&["eth_call"]);
    assert_eq!(
        plan.next(&behavior, &methods(&["eth_chainId"]), now),
        Some(Fault::CloseBeforeAnswer)
    );
    assert_eq!(plan.next(&behavior, &methods(&["eth_chainId"]), now), None);
    assert_eq!(plan.next(&behavior, &call, now), Some(Fault::Silence));
    assert_eq!(plan.next(&behavior, &call, now), None);
}

#[test]
fn rate_limit_opens_again_each_second() {
    let behavior = Behavior {
        rate_limit: NonZeroU32::new(2),
        ..Behavior::default()
    };
    let mut plan = FaultPlan::default();
    let t0 = Instant::now();
    let refused = |plan: &mut FaultPlan, after_ms| {
        plan.next(&behavior, &[], t0 + Duration::from_millis(after_ms))
            .is_some()
    };
    assert_eq!(
        [0, 1, 2, 999].map(|after| refused(&mut plan, after)),
        [false, false, true, true]
    );
    assert_eq!(
        [1_000, 1_001, 1_002].map(|after| refused(&mut plan, after)),
        [false, false, true]
    );
}

#[test]
fn error_rate_is_spread_evenly() {
    for (rate, expected) in [(0.1, 10), (0.25, 25), (1.0, 100), (0.0, 0), (f64::NAN, 0)] {
        let behavior = Behavior {
            error_rate: rate,
            ..Behavior::default()
        };
        let mut plan = FaultPlan::default();
        let now = Instant::now();
        let errors = (0..100)
            .filter(|_| plan.next(&behavior, &[], now).is_some())
            .count();
        assert_eq!(errors, expected, "rate {rate}");
    }
}

#[test]
fn rpc_errors_of_a_method_do_not_fail_the_whole_request() {
    let mut behavior = Behavior::default();
    behavior.method_faults.insert(
        "eth_call".into(),
        Fault::RpcError(RpcError::new(3, "execution reverted")),
    );
    behavior
        .method_faults
        .insert("eth_getLogs".into(), Fault::Silence);
    assert_eq!(behavior.request_fault(&methods(&["eth_call"])), None);
    assert_eq!(
        behavior.request_fault(&methods(&["eth_call", "eth_getLogs"])),
        Some(&Fault::Silence)
    );
    assert_eq!(behavior.call_error("eth_call").map(|error| error.code), Some(3));
}

#[test]
fn a_scripted_fault_can_wait_for_the_nth_request() {
    let (behavior, now) = (Behavior::default(), Instant::now());
    let mut plan = FaultPlan::default();
    plan.fail_after(Some("eth_call".into()), 2, 1, Fault::Silence);
    let call = methods(&["eth_call"]);
    assert_eq!(plan.next(&behavior, &methods(&["eth_chainId"]), now), None);
    let met: Vec<bool> = (0..4)
        .map(|_| plan.next(&behavior, &call, now).is_some())
        .collect();
    assert_eq!(met, [false, false, true, false]);
}

#[test]
fn jitter_spreads_within_its_bound_and_repeats() {
    let most = Duration::from_millis(100);
    let waits = |mut plan: FaultPlan| -> Vec<Duration> { (0..100).map(|_| plan.jitter(most)).collect() };
    let first = waits(FaultPlan::default());
    assert_eq!(first, waits(FaultPlan::default()));
    assert!(first.iter().all(|wait| *wait <= most));
    let low = first.iter().filter(|wait| **wait < most / 2).count();
    assert!((45..=55).contains(&low), "{low}");
}
