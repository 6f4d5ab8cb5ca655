//! Opening by a share of failures, jitter, and sending past the breaker.

use super::*;

const WINDOW: Duration = Duration::from_secs(10);

fn by_share(percent: u32, samples: u32) -> BreakerSettings {
    let rule = FailureShare {
        share: Share::new(f64::from(percent) / 100.0),
        samples,
        window: WINDOW,
    };
    BreakerSettings::new(1, 1_000, INTERVAL, TIMEOUT).with_failure_share(rule)
}

#[test]
fn scenario_82_twenty_failures_of_eighty_open_it_though_never_two_in_a_row() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(by_share(25, 80), t0);
    for request in 1..80 {
        let changed = if request % 4 == 0 {
            fail(&mut breaker, t0)
        } else {
            succeed(&mut breaker, t0)
        };
        assert_eq!(changed, None, "request {request}");
    }
    assert_eq!(fail(&mut breaker, t0), Some(BreakerState::Open));
}

#[test]
fn scenario_a8_too_few_samples_say_nothing() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(by_share(50, 10), t0);
    for _ in 0..9 {
        assert_eq!(fail(&mut breaker, t0), None);
    }
    assert_eq!(fail(&mut breaker, t0), Some(BreakerState::Open));
}

#[test]
fn failures_older_than_the_window_do_not_count() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(by_share(50, 10), t0);
    for _ in 0..9 {
        fail(&mut breaker, t0);
    }
    assert_eq!(fail(&mut breaker, t0 + WINDOW), None);
}

#[test]
fn a_closed_breaker_counts_from_nothing() {
    let t0 = Instant::now();
    let mut breaker = Breaker::new(
        BreakerSettings::new(1, 1_000, INTERVAL, TICK)
            .with_failure_share(by_share(50, 10).failure_share.unwrap()),
        t0,
    );
    for _ in 0..10 {
        fail(&mut breaker, t0);
    }
    assert_eq!(succeed(&mut breaker, t0 + TICK), Some(BreakerState::Closed));
    assert_eq!(fail(&mut breaker, t0 + TICK), None);
}

#[test]
fn breakers_that_open_together_do_not_all_try_together() {
    let t0 = Instant::now();
    let settings = BreakerSettings::new(1, 1, INTERVAL, TIMEOUT).with_jitter(Share::new(0.2));
    let mut ends: Vec<Duration> = (0..100)
        .map(|random| {
            let mut breaker = Breaker::new(settings, t0).with_random(random);
            fail(&mut breaker, t0);
            breaker.try_acquire(t0).unwrap_err().until.unwrap() - t0
        })
        .collect();
    ends.sort_unstable();
    assert!(ends[0] >= TIMEOUT && ends[99] <= TIMEOUT.mul_f64(1.2));
    assert!(
        ends[99] - ends[0] > TIMEOUT / 10,
        "spread over {:?}",
        ends[99] - ends[0]
    );
}

#[test]
fn what_is_sent_past_an_open_breaker_does_not_close_it() {
    let t0 = Instant::now();
    let mut breaker = tripped(1, t0);
    assert_eq!(breaker.on_success(Permit::uncounted(), t0), None);
    let trial = breaker.try_acquire(t0 + TIMEOUT).unwrap();
    assert_eq!(breaker.on_success(Permit::uncounted(), t0 + TIMEOUT), None);
    assert_eq!(breaker.on_failure(Permit::uncounted(), t0 + TIMEOUT), None);
    breaker.on_cancel(Permit::uncounted(), t0 + TIMEOUT);
    assert_eq!(
        breaker.on_success(trial, t0 + TIMEOUT),
        Some(BreakerState::Closed)
    );
}
