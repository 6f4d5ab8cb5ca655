//! The parts of a configuration that subscribers see who select routes by labels.
#![cfg(test)]

use std::{collections::BTreeMap, sync::Arc};

use proptest::collection::vec;
use proptest::prelude::*;
use tyrscale_model::{
    ChangeSet, Kind, Lineage, Notes, Operation, PluginType, Policy, Resource, ResourceKey, Selection,
    Snapshot, UnixMillis, View, apply, wire,
};
use tyrscale_proto::v1::{self, resource::Resource as Wire, upstream::Target};

fn id(number: u8) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn labels(team: u8) -> BTreeMap<String, String> {
    [("team".to_owned(), format!("t{team}"))].into()
}

/// One change, most of which fit.
#[derive(Debug, Clone)]
enum Step {
    Route(u8, u8),
    Rpc(u8, bool),
    /// Of a route, at an rpc or an address, whose headers may hold the secret.
    Upstream(u8, u8, Option<u8>, bool),
    /// Of a route.
    Plugin(u8),
    /// Of a route.
    Recommendation(u8),
    /// A new value.
    Secret(u8),
    Delete(Kind, u8),
}

fn any_step() -> impl Strategy<Value = Step> {
    let kinds = prop_oneof![
        Just(Kind::Route),
        Just(Kind::Rpc),
        Just(Kind::Upstream),
        Just(Kind::Recommendation)
    ];
    let upstream = (0u8..6, 0u8..4, proptest::option::of(0u8..3), any::<bool>());
    prop_oneof![
        3 => (0u8..4, 0u8..3).prop_map(|(route, team)| Step::Route(route, team)),
        2 => (0u8..3, any::<bool>()).prop_map(|(rpc, keyed)| Step::Rpc(rpc, keyed)),
        4 => upstream.prop_map(|(it, route, rpc, keyed)| Step::Upstream(it, route, rpc, keyed)),
        1 => (0u8..4).prop_map(Step::Plugin),
        1 => (0u8..4).prop_map(Step::Recommendation),
        1 => any::<u8>().prop_map(Step::Secret),
        1 => (kinds, 0u8..6).prop_map(|(kind, it)| Step::Delete(kind, it)),
    ]
}

fn key_header(keyed: bool) -> BTreeMap<String, String> {
    let header = || ("x-key".to_owned(), "${secret:key}".to_owned());
    keyed.then(header).into_iter().collect()
}

fn message(step: &Step) -> Option<Wire> {
    Some(match step {
        Step::Route(number, team) => Wire::Route(v1::Route {
            id: id(*number),
            host: format!("r{number}.example"),
            path: "/".to_owned(),
            load_balancer: v1::LoadBalancer::LeastLoad.into(),
            meta: Some(v1::ObjectMeta {
                labels: labels(*team),
                ..v1::ObjectMeta::default()
            }),
            ..v1::Route::default()
        }),
        Step::Rpc(number, keyed) => Wire::Rpc(v1::Rpc {
            id: id(*number),
            network: "eth".to_owned(),
            provider: "own".to_owned(),
            visibility: v1::Visibility::Private.into(),
            url: format!("https://n{number}.example/"),
            collectors: vec![v1::Collector::EthBlockNumber.into()],
            headers: key_header(*keyed),
            ..v1::Rpc::default()
        }),
        Step::Upstream(number, route, rpc, keyed) => Wire::Upstream(v1::Upstream {
            id: id(*number),
            route_id: id(*route),
            target: Some(match rpc {
                Some(rpc) => Target::RpcId(id(*rpc)),
                None => Target::Address(v1::Address {
                    scheme: "http".to_owned(),
                    host: "up.example".to_owned(),
                    port: 80,
                    path: "/".to_owned(),
                }),
            }),
            weight: 1.0,
            headers: key_header(*keyed),
            ..v1::Upstream::default()
        }),
        Step::Plugin(route) => Wire::Plugin(v1::PluginAttachment {
            route_id: id(*route),
            name: "plugin".to_owned(),
            r#type: v1::PluginType::Middleware.into(),
            priority: 1,
            ..v1::PluginAttachment::default()
        }),
        Step::Recommendation(route) => Wire::Recommendation(v1::Recommendation {
            route_id: id(*route),
            network: "eth".to_owned(),
            schedule: "@every 1m".to_owned(),
            strategy: v1::RecommendationStrategy::HighestBlock.into(),
            mode: v1::RecommendationMode::Propose.into(),
            ..v1::Recommendation::default()
        }),
        Step::Secret(value) => Wire::Secret(v1::Secret {
            name: "key".to_owned(),
            sealed: vec![*value].into(),
            ..v1::Secret::default()
        }),
        Step::Delete(..) => return None,
    })
}

fn put(change_set: &mut ChangeSet, message: Wire) {
    let labels = match &message {
        Wire::Route(route) => route.meta.as_ref().map(|meta| meta.labels.clone()),
        _ => None,
    };
    let message = v1::Resource {
        resource: Some(message),
    };
    let resource: Resource = wire::resource_from_wire(&message).unwrap();
    let notes = Notes {
        labels,
        ..Notes::default()
    };
    change_set.notes.insert(resource.key(), notes);
    change_set.operations.push(Operation::put(resource));
}

fn change_of(step: &Step) -> ChangeSet {
    let mut change_set = ChangeSet::default();
    match (message(step), step) {
        (Some(message), _) => put(&mut change_set, message),
        (None, Step::Delete(kind, number)) => change_set.operations.push(Operation::Delete {
            key: ResourceKey::new(*kind, id(*number)),
            etag: None,
            cascade: true,
        }),
        (None, _) => {}
    }
    change_set
}

