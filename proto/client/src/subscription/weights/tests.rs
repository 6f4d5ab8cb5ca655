//! Laws of the recommended weights that run here.

use std::time::Duration;

use tyrscale_model::{Lineage, Revision, Weight, wire};

use super::*;

const TTL: Duration = Duration::from_secs(60);
const OURS: Lineage = Lineage([1; 16]);

fn upstream(number: u8) -> UpstreamId {
    format!("00000000-0000-4000-8000-0000000000{number:02x}")
        .parse()
        .unwrap()
}

fn soft(weight: f64) -> SoftWeight {
    SoftWeight {
        weight: Weight::try_from(weight).unwrap(),
        ttl: WeightTtl::try_from(TTL).unwrap(),
        based_on: Revision(1),
    }
}

fn empty() -> Weights {
    Weights::empty(OURS)
}

/// The update from one content to the next, as the control plane sends it.
fn delta(before: &Weights, after: &Weights, set: &[(u8, f64)], dropped: &[u8]) -> Offer {
    Offer {
        base: Some(before.version()),
        weights: set.iter().map(|(number, weight)| row(*number, *weight)).collect(),
        weight_removals: dropped.iter().map(|number| upstream(*number)).collect(),
        ..Offer::whole(after.version())
    }
}

fn row(number: u8, weight: f64) -> WeightRow {
    WeightRow {
        upstream: upstream(number),
        revision: Revision(1),
        payload: wire::encode_weight(&soft(weight)),
        remaining: None,
    }
}

fn next(before: &Weights, set: &[(u8, f64)], dropped: &[u8]) -> Weights {
    let set: Vec<_> = set
        .iter()
        .map(|(number, weight)| (upstream(*number), soft(*weight)))
        .collect();
    let dropped: Vec<_> = dropped.iter().map(|number| upstream(*number)).collect();
    before.next(&set, &dropped)
}

/// A replica that runs two weights since `now`.
fn running(now: Instant) -> (Replica, Weights) {
    let content = next(&empty(), &[(1, 10.0), (2, 20.0)], &[]);
    let mut replica = Replica::default();
    let offer = Offer {
        weights: vec![row(1, 10.0), row(2, 20.0)],
        ..Offer::whole(content.version())
    };
    let changes = replica.apply(&offer, now).unwrap();
    assert_eq!(changes.len(), 2);
    (replica, content)
}

fn status(replica: &Replica) -> WeightsStatus {
    let mut status = WeightsStatus::default();
    replica.describe(&mut status);
    status
}

#[test]
fn a_weight_holds_for_its_time_and_a_renewal_begins_it_anew() {
    let t0 = Instant::now();
    let (mut replica, content) = running(t0);
    let half = t0 + TTL / 2;
    let renewed = next(&content, &[(1, 10.0)], &[]);
    assert_eq!(renewed.digest(), content.digest());
    replica
        .apply(&delta(&content, &renewed, &[(1, 10.0)], &[]), half)
        .unwrap();
    assert_eq!(status(&replica).next_deadline, Some(t0 + TTL));
    assert_eq!(replica.expire(t0 + TTL), [(upstream(2), None)]);
    assert_eq!(status(&replica).next_deadline, Some(half + TTL));
    assert_eq!(replica.expire(half + TTL), [(upstream(1), None)]);
    let status = status(&replica);
    assert_eq!((status.live, status.expired, status.next_deadline), (0, 2, None));
    assert_eq!(
        status.running,
        Some(renewed.version()),
        "the content is still proved: the control plane says when it changes"
    );
}

#[test]
fn what_is_left_of_a_life_counts_from_when_it_was_sent() {
    let t0 = Instant::now();
    let content = next(&empty(), &[(1, 10.0)], &[]);
    let late = WeightRow {
        remaining: Some(WeightTtl::remaining(Duration::from_secs(5))),
        ..row(1, 10.0)
    };
    let offer = Offer {
        weights: vec![late],
        ..Offer::whole(content.version())
    };
    let mut replica = Replica::default();
    replica.apply(&offer, t0).unwrap();
    assert_eq!(status(&replica).next_deadline, Some(t0 + Duration::from_secs(5)));
}

#[test]
fn what_does_not_follow_or_is_not_proved_changes_nothing() {
    let t0 = Instant::now();
    let (mut replica, content) = running(t0);
    let before = replica.version();
    let skipped = next(&next(&content, &[(1, 11.0)], &[]), &[(1, 12.0)], &[]);
    let foreign = delta(&next(&content, &[(1, 11.0)], &[]), &skipped, &[(1, 12.0)], &[]);
    let refused = replica.apply(&foreign, t0).unwrap_err();
    assert_eq!(refused.reason, NackReason::BaseMismatch);
    let wrong = delta(&content, &next(&content, &[(1, 11.0)], &[]), &[(1, 99.0)], &[]);
    assert_eq!(
        replica.apply(&wrong, t0).unwrap_err().reason,
        NackReason::DigestMismatch
    );
    let older = Offer::whole(empty().version());
    assert_eq!(replica.apply(&older, t0).unwrap_err().reason, NackReason::Invalid);
    assert_eq!(replica.version(), before);
    assert_eq!(status(&replica).live, 2);
}

#[test]
fn a_whole_content_of_any_lineage_replaces_and_ends_what_it_does_not_hold() {
    let t0 = Instant::now();
    let (mut replica, _) = running(t0);
    let theirs = Weights::empty(Lineage([9; 16])).next(&[(upstream(2), soft(30.0))], &[]);
    let offer = Offer {
        weights: vec![row(2, 30.0)],
        ..Offer::whole(theirs.version())
    };
    let changes = replica.apply(&offer, t0).unwrap();
    assert_eq!(changes, [(upstream(2), Some(soft(30.0))), (upstream(1), None)]);
    assert_eq!(replica.version(), Some(theirs.version()));
}

#[test]
fn a_drop_ends_a_weight_and_one_that_expired_before_says_nothing_again() {
    let t0 = Instant::now();
    let (mut replica, content) = running(t0);
    replica.expire(t0 + TTL);
    let without = next(&content, &[], &[1]);
    let changes = replica.apply(&delta(&content, &without, &[], &[1]), t0 + TTL);
    assert!(changes.unwrap().is_empty());
    let (mut replica, content) = running(t0);
    let changes = replica.apply(&delta(&content, &without, &[], &[1]), t0);
    assert_eq!(changes.unwrap(), [(upstream(1), None)]);
    assert_eq!(replica.clear(), [(upstream(2), None)]);
    assert_eq!(replica.version(), None);
}

#[test]
fn an_equal_content_of_another_lineage_is_adopted_and_its_lives_go_on() {
    let t0 = Instant::now();
    let (mut replica, content) = running(t0);
    let renamed = Version {
        lineage: Lineage([9; 16]),
        revision: Revision(7),
        ..content.version()
    };
    replica.adopt(renamed).unwrap();
    assert_eq!(replica.version(), Some(renamed));
    assert_eq!(status(&replica).next_deadline, Some(t0 + TTL));
    let other = Version {
        digest: empty().digest(),
        ..renamed
    };
    assert_eq!(replica.adopt(other), Err(Fault::NotInSync));
}
