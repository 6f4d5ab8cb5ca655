//! What a scope lets pass of a change.
#![cfg(test)]

use std::collections::BTreeMap;

use tyrscale_access::Scope;
use tyrscale_model::{
    ChangeSet, Lineage, Notes, Operation, Policy, Resource, ResourceKey, Snapshot, UnixMillis, ViolationCode,
    apply, wire,
};
use tyrscale_proto::v1::{self, resource::Resource as Wire, upstream::Target};

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

fn team(name: &str) -> Option<v1::ObjectMeta> {
    Some(v1::ObjectMeta {
        labels: labels(name),
        ..v1::ObjectMeta::default()
    })
}

fn labels(team: &str) -> BTreeMap<String, String> {
    [("team".to_owned(), team.to_owned())].into()
}

fn network(name: &str) -> Wire {
    Wire::Network(v1::Network {
        name: name.to_owned(),
        blockchain: "evm".to_owned(),
        chain_id: 1,
        meta: None,
    })
}

fn secret(name: &str, meta: Option<v1::ObjectMeta>) -> Wire {
    Wire::Secret(v1::Secret {
        name: name.to_owned(),
        sealed: b"sealed".as_slice().into(),
        meta,
        ..v1::Secret::default()
    })
}

fn rpc(number: u32, network: &str, url: &str) -> v1::Rpc {
    v1::Rpc {
        id: id(number),
        network: network.to_owned(),
        provider: "own".to_owned(),
        visibility: v1::Visibility::Private.into(),
        url: url.to_owned(),
        collectors: vec![v1::Collector::EthBlockNumber.into()],
        ..v1::Rpc::default()
    }
}

fn route(number: u32) -> v1::Route {
    v1::Route {
        id: id(number),
        host: format!("route-{number}.example"),
        path: "/".to_owned(),
        load_balancer: v1::LoadBalancer::LeastLoad.into(),
        ..v1::Route::default()
    }
}

fn upstream(number: u32, route: u32, target: Target) -> v1::Upstream {
    v1::Upstream {
        id: id(number),
        route_id: id(route),
        target: Some(target),
        weight: 1.0,
        ..v1::Upstream::default()
    }
}

fn at(host: &str, path: &str) -> Target {
    Target::Address(v1::Address {
        scheme: "http".to_owned(),
        host: host.to_owned(),
        port: 80,
        path: path.to_owned(),
    })
}

fn headers(value: &str) -> BTreeMap<String, String> {
    [("x-key".to_owned(), value.to_owned())].into()
}

fn meta_of(message: &Wire) -> Option<&v1::ObjectMeta> {
    match message {
        Wire::Rpc(rpc) => rpc.meta.as_ref(),
        Wire::Route(route) => route.meta.as_ref(),
        Wire::Secret(secret) => secret.meta.as_ref(),
        Wire::Upstream(upstream) => upstream.meta.as_ref(),
        _ => None,
    }
}

