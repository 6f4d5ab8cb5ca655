//! What the state machine of a stream decides.

use proptest::prelude::*;
use tyrscale_model::{Digest, Lane, Lineage, Revision};

use super::{super::resume::Difference, *};

const DEADLINE: Duration = Duration::from_secs(30);

fn version(lineage: u8, revision: u64, digest: u8) -> Version {
    Version {
        lane: Lane::Config,
        lineage: Lineage([lineage; 16]),
        revision: Revision(revision),
        digest: Digest([digest; 32]),
    }
}

fn offer(target: Version, difference: &dyn Fn(&Version) -> Difference) -> Offer<'_> {
    Offer {
        target,
        difference,
        nothing: &|| Digest([0; 32]),
        lacking: None,
        takes_over: false,
    }
}

fn small(target: Version) -> Offer<'static> {
    offer(target, &|_| Difference::Small)
}

fn synced(running: Version) -> Session {
    let mut session = Session::new(Some(running), Vec::new(), DEADLINE);
    assert_eq!(session.welcome(&small(running)).0, Resume::InSync);
    session
}

#[test]
fn the_resume_table() {
    let target = version(1, 5, 5);
    let cases = [
        (None, Difference::Small, Resume::Snapshot),
        (Some(version(1, 5, 5)), Difference::Small, Resume::InSync),
        (Some(version(1, 3, 3)), Difference::Small, Resume::Delta),
        (Some(version(1, 3, 3)), Difference::Large, Resume::Snapshot),
        (Some(version(1, 3, 3)), Difference::Unknown, Resume::Snapshot),
        (Some(version(1, 6, 6)), Difference::Small, Resume::Hold),
        (Some(version(1, 3, 9)), Difference::Forked, Resume::Hold),
        (Some(version(1, 5, 6)), Difference::Small, Resume::Hold),
        (Some(version(2, 9, 5)), Difference::Small, Resume::InSync),
        (Some(version(2, 9, 9)), Difference::Small, Resume::Hold),
        (Some(version(2, 9, 0)), Difference::Small, Resume::Snapshot),
    ];
    for (have, difference, expected) in cases {
        let (resume, why) = resume(have.as_ref(), &offer(target, &|_| difference));
        assert_eq!(resume, expected, "{have:?}: {why}");
    }
    for have in [None, Some(version(1, 3, 3)), Some(version(2, 3, 0))] {
        let fresh = small(version(1, 0, 0));
        assert_eq!(resume(have.as_ref(), &fresh).0, Resume::Hold, "{have:?}");
    }
}

#[test]
fn what_this_store_did_not_make_is_replaced_when_an_operator_says_so() {
    let taking_over = Offer {
        takes_over: true,
        ..offer(version(1, 5, 5), &|_| Difference::Forked)
    };
    for have in [version(2, 9, 9), version(1, 3, 9), version(1, 5, 6)] {
        assert_eq!(resume(Some(&have), &taking_over).0, Resume::Snapshot, "{have:?}");
    }
}

#[test]
fn what_cannot_be_sent_waits_for_a_newer_version() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    assert!(session.next_update(&small(version(1, 2, 2)), t0).is_some());
    session.cannot_send(Obstacle {
        why: "too large",
        until: None,
    });
    let later = t0 + DEADLINE;
    assert!(session.next_update(&small(version(1, 2, 2)), later).is_none());
    assert_eq!(
        (session.state(), session.reason()),
        (SyncState::Held, "too large")
    );
    assert_eq!(session.wake_at(), None);
    let update = session.next_update(&small(version(1, 3, 3)), later).unwrap();
    assert_eq!(update.base, Some(version(1, 1, 1)));
}

