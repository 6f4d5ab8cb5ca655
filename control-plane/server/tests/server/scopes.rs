//! What tokens are for: labels, secrets that are borrowed, and answers that are another's.

use tonic::Code;
use tyrscale_client::ControlPlane;
use tyrscale_proto::v1::{self, AccessRole, apply_request::Part, resource::Resource as Wire};

use crate::{
    guarded::Guarded,
    plane::{id, network, route, rpc, upsert, upstream},
};

fn of_team(team: &str) -> Option<v1::ObjectMeta> {
    Some(v1::ObjectMeta {
        labels: [("team".to_owned(), team.to_owned())].into(),
        ..v1::ObjectMeta::default()
    })
}

async fn put(client: &ControlPlane, resource: Wire) -> Result<(), Code> {
    let parts = [
        Part::Header(v1::ApplyHeader::default()),
        upsert(resource),
        Part::Commit(v1::ApplyCommit { count: 1 }),
    ];
    let requests = parts.map(|part| v1::ApplyRequest { part: Some(part) });
    let applied = client.configuration().apply(tokio_stream::iter(requests)).await;
    applied.map(drop).map_err(|status| status.code())
}

fn labelled_route(number: usize, team: &str) -> Wire {
    Wire::Route(v1::Route {
        meta: of_team(team),
        ..route(number)
    })
}

fn labelled_upstream(number: usize, route: usize, team: &str) -> Wire {
    Wire::Upstream(v1::Upstream {
        meta: of_team(team),
        ..upstream(number, route, 1.0)
    })
}

async fn of_team_a(plane: &Guarded) -> ControlPlane {
    let scope = v1::AccessScope {
        labels: [("team".to_owned(), "a".to_owned())].into(),
        ..v1::AccessScope::default()
    };
    plane.user_of(AccessRole::Editor, "a", scope).await.0
}

#[tokio::test]
async fn a_label_bounds_what_is_seen_and_written() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    put(&admin, labelled_route(2, "b")).await.unwrap();
    let editor = of_team_a(&plane).await;
    let me = editor
        .access()
        .who_am_i(v1::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.scope.unwrap().labels["team"], "a");

    assert_eq!(
        put(&editor, Wire::Route(route(1))).await,
        Err(Code::PermissionDenied),
        "no label"
    );
    assert_eq!(
        put(&editor, labelled_route(1, "b")).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(put(&editor, labelled_route(1, "a")).await, Ok(()));
    assert_eq!(
        put(&editor, labelled_route(1, "b")).await,
        Err(Code::PermissionDenied),
        "given away"
    );
    assert_eq!(
        put(&editor, labelled_route(2, "a")).await,
        Err(Code::PermissionDenied),
        "taken"
    );

    let listed = editor
        .routes()
        .list_routes(v1::ListRoutesRequest::default())
        .await;
    let ids: Vec<_> = listed
        .unwrap()
        .into_inner()
        .routes
        .into_iter()
        .map(|route| route.id)
        .collect();
    assert_eq!(ids, [id(1)]);

    assert_eq!(put(&editor, labelled_upstream(1, 1, "a")).await, Ok(()));
    assert_eq!(
        put(&editor, labelled_upstream(2, 2, "a")).await,
        Err(Code::PermissionDenied),
        "it would take traffic of another's route"
    );
    plane.stop().await;
}

#[tokio::test]
async fn what_goes_along_with_a_deletion_counts() {
    let plane = Guarded::start().await;
    let editor = of_team_a(&plane).await;
    put(&editor, labelled_route(1, "a")).await.unwrap();
    put(&plane.admin().await, Wire::Upstream(upstream(3, 1, 1.0)))
        .await
        .unwrap();
    let delete = v1::DeleteRouteRequest {
        id: id(1),
        ..v1::DeleteRouteRequest::default()
    };
    let cascade = editor.routes().delete_route(delete).await;
    assert_eq!(cascade.unwrap_err().code(), Code::PermissionDenied);
    plane.stop().await;
}

fn secret(name: &str, meta: Option<v1::ObjectMeta>) -> Wire {
    Wire::Secret(v1::Secret {
        name: name.to_owned(),
        value: Some("s3cret".to_owned()),
        meta,
        ..v1::Secret::default()
    })
}

