use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_millis(1);

fn breaker(max_requests: u32, now: Instant) -> Breaker {
    Breaker::new(BreakerSettings::new(max_requests, 3, INTERVAL, TIMEOUT), now)
}

fn succeed(breaker: &mut Breaker, now: Instant) -> Option<BreakerState> {
    let permit = breaker.try_acquire(now).unwrap();
    breaker.on_success(permit, now)
}

fn fail(breaker: &mut Breaker, now: Instant) -> Option<BreakerState> {
    let permit = breaker.try_acquire(now).unwrap();
    breaker.on_failure(permit, now)
}

fn tripped(max_requests: u32, now: Instant) -> Breaker {
    let mut breaker = breaker(max_requests, now);
    for _ in 0..3 {
        fail(&mut breaker, now);
    }
    breaker
}

#[test]
fn zeros_stand_for_3_trials_3_failures_120_s_and_60_s() {
    let defaults = BreakerSettings::default();
    assert_eq!(
        defaults,
        BreakerSettings::new(3, 3, Duration::from_secs(120), Duration::from_secs(60))
    );
    let given = BreakerSettings::new(1, 2, Duration::MAX, TICK);
    assert_eq!(
        (given.max_requests, given.max_consecutive_failures, given.timeout),
        (1, 2, TICK)
    );
    assert_eq!(given.interval, BreakerSettings::LONGEST);
}

#[test]
fn case_154_three_failures_open_it_for_the_timeout_then_trials_decide() {
    let t0 = Instant::now();
    let mut breaker = breaker(2, t0);
    assert_eq!(fail(&mut breaker, t0), None);
    assert_eq!(fail(&mut breaker, t0), None);
    assert_eq!(fail(&mut breaker, t0), Some(BreakerState::Open));

    let end = t0 + TIMEOUT;
    assert_eq!(
        breaker.try_acquire(end - TICK),
        Err(CircuitOpen { until: Some(end) })
    );
    assert_eq!(breaker.state(end - TICK), BreakerState::Open);

    // Two trials, not a third; two successes close it.
    let (first, second) = (
        breaker.try_acquire(end).unwrap(),
        breaker.try_acquire(end).unwrap(),
    );
    assert_eq!(breaker.try_acquire(end), Err(CircuitOpen { until: None }));
    assert_eq!(breaker.on_success(first, end), None);
    assert_eq!(breaker.state(end), BreakerState::HalfOpen);
    assert_eq!(
        breaker.try_acquire(end),
        Err(CircuitOpen { until: None }),
        "one succeeded, one is outstanding"
    );
    assert_eq!(breaker.on_success(second, end), Some(BreakerState::Closed));
    assert_eq!(breaker.state(end), BreakerState::Closed);
}

#[test]
fn case_154_a_failed_trial_opens_it_for_another_timeout() {
    let t0 = Instant::now();
    let mut breaker = tripped(2, t0);
    let end = t0 + TIMEOUT;
    assert_eq!(succeed(&mut breaker, end), None);
    assert_eq!(fail(&mut breaker, end + TICK), Some(BreakerState::Open));
    assert!(!breaker.would_admit(end + TIMEOUT));
    assert!(breaker.would_admit(end + TICK + TIMEOUT));
}

#[test]
fn case_155_a_success_ends_the_row_of_failures() {
    let t0 = Instant::now();
    let mut breaker = breaker(1, t0);
    fail(&mut breaker, t0);
    fail(&mut breaker, t0);
    succeed(&mut breaker, t0);
    fail(&mut breaker, t0);
    assert_eq!(fail(&mut breaker, t0), None);
    assert_eq!(breaker.state(t0), BreakerState::Closed);
}

#[test]
fn each_interval_forgets_the_failures_of_the_last() {
    let t0 = Instant::now();
    let mut breaker = breaker(1, t0);
    fail(&mut breaker, t0);
    fail(&mut breaker, t0 + INTERVAL - TICK);
    assert_eq!(fail(&mut breaker, t0 + INTERVAL), None);
    assert_eq!(fail(&mut breaker, t0 + INTERVAL), None);
    assert_eq!(fail(&mut breaker, t0 + INTERVAL), Some(BreakerState::Open));
}