#[test]
fn what_cannot_be_sent_for_now_is_tried_again() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    let target = small(version(1, 2, 2));
    assert!(session.next_update(&target, t0).is_some());
    let until = t0 + DEADLINE;
    session.cannot_send(Obstacle {
        why: "a key is missing",
        until: Some(until),
    });
    assert_eq!(session.next_update(&target, t0 + FLOOR), None);
    assert_eq!(
        (session.state(), session.reason(), session.wake_at()),
        (SyncState::Held, "a key is missing", Some(until))
    );
    let update = session.next_update(&target, until).unwrap();
    assert_eq!(update.base, Some(version(1, 1, 1)));
    assert_eq!(session.state(), SyncState::InFlight);
}

#[test]
fn who_lacks_something_is_held_even_when_its_content_is_to_be_repaired() {
    let t0 = Instant::now();
    let lacking = |revision| Offer {
        lacking: Some("upgrade it"),
        ..small(version(1, revision, 2))
    };
    let mut session = synced(version(1, 1, 1));
    for have in [None, Some(version(1, 1, 1))] {
        assert_eq!(resume(have.as_ref(), &lacking(2)), (Resume::Hold, "upgrade it"));
    }
    let same = Offer {
        lacking: Some("upgrade it"),
        ..small(version(1, 1, 1))
    };
    assert_eq!(
        resume(Some(&version(1, 1, 1)), &same).0,
        Resume::InSync,
        "it runs it"
    );
    assert_eq!(session.next_update(&lacking(2), t0), None);
    assert_eq!(
        (session.state(), session.reason()),
        (SyncState::Held, "upgrade it")
    );
    session.next_update(&small(version(1, 3, 3)), t0).unwrap();
    session.ack(Some(version(1, 3, 9)));
    assert_eq!(session.next_update(&lacking(4), t0), None);
    assert_eq!(session.reason(), "upgrade it");
    assert_eq!(
        session.next_update(&small(version(1, 5, 5)), t0).unwrap().base,
        None
    );
}

#[test]
fn what_cannot_leave_yet_is_asked_for_anew() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.ack(Some(version(1, 2, 9)));
    assert_eq!(
        session.next_update(&small(version(1, 2, 2)), t0).unwrap().base,
        None
    );
    session.postpone("in line");
    assert_eq!((session.state(), session.reason()), (SyncState::Held, "in line"));
    assert_eq!(session.wake_at(), None, "no answer is awaited");
    let whole = session.next_update(&small(version(1, 3, 3)), t0).unwrap();
    assert_eq!((whole.base, whole.target), (None, version(1, 3, 3)));
    session.ack(None);
    assert_eq!(
        session.next_update(&small(version(1, 3, 3)), t0),
        None,
        "wrong twice"
    );
}

#[test]
fn one_update_is_in_flight_and_the_next_covers_all_since() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    let first = session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    assert_eq!(first.base, Some(version(1, 1, 1)));
    assert_eq!(session.next_update(&small(version(1, 5, 5)), t0), None);
    assert_eq!(session.ack(Some(version(1, 2, 2))), Acknowledged::Proved);
    let second = session.next_update(&small(version(1, 5, 5)), t0 + FLOOR).unwrap();
    assert_eq!(
        (second.base, second.target),
        (Some(version(1, 2, 2)), version(1, 5, 5))
    );
}

#[test]
fn updates_keep_their_distance() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    let first = session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.ack(Some(first.target));
    assert_eq!(session.next_update(&small(version(1, 3, 3)), t0), None);
    assert_eq!(session.wake_at(), Some(t0 + FLOOR));
    assert!(
        session
            .next_update(&small(version(1, 3, 3)), t0 + FLOOR)
            .is_some()
    );
}

#[test]
fn news_wait_only_for_what_ends_by_itself() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    assert!(!session.is_settling(), "in sync");
    let first = session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    assert!(session.is_settling(), "in flight");
    session.ack(Some(first.target));
    assert_eq!(session.next_update(&small(version(1, 3, 3)), t0), None);
    assert!(session.is_settling(), "about to begin");
    session.next_update(&small(version(1, 3, 3)), t0 + FLOOR).unwrap();
    session.nack(first.target.into(), NackReason::Invalid, t0 + FLOOR);
    assert_eq!(session.next_update(&small(version(1, 3, 3)), t0 + FLOOR), None);
    assert!(
        !session.is_settling(),
        "a newer version may be one that is not refused"
    );
}

