//! Waiting, and using what looks bad.

use super::*;

fn forced(choice: Choice) -> Option<usize> {
    match choice {
        Choice::Take {
            position,
            fail_open: true,
        } => Some(position),
        _ => None,
    }
}

#[test]
fn scenario_112_when_all_look_bad_somebody_serves_all_the_same() {
    let now = Instant::now();
    for strategy in STRATEGIES {
        let selector = opening(FailOpen::All, strategy, &[0, 0], now);
        let unhealthy = Facts {
            healthy: false,
            ..good()
        };
        let open = Facts {
            breaker: BreakerView::OpenUntil(now + SECOND),
            ..good()
        };
        let mut facts = [unhealthy, open];
        let first = forced(selector.select(&facts, &ask(now, 3))).unwrap();
        facts[first].tried = true;
        let second = forced(selector.select(&facts, &ask(now, 4))).unwrap();
        assert_ne!(first, second, "{strategy:?}");
        facts[second].tried = true;
        assert_eq!(
            selector.select(&facts, &ask(now, 5)),
            Choice::Nobody { retry_at: None }
        );
    }
}

#[test]
fn scenario_a28_open_breakers_are_believed_unless_all_is_to_be_opened() {
    let now = Instant::now();
    let open = Facts {
        healthy: false,
        breaker: BreakerView::OpenUntil(now + SECOND),
        ..good()
    };
    let unhealthy = Facts {
        healthy: false,
        ..good()
    };
    let takes = |fail_open, facts| {
        let selector = opening(fail_open, Strategy::WeightRoundRobin, &[0], now);
        forced(selector.select(&[facts], &ask(now, 1))).is_some()
    };
    let each = [FailOpen::Never, FailOpen::Unhealthy, FailOpen::All];
    assert_eq!(each.map(|it| takes(it, unhealthy)), [false, true, true]);
    assert_eq!(each.map(|it| takes(it, open)), [false, false, true]);
    for healthy in [false, true] {
        let found_good_since = Facts {
            healthy,
            breaker: open.breaker.outdated(),
            ..open
        };
        assert_eq!(each.map(|it| takes(it, found_good_since)), [false, true, true]);
    }
}

#[test]
fn an_end_says_when_a_breaker_tries_again() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0], now);
    let open = |seconds: u32| Facts {
        breaker: BreakerView::OpenUntil(now + seconds * SECOND),
        ..good()
    };
    assert_eq!(
        selector.select(&[open(9), open(4)], &ask(now, 1)),
        Choice::Nobody {
            retry_at: Some(now + 4 * SECOND)
        }
    );
}

#[test]
fn hard_reasons_hold_even_when_nobody_is_left() {
    let now = Instant::now();
    let selector = opening(FailOpen::All, Strategy::PeakEwma, &[0], now);
    for (facts, obstacle) in obstructed(now) {
        let choice = selector.select(&[facts], &ask(now, 1));
        match obstacle.remedy() {
            Remedy::None => assert_eq!(choice, Choice::Nobody { retry_at: None }),
            Remedy::Wait(until) => assert_eq!(choice, Choice::Nobody { retry_at: until }),
            Remedy::Doubt | Remedy::Return(_) | Remedy::Account(_) => assert_eq!(forced(choice), Some(0)),
        }
    }
}

#[test]
fn a_drained_upstream_is_not_used_even_when_nobody_is_left() {
    let now = Instant::now();
    let drained = Member { weight: 0.0, tier: 0 };
    for strategy in STRATEGIES {
        let selector = Selector::new(SelectorSettings::new(strategy), &[drained], now);
        for healthy in [true, false] {
            let facts = Facts { healthy, ..good() };
            assert_eq!(
                selector.select(&[facts], &ask(now, 1)),
                Choice::Nobody { retry_at: None }
            );
        }
    }
}

#[test]
fn one_failed_attempt_does_not_open_what_is_closed() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0], now);
    let tried = Facts {
        tried: true,
        ..good()
    };
    let unhealthy = Facts {
        healthy: false,
        ..good()
    };
    assert_eq!(
        selector.select(&[tried, unhealthy], &ask(now, 1)),
        Choice::Nobody { retry_at: None }
    );
}

#[test]
fn waiting_goes_before_using_what_looks_bad() {
    let now = Instant::now();
    let selector = selector(Strategy::PeakEwma, &[0, 0, 0], now);
    let limited = Facts {
        headroom: Headroom::At(now + SECOND),
        ..good()
    };
    let later = Facts {
        headroom: Headroom::At(now + 2 * SECOND),
        ..good()
    };
    let unhealthy = Facts {
        healthy: false,
        ..good()
    };
    let patient = Ask {
        patience: now + SECOND,
        ..ask(now, 1)
    };
    assert_eq!(
        selector.select(&[later, limited, unhealthy], &patient),
        Choice::Wait {
            until: Some(now + SECOND),
            for_slot: false
        }
    );
    let hasty = selector.select(&[later, limited, unhealthy], &ask(now, 1));
    assert_eq!(
        hasty,
        Choice::Take {
            position: 2,
            fail_open: true
        }
    );
}

#[test]
fn scenario_79_all_over_their_limits_is_an_end_that_says_when() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0, 0], now);
    let limited = |seconds: u32| Facts {
        headroom: Headroom::At(now + seconds * SECOND),
        ..good()
    };
    assert_eq!(
        selector.select(&[limited(3), limited(2)], &ask(now, 1)),
        Choice::Nobody {
            retry_at: Some(now + 2 * SECOND)
        }
    );
}

#[test]
fn scenario_a18_a_request_without_a_slot_waits_for_one() {
    let now = Instant::now();
    let selector = selector(Strategy::WeightRoundRobin, &[0], now);
    let full = Facts {
        headroom: Headroom::NoSlot,
        ..good()
    };
    let patient = Ask {
        patience: now + SECOND,
        ..ask(now, 1)
    };
    assert_eq!(
        selector.select(&[full], &patient),
        Choice::Wait {
            until: None,
            for_slot: true
        }
    );
}

#[test]
fn an_unpaid_bill_is_the_last_resort() {
    let now = Instant::now();
    let selector = opening(FailOpen::All, Strategy::WeightRoundRobin, &[0, 1], now);
    let unpaid = Facts {
        exclusion: Some(Exclusion {
            cause: ExclusionCause::Billing,
            until: now + SECOND,
        }),
        ..good()
    };
    let unhealthy = Facts {
        healthy: false,
        ..good()
    };
    for random in 0..10 {
        assert_eq!(
            forced(selector.select(&[unpaid, unhealthy], &ask(now, random))),
            Some(1)
        );
    }
    assert_eq!(forced(selector.select(&[unpaid], &ask(now, 0))), Some(0));
}

#[test]
fn limits_hold_even_when_all_look_bad() {
    let now = Instant::now();
    let selector = selector(Strategy::PeakEwma, &[0], now);
    for headroom in [Headroom::NoSlot, Headroom::At(now + SECOND)] {
        let facts = Facts {
            healthy: false,
            headroom,
            ..good()
        };
        assert_eq!(
            selector.select(&[facts], &ask(now, 1)),
            Choice::Nobody { retry_at: None }
        );
    }
}
