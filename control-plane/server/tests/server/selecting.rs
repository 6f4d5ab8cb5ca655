//! Subscribers that select routes by labels.

use std::collections::BTreeMap;

use tyrscale_proto::v1::{
    self, configuration_service_client::ConfigurationServiceClient, resource::Resource as Wire,
    stream_config_request::Message,
};

use crate::{
    follower::{Follower, Wire as Stream, hello},
    plane::{Plane, id, network, route, rpc, upstream},
    rollout::{control, freeze, until_state},
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

/// What was seen before and what changed since is all that is needed, whether somebody followed meanwhile or nobody.
#[tokio::test]
async fn who_selects_comes_back_to_what_changed_in_its_part() {
    let plane = two_teams().await;
    for (nth, is_followed, team) in [(0, false, "c"), (1, true, "d")] {
        let a = follow(&plane, "of-a", "a").await;
        let (have, rows) = (a.running.clone(), a.rows.clone());
        drop(a);
        let mut other = match is_followed {
            true => Some(follow(&plane, "other", "a").await),
            false => None,
        };
        let changes = [
            vec![of_team(1, "b")],
            vec![of_team(1, "a"), Wire::Upstream(upstream(30 + nth, 1, 1.0))],
            vec![of_team(2, team)],
        ];
        for change in changes {
            plane.put(change).await;
            if let Some(other) = &mut other {
                other.follow().await;
            }
        }
        let (mut a, plan) = Follower::greet(&plane.channel, selecting("of-a", "a", have)).await;
        assert_eq!(plan.resume(), v1::Resume::Delta, "{plan:?}");
        a.go_on_from(rows);
        let update = a.follow().await;
        assert!(
            update.upserts.iter().any(|row| row.id == id(30 + nth)),
            "{update:?}"
        );
        assert!(update.removals.is_empty(), "{update:?}");
    }
    plane.stop().await;
}

#[tokio::test]
async fn what_is_noted_with_a_route_is_no_news_unless_it_is_a_label_that_is_selected() {
    let plane = two_teams().await;
    let mut a = follow(&plane, "of-a", "a").await;
    let Wire::Route(mut noted) = of_team(1, "a") else {
        panic!("no route")
    };
    let meta = noted.meta.get_or_insert_default();
    meta.labels.insert("other".to_owned(), "label".to_owned());
    meta.annotations.insert("note".to_owned(), "of people".to_owned());
    plane.put(vec![Wire::Route(noted)]).await;
    let update = a.follow().await;
    assert_eq!((update.upserts.len(), update.removals.len()), (0, 0));
    plane.stop().await;
}

#[tokio::test]
async fn a_rollback_gives_routes_their_labels_again() {
    let plane = two_teams().await;
    let mut a = follow(&plane, "of-a", "a").await;
    let before = a.rows.clone();
    let moved = plane.put(vec![of_team(1, "b")]).await;
    a.follow().await;
    let request = v1::RollbackRequest {
        revision: moved.revision - 1,
        ..v1::RollbackRequest::default()
    };
    let mut client = ConfigurationServiceClient::new(plane.channel.clone());
    client.rollback(request).await.unwrap();
    a.follow().await;
    assert_eq!(a.rows, before);
    plane.stop().await;
}

/// A label says who serves a route: it moves by the stages that are asked of every change, and back when they end badly.
#[tokio::test]
async fn a_label_moves_by_stages_and_back_with_them() {
    let plane = two_teams().await;
    let stages = "label canary=true 3600s".parse().unwrap();
    let plane = plane.restart_with(|config| config.rollout = stages).await;
    let mut hello = selecting("canary", "a", None);
    hello.node.as_mut().unwrap().labels = [("canary".to_owned(), "true".to_owned())].into();
    let (mut canary, _) = Follower::greet(&plane.channel, hello).await;
    canary.follow().await;
    let mut a = follow(&plane, "of-a", "a").await;
    let before = canary.rows.clone();

    plane.put(vec![of_team(1, "b")]).await;
    assert_eq!(canary.follow().await.removals.len(), 2);
    a.wire.stays_quiet().await;
    control(&plane, 0, v1::RolloutAction::Abort).await.unwrap();
    until_state(&plane, v1::RolloutState::Reverted).await;
    assert_eq!(canary.follow().await.upserts.len(), 2);
    assert_eq!(canary.rows, before);
    a.follow().await;
    assert_eq!(a.rows, before);
    plane.stop().await;
}

/// What a frozen fleet runs is made again from the log after a restart, with the labels that routes had.
#[tokio::test]
async fn a_frozen_fleet_sees_the_labels_of_before() {
    let plane = two_teams().await;
    let mut a = follow(&plane, "of-a", "a").await;
    freeze(&plane, true).await;
    plane.put(vec![of_team(1, "b")]).await;
    a.wire.stays_quiet().await;
    let plane = plane.restart().await;
    let (mut again, plan) = Follower::greet(&plane.channel, selecting("of-a", "a", a.running.clone())).await;
    assert_eq!(plan.resume(), v1::Resume::InSync, "{plan:?}");
    again.go_on_from(a.rows.clone());
    let late = follow(&plane, "late", "a").await;
    assert_eq!(late.rows, a.rows);
    freeze(&plane, false).await;
    assert_eq!(again.follow().await.removals.len(), 2);
    plane.stop().await;
}

#[tokio::test]
async fn a_control_plane_says_that_it_selects() {
    let plane = two_teams().await;
    for (hello, says_so) in [
        (selecting("of-a", "a", None), true),
        (hello("of-all", "boot"), false),
    ] {
        let mut stream = Stream::open(&plane.channel).await;
        stream.say(Message::Hello(hello)).await;
        let welcome = stream.welcome().await;
        let labels = tyrscale_model::Selection::FEATURE;
        assert_eq!(welcome.features.iter().any(|word| word == labels), says_so);
    }
    plane.stop().await;
}