#[test]
fn a_wrong_digest_brings_one_snapshot_and_a_second_one_ends_it() {
    let t0 = Instant::now();
    let target = version(1, 2, 2);
    for other in [Some(version(1, 2, 9)), Some(version(7, 2, 2)), None] {
        let mut session = synced(version(1, 1, 1));
        session.next_update(&small(target), t0).unwrap();
        assert_eq!(session.ack(other), Acknowledged::Diverged);
        assert_eq!(session.state(), SyncState::Diverged);
        let whole = session.next_update(&small(target), t0).unwrap();
        assert_eq!(whole.base, None);
        assert_eq!(session.state(), SyncState::Diverged);
        assert_eq!(session.ack(other), Acknowledged::Diverged);
        assert_eq!(session.state(), SyncState::Held);
        let later = t0 + Duration::from_secs(3600);
        assert_eq!(session.next_update(&small(version(1, 3, 3)), later), None);
    }
}

#[test]
fn a_right_digest_after_the_snapshot_heals() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.ack(None);
    let whole = session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    assert_eq!(session.ack(Some(whole.target)), Acknowledged::Proved);
    assert_eq!(session.state(), SyncState::Synced);
    let next = session.next_update(&small(version(1, 3, 3)), t0 + FLOOR).unwrap();
    assert_eq!(next.base, Some(version(1, 2, 2)));
}

#[test]
fn what_was_refused_is_not_sent_again_but_its_repair_is_at_once() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    let refused = session.nack(Some(version(1, 1, 1)), NackReason::Invalid, t0);
    assert_eq!(refused, Some(version(1, 2, 2)));
    let minute = t0 + Duration::from_secs(60);
    assert_eq!(session.next_update(&small(version(1, 2, 2)), minute), None);
    assert_eq!(session.state(), SyncState::Rejected);
    assert_eq!(session.wake_at(), None);
    let repair = session.next_update(&small(version(1, 3, 3)), minute).unwrap();
    assert_eq!(repair.base, Some(version(1, 1, 1)));
}

#[test]
fn c42_attempts_after_refusals_in_a_row_are_spaced_from_5_s_to_60_s() {
    let mut now = Instant::now();
    let mut session = synced(version(1, 1, 1));
    let mut pauses = Vec::new();
    for revision in 2..10 {
        let target = small(version(1, revision, 2));
        let started = now;
        if session.next_update(&target, now).is_none() {
            now = session.wake_at().unwrap();
            session.next_update(&target, now).unwrap();
        }
        pauses.push((now - started).as_secs());
        session.nack(Some(version(1, 1, 1)), NackReason::Invalid, now);
    }
    assert_eq!(pauses, [0, 0, 5, 10, 20, 40, 60, 60]);
}

#[test]
fn a_first_snapshot_refused_leaves_nothing_running_and_does_not_loop() {
    let t0 = Instant::now();
    let mut session = Session::new(None, Vec::new(), DEADLINE);
    session.welcome(&small(version(1, 2, 2)));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.nack(None, NackReason::Limit, t0);
    assert_eq!((session.state(), session.running()), (SyncState::Rejected, None));
    let later = t0 + Duration::from_secs(600);
    assert_eq!(session.next_update(&small(version(1, 2, 2)), later), None);
}

#[test]
fn a_base_mismatch_brings_one_snapshot_and_no_second() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.nack(None, NackReason::BaseMismatch, t0);
    let whole = session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    assert_eq!(whole.base, None);
    session.nack(None, NackReason::DigestMismatch, t0);
    let later = t0 + Duration::from_secs(600);
    assert_eq!(session.next_update(&small(version(1, 2, 2)), later), None);
}

