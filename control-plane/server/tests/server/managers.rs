//! Documents of managers, guards against deleting too much, and requests that are done once.

use tonic::Code;
use tyrscale_proto::v1::{self, apply_request::Part, network_service_client::NetworkServiceClient};

use crate::plane::{Plane, apply_parts, network, upsert};

/// Applies the networks as a document.
pub(crate) async fn apply(
    plane: &Plane,
    header: v1::ApplyHeader,
    names: &[&str],
) -> Result<v1::ApplyResponse, tonic::Status> {
    let count = u32::try_from(names.len()).unwrap();
    let mut parts = vec![Part::Header(header)];
    parts.extend(names.iter().map(|name| upsert(network(name, 1))));
    parts.push(Part::Commit(v1::ApplyCommit { count }));
    apply_parts(&plane.channel, parts).await
}

pub(crate) fn of(manager: &str) -> v1::ApplyHeader {
    v1::ApplyHeader {
        manager: manager.to_owned(),
        ..Default::default()
    }
}

fn pruning(manager: &str) -> v1::ApplyHeader {
    v1::ApplyHeader {
        prune: true,
        ..of(manager)
    }
}

async fn names(plane: &Plane) -> Vec<String> {
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let listed = client.list_networks(v1::ListNetworksRequest::default()).await;
    let networks = listed.unwrap().into_inner().networks;
    networks.into_iter().map(|network| network.name).collect()
}

#[tokio::test]
async fn a_document_prunes_what_its_manager_owns_and_nothing_else() {
    let plane = Plane::start().await;
    apply(&plane, of("one"), &["a", "b"]).await.unwrap();
    apply(&plane, of("other"), &["c"]).await.unwrap();
    apply(&plane, of(""), &["d"]).await.unwrap();
    let pruned = apply(&plane, pruning("one"), &["a"]).await.unwrap();
    assert_eq!(pruned.changes.len(), 1);
    assert_eq!(pruned.changes[0].resource.as_ref().unwrap().id, "b");
    assert_eq!(names(&plane).await, ["a", "c", "d"]);
    let nameless = apply(&plane, pruning(""), &["a"]).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    plane.stop().await;
}

#[tokio::test]
async fn what_another_manages_is_refused_or_taken_over_with_a_warning() {
    let plane = Plane::start().await;
    apply(&plane, of("one"), &["a"]).await.unwrap();
    let refused = apply(&plane, of("other"), &["a"]).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("managed by one"), "{refused}");
    let taking = v1::ApplyHeader {
        take_ownership: true,
        ..of("other")
    };
    let taken = apply(&plane, taking, &["a"]).await.unwrap();
    assert_eq!(taken.warnings.len(), 1);
    assert_eq!(taken.changes[0].fields[0].path, "meta.managed_by");
    let emptied = apply(&plane, pruning("one"), &[]).await.unwrap();
    assert!(emptied.unchanged, "it owns nothing any more");
    plane.stop().await;
}

#[tokio::test]
async fn an_empty_document_cannot_empty_the_fleet() {
    let plane = Plane::start().await;
    let all: Vec<String> = (0..60).map(|number| format!("n{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    apply(&plane, of("one"), &all).await.unwrap();
    let refused = apply(&plane, pruning("one"), &[]).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("max_deletes"), "{refused}");
    assert!(refused.message().contains("network/n0"), "{refused}");
    apply(&plane, pruning("one"), &all[12..]).await.unwrap();
    let meant = v1::ApplyHeader {
        max_deletes: Some(48),
        ..pruning("one")
    };
    apply(&plane, meant, &[]).await.unwrap();
    assert!(names(&plane).await.is_empty());
    plane.stop().await;
}

#[tokio::test]
async fn a_request_with_an_id_is_done_once_and_answered_alike() {
    let plane = Plane::start().await;
    let once = || v1::ApplyHeader {
        request_id: "0f0e".to_owned(),
        ..Default::default()
    };
    let first = apply(&plane, once(), &["a"]).await.unwrap();
    plane.put_network("a", 2).await;
    let again = apply(&plane, once(), &["a"]).await.unwrap();
    assert_eq!(first, again);
    let other = apply(&plane, once(), &["b"]).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument);
    assert!(other.message().contains("request_id"), "{other}");

    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let create = v1::CreateNetworkRequest {
        network: Some(v1::Network {
            name: "c".to_owned(),
            blockchain: "evm".to_owned(),
            chain_id: 1,
            meta: None,
        }),
        request_id: "1a1b".to_owned(),
        ..Default::default()
    };
    let first = client.create_network(create.clone()).await.unwrap().into_inner();
    let again = client.create_network(create).await.unwrap().into_inner();
    assert_eq!(first, again);
    plane.stop().await;
}

#[tokio::test]
async fn labels_are_kept_until_their_mask_is_named_and_change_the_etag() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let update = |labels: &[(&str, &str)], paths: &[&str]| v1::UpdateNetworkRequest {
        network: Some(v1::Network {
            name: "eth".to_owned(),
            meta: Some(v1::ObjectMeta {
                labels: labels
                    .iter()
                    .map(|(name, value)| ((*name).into(), (*value).into()))
                    .collect(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..Default::default()
    };
    let mut written = async |request| {
        let answer: v1::UpdateNetworkResponse = client.update_network(request).await.unwrap().into_inner();
        answer.network.unwrap()
    };
    let labelled = written(update(&[("team", "core")], &["meta.labels"])).await;
    let (meta, chain_id) = (labelled.meta.unwrap(), labelled.chain_id);
    assert_eq!((meta.labels["team"].as_str(), chain_id), ("core", 1));
    plane.put_network("eth", 2).await;
    let kept = written(update(&[], &["meta.annotations"])).await.meta.unwrap();
    assert_eq!(kept.labels.len(), 1);
    assert_ne!(kept.etag, meta.etag);
    let cleared = written(update(&[], &["meta.labels"])).await.meta.unwrap();
    assert!(cleared.labels.is_empty());
    assert_ne!(cleared.etag, kept.etag);
    plane.stop().await;
}
