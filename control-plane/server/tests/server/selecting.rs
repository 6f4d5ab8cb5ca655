//! Subscribers that select routes by labels.

use std::collections::BTreeMap;

use tyrscale_proto::v1::{self, resource::Resource as Wire};

use crate::{
    follower::{Follower, hello},
    plane::{Plane, id, network, route, rpc, upstream},
};

const VALUE: &str = "canary-of-team-b-0123456789";

fn labels(team: &str) -> BTreeMap<String, String> {
    [("team".to_owned(), team.to_owned())].into()
}

fn of_team(number: usize, team: &str) -> Wire {
    Wire::Route(v1::Route {
        meta: Some(v1::ObjectMeta {
            labels: labels(team),
            ..v1::ObjectMeta::default()
        }),
        ..route(number)
    })
}

/// Routes of each team beside those that are looked at: a small change is sent as one.
const OTHERS: usize = 20;

/// A route of each of two teams with an upstream; that of team b is at an rpc with a secret.
async fn two_teams() -> Plane {
    let plane = Plane::start().await;
    let mut theirs = rpc(5, "eth");
    theirs
        .headers
        .insert("x-key".to_owned(), "${secret:of-b}".to_owned());
    let at_rpc = v1::Upstream {
        target: Some(v1::upstream::Target::RpcId(id(5))),
        ..upstream(4, 2, 1.0)
    };
    let others = |first, team| (first..first + OTHERS).map(move |number| of_team(number, team));
    plane
        .put(others(100, "a").chain(others(200, "b")).collect())
        .await;
    plane
        .put(vec![
            network("eth", 1),
            Wire::Secret(v1::Secret {
                name: "of-b".to_owned(),
                value: Some(VALUE.to_owned()),
                ..v1::Secret::default()
            }),
            Wire::Rpc(theirs),
            of_team(1, "a"),
            Wire::Upstream(upstream(3, 1, 1.0)),
            of_team(2, "b"),
            Wire::Upstream(at_rpc),
        ])
        .await;
    plane
}

fn selecting(node: &str, team: &str, have: Option<v1::Version>) -> v1::Hello {
    v1::Hello {
        selector: Some(v1::Selector {
            labels: labels(team),
            ..v1::Selector::default()
        }),
        have: have.into_iter().collect(),
        ..hello(node, "boot")
    }
}

async fn follow(plane: &Plane, node: &str, team: &str) -> Follower {
    let (mut follower, plan) = Follower::greet(&plane.channel, selecting(node, team, None)).await;
    assert_eq!(plan.resume(), v1::Resume::Snapshot);
    follower.follow().await;
    follower
}

/// What it runs besides those.
fn seen(follower: &Follower) -> Vec<(v1::Kind, &str)> {
    let is_looked_at = |(_, key): &&(i32, String)| {
        let mut others = (100..100 + OTHERS).chain(200..200 + OTHERS);
        others.all(|number| *key != id(number))
    };
    let rows = follower.rows.keys().filter(is_looked_at);
    rows.map(|(kind, id)| (v1::Kind::try_from(*kind).unwrap(), id.as_str()))
        .collect()
}

/// What leaves the view is removed, what comes back is sent again, and all digests are right.
#[tokio::test]
async fn c59_a_label_moves_a_route_out_of_a_view_and_back() {
    let plane = two_teams().await;
    let mut a = follow(&plane, "of-a", "a").await;
    let (one, three) = (id(1), id(3));
    let own = [
        (v1::Kind::Network, "eth"),
        (v1::Kind::Upstream, three.as_str()),
        (v1::Kind::Route, one.as_str()),
    ];
    let mut found = seen(&a);
    found.sort_by_key(|(kind, _)| own.iter().position(|(known, _)| known == kind));
    assert_eq!(found, own);
    let mut b = follow(&plane, "of-b", "b").await;
    assert_eq!(seen(&b).len(), 5);

    plane.put(vec![of_team(1, "b")]).await;
    let update = a.follow().await;
    assert!(update.base.is_some() && update.upserts.is_empty(), "{update:?}");
    let mut gone: Vec<_> = update.removals.iter().map(|key| key.id.clone()).collect();
    gone.sort();
    assert_eq!(gone, [id(1), id(3)]);
    let update = b.follow().await;
    assert_eq!((update.upserts.len(), update.removals.len()), (2, 0));

    plane.put(vec![of_team(1, "a")]).await;
    let update = a.follow().await;
    assert!(update.base.is_some() && update.removals.is_empty(), "{update:?}");
    assert_eq!(update.upserts.len(), 2);
    assert_eq!(seen(&a).len(), 3);
    b.follow().await;

    // What is outside moves the revision and nothing else.
    let version = plane.put(vec![Wire::Upstream(upstream(6, 2, 1.0))]).await;
    let update = a.follow().await;
    assert_eq!((update.upserts.len(), update.removals.len()), (0, 0));
    assert_eq!(update.target.revision, version.revision);
    assert_eq!(b.follow().await.upserts.len(), 1);

    // Each has proved what it runs by a digest of its own.
    for (follower, team) in [(&a, "a"), (&b, "b")] {
        let have = follower.running.clone();
        let (_, plan) = Follower::greet(&plane.channel, selecting("again", team, have)).await;
        assert_eq!(plan.resume(), v1::Resume::InSync, "{plan:?}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn c61_a_secret_of_a_route_of_others_is_never_sent() {
    let plane = two_teams().await;
    let (mut a, _) = Follower::greet(&plane.channel, selecting("of-a", "a", None)).await;
    let whole = a.follow().await;
    plane.put(vec![of_team(2, "c")]).await;
    let after = a.follow().await;
    for update in [&whole, &after] {
        let sent = format!("{update:?}");
        assert!(!sent.contains(VALUE) && !sent.contains("of-b"), "{sent}");
    }
    let mut b = follow(&plane, "of-b", "c").await;
    assert!(seen(&b).contains(&(v1::Kind::Secret, "of-b")));
    // The last one who refers to it leaves, and with him the secret.
    plane.put(vec![of_team(2, "b")]).await;
    b.follow().await;
    assert_eq!(seen(&b), [(v1::Kind::Network, "eth")]);
    plane.stop().await;
}

/// A control plane that has just started knows of no part what it was before.
#[tokio::test]
async fn who_selects_goes_on_after_a_restart_and_catches_up() {
    let plane = two_teams().await;
    let a = follow(&plane, "of-a", "a").await;
    let plane = plane.restart().await;
    let have = a.running.clone();
    let (_, plan) = Follower::greet(&plane.channel, selecting("of-a", "a", have.clone())).await;
    assert_eq!(plan.resume(), v1::Resume::InSync, "{plan:?}");
    plane.put(vec![of_team(7, "a")]).await;
    let plane = plane.restart().await;
    let (mut late, plan) = Follower::greet(&plane.channel, selecting("of-a", "a", have)).await;
    assert_eq!(plan.resume(), v1::Resume::Snapshot, "{plan:?}");
    late.follow().await;
    assert_eq!(seen(&late).len(), 4);
    plane.stop().await;
}
