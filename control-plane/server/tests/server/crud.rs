//! Get, List, Create, Update, Delete.

use tonic::{Code, Request};
use tyrscale_client::rejection;
use tyrscale_proto::v1::{
    self, network_service_client::NetworkServiceClient, route_service_client::RouteServiceClient,
    rpc_service_client::RpcServiceClient, upstream_service_client::UpstreamServiceClient,
};

use crate::plane::{Plane, id, network, route, rpc, upstream};
use tyrscale_proto::v1::resource::Resource as Wire;

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    let paths = paths.iter().map(ToString::to_string).collect();
    Some(prost_types::FieldMask { paths })
}

#[tokio::test]
async fn a_created_rpc_gets_an_id_meta_and_a_masked_url() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut client = RpcServiceClient::new(plane.channel.clone());
    let wanted = v1::Rpc {
        id: String::new(),
        ..rpc(1, "eth")
    };
    let mut request = Request::new(v1::CreateRpcRequest {
        rpc: Some(wanted.clone()),
        validate_only: false,
        ..Default::default()
    });
    request
        .metadata_mut()
        .insert("x-tyrscale-author", "ops".parse().unwrap());
    let created = client.create_rpc(request).await.unwrap().into_inner();
    let rpc = created.rpc.unwrap();
    let meta = rpc.meta.clone().unwrap();
    assert_eq!(rpc.id.len(), 36);
    assert!(
        rpc.url.contains("***") && !rpc.url.contains("abcdefghijklmnopqrstuvwxyz"),
        "{}",
        rpc.url
    );
    assert_eq!(meta.modified_by, "ops");
    assert_eq!(meta.modify_revision, created.version.unwrap().revision);

    let get = v1::GetRpcRequest {
        id: rpc.id.clone(),
        ..Default::default()
    };
    let got = client.get_rpc(get).await.unwrap().into_inner();
    assert_eq!(got.rpc, Some(rpc.clone()));

    let again = v1::CreateRpcRequest {
        rpc: Some(wanted),
        validate_only: false,
        ..Default::default()
    };
    let taken = client.create_rpc(again).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists, "{taken}");
    let refusal = rejection::from_status(&taken).unwrap();
    assert_eq!(refusal.violations[0].field, "url");
    plane.stop().await;
}

#[tokio::test]
async fn a_masked_url_sent_back_means_unchanged() {
    let plane = Plane::start().await;
    plane.put(vec![network("eth", 1), Wire::Rpc(rpc(1, "eth"))]).await;
    let mut client = RpcServiceClient::new(plane.channel.clone());
    let shown = client
        .get_rpc(v1::GetRpcRequest {
            id: id(1),
            ..Default::default()
        })
        .await
        .unwrap()
        .into_inner();
    let update = v1::UpdateRpcRequest {
        rpc: Some(v1::Rpc {
            provider: "rented".to_owned(),
            ..shown.rpc.clone().unwrap()
        }),
        update_mask: mask(&["*"]),
        ..Default::default()
    };
    let updated = client.update_rpc(update).await.unwrap().into_inner().rpc.unwrap();
    assert_eq!(updated.provider, "rented");
    assert_eq!(updated.url, shown.rpc.unwrap().url);
    plane.stop().await;
}

#[tokio::test]
async fn an_update_changes_the_fields_of_its_mask_alone() {
    let plane = Plane::start().await;
    let breaker = v1::CircuitBreaker {
        enabled: true,
        timeout_ms: 100,
        max_requests: 7,
        ..Default::default()
    };
    let stored = v1::Route {
        circuit_breaker: Some(breaker),
        ..route(1)
    };
    plane
        .put(vec![Wire::Route(stored), Wire::Upstream(upstream(2, 1, 5.0))])
        .await;
    let mut routes = RouteServiceClient::new(plane.channel.clone());
    let update = v1::UpdateRouteRequest {
        route: Some(v1::Route {
            id: id(1),
            circuit_breaker: Some(v1::CircuitBreaker {
                enabled: false,
                timeout_ms: 900,
                ..Default::default()
            }),
            ..Default::default()
        }),
        update_mask: mask(&["circuit_breaker.timeout_ms", "circuit_breaker.enabled"]),
        ..Default::default()
    };
    let updated = routes
        .update_route(update)
        .await
        .unwrap()
        .into_inner()
        .route
        .unwrap();
    assert_eq!(updated.host, "route-1.example");
    let breaker = updated.circuit_breaker.unwrap();
    assert_eq!(
        (breaker.enabled, breaker.timeout_ms, breaker.max_requests),
        (false, 900, 7)
    );

    let mut upstreams = UpstreamServiceClient::new(plane.channel.clone());
    let drain = v1::UpdateUpstreamRequest {
        upstream: Some(v1::Upstream {
            id: id(2),
            ..Default::default()
        }),
        update_mask: mask(&["weight"]),
        ..Default::default()
    };
    let drained = upstreams
        .update_upstream(drain)
        .await
        .unwrap()
        .into_inner()
        .upstream
        .unwrap();
    assert_eq!(drained.weight.to_bits(), 0.0_f64.to_bits());
    assert_eq!(drained.route_id, id(1));
    plane.stop().await;
}