#[test]
fn held_until_the_server_is_no_longer_fresh_or_behind() {
    let t0 = Instant::now();
    let mut fresh = Session::new(None, Vec::new(), DEADLINE);
    assert_eq!(fresh.welcome(&small(version(1, 0, 0))).0, Resume::Hold);
    assert_eq!(fresh.next_update(&small(version(1, 0, 0)), t0), None);
    assert_eq!(
        fresh.next_update(&small(version(1, 1, 1)), t0).unwrap().base,
        None
    );

    let mut ahead = Session::new(Some(version(1, 9, 9)), Vec::new(), DEADLINE);
    assert_eq!(ahead.welcome(&small(version(1, 8, 8))).0, Resume::Hold);
    assert_eq!(ahead.next_update(&small(version(1, 8, 8)), t0), None);
    assert_eq!(ahead.state(), SyncState::Held);
    assert_eq!(ahead.next_update(&small(version(1, 9, 9)), t0), None);
    assert_eq!(ahead.state(), SyncState::Synced);
    let next = ahead.next_update(&small(version(1, 10, 1)), t0).unwrap();
    assert_eq!(next.base, Some(version(1, 9, 9)));
}

#[test]
fn an_unanswered_update_stalls_and_then_ends_the_stream() {
    let t0 = Instant::now();
    let mut session = synced(version(1, 1, 1));
    session.next_update(&small(version(1, 2, 2)), t0).unwrap();
    session.sent(t0);
    assert_eq!(session.wake_at(), Some(t0 + DEADLINE));
    assert_eq!(session.on_time(t0), Ok(()));
    assert_eq!(session.on_time(t0 + DEADLINE), Ok(()));
    assert_eq!(session.state(), SyncState::Stalled);
    assert_eq!(session.on_time(t0 + 2 * DEADLINE), Err(Unanswered));
}

#[derive(Debug, Clone)]
enum Event {
    Commit,
    Ack,
    AckWrong,
    Nack(bool),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => Just(Event::Commit),
        6 => Just(Event::Ack),
        1 => Just(Event::AckWrong),
        2 => any::<bool>().prop_map(Event::Nack),
        2 => (0u64..70).prop_map(Event::Wait),
    ]
}

proptest! {
    /// Whatever happens: one update in flight, a base is what the subscriber runs, never backwards.
    #[test]
    fn laws_of_a_session(events in proptest::collection::vec(event(), 1..200)) {
        let mut now = Instant::now();
        let mut head = 1;
        let mut session = Session::new(None, Vec::new(), DEADLINE);
        let mut in_flight: Option<Update> = None;
        let mut running: Option<Version> = None;
        session.welcome(&small(version(1, head, 1)));
        for event in events {
            match event {
                Event::Commit => head += 1,
                Event::Wait(seconds) => now += Duration::from_secs(seconds),
                Event::Ack => if let Some(update) = in_flight.take() {
                    running = Some(update.target);
                    prop_assert_eq!(session.ack(running), Acknowledged::Proved);
                },
                Event::AckWrong => if in_flight.take().is_some() {
                    prop_assert_eq!(session.ack(None), Acknowledged::Diverged);
                    running = None;
                },
                Event::Nack(base) => if in_flight.take().is_some() {
                    let reason = if base { NackReason::BaseMismatch } else { NackReason::Invalid };
                    session.nack(running, reason, now);
                },
            }
            if let Some(update) = session.next_update(&small(version(1, head, 1)), now) {
                prop_assert!(in_flight.is_none());
                prop_assert!(update.base.is_none() || update.base == running);
                prop_assert!(running.is_none_or(|running| running.revision <= update.target.revision));
                prop_assert_eq!(update.target.revision, Revision(head));
                in_flight = Some(update);
            }
        }
    }
}
