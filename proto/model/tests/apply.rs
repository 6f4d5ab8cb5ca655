//! Change sets over snapshots: what is refused, what goes along, and that both ends agree on the result.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use tyrscale_model::{
    Applied, ChangeAction, ChangeSet, Etag, Kind, Lineage, Operation, Policy, Rejection, Resource,
    ResourceKey, Revision, Row, Snapshot, UnixMillis, View, ViolationCode, apply, wire,
};
use tyrscale_proto::v1::{self, resource::Resource as Wire};

const LINEAGE: Lineage = Lineage([7; 16]);

fn uuid(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn model(message: Wire) -> Resource {
    wire::resource_from_wire(&v1::Resource {
        resource: Some(message),
    })
    .unwrap()
}

fn network(name: &str) -> Resource {
    model(Wire::Network(v1::Network {
        name: name.into(),
        blockchain: "ethereum".into(),
        chain_id: 1,
        meta: None,
    }))
}

fn rpc(id: u32, network: &str, url: &str) -> Resource {
    model(Wire::Rpc(v1::Rpc {
        id: uuid(id),
        network: network.into(),
        provider: "own".into(),
        visibility: v1::Visibility::Private.into(),
        url: url.into(),
        collectors: vec![v1::Collector::EthBlockNumber.into()],
        ..v1::Rpc::default()
    }))
}

fn route(id: u32, host: &str, path: &str) -> Resource {
    model(Wire::Route(v1::Route {
        id: uuid(id),
        host: host.into(),
        path: path.into(),
        load_balancer: v1::LoadBalancer::LeastLoad.into(),
        ..v1::Route::default()
    }))
}

fn upstream(id: u32, route: u32, target: v1::upstream::Target, weight: f64) -> Resource {
    model(Wire::Upstream(v1::Upstream {
        id: uuid(id),
        route_id: uuid(route),
        target: Some(target),
        weight,
        ..v1::Upstream::default()
    }))
}

fn by_rpc(id: u32, route: u32, rpc: u32) -> Resource {
    upstream(id, route, v1::upstream::Target::RpcId(uuid(rpc)), 50.0)
}

fn recommendation(route: u32, network: &str) -> Resource {
    model(Wire::Recommendation(v1::Recommendation {
        route_id: uuid(route),
        network: network.into(),
        schedule: "@hourly".into(),
        strategy: v1::RecommendationStrategy::HighestBlock.into(),
        ..v1::Recommendation::default()
    }))
}

fn delete(kind: Kind, id: impl Into<String>, cascade: bool) -> Operation {
    Operation::Delete {
        key: ResourceKey::new(kind, id.into()),
        etag: None,
        cascade,
    }
}

fn change(snapshot: &Snapshot, operations: Vec<Operation>) -> Result<Applied, Rejection> {
    let change_set = ChangeSet {
        operations,
        ..ChangeSet::default()
    };
    apply(snapshot, &change_set, &Policy::default(), UnixMillis(1))
}

fn after(snapshot: &Snapshot, operations: Vec<Operation>) -> Snapshot {
    change(snapshot, operations).unwrap().snapshot
}

fn codes(rejection: &Rejection) -> Vec<(String, ViolationCode)> {
    rejection
        .violations
        .iter()
        .map(|violation| (violation.field.clone(), violation.code))
        .collect()
}

/// A network with an rpc, on a route by one upstream of the rpc and one of an address.
fn filled() -> Snapshot {
    let address = v1::upstream::Target::Address(v1::Address {
        scheme: "http".into(),
        host: "node.example".into(),
        port: 8545,
        path: "/".into(),
    });
    after(
        &Snapshot::empty(LINEAGE),
        vec![
            Operation::put(by_rpc(30, 20, 10)),
            Operation::put(upstream(31, 20, address, 50.0)),
            Operation::put(route(20, "a.example", "/eth")),
            Operation::put(rpc(10, "eth", "http://one.example/")),
            Operation::put(network("eth")),
        ],
    )
}

#[test]
fn no_network_is_named_nowhere() {
    let refused = change(
        &Snapshot::empty(LINEAGE),
        vec![Operation::put(network(tyrscale_model::Network::NOWHERE))],
    );
    assert_eq!(
        codes(&refused.unwrap_err()),
        [("name".into(), ViolationCode::Invalid)]
    );
}

#[test]
fn references_count_after_the_last_step() {
    let snapshot = filled();
    assert_eq!(snapshot.revision(), Revision(1));
    assert_eq!(snapshot.len(), 5);
}

#[test]
fn a_dangling_reference_is_refused_by_field() {
    let refused = change(
        &Snapshot::empty(LINEAGE),
        vec![Operation::put(by_rpc(30, 20, 10))],
    )
    .unwrap_err();
    let dangling = ViolationCode::ReferenceNotFound;
    assert_eq!(
        codes(&refused),
        [("route_id".into(), dangling), ("rpc_id".into(), dangling)]
    );
}

#[test]
fn hosts_and_paths_are_unique_in_their_normal_form() {
    let snapshot = filled();
    for (host, path) in [
        ("A.Example:80", "/eth"),
        ("a.example", "/eth/"),
        ("a.example", "//%65th"),
    ] {
        let refused = change(&snapshot, vec![Operation::put(route(21, host, path))]).unwrap_err();
        assert_eq!(codes(&refused), [("host".into(), ViolationCode::AlreadyExists)]);
        assert_eq!(
            refused.violations[0].conflict,
            Some(ResourceKey::new(Kind::Route, uuid(20)))
        );
    }
    assert!(change(&snapshot, vec![Operation::put(route(21, "a.example", ""))]).is_ok());
}

#[test]
fn two_routes_may_trade_places_in_one_change() {
    let snapshot = after(&filled(), vec![Operation::put(route(21, "b.example", "/"))]);
    let traded = after(
        &snapshot,
        vec![
            Operation::put(route(20, "b.example", "/")),
            Operation::put(route(21, "a.example", "/eth")),
        ],
    );
    assert!(change(&traded, vec![Operation::put(route(22, "b.example", "/"))]).is_err());
    assert!(change(&traded, vec![Operation::put(route(22, "c.example", "/"))]).is_ok());
}

#[test]
fn an_rpc_url_is_unique_in_its_normal_form() {
    let refused = change(
        &filled(),
        vec![Operation::put(rpc(11, "eth", "HTTP://One.example:80"))],
    )
    .unwrap_err();
    assert_eq!(codes(&refused), [("url".into(), ViolationCode::AlreadyExists)]);
}

#[test]
fn a_freed_name_can_be_taken_again() {
    let freed = after(&filled(), vec![delete(Kind::Route, uuid(20), true)]);
    assert!(change(&freed, vec![Operation::put(route(25, "a.example", "/eth"))]).is_ok());
}

#[test]
fn deleting_a_network_takes_its_rpcs_and_their_upstreams() {
    let applied = change(&filled(), vec![delete(Kind::Network, "eth", true)]).unwrap();
    let kinds: Vec<_> = applied
        .changes
        .iter()
        .map(|change| (change.key.kind, change.action))
        .collect();
    let deleted = ChangeAction::Deleted;
    assert_eq!(
        kinds,
        [
            (Kind::Network, deleted),
            (Kind::Rpc, deleted),
            (Kind::Upstream, deleted)
        ]
    );
    assert_eq!(applied.snapshot.len(), 2);
}

#[test]
fn without_cascade_what_is_used_stays() {
    let refused = change(&filled(), vec![delete(Kind::Rpc, uuid(10), false)]).unwrap_err();
    assert_eq!(codes(&refused), [(String::new(), ViolationCode::InUse)]);
    let both = vec![
        delete(Kind::Upstream, uuid(30), false),
        delete(Kind::Rpc, uuid(10), false),
    ];
    assert!(change(&filled(), both).is_ok());
}

#[test]
fn a_recommendation_keeps_its_route_and_network() {
    let snapshot = after(&filled(), vec![Operation::put(recommendation(20, "eth"))]);
    for operation in [
        delete(Kind::Network, "eth", true),
        delete(Kind::Route, uuid(20), true),
    ] {
        let refused = change(&snapshot, vec![operation]).unwrap_err();
        assert!(
            refused
                .violations
                .iter()
                .all(|violation| violation.code == ViolationCode::InUse)
        );
    }
    let together = vec![
        delete(Kind::Recommendation, uuid(20), true),
        delete(Kind::Network, "eth", true),
    ];
    assert!(change(&snapshot, together).is_ok());
}

#[test]
fn a_network_has_one_recommendation() {
    let snapshot = after(
        &filled(),
        vec![
            Operation::put(recommendation(20, "eth")),
            Operation::put(route(21, "b.example", "")),
        ],
    );
    let refused = change(&snapshot, vec![Operation::put(recommendation(21, "eth"))]).unwrap_err();
    assert_eq!(
        codes(&refused),
        [("network".into(), ViolationCode::AlreadyExists)]
    );
}

#[test]
fn an_upstream_moved_off_an_rpc_outlives_it() {
    let address = v1::upstream::Target::Address(v1::Address {
        scheme: "http".into(),
        host: "n.example".into(),
        port: 1,
        path: "/".into(),
    });
    let moved = after(&filled(), vec![Operation::put(upstream(30, 20, address, 1.0))]);
    let left = after(&moved, vec![delete(Kind::Rpc, uuid(10), true)]);
    assert!(left.get(&ResourceKey::new(Kind::Upstream, uuid(30))).is_some());
}

#[test]
fn one_bad_step_undoes_none_but_refuses_all() {
    let snapshot = filled();
    let refused = change(
        &snapshot,
        vec![
            Operation::put(network("polygon")),
            delete(Kind::Network, "nope", true),
        ],
    )
    .unwrap_err();
    assert_eq!(codes(&refused), [(String::new(), ViolationCode::NotFound)]);
    assert_eq!(snapshot.len(), 5);
}

#[test]
fn a_stale_etag_is_refused_and_the_current_one_is_not() {
    let snapshot = filled();
    let key = ResourceKey::new(Kind::Network, "eth");
    let current = snapshot.get(&key).unwrap().etag();
    let with = |etag: Etag| Operation::Delete {
        key: key.clone(),
        etag: Some(etag),
        cascade: true,
    };
    let refused = change(&snapshot, vec![with(Etag("stale".into()))]).unwrap_err();
    assert_eq!(
        codes(&refused),
        [("meta.etag".into(), ViolationCode::EtagMismatch)]
    );
    assert!(change(&snapshot, vec![with(current)]).is_ok());
}

#[test]
fn an_expected_revision_is_held_to() {
    let snapshot = filled();
    let at = |revision| ChangeSet {
        expected_revision: Some(Revision(revision)),
        operations: vec![Operation::put(network("polygon"))],
        ..ChangeSet::default()
    };
    let apply_at = |revision| apply(&snapshot, &at(revision), &Policy::default(), UnixMillis(0));
    assert_eq!(
        apply_at(0).unwrap_err().violations[0].code,
        ViolationCode::RevisionMismatch
    );
    assert!(apply_at(1).is_ok());
}

#[test]
fn equal_content_is_no_change() {
    let snapshot = filled();
    let again = change(&snapshot, vec![Operation::put(network("eth"))]).unwrap();
    assert!(again.changes.is_empty());
    assert_eq!(again.snapshot.version(View::ALL), snapshot.version(View::ALL));
    let there_and_back = vec![
        delete(Kind::Upstream, uuid(30), true),
        Operation::put(by_rpc(30, 20, 10)),
    ];
    assert!(change(&snapshot, there_and_back).unwrap().changes.is_empty());
}

#[test]
fn what_is_read_masked_can_be_written_back() {
    let secret = "http://user:word@one.example/v2/0123456789abcdefghijkl?key=v";
    let snapshot = after(&filled(), vec![Operation::put(rpc(10, "eth", secret))]);
    let entry = snapshot.get(&ResourceKey::new(Kind::Rpc, uuid(10))).unwrap();
    let shown = wire::entry_to_wire(entry);
    let Some(Wire::Rpc(shown)) = shown.resource else {
        panic!("an rpc")
    };
    assert!(shown.url.contains("***") && !shown.url.contains("word") && !shown.url.contains("0123"));
    let again = change(&snapshot, vec![Operation::put(model(Wire::Rpc(shown.clone())))]).unwrap();
    assert!(again.changes.is_empty());

    let other = v1::Rpc {
        id: uuid(11),
        ..shown
    };
    let refused = change(&snapshot, vec![Operation::put(model(Wire::Rpc(other)))]).unwrap_err();
    assert_eq!(codes(&refused), [("url".into(), ViolationCode::Invalid)]);
}

#[test]
fn a_plugin_needs_a_gateway_that_loaded_it() {
    let plugin = model(Wire::Plugin(v1::PluginAttachment {
        route_id: uuid(20),
        name: "cache".into(),
        r#type: v1::PluginType::Middleware.into(),
        priority: 5,
        description: String::new(),
        config_json: "{}".into(),
        meta: None,
    }));
    let refused = change(&filled(), vec![Operation::put(plugin.clone())]).unwrap_err();
    assert_eq!(
        codes(&refused),
        [("name".into(), ViolationCode::ReferenceNotFound)]
    );
    let policy = Policy {
        plugins: BTreeMap::from([("cache".parse().unwrap(), tyrscale_model::PluginType::Middleware)]),
    };
    let change_set = ChangeSet {
        operations: vec![Operation::put(plugin)],
        ..ChangeSet::default()
    };
    let attached = apply(&filled(), &change_set, &policy, UnixMillis(0))
        .unwrap()
        .snapshot;
    assert_eq!(
        after(&attached, vec![delete(Kind::Route, uuid(20), true)]).len(),
        2
    );
}

#[test]
fn a_probe_cannot_frame_its_own_message() {
    let with = |method: &str, header: &str| {
        let request = v1::HealthCheckRequest {
            method: method.into(),
            headers: [(header.to_owned(), "1".to_owned())].into(),
            ..v1::HealthCheckRequest::default()
        };
        let message = v1::Route {
            id: uuid(20),
            host: "a.example".into(),
            load_balancer: v1::LoadBalancer::LeastLoad.into(),
            health_check: Some(v1::HealthCheck {
                request: Some(request),
                ..v1::HealthCheck::default()
            }),
            ..v1::Route::default()
        };
        change(
            &filled(),
            vec![Operation::put(model(Wire::Route(v1::Route {
                path: "/x".into(),
                ..message
            })))],
        )
    };
    assert!(with("GET", "x-key").is_ok());
    for (method, header) in [
        ("CONNECT", "x-key"),
        ("GET", "Content-Length"),
        ("GET", "host"),
        ("GET", "transfer-encoding"),
    ] {
        assert!(with(method, header).is_err(), "{method} {header}");
    }
}

#[test]
fn every_broken_rule_is_named_at_once() {
    let message = v1::Rpc {
        id: "zz".into(),
        url: "ftp://x".into(),
        ..v1::Rpc::default()
    };
    let violations = wire::rpc_from_wire(&message).unwrap_err();
    let fields: Vec<_> = violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(fields, ["id", "network", "provider", "visibility", "url"]);
}

/// One random step over a small world, valid or not.
fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (0u32..3).prop_map(|n| Operation::put(network(&format!("n{n}")))),
        (10u32..14, 0u32..3, 0u32..4).prop_map(|(id, n, host)| Operation::put(rpc(
            id,
            &format!("n{n}"),
            &format!("http://h{host}.example/")
        ))),
        (20u32..23, 0u32..3).prop_map(|(id, host)| Operation::put(route(
            id,
            &format!("r{host}.example"),
            ""
        ))),
        (30u32..36, 20u32..23, 10u32..14, 0.0f64..100.0).prop_map(|(id, r, rpc, w)| Operation::put(
            upstream(id, r, v1::upstream::Target::RpcId(uuid(rpc)), w)
        )),
        (20u32..23, 0u32..3).prop_map(|(r, n)| Operation::put(recommendation(r, &format!("n{n}")))),
        (0u32..3, any::<bool>()).prop_map(|(n, cascade)| delete(Kind::Network, format!("n{n}"), cascade)),
        (10u32..14, any::<bool>()).prop_map(|(id, cascade)| delete(Kind::Rpc, uuid(id), cascade)),
        (20u32..23, any::<bool>()).prop_map(|(id, cascade)| delete(Kind::Route, uuid(id), cascade)),
        (30u32..36).prop_map(|id| delete(Kind::Upstream, uuid(id), true)),
        (20u32..23).prop_map(|id| delete(Kind::Recommendation, uuid(id), true)),
    ]
}

