//! Tokens, roles, scopes and the audit log over real sockets with real certificates.

use tonic::Code;
use tyrscale_client::ControlPlane;
use tyrscale_proto::v1::{self, AccessRole};

use crate::{
    guarded::Guarded,
    plane::{id, network, route, rpc, upsert, upstream},
};

async fn create_network(client: &ControlPlane, name: &str, chain_id: u64) -> Result<(), Code> {
    let request = v1::CreateNetworkRequest {
        network: Some(v1::Network {
            name: name.to_owned(),
            blockchain: "evm".to_owned(),
            chain_id,
            meta: None,
        }),
        ..v1::CreateNetworkRequest::default()
    };
    let created = client.networks().create_network(request).await;
    created.map(drop).map_err(|status| status.code())
}

async fn networks(client: &ControlPlane) -> Result<Vec<String>, Code> {
    let listed = client
        .networks()
        .list_networks(v1::ListNetworksRequest::default())
        .await;
    let listed = listed.map_err(|status| status.code())?.into_inner();
    Ok(listed.networks.into_iter().map(|network| network.name).collect())
}

async fn update_upstream(client: &ControlPlane, paths: &[&str]) -> Result<(), Code> {
    let request = v1::UpdateUpstreamRequest {
        upstream: Some(v1::Upstream {
            weight: 7.0,
            cordoned: true,
            ..upstream(1, 1, 7.0)
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..v1::UpdateUpstreamRequest::default()
    };
    let updated = client.upstreams().update_upstream(request).await;
    updated.map(drop).map_err(|status| status.code())
}

async fn put(client: &ControlPlane, resources: Vec<v1::resource::Resource>) -> Result<(), Code> {
    use v1::apply_request::Part;
    let count = u32::try_from(resources.len()).unwrap();
    let mut parts = vec![Part::Header(v1::ApplyHeader::default())];
    parts.extend(resources.into_iter().map(upsert));
    parts.push(Part::Commit(v1::ApplyCommit { count }));
    let requests = parts
        .into_iter()
        .map(|part| v1::ApplyRequest { part: Some(part) });
    let requests: Vec<_> = requests.collect();
    let applied = client.configuration().apply(tokio_stream::iter(requests)).await;
    applied.map(drop).map_err(|status| status.code())
}

async fn roll_back(client: &ControlPlane, revision: u64) -> Result<(), Code> {
    let request = v1::RollbackRequest {
        revision,
        ..v1::RollbackRequest::default()
    };
    let restored = client.configuration().rollback(request).await;
    restored.map(drop).map_err(|status| status.code())
}

async fn tag(client: &ControlPlane) -> Result<(), Code> {
    let tag = v1::Tag {
        name: "good".to_owned(),
        revision: 1,
        ..v1::Tag::default()
    };
    let request = v1::CreateTagRequest { tag: Some(tag) };
    let created = client.configuration().create_tag(request).await;
    created.map(drop).map_err(|status| status.code())
}

/// What a caller is shown of a revision.
async fn exported(client: &ControlPlane, revision: u64) -> Vec<v1::Resource> {
    let request = v1::ExportRequest {
        at_revision: Some(revision),
        ..v1::ExportRequest::default()
    };
    let mut parts = client.configuration().export(request).await.unwrap().into_inner();
    let mut resources = Vec::new();
    while let Some(part) = parts.message().await.unwrap() {
        resources.extend(part.resources);
    }
    resources
}

#[tokio::test]
async fn plain_clients_and_those_without_a_token_are_refused() {
    let plane = Guarded::start().await;
    let plain = tonic::transport::Channel::from_shared(format!("http://{}", plane.grpc)).unwrap();
    let mut client = v1::network_service_client::NetworkServiceClient::new(plain.connect_lazy());
    let refused = client.list_networks(v1::ListNetworksRequest::default()).await;
    let code = refused.unwrap_err().code();
    assert!(matches!(code, Code::Unavailable | Code::Unknown), "{code:?}");
    let nobody = plane.connect(None, None).await.unwrap();
    assert_eq!(networks(&nobody).await, Err(Code::Unauthenticated));
    let forged = format!("tyr_{}_{}", "0".repeat(16), "a".repeat(64));
    for bad in [forged.as_str(), "tyr_x", "x"] {
        let client = plane.connect(Some(bad), None).await.unwrap();
        assert_eq!(networks(&client).await, Err(Code::Unauthenticated), "{bad}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn each_role_may_what_the_table_says() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    let resources = vec![
        v1::resource::Resource::Route(route(1)),
        v1::resource::Resource::Upstream(upstream(1, 1, 1.0)),
    ];
    put(&admin, resources).await.unwrap();
    let (viewer, _) = plane.user(AccessRole::Viewer, &[]).await;
    let (operator, _) = plane.user(AccessRole::Operator, &[]).await;
    let (editor, _) = plane.user(AccessRole::Editor, &[]).await;
    for client in [&viewer, &operator, &editor, &admin] {
        assert_eq!(networks(client).await, Ok(vec![]));
    }
    assert_eq!(
        update_upstream(&viewer, &["weight"]).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(update_upstream(&operator, &["weight", "cordoned"]).await, Ok(()));
    assert_eq!(
        update_upstream(&operator, &["weight", "tier"]).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(
        update_upstream(&operator, &["*"]).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(update_upstream(&editor, &["*"]).await, Ok(()));
    assert_eq!(
        create_network(&operator, "eth", 1).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(create_network(&editor, "eth", 1).await, Ok(()));
    assert_eq!(tag(&operator).await, Err(Code::PermissionDenied));
    assert_eq!(tag(&editor).await, Ok(()));
    assert_eq!(roll_back(&viewer, 1).await, Err(Code::PermissionDenied));
    assert_eq!(roll_back(&operator, 1).await, Ok(()));
    let refused = editor
        .access()
        .list_tokens(v1::ListTokensRequest::default())
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

#[tokio::test]
async fn a_scope_bounds_what_is_seen_and_written() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    let mut other = rpc(2, "pol");
    other.url = "https://other.example/".to_owned();
    let resources = vec![
        network("eth", 1),
        network("pol", 137),
        v1::resource::Resource::Rpc(rpc(1, "eth")),
        v1::resource::Resource::Rpc(other),
    ];
    put(&admin, resources).await.unwrap();
    let (editor, _) = plane.user(AccessRole::Editor, &["eth"]).await;
    assert_eq!(networks(&editor).await, Ok(vec!["eth".to_owned()]));
    let get = v1::GetRpcRequest {
        id: id(2),
        at_revision: Some(1),
    };
    let hidden = editor.rpcs().get_rpc(get).await;
    assert_eq!(hidden.unwrap_err().code(), Code::NotFound);
    assert_eq!(
        create_network(&editor, "third", 3).await,
        Err(Code::PermissionDenied)
    );
    let at = |rpc_number| v1::Upstream {
        target: Some(v1::upstream::Target::RpcId(id(rpc_number))),
        ..upstream(1, 1, 1.0)
    };
    let routed = |rpc_number| {
        vec![
            v1::resource::Resource::Route(route(1)),
            v1::resource::Resource::Upstream(at(rpc_number)),
        ]
    };
    assert_eq!(put(&editor, routed(1)).await, Ok(()));
    assert_eq!(put(&editor, routed(2)).await, Err(Code::PermissionDenied));
    assert_eq!(exported(&editor, 1).await.len(), 2);
    assert_eq!(exported(&admin, 1).await.len(), 4);
    assert_eq!(roll_back(&editor, 0).await, Err(Code::PermissionDenied));
    assert_eq!(roll_back(&editor, 1).await, Ok(()));
    // What cannot be bounded is refused whole.
    let revisions = v1::ListRevisionsRequest::default();
    let revisions = editor.configuration().list_revisions(revisions).await;
    assert_eq!(revisions.unwrap_err().code(), Code::PermissionDenied);
    let status = editor.status().list_nodes(v1::ListNodesRequest::default()).await;
    assert_eq!(status.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

#[tokio::test]
async fn a_token_rotates_and_dies_when_it_is_revoked_even_under_a_stream() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    let (second_admin, token) = plane.user(AccessRole::Admin, &[]).await;
    let rotate = v1::RotateTokenRequest { id: token.id.clone() };
    let rotated = admin
        .access()
        .rotate_token(rotate.clone())
        .await
        .unwrap()
        .into_inner();
    let newer = plane.connect(Some(&rotated.text), None).await.unwrap();
    assert_eq!(networks(&newer).await, Ok(vec![]));
    let third = admin.access().rotate_token(rotate).await.unwrap_err();
    assert_eq!(third.code(), Code::FailedPrecondition);
    let watch = second_admin
        .access()
        .watch_audit(v1::WatchAuditRequest::default())
        .await;
    let mut events = watch.unwrap().into_inner();
    let revoke = v1::RevokeTokenRequest { id: token.id };
    admin.access().revoke_token(revoke).await.unwrap();
    let ended = loop {
        match tokio::time::timeout(crate::plane::LIMIT, events.message())
            .await
            .unwrap()
        {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a reason"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert_eq!(networks(&second_admin).await, Err(Code::Unauthenticated));
    assert_eq!(networks(&newer).await, Ok(vec![]));
    plane.stop().await;
}

#[tokio::test]
async fn writes_and_refusals_are_in_the_audit_log_and_secrets_are_not() {
    let plane = Guarded::start().await;
    let (editor, token) = plane.user(AccessRole::Editor, &[]).await;
    create_network(&editor, "eth", 1).await.unwrap();
    let refused = editor
        .access()
        .list_tokens(v1::ListTokensRequest::default())
        .await;
    refused.unwrap_err();
    let nobody = plane.connect(None, None).await.unwrap();
    networks(&nobody).await.unwrap_err();
    let records = plane.audit().await;
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.subject.as_str(), record.method.as_str(), record.outcome()))
        .collect();
    use v1::AuditOutcome::{Denied, Done, Unauthenticated};
    assert_eq!(
        told,
        [
            ("first-admin", "/tyrscale.v1.AccessService/CreateToken", Done),
            (
                token.subject.as_str(),
                "/tyrscale.v1.NetworkService/CreateNetwork",
                Done
            ),
            (
                token.subject.as_str(),
                "/tyrscale.v1.AccessService/ListTokens",
                Denied
            ),
            (
                "anonymous",
                "/tyrscale.v1.NetworkService/ListNetworks",
                Unauthenticated
            ),
        ]
    );
    assert_eq!(records[1].revision, 1);
    assert_eq!(records[1].summary, "created network/eth");
    assert_eq!(records[1].credential_id, token.id);
    let admin = plane.admin().await;
    let verdict = admin
        .access()
        .verify_audit(v1::VerifyAuditRequest::default())
        .await;
    let verdict = verdict.unwrap().into_inner();
    assert!(verdict.intact, "{verdict:?}");
    assert_eq!(verdict.records, 4);
    let other = v1::VerifyAuditRequest {
        known_sequence: 2,
        known_hash: vec![0; 32].into(),
    };
    let verdict = admin.access().verify_audit(other).await.unwrap().into_inner();
    assert_eq!((verdict.intact, verdict.broken_sequence), (false, 2));
    let lines = std::fs::read_to_string(plane.dir.path().join("audit.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 4);
    let (_, secret) = plane.admin_token.rsplit_once('_').unwrap();
    assert!(!lines.contains(secret) && !format!("{records:?}").contains(secret));
    plane.stop().await;
}

#[tokio::test]
async fn refused_attempts_are_bounded_and_good_tokens_still_pass() {
    let plane = Guarded::start().await;
    let nobody = plane.connect(None, None).await.unwrap();
    let mut codes = Vec::new();
    for _ in 0..40 {
        codes.push(networks(&nobody).await.unwrap_err());
    }
    assert_eq!(codes.first(), Some(&Code::Unauthenticated));
    assert_eq!(codes.last(), Some(&Code::ResourceExhausted));
    assert_eq!(networks(&plane.admin().await).await, Ok(vec![]));
    let written = plane.audit().await.len();
    assert!((20..40).contains(&written), "{written}");
    plane.stop().await;
}

#[tokio::test]
async fn calls_of_one_token_are_bounded() {
    let plane = Guarded::start_with(|access| access.max_calls_per_second = 1).await;
    let (viewer, _) = plane.user(AccessRole::Viewer, &[]).await;
    let mut codes = Vec::new();
    for _ in 0..10 {
        codes.push(networks(&viewer).await.err());
    }
    assert_eq!(codes[..4], [None; 4]);
    assert!(codes.contains(&Some(Code::ResourceExhausted)), "{codes:?}");
    plane.stop().await;
}