#[tokio::test]
async fn a_mask_is_required_and_unknown_paths_are_refused() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    for paths in [&[][..], &["chain"], &["chain_id", "*"], &["chain_id.x"]] {
        let update = v1::UpdateNetworkRequest {
            network: Some(v1::Network {
                name: "eth".to_owned(),
                chain_id: 5,
                ..Default::default()
            }),
            update_mask: mask(paths),
            ..Default::default()
        };
        let refused = client.update_network(update).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{paths:?}: {refused}");
        let refusal = rejection::from_status(&refused).unwrap();
        assert_eq!(refusal.violations[0].field, "update_mask");
    }
    plane.stop().await;
}

#[tokio::test]
async fn a_write_with_an_old_etag_is_aborted() {
    let plane = Plane::start().await;
    plane.put_network("eth", 1).await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let get = v1::GetNetworkRequest {
        name: "eth".to_owned(),
        ..Default::default()
    };
    let read = client
        .get_network(get)
        .await
        .unwrap()
        .into_inner()
        .network
        .unwrap();
    let update = |chain_id| v1::UpdateNetworkRequest {
        network: Some(v1::Network {
            chain_id,
            ..read.clone()
        }),
        update_mask: mask(&["chain_id"]),
        ..Default::default()
    };
    client.update_network(update(2)).await.unwrap();
    let stale = client.update_network(update(3)).await.unwrap_err();
    assert_eq!(stale.code(), Code::Aborted, "{stale}");
    let delete = v1::DeleteNetworkRequest {
        name: "eth".to_owned(),
        etag: read.meta.clone().unwrap().etag,
        ..Default::default()
    };
    assert_eq!(
        client.delete_network(delete).await.unwrap_err().code(),
        Code::Aborted
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_missing_resource_is_created_only_when_allowed() {
    let plane = Plane::start().await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let update = |allow_missing| v1::UpdateNetworkRequest {
        network: Some(v1::Network {
            name: "eth".to_owned(),
            blockchain: "evm".to_owned(),
            chain_id: 1,
            meta: None,
        }),
        update_mask: mask(&["chain_id"]),
        allow_missing,
        validate_only: false,
        ..Default::default()
    };
    assert_eq!(
        client.update_network(update(false)).await.unwrap_err().code(),
        Code::NotFound
    );
    let created = client.update_network(update(true)).await.unwrap().into_inner();
    assert_eq!(created.network.unwrap().blockchain, "evm");
    let same = client.update_network(update(false)).await.unwrap().into_inner();
    assert_eq!(
        same.version.unwrap().revision,
        1,
        "equal content makes no revision"
    );
    plane.stop().await;
}

#[tokio::test]
async fn validate_only_tells_what_would_be_and_changes_nothing() {
    let plane = Plane::start().await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let Wire::Network(eth) = network("eth", 1) else {
        panic!("another part")
    };
    let create = |validate_only| v1::CreateNetworkRequest {
        network: Some(eth.clone()),
        validate_only,
        ..Default::default()
    };
    let would = client.create_network(create(true)).await.unwrap().into_inner();
    assert_eq!(would.version.clone().unwrap().revision, 1);
    let get = v1::GetNetworkRequest {
        name: "eth".to_owned(),
        ..Default::default()
    };
    assert_eq!(client.get_network(get).await.unwrap_err().code(), Code::NotFound);
    let is = client.create_network(create(false)).await.unwrap().into_inner();
    assert_eq!(is.version, would.version);
    assert_eq!(
        client.create_network(create(true)).await.unwrap_err().code(),
        Code::AlreadyExists
    );
    plane.stop().await;
}

#[tokio::test]
async fn every_broken_rule_is_named() {
    let plane = Plane::start().await;
    let mut client = RpcServiceClient::new(plane.channel.clone());
    let create = v1::CreateRpcRequest {
        rpc: Some(v1::Rpc {
            provider: "bad name".to_owned(),
            url: "ftp://x".to_owned(),
            ..rpc(1, "eth")
        }),
        ..Default::default()
    };
    let refused = client.create_rpc(create).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refusal = rejection::from_status(&refused).unwrap();
    let fields: Vec<_> = refusal
        .violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["provider", "url"]);
    plane.stop().await;
}

#[tokio::test]
async fn a_delete_takes_along_what_hangs_on_it_or_is_refused() {
    let plane = Plane::start().await;
    plane
        .put(vec![Wire::Route(route(1)), Wire::Upstream(upstream(2, 1, 1.0))])
        .await;
    let mut client = RouteServiceClient::new(plane.channel.clone());
    let delete = |cascade| v1::DeleteRouteRequest {
        id: id(1),
        cascade,
        ..Default::default()
    };
    let refused = client.delete_route(delete(Some(false))).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    let deleted = client
        .delete_route(delete(None))
        .await
        .unwrap()
        .into_inner()
        .deleted;
    let ids: Vec<_> = deleted.iter().map(|key| key.id.clone()).collect();
    assert_eq!(ids, [id(1), id(2)]);
    assert_eq!(
        client.delete_route(delete(None)).await.unwrap_err().code(),
        Code::NotFound
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_list_comes_in_pages_of_one_revision_and_is_filtered() {
    let plane = Plane::start().await;
    plane
        .put(
            (0..5)
                .map(|number| network(&format!("n{number}"), number % 2 + 1))
                .collect(),
        )
        .await;
    let mut client = NetworkServiceClient::new(plane.channel.clone());
    let list = |page_size, page_token: &str, filter: &str| v1::ListNetworksRequest {
        page_size,
        page_token: page_token.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = client
            .list_networks(list(2, &token, ""))
            .await
            .unwrap()
            .into_inner();
        names.extend(page.networks.into_iter().map(|network| network.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["n0", "n1", "n2", "n3", "n4"]);

    let odd = client
        .list_networks(list(0, "", "chain_id=2"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(odd.networks.len(), 2);
    let first = client.list_networks(list(2, "", "")).await.unwrap().into_inner();
    plane.put_network("later", 9).await;
    let second = client.list_networks(list(9, &first.next_page_token, "")).await;
    let second = second.unwrap().into_inner();
    assert_eq!(
        second.revision, first.revision,
        "a list goes on in the revision it began with"
    );
    assert!(second.networks.iter().all(|network| network.name != "later"));
    let gone = client.list_networks(list(2, "99:n1", "")).await.unwrap_err();
    assert_eq!(gone.code(), Code::OutOfRange);
    for bad in [list(1001, "", ""), list(1, "x", ""), list(1, "", "color=red")] {
        assert_eq!(
            client.list_networks(bad).await.unwrap_err().code(),
            Code::InvalidArgument
        );
    }
    plane.stop().await;
}

#[tokio::test]
async fn sixty_equal_creates_give_one_success() {
    let plane = Plane::start().await;
    let creates = (0..60).map(|_| {
        let mut client = RouteServiceClient::new(plane.channel.clone());
        let route = v1::Route {
            id: String::new(),
            ..route(1)
        };
        tokio::spawn(async move {
            let create = v1::CreateRouteRequest {
                route: Some(route),
                validate_only: false,
                ..Default::default()
            };
            client.create_route(create).await.map_err(|status| status.code())
        })
    });
    let mut outcomes = Vec::new();
    for create in creates.collect::<Vec<_>>() {
        outcomes.push(create.await.unwrap());
    }
    let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let lost = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Err(Code::AlreadyExists)))
        .count();
    assert_eq!((won, lost), (1, 59));
    plane.stop().await;
}