/// What refers to the secret `own`, as a caller sees it.
async fn users_of_own(client: &ControlPlane) -> Vec<String> {
    let request = v1::GetSecretRequest {
        name: "own".to_owned(),
        ..v1::GetSecretRequest::default()
    };
    let answer = client.secrets().get_secret(request).await.unwrap();
    let referrers = answer.into_inner().secret.unwrap().referrers;
    referrers.into_iter().map(|referrer| referrer.id).collect()
}

#[tokio::test]
async fn a_secret_of_others_cannot_be_borrowed() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    put(&admin, network("eth", 1)).await.unwrap();
    put(&admin, secret("others", None)).await.unwrap();
    let editor = of_team_a(&plane).await;
    let rpc_with = |name: &str| {
        Wire::Rpc(v1::Rpc {
            url: format!("https://mine.example/${{secret:{name}}}"),
            meta: of_team("a"),
            ..rpc(1, "eth")
        })
    };
    assert_eq!(put(&editor, secret("own", of_team("a"))).await, Ok(()));
    assert_eq!(
        put(&editor, rpc_with("others")).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(put(&editor, rpc_with("own")).await, Ok(()));
    assert_eq!(
        put(&editor, rpc_with("others")).await,
        Err(Code::PermissionDenied)
    );

    let (of_network, _) = plane.user(AccessRole::Editor, &["eth"]).await;
    let elsewhere = Wire::Rpc(v1::Rpc {
        url: "https://mine-too.example/${secret:others}".to_owned(),
        ..rpc(2, "eth")
    });
    assert_eq!(put(&of_network, elsewhere).await, Err(Code::PermissionDenied));
    plane.stop().await;
}

#[tokio::test]
async fn what_was_lent_is_not_taken_elsewhere_and_tells_of_no_others() {
    let plane = Guarded::start().await;
    let admin = plane.admin().await;
    put(&admin, network("eth", 1)).await.unwrap();
    put(&admin, secret("others", None)).await.unwrap();
    let editor = of_team_a(&plane).await;
    put(&editor, secret("own", of_team("a"))).await.unwrap();
    let at = |number, url: &str, meta| v1::Rpc {
        url: url.to_owned(),
        meta,
        ..rpc(number, "eth")
    };
    let lent = at(3, "https://lent.example/${secret:others}", of_team("a"));
    put(&admin, Wire::Rpc(lent.clone())).await.unwrap();
    let moved = at(3, "https://evil.example/${secret:others}", of_team("a"));
    assert_eq!(put(&editor, Wire::Rpc(moved)).await, Err(Code::PermissionDenied));
    let measured = v1::Rpc {
        collectors: vec![v1::Collector::Latency.into()],
        ..lent
    };
    assert_eq!(put(&editor, Wire::Rpc(measured)).await, Ok(()));

    let own = at(1, "https://mine.example/${secret:own}", of_team("a"));
    assert_eq!(put(&editor, Wire::Rpc(own)).await, Ok(()));
    let foreign = at(4, "https://theirs.example/${secret:own}", None);
    put(&admin, Wire::Rpc(foreign)).await.unwrap();
    assert_eq!(users_of_own(&admin).await, [id(1), id(4)]);
    assert_eq!(users_of_own(&editor).await, [id(1)]);
    plane.stop().await;
}

#[tokio::test]
async fn a_request_is_answered_again_to_its_caller_only() {
    let plane = Guarded::start().await;
    let (one, _) = plane.user(AccessRole::Editor, &[]).await;
    let other = plane.admin().await;
    let request = v1::CreateNetworkRequest {
        network: Some(v1::Network {
            name: "eth".to_owned(),
            blockchain: "evm".to_owned(),
            chain_id: 1,
            meta: None,
        }),
        request_id: "once".to_owned(),
        ..v1::CreateNetworkRequest::default()
    };
    let first = one
        .networks()
        .create_network(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = one
        .networks()
        .create_network(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(first, again);
    let refused = other.networks().create_network(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    plane.stop().await;
}