/// The change that puts these messages with their labels.
fn puts(messages: impl IntoIterator<Item = Wire>) -> ChangeSet {
    let mut change_set = ChangeSet::default();
    for message in messages {
        let labels = meta_of(&message).map(|meta| meta.labels.clone());
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
    change_set
}

fn changed(before: &Snapshot, messages: Vec<Wire>) -> (Snapshot, Vec<ResourceKey>) {
    let applied = apply(before, &puts(messages), &Policy::default(), UnixMillis(0)).unwrap();
    let keys = applied.changes.into_iter().map(|change| change.key);
    (applied.snapshot, keys.collect())
}

fn content(messages: Vec<Wire>) -> Snapshot {
    changed(&Snapshot::empty(Lineage([7; 16])), messages).0
}

/// What a change is refused for; nothing when it is inside.
fn refused(scope: &Scope, before: &Snapshot, messages: Vec<Wire>) -> Vec<String> {
    let (after, keys) = changed(before, messages);
    let Err(rejection) = scope.admit_change(before, &after, &keys) else {
        return Vec::new();
    };
    let named = rejection.violations.into_iter().map(|violation| {
        assert_eq!(violation.code, ViolationCode::OutOfScope);
        violation.resource.unwrap().to_string()
    });
    named.collect()
}

fn eth() -> Scope {
    Scope::of(["eth"]).unwrap()
}

fn team_a() -> Scope {
    Scope::default().with_labels(labels("a")).unwrap()
}

const SHARED: [&str; 1] = ["secret/shared"];

/// An rpc of each network with one key.
fn sharing() -> Snapshot {
    content(vec![
        network("eth"),
        network("pol"),
        secret("shared", None),
        Wire::Rpc(rpc(1, "eth", "https://good.example/${secret:shared}")),
        Wire::Rpc(rpc(2, "pol", "https://pol.example/${secret:shared}")),
    ])
}

#[test]
fn an_rpc_cannot_take_a_key_of_others_elsewhere() {
    let before = sharing();
    let moved = rpc(1, "eth", "https://evil.example/${secret:shared}");
    assert_eq!(refused(&eth(), &before, vec![Wire::Rpc(moved)]), SHARED);
    let copied = v1::Rpc {
        headers: headers("${secret:shared}"),
        ..rpc(1, "eth", "https://good.example/${secret:shared}")
    };
    assert_eq!(refused(&eth(), &before, vec![Wire::Rpc(copied.clone())]), SHARED);
    let (before, _) = changed(&before, vec![Wire::Rpc(copied.clone())]);
    let moved = v1::Rpc {
        url: "https://evil.example/".to_owned(),
        ..copied.clone()
    };
    assert_eq!(refused(&eth(), &before, vec![Wire::Rpc(moved)]), SHARED);
    let measured = v1::Rpc {
        collectors: vec![v1::Collector::Latency.into()],
        ..copied
    };
    assert!(refused(&eth(), &before, vec![Wire::Rpc(measured)]).is_empty());
    let own = rpc(1, "eth", "https://other.example/");
    assert!(refused(&eth(), &before, vec![Wire::Rpc(own)]).is_empty());
}

#[test]
fn an_upstream_cannot_take_a_key_of_others_elsewhere() {
    let target = || at("good.example", "/${secret:shared}");
    let known = v1::Upstream {
        meta: team("a"),
        headers: headers("${secret:shared}"),
        ..upstream(1, 1, target())
    };
    let before = content(vec![
        secret("shared", None),
        Wire::Route(v1::Route {
            meta: team("a"),
            ..route(1)
        }),
        Wire::Upstream(known.clone()),
    ]);
    let heavier = v1::Upstream {
        weight: 2.0,
        ..known.clone()
    };
    assert!(refused(&team_a(), &before, vec![Wire::Upstream(heavier)]).is_empty());
    let elsewhere = v1::Upstream {
        target: Some(at("evil.example", "/")),
        ..known.clone()
    };
    let through = v1::Upstream {
        proxy_host: "evil.example:3128".to_owned(),
        ..known.clone()
    };
    let renamed = v1::Upstream {
        headers: [("x-other".to_owned(), "${secret:shared}".to_owned())].into(),
        ..known
    };
    for bad in [elsewhere, through, renamed] {
        assert_eq!(refused(&team_a(), &before, vec![Wire::Upstream(bad)]), SHARED);
    }
}

#[test]
fn a_route_that_was_outside_is_not_drawn_in() {
    let before = content(vec![
        network("eth"),
        Wire::Rpc(rpc(1, "eth", "https://eth.example/")),
        Wire::Route(route(1)),
        Wire::Upstream(upstream(1, 1, at("theirs.example", "/"))),
    ]);
    let by_rpc = |number, route| Wire::Upstream(upstream(number, route, Target::RpcId(id(1))));
    let its_route = [format!("route/{}", id(1))];
    assert_eq!(refused(&eth(), &before, vec![by_rpc(2, 1)]), its_route);
    let recommendation = Wire::Recommendation(v1::Recommendation {
        route_id: id(1),
        network: "eth".to_owned(),
        schedule: "@hourly".to_owned(),
        strategy: v1::RecommendationStrategy::HighestBlock.into(),
        ..v1::Recommendation::default()
    });
    assert_eq!(refused(&eth(), &before, vec![recommendation]), its_route);
    let made = vec![Wire::Route(route(2)), by_rpc(3, 2)];
    assert!(refused(&eth(), &before, made.clone()).is_empty());
    let (before, _) = changed(&before, made);
    assert!(refused(&eth(), &before, vec![by_rpc(4, 2)]).is_empty());
}

/// A route of team a, and an rpc of nobody with a key.
fn with_rpc_of_others() -> Snapshot {
    let keyed = v1::Rpc {
        headers: headers("${secret:shared}"),
        ..rpc(1, "eth", "http://keyed.example/")
    };
    content(vec![
        network("eth"),
        secret("shared", None),
        Wire::Rpc(keyed.clone()),
        Wire::Rpc(v1::Rpc {
            id: id(2),
            url: "http://lent.example/".to_owned(),
            meta: team("a"),
            ..keyed
        }),
        Wire::Route(v1::Route {
            meta: team("a"),
            ..route(1)
        }),
        Wire::Upstream(v1::Upstream {
            meta: team("a"),
            ..upstream(1, 1, Target::RpcId(id(1)))
        }),
    ])
}

#[test]
fn an_rpc_of_others_is_not_used() {
    let before = with_rpc_of_others();
    let by_rpc = |number, rpc| v1::Upstream {
        meta: team("a"),
        ..upstream(number, 1, Target::RpcId(id(rpc)))
    };
    let theirs = [format!("rpc/{}", id(1))];
    assert_eq!(
        refused(&team_a(), &before, vec![Wire::Upstream(by_rpc(2, 1))]),
        theirs
    );
    // One that was given to the team by hand stays as it is.
    let heavier = v1::Upstream {
        weight: 2.0,
        ..by_rpc(1, 1)
    };
    assert!(refused(&team_a(), &before, vec![Wire::Upstream(heavier)]).is_empty());
    let through = |upstream| {
        Wire::Upstream(v1::Upstream {
            proxy_host: "evil.example:3128".to_owned(),
            ..upstream
        })
    };
    let found = refused(&team_a(), &before, vec![through(by_rpc(1, 1))]);
    assert!(found.contains(&theirs[0]), "{found:?}");
    // It may use what it was lent, but not read its key.
    assert!(refused(&team_a(), &before, vec![Wire::Upstream(by_rpc(2, 2))]).is_empty());
    let read = refused(&team_a(), &before, vec![through(by_rpc(2, 2))]);
    assert_eq!(read, [format!("upstream/{}", id(2))]);
    let made = v1::Rpc {
        meta: team("a"),
        ..rpc(3, "eth", "https://own.example/")
    };
    let own = vec![Wire::Rpc(made), through(by_rpc(3, 3))];
    assert!(refused(&team_a(), &before, own).is_empty());
}

#[test]
fn an_rpc_does_not_take_the_headers_of_others_elsewhere() {
    let lent = v1::Rpc {
        meta: team("a"),
        ..rpc(1, "eth", "https://lent.example/")
    };
    let before = content(vec![
        network("eth"),
        secret("shared", None),
        Wire::Rpc(lent.clone()),
        Wire::Route(route(1)),
        Wire::Upstream(v1::Upstream {
            headers: headers("${secret:shared}"),
            ..upstream(1, 1, Target::RpcId(id(1)))
        }),
    ]);
    let moved = v1::Rpc {
        url: "https://evil.example/".to_owned(),
        ..lent
    };
    let found = refused(&team_a(), &before, vec![Wire::Rpc(moved)]);
    assert_eq!(found, [format!("rpc/{}", id(1))]);
}

/// The keys that are not secrets: in headers and paths, which readers see masked.
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

#[test]
fn an_rpc_takes_no_value_elsewhere_that_was_set_before() {
    let known = v1::Rpc {
        headers: headers(KEY),
        ..rpc(1, "eth", "https://good.example/")
    };
    let before = content(vec![network("eth"), Wire::Rpc(known.clone())]);
    let at = |url: &str, headers| v1::Rpc {
        url: url.to_owned(),
        headers,
        ..known.clone()
    };
    let evil = "https://evil.example/";
    let own = [format!("rpc/{}", id(1))];
    assert_eq!(
        refused(&eth(), &before, vec![Wire::Rpc(at(evil, headers(KEY)))]),
        own
    );
    for good in [
        at(evil, headers("another")),
        at(evil, BTreeMap::new()),
        at("https://good.example/other", headers(KEY)),
    ] {
        assert!(refused(&eth(), &before, vec![Wire::Rpc(good)]).is_empty());
    }
}

#[test]
fn an_upstream_takes_no_value_elsewhere_that_was_set_before() {
    let known = v1::Upstream {
        meta: team("a"),
        headers: headers(KEY),
        ..upstream(1, 1, at("good.example", "/"))
    };
    let keyed = v1::Upstream {
        meta: team("a"),
        ..upstream(2, 1, at("good.example", &format!("/v2/{KEY}")))
    };
    let before = content(vec![
        Wire::Route(v1::Route {
            meta: team("a"),
            ..route(1)
        }),
        Wire::Upstream(known.clone()),
        Wire::Upstream(keyed.clone()),
    ]);
    let moved = |upstream: &v1::Upstream, path: &str| v1::Upstream {
        target: Some(at("evil.example", path)),
        ..upstream.clone()
    };
    let through = v1::Upstream {
        proxy_host: "evil.example:3128".to_owned(),
        ..known.clone()
    };
    let key_path = format!("/v2/{KEY}");
    for bad in [moved(&known, "/"), through, moved(&keyed, &key_path)] {
        let key = [format!("upstream/{}", bad.id)];
        assert_eq!(refused(&team_a(), &before, vec![Wire::Upstream(bad)]), key);
    }
    let anew = v1::Upstream {
        headers: headers("another"),
        ..moved(&known, "/")
    };
    for good in [anew, moved(&keyed, "/")] {
        assert!(refused(&team_a(), &before, vec![Wire::Upstream(good)]).is_empty());
    }
}

#[test]
fn an_rpc_takes_no_header_of_its_upstreams_elsewhere_that_was_set_before() {
    let lent = v1::Rpc {
        meta: team("a"),
        ..rpc(1, "eth", "https://lent.example/")
    };
    let before = content(vec![
        network("eth"),
        Wire::Rpc(lent.clone()),
        Wire::Route(route(1)),
        Wire::Upstream(v1::Upstream {
            headers: headers(KEY),
            ..upstream(1, 1, Target::RpcId(id(1)))
        }),
    ]);
    let moved = v1::Rpc {
        url: "https://evil.example/".to_owned(),
        ..lent
    };
    let found = refused(&team_a(), &before, vec![Wire::Rpc(moved)]);
    assert_eq!(found, [format!("rpc/{}", id(1))]);
}

/// An rpc of team a whose URL and headers are as given.
fn lent(url: &str, values: BTreeMap<String, String>) -> v1::Rpc {
    v1::Rpc {
        meta: team("a"),
        headers: values,
        ..rpc(1, "eth", url)
    }
}

#[test]
fn a_proxy_of_an_rpc_gets_no_secret_of_others_and_no_key_that_was_set_before() {
    let through = |rpc: &v1::Rpc, proxy: &str| {
        Wire::Rpc(v1::Rpc {
            egress_proxy: proxy.to_owned(),
            ..rpc.clone()
        })
    };
    let evil = "evil.example:3128";
    let own = [format!("rpc/{}", id(1))];
    let plain = lent("http://good.example/", BTreeMap::new());
    let before = |rpc: &v1::Rpc| {
        content(vec![
            network("eth"),
            secret("shared", None),
            Wire::Rpc(rpc.clone()),
        ])
    };
    let credentials = format!("user:${{secret:shared}}@{evil}");
    assert_eq!(
        refused(&team_a(), &before(&plain), vec![through(&plain, &credentials)]),
        SHARED
    );
    assert!(refused(&team_a(), &before(&plain), vec![through(&plain, evil)]).is_empty());
    let referring = lent("http://good.example/", headers("${secret:shared}"));
    assert_eq!(
        refused(&team_a(), &before(&referring), vec![through(&referring, evil)]),
        SHARED
    );
    let keyed = lent(&format!("http://good.example/v2/{KEY}"), plain.headers.clone());
    let with_header = lent("http://good.example/", headers(KEY));
    for rpc in [keyed, with_header] {
        assert_eq!(refused(&team_a(), &before(&rpc), vec![through(&rpc, evil)]), own);
    }
}

#[test]
fn a_proxy_of_an_upstream_reads_no_key_of_its_rpc() {
    let keyed = lent(&format!("http://good.example/v2/{KEY}"), BTreeMap::new());
    let known = v1::Upstream {
        meta: team("a"),
        ..upstream(1, 1, Target::RpcId(id(1)))
    };
    let before = content(vec![
        network("eth"),
        Wire::Rpc(keyed),
        Wire::Route(v1::Route {
            meta: team("a"),
            ..route(1)
        }),
        Wire::Upstream(known.clone()),
    ]);
    let through = v1::Upstream {
        proxy_host: "evil.example:3128".to_owned(),
        ..known
    };
    let found = refused(&team_a(), &before, vec![Wire::Upstream(through)]);
    assert_eq!(found, [format!("upstream/{}", id(1))]);
}
