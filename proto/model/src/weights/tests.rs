//! Laws of recommended weights.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Address, Scheme, Target, Upstream, Weight};

const LINEAGE: Lineage = Lineage([1; 16]);

fn upstream(number: u8) -> UpstreamId {
    format!("00000000-0000-4000-8000-0000000000{number:02x}")
        .parse()
        .unwrap()
}

fn soft(weight: f64, based_on: u64) -> SoftWeight {
    SoftWeight {
        weight: weight.try_into().unwrap(),
        ttl: WeightTtl::default(),
        based_on: Revision(based_on),
    }
}

fn row(number: u8, soft: &SoftWeight) -> WeightRow {
    WeightRow {
        upstream: upstream(number),
        revision: Revision(1),
        payload: wire::encode_weight(soft),
        remaining: None,
    }
}

proptest! {
    /// A follower that takes every update proves the same content, whatever the way to it.
    #[test]
    fn what_is_set_and_what_is_followed_have_one_digest(
        steps in proptest::collection::vec(
            (proptest::collection::btree_map(0u8..8, 0.0..100.0f64, 0..4), proptest::collection::vec(0u8..8, 0..3)),
            1..20,
        ),
    ) {
        let mut own = Weights::empty(LINEAGE);
        let mut followed = Weights::empty(LINEAGE);
        for (set, dropped) in steps {
            let set: Vec<_> = set.into_iter().map(|(number, weight)| (number, soft(weight, 3))).collect();
            let mut dropped: Vec<u8> = dropped.into_iter().filter(|it| set.iter().all(|(number, _)| number != it)).collect();
            dropped.sort_unstable();
            dropped.dedup();
            let rows: Vec<_> = set.iter().map(|(number, soft)| row(*number, soft)).collect();
            let removals: Vec<_> = dropped.iter().map(|number| upstream(*number)).collect();
            let named: Vec<_> = set.iter().map(|(number, soft)| (upstream(*number), *soft)).collect();
            own = own.next(&named, &removals);
            followed = followed.advance(LINEAGE, own.revision(), &rows, &removals).unwrap();
            prop_assert_eq!(own.version(), followed.version());
            prop_assert_eq!(own.len(), followed.len());
        }
        let rows: Vec<_> = own.iter().map(|(upstream, entry)| WeightRow {
            upstream,
            revision: entry.revision,
            payload: entry.payload.clone(),
            remaining: None,
        }).collect();
        let whole = Weights::empty(LINEAGE).advance(LINEAGE, own.revision(), &rows, &[]).unwrap();
        prop_assert_eq!(whole.version(), own.version());
    }

    #[test]
    fn payloads_of_any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        drop(wire::decode_weight(&bytes));
    }
}

#[test]
fn an_update_that_contradicts_itself_or_cannot_be_read_names_every_row() {
    let mut broken = row(2, &soft(1.0, 1));
    broken.payload = Bytes::from_static(b"\xff");
    let rows = [row(1, &soft(1.0, 1)), row(1, &soft(2.0, 1)), broken];
    let refused = Weights::empty(LINEAGE)
        .advance(LINEAGE, Revision(1), &rows, &[])
        .unwrap_err();
    let named: Vec<_> = refused
        .violations
        .iter()
        .map(|violation| violation.resource.clone().unwrap())
        .collect();
    assert_eq!(named, [upstream(1).key(), upstream(2).key()]);
}

#[test]
fn the_operator_bounds_what_is_recommended() {
    let operators = |weight: f64, cordoned| {
        let address = Address::new(Scheme::Http, "localhost", 1, "/").unwrap();
        let route = "00000000-0000-4000-8000-000000000000".parse().unwrap();
        let weight = Weight::try_from(weight).unwrap();
        let mut upstream = Upstream::new(upstream(1), route, Target::Address(address), weight);
        upstream.cordoned = cordoned;
        upstream
    };
    let of = |weight, cordoned, modified, soft: Option<SoftWeight>| {
        let effective = EffectiveWeight::of(
            &OperatorWeight::new(&operators(weight, cordoned), Revision(modified)),
            soft.as_ref(),
        );
        (effective.weight.get(), effective.standing)
    };
    assert_eq!(of(10.0, false, 5, None), (10.0, Standing::Operator));
    assert_eq!(
        of(10.0, false, 5, Some(soft(70.0, 5))),
        (70.0, Standing::Recommended)
    );
    assert_eq!(
        of(10.0, false, 5, Some(soft(0.0, 5))),
        (0.0, Standing::Recommended)
    );
    assert_eq!(
        of(10.0, false, 6, Some(soft(70.0, 5))),
        (10.0, Standing::Outdated)
    );
    assert_eq!(of(0.0, false, 5, Some(soft(70.0, 5))), (0.0, Standing::Withheld));
    assert_eq!(of(10.0, true, 5, Some(soft(70.0, 5))), (0.0, Standing::Withheld));
}

#[test]
fn a_time_to_live_has_bounds_and_what_is_left_keeps_them() {
    for bad in [
        Duration::ZERO,
        Duration::from_millis(999),
        Duration::from_secs(8 * 24 * 3600),
        Duration::from_micros(1_000_001),
    ] {
        assert!(WeightTtl::try_from(bad).is_err(), "{bad:?}");
    }
    assert_eq!(WeightTtl::remaining(Duration::ZERO).get(), Duration::from_secs(1));
    assert_eq!(WeightTtl::remaining(Duration::MAX), WeightTtl::MAX);
    assert_eq!(
        WeightTtl::remaining(Duration::from_micros(1_500_001)).get(),
        Duration::from_millis(1500)
    );
}
