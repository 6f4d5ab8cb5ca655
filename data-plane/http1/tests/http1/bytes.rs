//! Laws about any bytes, in any pieces.

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;

use super::generate::{answers, cut, requests};
use super::harness::{ask, serve};

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_taken_or_refused_by_either_side(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        serve([Bytes::from(bytes.clone())]);
        drop(ask(&Method::GET, [Bytes::from(bytes)]));
    }

    #[test]
    fn how_requests_are_cut_into_reads_makes_no_difference(
        bytes in requests(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        prop_assert_eq!(serve([bytes.clone()]), serve(cut(&bytes, &cuts)));
    }

    #[test]
    fn requests_that_come_byte_by_byte_are_the_same(bytes in requests()) {
        let single = (0..bytes.len()).map(|at| bytes.slice(at..=at));
        prop_assert_eq!(serve(single), serve([bytes.clone()]));
    }

    #[test]
    fn how_an_answer_is_cut_into_reads_makes_no_difference(
        bytes in answers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = ask(&Method::POST, [bytes.clone()]).ok();
        let single = (0..bytes.len()).map(|at| bytes.slice(at..=at));
        // Whether bytes beyond the answer were seen depends on when they come.
        let seen = |answer: Option<super::harness::Answer>| answer.map(|answer| (answer.status, answer.fields, answer.body));
        let whole = seen(whole);
        prop_assert_eq!(&whole, &seen(ask(&Method::POST, cut(&bytes, &cuts)).ok()));
        prop_assert_eq!(&whole, &seen(ask(&Method::POST, single).ok()));
    }
}
