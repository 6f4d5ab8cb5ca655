use ExclusionCause::{Billing, Throttled};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(1);

fn cool_down() -> CoolDown {
    CoolDown::new(CoolDownSettings::default())
}

fn throttle(cool_down: &mut CoolDown, retry_after: Option<Duration>, now: Instant) {
    let ticket = cool_down.begin(now);
    cool_down.on_excluded(ticket, Throttled, retry_after, now);
}

fn rest(cool_down: &CoolDown, now: Instant) -> Duration {
    cool_down
        .exclusion(now)
        .map_or(Duration::ZERO, |exclusion| exclusion.until - now)
}

fn good_trial(cool_down: &mut CoolDown, now: Instant) -> bool {
    assert_eq!(cool_down.exclusion(now), None);
    let ticket = cool_down.begin(now);
    cool_down.on_good(ticket, now)
}

#[test]
fn scenario_a30_the_cool_down_doubles_up_to_its_cap() {
    let mut cool_down = cool_down();
    let mut now = Instant::now();
    let mut rests = Vec::new();
    for _ in 0..8 {
        throttle(&mut cool_down, None, now);
        rests.push(rest(&cool_down, now).as_secs());
        now += rest(&cool_down, now);
        assert_eq!(cool_down.exclusion(now), None);
    }
    assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn what_the_upstream_asks_for_counts_within_bounds() {
    for (asked, expected) in [(7, 7), (0, 1), (3_600, 60)] {
        let mut cool_down = cool_down();
        let now = Instant::now();
        throttle(&mut cool_down, Some(asked * SECOND), now);
        assert_eq!(rest(&cool_down, now), expected * SECOND, "asked for {asked} s");
    }
}

#[test]
fn scenario_a30_it_is_back_after_three_good_trials_one_at_a_time() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    throttle(&mut cool_down, None, t0);
    throttle(&mut cool_down, None, t0 + SECOND);
    let now = t0 + 3 * SECOND;
    let first = cool_down.begin(now);
    assert!(cool_down.exclusion(now).is_some(), "the trial is under way");
    assert!(!cool_down.on_good(first, now));
    assert!(!good_trial(&mut cool_down, now));
    assert!(good_trial(&mut cool_down, now));
    throttle(&mut cool_down, None, now);
    assert_eq!(rest(&cool_down, now), SECOND, "short again");
}

#[test]
fn a_bad_trial_begins_the_row_again() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    throttle(&mut cool_down, None, t0);
    let mut now = t0 + SECOND;
    good_trial(&mut cool_down, now);
    good_trial(&mut cool_down, now);
    let bad = cool_down.begin(now);
    cool_down.on_bad(bad);
    now += SECOND;
    assert!(!good_trial(&mut cool_down, now));
    assert!(!good_trial(&mut cool_down, now));
    assert!(good_trial(&mut cool_down, now));
}

#[test]
fn a_lost_trial_is_made_up_for() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    throttle(&mut cool_down, None, t0);
    let lost = cool_down.begin(t0 + SECOND);
    assert_eq!(rest(&cool_down, t0 + SECOND), SECOND);
    assert_eq!(cool_down.exclusion(t0 + 2 * SECOND), None);
    assert_eq!(
        cool_down.begin(t0 + 2 * SECOND),
        lost,
        "the same trial state goes on"
    );
}

#[test]
fn a_burst_of_throttled_answers_is_one_throttling() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    let burst: Vec<_> = (0..10).map(|_| cool_down.begin(t0)).collect();
    for ticket in &burst {
        cool_down.on_excluded(*ticket, Throttled, None, t0 + TICK);
    }
    assert_eq!(rest(&cool_down, t0 + TICK), SECOND);
    cool_down.on_excluded(burst[0], Throttled, Some(9 * SECOND), t0 + TICK);
    assert_eq!(rest(&cool_down, t0 + TICK), 9 * SECOND, "a later end is news");
}

#[test]
fn an_answer_from_before_the_rest_is_no_trial() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    let early = cool_down.begin(t0);
    throttle(&mut cool_down, None, t0);
    let trial = cool_down.begin(t0 + SECOND);
    for _ in 0..3 {
        assert!(!cool_down.on_good(early, t0 + SECOND));
    }
    assert!(cool_down.exclusion(t0 + SECOND).is_some());
    assert!(!cool_down.on_good(trial, t0 + SECOND));
}

#[test]
fn scenario_28_an_unpaid_bill_rests_for_long() {
    let mut cool_down = cool_down();
    let t0 = Instant::now();
    let ticket = cool_down.begin(t0);
    cool_down.on_excluded(ticket, Billing, Some(SECOND), t0);
    assert_eq!(rest(&cool_down, t0), 600 * SECOND);
    let cause = cool_down.exclusion(t0).map(|exclusion| exclusion.cause);
    assert_eq!(cause, Some(Billing));
}
