//! One document, one revision, all or nothing.

use tonic::Code;
use tyrscale_client::rejection;
use tyrscale_model::ViolationCode;
use tyrscale_proto::v1::{self, apply_request::Part, resource::Resource as Wire};

use crate::plane::{Plane, apply_parts, deletion, id, network, route, rpc, upsert, upstream};

fn header() -> Part {
    Part::Header(v1::ApplyHeader::default())
}

fn commit(count: u32) -> Part {
    Part::Commit(v1::ApplyCommit { count })
}

#[tokio::test]
async fn a_document_that_breaks_the_order_of_parts_is_refused_by_rule() {
    let plane = Plane::start().await;
    let eth = || upsert(network("eth", 1));
    let cases = [
        (vec![eth(), commit(1)], "header must be first"),
        (vec![header(), header(), commit(0)], "one header only"),
        (vec![header(), eth(), commit(2)], "counts 2 operations, 1"),
        (
            vec![header(), eth(), commit(1), eth()],
            "nothing may follow the commit",
        ),
        (vec![header(), eth()], "without a commit"),
        (vec![], "header must be first"),
    ];
    for (parts, rule) in cases {
        let refused = apply_parts(&plane.channel, parts).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains(rule), "{refused}");
    }
    let version = plane.put_network("other", 1).await;
    assert_eq!(version.revision, 1, "nothing of the refused documents happened");
    plane.stop().await;
}

#[tokio::test]
async fn c52_one_invalid_object_of_many_and_nothing_happens() {
    let plane = Plane::start().await;
    let mut parts: Vec<_> = (1..500)
        .map(|number| upsert(Wire::Route(route(number))))
        .collect();
    parts.push(upsert(Wire::Upstream(upstream(500, 9999, 1.0))));
    let refused = plane.apply(parts).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let refusal = rejection::from_status(&refused).unwrap();
    assert_eq!(refusal.violations[0].code, ViolationCode::ReferenceNotFound);
    assert_eq!(&*refusal.violations[0].resource.as_ref().unwrap().id, id(500));
    assert_eq!(plane.put_network("eth", 1).await.revision, 1);
    plane.stop().await;
}

#[tokio::test]
async fn what_has_no_id_is_named_by_its_place() {
    let plane = Plane::start().await;
    let nameless = v1::Upstream {
        id: String::new(),
        ..upstream(2, 1, 1.0)
    };
    let parts = vec![upsert(network("eth", 1)), upsert(Wire::Upstream(nameless))];
    let refused = plane.apply(parts).await.unwrap_err();
    let refusal = rejection::from_status(&refused).unwrap();
    let fields: Vec<_> = refusal
        .violations
        .iter()
        .map(|broken| broken.field.as_str())
        .collect();
    assert_eq!(fields, ["operations[1].id"]);
    plane.stop().await;
}

/// Scenario N2.
#[tokio::test]
async fn c54_equal_content_makes_no_revision() {
    let plane = Plane::start().await;
    let parts = || vec![upsert(network("eth", 1)), upsert(Wire::Rpc(rpc(1, "eth")))];
    let first = plane.apply(parts()).await.unwrap();
    assert!(!first.unchanged);
    assert_eq!(first.changes.len(), 2);
    let again = plane.apply(parts()).await.unwrap();
    assert!(again.unchanged && again.changes.is_empty());
    assert_eq!(again.version, first.version);
    plane.stop().await;
}

#[tokio::test]
async fn a_dry_run_answers_the_version_the_change_would_get() {
    let plane = Plane::start().await;
    let document = |dry_run| {
        let header = v1::ApplyHeader {
            dry_run,
            ..Default::default()
        };
        vec![Part::Header(header), upsert(network("eth", 1)), commit(1)]
    };
    let would = apply_parts(&plane.channel, document(true)).await.unwrap();
    let is = apply_parts(&plane.channel, document(false)).await.unwrap();
    assert_eq!(would, is);
    assert_eq!(is.version.unwrap().revision, 1);
    plane.stop().await;
}

#[tokio::test]
async fn preconditions_are_revision_etag_and_expectation() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let expecting = |expected_revision| {
        let header = v1::ApplyHeader {
            expected_revision: Some(expected_revision),
            ..Default::default()
        };
        vec![Part::Header(header), upsert(network("eth", 2)), commit(1)]
    };
    let refused = apply_parts(&plane.channel, expecting(0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    apply_parts(&plane.channel, expecting(1)).await.unwrap();

    let upsert_expecting = |name: &str, expectation: v1::Expectation| {
        let Part::Upsert(mut upsert) = upsert(network(name, 3)) else {
            panic!("another part")
        };
        upsert.expectation = expectation.into();
        vec![Part::Upsert(upsert)]
    };
    let taken = plane
        .apply(upsert_expecting("eth", v1::Expectation::Absent))
        .await;
    assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
    let missing = plane
        .apply(upsert_expecting("bsc", v1::Expectation::Present))
        .await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);

    let Part::Deletion(mut stale) = deletion(v1::Kind::Network, "eth") else {
        panic!("another part")
    };
    stale.etag = "0000000000000000".to_owned();
    let aborted = plane.apply(vec![Part::Deletion(stale)]).await.unwrap_err();
    assert_eq!(aborted.code(), Code::Aborted);
    let nameless = plane
        .apply(vec![deletion(v1::Kind::Network, "")])
        .await
        .unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    plane.stop().await;
}