#[test]
fn a_request_longer_than_the_interval_still_counts() {
    let t0 = Instant::now();
    let mut breaker = breaker(1, t0);
    let slow: Vec<Permit> = (0..3).map(|_| breaker.try_acquire(t0).unwrap()).collect();
    let late = t0 + 3 * INTERVAL;
    let last = slow
        .into_iter()
        .map(|permit| breaker.on_failure(permit, late))
        .last()
        .flatten();
    assert_eq!(last, Some(BreakerState::Open));
}

#[test]
fn a_late_answer_from_before_the_trip_changes_nothing() {
    let t0 = Instant::now();
    let mut breaker = breaker(1, t0);
    let (good, bad, gone) = (
        breaker.try_acquire(t0).unwrap(),
        breaker.try_acquire(t0).unwrap(),
        breaker.try_acquire(t0).unwrap(),
    );
    for _ in 0..3 {
        fail(&mut breaker, t0);
    }
    let end = t0 + TIMEOUT;
    assert_eq!(breaker.on_success(good, end), None);
    assert_eq!(breaker.state(end), BreakerState::HalfOpen);
    assert_eq!(breaker.on_failure(bad, end), None);
    let trial = breaker.try_acquire(end).unwrap();
    breaker.on_cancel(gone, end);
    assert!(
        !breaker.would_admit(end),
        "a stranger's cancel frees no trial slot"
    );
    assert_eq!(breaker.on_success(trial, end), Some(BreakerState::Closed));
}

#[test]
fn a_late_trial_cannot_close_the_next_half_open_state() {
    let t0 = Instant::now();
    let mut breaker = tripped(2, t0);
    let end = t0 + TIMEOUT;
    let late = breaker.try_acquire(end).unwrap();
    fail(&mut breaker, end);
    let again = end + TIMEOUT;
    assert_eq!(succeed(&mut breaker, again), None);
    assert_eq!(breaker.on_success(late, again), None);
    assert_eq!(breaker.state(again), BreakerState::HalfOpen);
}

#[test]
fn a_cancelled_trial_gives_its_slot_back_and_counts_as_neither() {
    let t0 = Instant::now();
    let mut breaker = tripped(1, t0);
    let end = t0 + TIMEOUT;
    let trial = breaker.try_acquire(end).unwrap();
    assert!(!breaker.would_admit(end));
    breaker.on_cancel(trial, end);
    assert_eq!(breaker.state(end), BreakerState::HalfOpen);
    assert_eq!(succeed(&mut breaker, end), Some(BreakerState::Closed));
}

#[test]
fn a_closed_breaker_starts_a_new_row_and_a_new_interval() {
    let t0 = Instant::now();
    let mut breaker = tripped(1, t0);
    let end = t0 + TIMEOUT;
    succeed(&mut breaker, end);
    fail(&mut breaker, end);
    fail(&mut breaker, end);
    assert_eq!(
        fail(&mut breaker, end + INTERVAL),
        None,
        "the interval began when it closed"
    );
}

mod failure_share;

#[derive(Debug, Clone, Copy)]
enum Event {
    Wait(u64),
    Acquire,
    Success(usize),
    Failure(usize),
    Cancel(usize),
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => (1_u64..90).prop_map(Event::Wait),
        4 => Just(Event::Acquire),
        2 => any::<usize>().prop_map(Event::Success),
        4 => any::<usize>().prop_map(Event::Failure),
        1 => any::<usize>().prop_map(Event::Cancel),
    ]
}

/// The breaker as its documentation tells it, in plain milliseconds: what was settled since the
/// present state (or interval) began, and which permits that state has given and not got back.
struct Model {
    now: u64,
    since: u64,
    state: BreakerState,
    settled: Vec<bool>,
    given: Vec<usize>,
}