/// A plugin is loaded.
fn policy() -> Policy {
    let plugin = ("plugin".parse().unwrap(), PluginType::Middleware);
    Policy {
        plugins: [plugin].into(),
    }
}

/// A network and a secret.
fn begun() -> Snapshot {
    let mut change_set = ChangeSet::default();
    put(
        &mut change_set,
        Wire::Network(v1::Network {
            name: "eth".to_owned(),
            blockchain: "evm".to_owned(),
            chain_id: 1,
            meta: None,
        }),
    );
    put(
        &mut change_set,
        Wire::Secret(v1::Secret {
            name: "key".to_owned(),
            sealed: b"sealed".as_slice().into(),
            ..v1::Secret::default()
        }),
    );
    let empty = Snapshot::empty(Lineage([7; 16]));
    apply(&empty, &change_set, &policy(), UnixMillis(0))
        .unwrap()
        .snapshot
}

/// What is seen by the plain rule, resource by resource.
fn expected(whole: &Snapshot, team: u8) -> Vec<ResourceKey> {
    let is_own = |key: &ResourceKey| {
        let entry = whole.get(key).unwrap();
        entry.meta.labels.get("team") == labels(team).get("team")
    };
    let routes: Vec<_> = whole.routes().filter(|route| is_own(&route.key())).collect();
    let upstreams: Vec<_> = routes
        .iter()
        .flat_map(|route| whole.upstreams_of(route.id))
        .collect();
    let rpcs: Vec<_> = whole
        .rpcs()
        .filter(|rpc| {
            upstreams
                .iter()
                .any(|it| it.target == tyrscale_model::Target::Rpc(rpc.id))
        })
        .collect();
    let networks = whole.networks().map(tyrscale_model::Network::key);
    let headers = rpcs.iter().map(|rpc| rpc.headers.secrets().count());
    let own = upstreams
        .iter()
        .map(|upstream| upstream.headers.secrets().count());
    let is_referred = headers.chain(own).any(|secrets| secrets > 0);
    let plugins = routes.iter().flat_map(|route| whole.plugins_of(route.id));
    let recommendations = whole.recommendations();
    let recommendations = recommendations.filter(|it| routes.iter().any(|route| route.id == it.route_id));
    let secret = is_referred.then(|| ResourceKey::new(Kind::Secret, "key"));
    let mut keys: Vec<_> = networks
        .chain(routes.iter().map(|route| route.key()))
        .chain(upstreams.iter().map(|upstream| upstream.key()))
        .chain(rpcs.iter().map(|rpc| rpc.key()))
        .chain(plugins.map(tyrscale_model::PluginAttachment::key))
        .chain(recommendations.map(tyrscale_model::Recommendation::key))
        .chain(secret)
        .collect();
    keys.sort();
    keys
}

proptest! {
    /// Step by step, skipping revisions now and then, a part is what it is when it is made from nothing.
    #[test]
    fn a_part_that_follows_changes_is_the_part_of_the_whole(
        steps in vec((any_step(), any::<bool>()), 1..40),
    ) {
        let selections = [0, 1].map(|team| Selection::of(labels(team)));
        let mut whole = begun();
        let mut parts = selections.clone().map(|selection| whole.selected(&selection).unwrap());
        let mut touched: Vec<ResourceKey> = Vec::new();
        for (step, is_looked_at) in steps {
            let Ok(applied) = apply(&whole, &change_of(&step), &policy(), UnixMillis(0)) else {
                continue;
            };
            whole = applied.snapshot;
            touched.extend(applied.changes.into_iter().map(|change| change.key));
            if !is_looked_at {
                continue;
            }
            for ((team, selection), part) in (0..).zip(&selections).zip(&mut parts) {
                let (next, changed) = whole.selected_after(part, touched.clone(), selection).unwrap();
                let anew = whole.selected(selection).unwrap();
                prop_assert_eq!(next.version(View::ALL), anew.version(View::ALL));
                let seen: Vec<_> = next.iter().map(|(key, _)| key.clone()).collect();
                prop_assert_eq!(&seen, &expected(&whole, team));
                for (key, entry) in next.iter() {
                    prop_assert!(Arc::ptr_eq(entry, whole.get(key).unwrap()), "{key} is not shared");
                }
                for key in part.iter().chain(next.iter()).map(|(key, _)| key) {
                    let payload = |of: &Snapshot| of.get(key).map(|entry| entry.payload.clone());
                    prop_assert_eq!(payload(part) != payload(&next), changed.contains(key), "{}", key);
                }
                *part = next;
            }
            touched.clear();
        }
    }
}

#[test]
fn selections_are_told_apart_and_everything_is_the_whole() {
    let everything = Selection::default();
    assert!(everything.is_everything() && everything.mark().is_none());
    let marks = [0, 1].map(|team| Selection::of(labels(team)).mark().unwrap());
    assert_ne!(marks[0], marks[1]);
    assert_eq!(marks[0].len(), 16);
    let alike = [vec![("a", "1,b=2")], vec![("a", "1"), ("b", "2")]].map(|labels| {
        let labels = labels.into_iter();
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Selection::of(labels.collect()).mark()
    });
    assert_ne!(alike[0], alike[1]);
    let whole = begun();
    let all = whole.selected(&everything).unwrap();
    assert_eq!(all.version(View::ALL), whole.version(View::ALL));
}
