use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[test]
fn all_classes_are_listed_in_their_order_with_distinct_names() {
    assert!(Class::ALL.is_sorted_by(|a, b| a < b));
    let names: BTreeSet<_> = Class::ALL.into_iter().map(Class::name).collect();
    assert_eq!(names.len(), Class::ALL.len());
}

#[test]
fn what_settles_a_request_harms_nobody_and_keeps_its_code() {
    for class in Class::ALL
        .into_iter()
        .filter(|class| *class >= Class::SenderLimited)
    {
        assert_eq!(class.policy(), FINAL, "{class:?}");
    }
}

#[test]
fn limits_missing_data_and_wrong_requests_do_not_count_against_the_upstream() {
    for class in [
        Class::RateLimited,
        Class::MissingData,
        Class::UnsupportedMethod,
        Class::AmbiguousRequest,
        Class::RangeTooLarge,
        Class::BatchRefused,
        Class::Reverted,
    ] {
        assert_eq!(class.policy().blame, Blame::Nobody, "{class:?}");
    }
    assert_eq!(Class::Timeout.policy().blame, Blame::Latency);
    for class in [
        Class::Server,
        Class::Lost,
        Class::NotSent,
        Class::BadBody,
        Class::Billing,
    ] {
        assert_eq!(class.policy().blame, Blame::Upstream, "{class:?}");
    }
}

#[test]
fn refused_credentials_may_be_the_clients_and_close_no_upstream_to_others() {
    let policy = Class::Unauthorized.policy();
    assert_eq!(
        (policy.blame, policy.exclusion),
        (Blame::IfAnotherAnswers, Exclusion::None)
    );
}

#[test]
fn what_may_have_been_carried_out_is_repeated_only_when_safe() {
    for class in [
        Class::BadBody,
        Class::Server,
        Class::Lost,
        Class::Timeout,
        Class::NodeTimeout,
        Class::Unknown,
    ] {
        assert!(
            class.retryable(Replay::Safe) && !class.retryable(Replay::Unsafe),
            "{class:?}"
        );
    }
    for class in [
        Class::NotSent,
        Class::RateLimited,
        Class::MissingData,
        Class::UnsupportedMethod,
    ] {
        assert!(class.retryable(Replay::Unsafe), "{class:?}");
    }
    assert!(!Class::Reverted.retryable(Replay::Safe));
}

#[test]
fn missing_data_is_told_only_when_everybody_says_so() {
    for class in Class::ALL
        .into_iter()
        .filter(|class| *class != Class::MissingData)
    {
        assert_eq!(most_telling([Class::MissingData, class], Kind::Read), Some(class));
    }
    assert_eq!(
        most_telling([Class::MissingData; 2], Kind::Read),
        Some(Class::MissingData)
    );
    assert_eq!(most_telling([], Kind::Read), None);
}

#[test]
fn a_write_left_open_is_told_before_any_refusal() {
    let classes = [Class::Lost, Class::PoolFull, Class::RateLimited];
    assert_eq!(most_telling(classes, Kind::Write), Some(Class::Lost));
    assert_eq!(most_telling(classes, Kind::Read), Some(Class::PoolFull));
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Read), Just(Kind::Write), Just(Kind::Other)]
}

proptest! {
    #[test]
    fn the_most_telling_does_not_depend_on_the_order(
        classes in proptest::collection::vec(proptest::sample::select(Class::ALL.to_vec()), 1..8),
        kind in any_kind(),
        at in any::<prop::sample::Index>(),
    ) {
        let told = most_telling(classes.iter().copied(), kind);
        let mut turned = classes.clone();
        turned.rotate_left(at.index(classes.len()));
        prop_assert_eq!(told, most_telling(turned.iter().rev().copied(), kind));
        prop_assert!(classes.contains(&told.unwrap()));
    }
}