fn row(snapshot: &Snapshot, key: &ResourceKey) -> Row {
    let entry = snapshot.get(key).unwrap();
    Row::of(entry)
}

fn closed(snapshot: &Snapshot) -> bool {
    snapshot.routes().all(|route| {
        snapshot
            .upstreams_of(route.id)
            .all(|upstream| upstream.route_id == route.id)
    }) && snapshot
        .rpcs()
        .all(|rpc| snapshot.networks().any(|network| network.name == rpc.network))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A subscriber that is sent only differences, in steps of any size, holds the content of the store.
    #[test]
    fn differences_lead_a_subscriber_to_the_same_digest(
        steps in proptest::collection::vec((proptest::collection::vec(any_operation(), 1..4), any::<bool>()), 1..40),
    ) {
        let mut store = Snapshot::empty(LINEAGE);
        let mut subscriber = Snapshot::empty(LINEAGE);
        let mut touched: BTreeMap<ResourceKey, ()> = BTreeMap::new();
        for (operations, send) in steps {
            let before = store.revision();
            if let Ok(applied) = change(&store, operations) {
                let moved = if applied.changes.is_empty() { before } else { before.next() };
                prop_assert_eq!(applied.snapshot.revision(), moved);
                touched.extend(applied.changes.into_iter().map(|change| (change.key, ())));
                store = applied.snapshot;
            }
            prop_assert!(closed(&store));
            if send {
                let (present, gone): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut touched).into_keys().partition(|key| store.get(key).is_some());
                let upserts = present.iter().map(|key| row(&store, key)).collect();
                subscriber = subscriber.advance(LINEAGE, store.revision(), upserts, &gone).unwrap();
                prop_assert_eq!(subscriber.version(View::ALL), store.version(View::ALL));
            }
        }
        let all = store.iter().map(|(key, _)| row(&store, key)).collect();
        let fresh = Snapshot::empty(LINEAGE).advance(LINEAGE, store.revision(), all, &[]).unwrap();
        prop_assert_eq!(fresh.version(View::ALL), store.version(View::ALL));
    }

    #[test]
    fn no_payload_panics(kind in 0usize..6, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let kind = Kind::ALL[kind];
        let row = Row { key: ResourceKey::new(kind, "x"), revision: Revision(1), payload: bytes.into(), value: None };
        let _outcome = Snapshot::empty(LINEAGE).advance(LINEAGE, Revision(1), vec![row], &[]);
    }
}
