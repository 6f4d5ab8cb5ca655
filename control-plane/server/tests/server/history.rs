//! Revisions: listed, read, compared, restored, named, exported, watched.

use tonic::{Code, Request};
use tyrscale_proto::v1::{
    self, configuration_service_client::ConfigurationServiceClient,
    network_service_client::NetworkServiceClient, resource::Resource as Wire,
};

use crate::plane::{Plane, deletion, rpc, upsert};

type Client = ConfigurationServiceClient<tonic::transport::Channel>;

async fn with_history() -> (Plane, Client) {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    plane.put(vec![Wire::Rpc(rpc(1, "eth"))]).await;
    plane.put_network("eth", 5).await;
    let key = deletion(v1::Kind::Rpc, &crate::plane::id(1));
    plane.apply(vec![key]).await.unwrap();
    let client = ConfigurationServiceClient::new(plane.channel.clone());
    (plane, client)
}

async fn diff(client: &mut Client, from: u64, to: u64) -> v1::DiffRevisionsResponse {
    let request = v1::DiffRevisionsRequest {
        from_revision: from,
        to_revision: Some(to),
        resources: Vec::new(),
    };
    client.diff_revisions(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn revisions_are_listed_with_who_and_what_the_newest_first() {
    let (plane, mut client) = with_history().await;
    let mut request = Request::new(v1::ListRevisionsRequest {
        page_size: 3,
        ..Default::default()
    });
    request
        .metadata_mut()
        .insert("x-tyrscale-author", "ops".parse().unwrap());
    let first = client.list_revisions(request).await.unwrap().into_inner();
    let numbers = |listed: &v1::ListRevisionsResponse| -> Vec<u64> {
        let versions = listed.revisions.iter().map(|revision| revision.version.as_ref());
        versions.map(|version| version.unwrap().revision).collect()
    };
    assert_eq!((numbers(&first), first.oldest_revision), (vec![4, 3, 2], 0));
    assert_eq!(first.revisions[0].deleted, 1);
    assert!(first.revisions[0].client.contains("127.0.0.1"));
    let rest = v1::ListRevisionsRequest {
        page_token: first.next_page_token,
        ..Default::default()
    };
    assert_eq!(
        numbers(&client.list_revisions(rest).await.unwrap().into_inner()),
        [1]
    );
    let of_rpc = v1::ListRevisionsRequest {
        resource: Some(v1::ResourceRef {
            kind: v1::Kind::Rpc.into(),
            id: crate::plane::id(1),
        }),
        ..Default::default()
    };
    assert_eq!(
        numbers(&client.list_revisions(of_rpc).await.unwrap().into_inner()),
        [4, 2]
    );
    plane.stop().await;
}

#[tokio::test]
async fn one_and_many_are_read_as_they_were() {
    let (plane, _) = with_history().await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let mut at = async |revision| {
        let get = v1::GetNetworkRequest {
            name: "eth".to_owned(),
            at_revision: Some(revision),
        };
        client.get_network(get).await
    };
    assert_eq!(at(2).await.unwrap().into_inner().network.unwrap().chain_id, 1);
    assert_eq!(at(3).await.unwrap().into_inner().network.unwrap().chain_id, 5);
    assert_eq!(at(0).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(at(9).await.unwrap_err().code(), Code::OutOfRange);
    let mut rpcs = v1::rpc_service_client::RpcServiceClient::new(plane.channel.clone());
    let list = |at_revision| v1::ListRpcsRequest {
        at_revision,
        ..Default::default()
    };
    let then = rpcs.list_rpcs(list(Some(2))).await.unwrap().into_inner();
    assert_eq!((then.rpcs.len(), then.revision), (1, 2));
    assert!(
        rpcs.list_rpcs(list(None))
            .await
            .unwrap()
            .into_inner()
            .rpcs
            .is_empty()
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_difference_names_fields_and_shows_no_secret() {
    let (plane, mut client) = with_history().await;
    let changed = diff(&mut client, 2, 3).await;
    let field = &changed.changes[0].fields[0];
    assert_eq!(
        (field.path.as_str(), field.before.as_str(), field.after.as_str()),
        ("chain_id", "1", "5")
    );
    let mut other = rpc(1, "eth");
    plane.put(vec![Wire::Rpc(other.clone())]).await;
    other.url = "https://node-1.example/v2/zyxwvutsrqponmlkjihgfedcba000001".to_owned();
    plane.put(vec![Wire::Rpc(other)]).await;
    let secret = diff(&mut client, 5, 6).await;
    assert_eq!(secret.changes[0].fields[0].path, "url");
    let told = format!("{secret:?}");
    assert!(!told.contains("zyxwv") && !told.contains("abcdefghij"), "{told}");
    let there_and_back = diff(&mut client, 3, 3).await;
    assert!(there_and_back.changes.is_empty());
    plane.stop().await;
}

#[tokio::test]
async fn c62_a_rollback_is_a_new_revision_with_the_content_and_digest_of_the_old_one() {
    let (plane, mut client) = with_history().await;
    let back = |revision, dry_run| v1::RollbackRequest {
        revision,
        dry_run,
        ..Default::default()
    };
    let would = client.rollback(back(2, true)).await.unwrap().into_inner();
    let is = client.rollback(back(2, false)).await.unwrap().into_inner();
    assert_eq!(would, is);
    assert_eq!(is.changes.len(), 2);
    let compared = diff(&mut client, 2, 5).await;
    assert!(compared.changes.is_empty());
    assert_eq!(compared.from.unwrap().digest, compared.to.unwrap().digest);
    let listed = client.list_revisions(v1::ListRevisionsRequest::default()).await;
    assert_eq!(listed.unwrap().into_inner().revisions[0].reverts_to, Some(2));
    assert!(
        client
            .rollback(back(2, false))
            .await
            .unwrap()
            .into_inner()
            .unchanged
    );

    let undone = client.rollback(back(4, false)).await.unwrap().into_inner();
    assert_eq!(undone.version.unwrap().revision, 6);
    assert!(diff(&mut client, 4, 6).await.changes.is_empty());
    assert_eq!(
        client.rollback(back(99, false)).await.unwrap_err().code(),
        Code::OutOfRange
    );
    plane.stop().await;
}

#[tokio::test]
async fn named_objects_alone_are_restored_and_rules_still_hold() {
    let (plane, mut client) = with_history().await;
    let of = |kind: v1::Kind, id: &str| v1::ResourceRef {
        kind: kind.into(),
        id: id.to_owned(),
    };
    let only = |resources| v1::RollbackRequest {
        revision: 2,
        resources,
        ..Default::default()
    };
    let network = client
        .rollback(only(vec![of(v1::Kind::Network, "eth")]))
        .await
        .unwrap();
    assert_eq!(network.into_inner().changes.len(), 1);
    let unknown = client
        .rollback(only(vec![of(v1::Kind::Network, "bsc")]))
        .await
        .unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    plane
        .apply(vec![deletion(v1::Kind::Network, "eth")])
        .await
        .unwrap();
    let dangling = only(vec![of(v1::Kind::Rpc, &crate::plane::id(1))]);
    let refused = client.rollback(dangling).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "{refused}");
    plane.stop().await;
}

#[tokio::test]
async fn an_export_applied_again_changes_nothing() {
    let (plane, mut client) = with_history().await;
    plane.put(vec![Wire::Rpc(rpc(1, "eth"))]).await;
    let mut exported = client
        .export(v1::ExportRequest::default())
        .await
        .unwrap()
        .into_inner();
    let mut parts = Vec::new();
    while let Some(part) = exported.message().await.unwrap() {
        parts.extend(
            part.resources
                .into_iter()
                .map(|resource| upsert(resource.resource.unwrap())),
        );
    }
    assert_eq!(parts.len(), 2);
    assert!(plane.apply(parts).await.unwrap().unchanged);
    plane.stop().await;
}

#[tokio::test]
async fn a_watcher_gets_every_revision_in_order_those_before_it_came_too() {
    let (plane, mut client) = with_history().await;
    let request = v1::WatchRequest {
        after_revision: Some(1),
        kinds: vec![v1::Kind::Network.into()],
    };
    let mut watched = client.watch(request).await.unwrap().into_inner();
    let mut next = async || {
        let event = watched.message().await.unwrap().unwrap();
        event.revision.unwrap().version.unwrap().revision
    };
    assert_eq!(next().await, 3, "those without a network are left out");
    for chain_id in 6..9 {
        plane.put_network("eth", chain_id).await;
    }
    assert_eq!((next().await, next().await, next().await), (5, 6, 7));
    plane.stop().await;
}

#[tokio::test]
async fn tags_name_revisions() {
    let (plane, mut client) = with_history().await;
    let tag = |name: &str, revision| v1::CreateTagRequest {
        tag: Some(v1::Tag {
            name: name.to_owned(),
            revision,
            ..Default::default()
        }),
    };
    let newest = client
        .create_tag(tag("now", 0))
        .await
        .unwrap()
        .into_inner()
        .tag
        .unwrap();
    assert_eq!(newest.revision, 4);
    client.create_tag(tag("good", 2)).await.unwrap();
    assert_eq!(
        client.create_tag(tag("good", 3)).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    assert_eq!(
        client.create_tag(tag("never", 9)).await.unwrap_err().code(),
        Code::OutOfRange
    );
    let listed = client
        .list_tags(v1::ListTagsRequest {})
        .await
        .unwrap()
        .into_inner()
        .tags;
    assert_eq!(
        listed.iter().map(|tag| tag.name.as_str()).collect::<Vec<_>>(),
        ["good", "now"]
    );
    let delete = |name: &str| v1::DeleteTagRequest {
        name: name.to_owned(),
    };
    client.delete_tag(delete("good")).await.unwrap();
    assert_eq!(
        client.delete_tag(delete("good")).await.unwrap_err().code(),
        Code::NotFound
    );
    plane.stop().await;
}