impl Model {
    const MAX_REQUESTS: usize = 2;
    const FAILURES: usize = 3;
    const INTERVAL: u64 = 100;
    const TIMEOUT: u64 = 40;

    fn enter(&mut self, state: BreakerState) {
        (self.state, self.since) = (state, self.now);
        self.settled.clear();
        self.given.clear();
    }

    fn tick(&mut self) {
        let age = self.now - self.since;
        match self.state {
            BreakerState::Closed if age >= Self::INTERVAL => {
                self.since = self.now;
                self.settled.clear();
            }
            BreakerState::Open if age >= Self::TIMEOUT => self.enter(BreakerState::HalfOpen),
            _ => {}
        }
    }

    /// The state that an onlooker sees, who does not make time count.
    fn state(&self) -> BreakerState {
        match self.state {
            BreakerState::Open if self.now - self.since >= Self::TIMEOUT => BreakerState::HalfOpen,
            state => state,
        }
    }

    fn admits(&mut self) -> bool {
        self.tick();
        match self.state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.given.len() + self.settled.len() < Self::MAX_REQUESTS,
        }
    }

    fn settle(&mut self, permit: usize, verdict: Option<bool>) -> Option<BreakerState> {
        self.tick();
        let position = self.given.iter().position(|given| *given == permit)?;
        self.given.swap_remove(position);
        self.settled.extend(verdict);
        let failing = self.settled.iter().rev().take_while(|good| !**good).count();
        let next = match self.state {
            BreakerState::Closed if failing >= Self::FAILURES => BreakerState::Open,
            BreakerState::HalfOpen if failing > 0 => BreakerState::Open,
            BreakerState::HalfOpen if self.settled.len() >= Self::MAX_REQUESTS => BreakerState::Closed,
            _ => return None,
        };
        self.enter(next);
        Some(next)
    }
}

proptest! {
    #[test]
    fn behaves_like_the_model(events in vec(any_event(), 1..200)) {
        let t0 = Instant::now();
        let settings =
            BreakerSettings::new(2, 3, Duration::from_millis(Model::INTERVAL), Duration::from_millis(Model::TIMEOUT));
        let mut breaker = Breaker::new(settings, t0);
        let mut model =
            Model { now: 0, since: 0, state: BreakerState::Closed, settled: Vec::new(), given: Vec::new() };
        let mut permits: Vec<(usize, Permit)> = Vec::new();
        for (number, event) in events.into_iter().enumerate() {
            let now = t0 + Duration::from_millis(model.now);
            match event {
                Event::Wait(millis) => model.now += millis,
                Event::Acquire => {
                    let foretold = breaker.would_admit(now);
                    prop_assert_eq!(foretold, breaker.view(now) == BreakerView::Willing);
                    let granted = breaker.try_acquire(now);
                    prop_assert_eq!(foretold, granted.is_ok());
                    prop_assert_eq!(model.admits(), granted.is_ok());
                    match granted {
                        Ok(permit) => {
                            model.given.push(number);
                            permits.push((number, permit));
                        }
                        Err(refusal) => prop_assert_eq!(refusal.until.is_some(), model.state == BreakerState::Open),
                    }
                }
                Event::Success(nth) | Event::Failure(nth) | Event::Cancel(nth) if !permits.is_empty() => {
                    let (number, permit) = permits.swap_remove(nth % permits.len());
                    let (changed, expected) = match event {
                        Event::Success(_) => (breaker.on_success(permit, now), model.settle(number, Some(true))),
                        Event::Failure(_) => (breaker.on_failure(permit, now), model.settle(number, Some(false))),
                        _ => {
                            breaker.on_cancel(permit, now);
                            (None, model.settle(number, None))
                        }
                    };
                    prop_assert_eq!(changed, expected);
                }
                Event::Success(_) | Event::Failure(_) | Event::Cancel(_) => {}
            }
            prop_assert_eq!(breaker.state(t0 + Duration::from_millis(model.now)), model.state());
        }
    }
}
