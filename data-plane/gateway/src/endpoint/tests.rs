//! What a new configuration leaves of what is known.

use tyrscale_model::{CircuitBreaker, HealthCheck, UpstreamHeaders, UpstreamLimits, UpstreamProtocol};

use super::*;
use crate::config::Settings;

fn spec() -> Spec {
    Spec {
        route_id: "00000000-0000-4000-0001-000000000001".parse().unwrap(),
        upstream_id: "00000000-0000-4000-0002-000000000001".parse().unwrap(),
        url: "http://localhost:1".parse().unwrap(),
        proxy: None,
        protocol: UpstreamProtocol::Auto,
        headers: UpstreamHeaders::default(),
        chain: None,
        limits: None,
        methods: None,
        receipts_method: None,
        breaker: Some(CircuitBreaker {
            enabled: true,
            max_consecutive_failures: 1,
            ..CircuitBreaker::default()
        }),
        health: Some(HealthCheck {
            enabled: true,
            interval_ms: 1000,
            unhealthy_threshold: 1,
            ..HealthCheck::default()
        }),
    }
}

#[test]
fn a_new_policy_forgets_only_what_it_is_about() {
    let transport = Transport::new(&Settings::default()).unwrap();
    let queue = Arc::default();
    let now = Instant::now();
    let known = Arc::new(Endpoint::new(spec(), None, &transport, &queue, now).unwrap());
    known.admit(now).unwrap().failed(now);
    known.observe_probe(false);
    known.enter();
    let after = |spec: Spec| {
        let endpoint = Endpoint::new(spec, Some(&known), &transport, &queue, now).unwrap();
        (
            endpoint.breaker_state(now),
            endpoint.is_healthy(),
            endpoint.in_flight(),
        )
    };
    let mut slower = spec();
    slower.health.as_mut().unwrap().interval_ms = 5000;
    assert_eq!(after(slower), (BreakerState::Open, false, 1));
    let mut patient = spec();
    patient.breaker.as_mut().unwrap().max_consecutive_failures = 9;
    assert_eq!(after(patient), (BreakerState::Closed, false, 1));
    let mut lenient = spec();
    lenient.health.as_mut().unwrap().unhealthy_threshold = 9;
    assert_eq!(after(lenient), (BreakerState::Open, true, 1));
    let mut elsewhere = spec();
    elsewhere.url = "http://localhost:2".parse().unwrap();
    assert_eq!(after(elsewhere), (BreakerState::Closed, true, 1));
}

#[test]
fn limits_that_do_not_come_into_force_change_nothing() {
    let transport = Transport::new(&Settings::default()).unwrap();
    let queue = Arc::default();
    let now = Instant::now();
    let limited = |max_concurrent: u32, requests_per_second: f64| Spec {
        limits: Some(UpstreamLimits {
            max_concurrent,
            requests_per_second,
            burst: 1,
        }),
        ..spec()
    };
    let known = Arc::new(Endpoint::new(limited(2, 1.0), None, &transport, &queue, now).unwrap());
    let held = known.allowance.take_slot().unwrap();
    assert!(known.allowance.take_calls(1, now));
    let refused = Endpoint::new(limited(1, 1_000.0), Some(&known), &transport, &queue, now).unwrap();
    let soon = now + Duration::from_millis(10);
    assert!(
        refused.allowance.take_slot().is_none(),
        "what is in flight counts"
    );
    assert!(refused.allowance.take_calls(1, soon));
    assert!(known.allowance.take_slot().is_some());
    assert!(!known.allowance.take_calls(1, soon));
    drop(held);
}
