//! The subscription against a scripted control plane over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "subscription/crash_loop.rs"]
mod crash_loop;
#[path = "subscription/server.rs"]
mod server;
#[path = "subscription/subscriber.rs"]
mod subscriber;

use std::{fs, time::Duration};

use server::{PATIENCE, ScriptedServer, ScriptedStream, chunk, delta, welcome};
use subscriber::{LINEAGE, PANICKED, REFUSED, Subscriber, VIEW, config, content, key, network};
use tyrscale_model::{Digest, Lineage, Row, Selection, Snapshot, Version, wire};
use tyrscale_proto::v1::{self, NackReason, directive::Directive, stream_config_response::Message};

const OTHER_LINEAGE: Lineage = Lineage([8; 16]);

fn version(snapshot: &Snapshot) -> Version {
    snapshot.version(VIEW)
}

fn snapshot_of(target: &Version, rows: &[Row]) -> Message {
    chunk(None, target, 0, 1, rows)
}

/// A subscriber that runs `rows` at `revision`.
async fn running(revision: u64, rows: &[Row]) -> (Subscriber, ScriptedStream, Snapshot) {
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], None));
    let mut stream = server.welcome().await;
    let first = content(LINEAGE, revision, rows);
    stream.ask_for_ack(snapshot_of(&version(&first), rows)).await;
    assert_eq!(subscriber.update().await.version, version(&first));
    (subscriber, stream, first)
}

/// The update was refused for `reason` and what ran before runs on.
async fn assert_refused(
    (mut subscriber, mut stream, first): (Subscriber, ScriptedStream, Snapshot),
    message: Message,
    reason: NackReason,
) -> v1::Nack {
    let nack = stream.ask_for_nack(message).await;
    assert_eq!(nack.reason(), reason, "{nack:?}");
    assert_eq!(nack.running, Some(wire::version_to_wire(&version(&first))));
    assert!(!nack.violations.is_empty());
    assert!(subscriber.has_no_update());
    let status = subscriber.status(|status| status.last_refusal.is_some()).await;
    assert_eq!(status.running, Some(version(&first)));
    assert_eq!((status.updates_applied, status.updates_refused), (1, 1));
    let same = version(&first);
    let ack = stream.ask_for_ack(delta(&same, &same, &[], &[])).await;
    assert_eq!(ack.running, Some(wire::version_to_wire(&same)));
    assert_eq!(subscriber.update().await.changed, []);
    subscriber.status(|status| status.last_refusal.is_none()).await;
    nack
}

#[tokio::test]
async fn a_snapshot_in_chunks_and_a_delta_reach_the_consumer_and_are_acknowledged() {
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], None));
    let mut stream = server.welcome().await;
    assert_eq!(stream.have(), None);
    let node = stream.hello.node.clone().unwrap();
    assert_eq!((node.id.as_str(), node.role()), ("node-1", v1::NodeRole::Gateway));

    let rows = [network("a", 1), network("b", 2), network("c", 3)];
    let first = version(&content(LINEAGE, 5, &rows));
    stream.send(chunk(None, &first, 0, 3, &rows[..1])).await;
    stream.send(chunk(None, &first, 1, 3, &rows[1..2])).await;
    let ack = stream.ask_for_ack(chunk(None, &first, 2, 3, &rows[2..])).await;
    assert_eq!(ack.running, Some(wire::version_to_wire(&first)));
    assert_eq!(ack.warnings, ["a warning"]);
    assert!(!ack.persisted);
    let update = subscriber.update().await;
    assert_eq!(update.version, first);
    assert_eq!(update.changed, [key("a"), key("b"), key("c")]);

    let rows = [network("a", 1), network("b", 20), network("d", 4)];
    let second = version(&content(LINEAGE, 7, &rows));
    let ack = stream
        .ask_for_ack(delta(&first, &second, &rows[1..], &[key("c")]))
        .await;
    assert_eq!(ack.running, Some(wire::version_to_wire(&second)));
    let update = subscriber.update().await;
    assert_eq!(update.changed, [key("b"), key("d"), key("c")]);
    assert_eq!(update.snapshot.len(), 3);
    let status = subscriber.status(|status| status.running == Some(second)).await;
    assert!(status.connected && status.current_at.is_some() && status.head == Some(second));

    let third = version(&content(LINEAGE, 8, &rows));
    stream
        .send(Message::Heartbeat(v1::Heartbeat {
            head: vec![wire::version_to_wire(&third)],
        }))
        .await;
    subscriber.status(|status| status.head == Some(third)).await;
    subscriber.stop().await;
    stream.closed().await;
}

/// C57
#[tokio::test]
async fn unknown_fields_are_kept_and_proved_and_unknown_kinds_left_out() {
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], None));
    let mut stream = server.welcome().await;
    let mut row = network("a", 1);
    // Field 1000, a varint.
    let payload = [row.payload.as_ref(), &[0xc0, 0x3e, 0x07]].concat();
    row.payload = payload.clone().into();
    let target = version(&content(LINEAGE, 1, std::slice::from_ref(&row)));
    let Message::Chunk(mut message) = snapshot_of(&target, &[row]) else {
        panic!("no chunk")
    };
    message.upserts.push(v1::DiscoveryResource {
        kind: 99,
        id: "what".into(),
        revision: 1,
        payload: vec![1, 2, 3].into(),
        ttl: None,
        value: None,
        required_features: vec!["telepathy".into()],
    });
    let ack = stream.ask_for_ack(Message::Chunk(message)).await;
    assert_eq!(ack.running, Some(wire::version_to_wire(&target)));
    let update = subscriber.update().await;
    assert_eq!(update.snapshot.get(&key("a")).unwrap().payload, payload);
    assert_eq!(update.snapshot.len(), 1);
}

/// C56
#[tokio::test]
async fn an_update_that_names_a_resource_twice_is_refused() {
    let first = [network("a", 1)];
    let rows = [network("b", 2), network("b", 2)];
    let target = version(&content(LINEAGE, 6, &[network("a", 1), network("b", 2)]));
    for (upserts, removals) in [(&rows[..], &[][..]), (&rows[..1], &[key("b")])] {
        let running = running(5, &first).await;
        let base = version(&running.2);
        let update = delta(&base, &target, upserts, removals);
        let nack = assert_refused(running, update, NackReason::Decode).await;
        assert!(nack.violations[0].message.contains("twice"), "{nack:?}");
    }
}

/// C58: a control plane that does not look at what is understood.
#[tokio::test]
async fn what_needs_a_feature_of_a_newer_build_is_refused_by_name() {
    let running = running(5, &[network("a", 1)]).await;
    let rows = [network("b", 1)];
    let target = version(&content(LINEAGE, 6, &rows));
    let Message::Chunk(mut message) = snapshot_of(&target, &rows) else {
        panic!("no chunk")
    };
    message.upserts[0].required_features = ["secrets", "telepathy"].map(str::to_owned).into();
    let nack = assert_refused(running, Message::Chunk(message), NackReason::Unsupported).await;
    assert!(nack.violations[0].message.contains("telepathy"), "{nack:?}");
}

/// C98
#[tokio::test]
async fn a_lower_revision_of_the_own_lineage_is_refused() {
    let running = running(5, &[network("a", 1)]).await;
    let rows = [network("b", 1)];
    let older = version(&content(LINEAGE, 4, &rows));
    assert_refused(running, snapshot_of(&older, &rows), NackReason::Invalid).await;
}

/// C99
#[tokio::test]
async fn a_content_of_another_lineage_is_refused_until_an_operator_asks_for_it() {
    for rows in [vec![], vec![network("b", 2), network("c", 3)]] {
        let other = version(&content(OTHER_LINEAGE, 9, &rows));
        let first = running(5, &[network("a", 1), network("b", 2)]).await;
        assert_refused(first, snapshot_of(&other, &rows), NackReason::Limit).await;

        let (mut subscriber, mut stream, _) = running(5, &[network("a", 1), network("b", 2)]).await;
        let resync = v1::Resync {
            lane: v1::Lane::Config.into(),
        };
        stream
            .send(Message::Directive(v1::Directive {
                directive: Some(Directive::Resync(resync)),
            }))
            .await;
        stream.ask_for_ack(snapshot_of(&other, &rows)).await;
        assert_eq!(subscriber.update().await.version, other);
    }
}

#[tokio::test]
async fn a_snapshot_names_only_what_differs_from_what_ran() {
    let (mut subscriber, mut stream, _) = running(5, &[network("a", 1), network("b", 2)]).await;
    let rows = [network("b", 2), network("c", 3)];
    let other = version(&content(LINEAGE, 7, &rows));
    stream.ask_for_ack(snapshot_of(&other, &rows)).await;
    let update = subscriber.update().await;
    assert_eq!(update.version, other);
    assert_eq!(update.changed, [key("c"), key("a")]);
}

/// C100
#[tokio::test]
async fn a_delta_on_a_foreign_base_is_refused() {
    let rows = [network("a", 1)];
    for base in [content(LINEAGE, 4, &rows), content(OTHER_LINEAGE, 5, &rows)] {
        let running = running(5, &rows).await;
        let target = version(&content(base.lineage(), 6, &rows));
        let message = delta(&version(&base), &target, &[], &[]);
        assert_refused(running, message, NackReason::BaseMismatch).await;
    }
}

#[tokio::test]
async fn a_content_that_is_not_the_one_promised_is_refused() {
    let running = running(5, &[network("a", 1)]).await;
    let base = version(&running.2);
    let target = Version {
        digest: Digest([1; 32]),
        ..version(&content(LINEAGE, 6, &[]))
    };
    let message = delta(&base, &target, &[network("b", 2)], &[]);
    assert_refused(running, message, NackReason::DigestMismatch).await;
}

#[tokio::test]
async fn a_payload_that_is_no_resource_is_refused() {
    let running = running(5, &[network("a", 1)]).await;
    let base = version(&running.2);
    let mut row = network("b", 2);
    row.payload = vec![0xff, 0xff].into();
    let message = delta(&base, &base, &[row], &[]);
    assert_refused(running, message, NackReason::Decode).await;
}

#[tokio::test]
async fn what_the_consumer_refuses_is_refused_with_its_first_32_reasons() {
    let running = running(5, &[network("a", 1)]).await;
    let rows = [network("a", 1), network(REFUSED, 2)];
    let target = version(&content(LINEAGE, 6, &rows));
    let message = delta(&version(&running.2), &target, &rows[1..], &[]);
    let nack = assert_refused(running, message, NackReason::Invalid).await;
    assert_eq!((nack.violations.len(), nack.violations_total), (32, 40));
    assert_eq!(nack.rejected, Some(wire::version_to_wire(&target)));
}

#[tokio::test]
async fn a_consumer_that_panics_refuses() {
    let running = running(5, &[network("a", 1)]).await;
    let rows = [network("a", 1), network(PANICKED, 2)];
    let target = version(&content(LINEAGE, 6, &rows));
    let message = delta(&version(&running.2), &target, &rows[1..], &[]);
    assert_refused(running, message, NackReason::Internal).await;
}

/// C102
#[tokio::test]
async fn chunks_that_do_not_make_one_update_are_refused_and_nothing_is_applied() {
    let rows = [network("a", 1), network("b", 2), network("c", 3)];
    let target = version(&content(LINEAGE, 6, &rows));
    let other = version(&content(LINEAGE, 7, &rows));
    let part = |target: &Version, index: usize| {
        let index = index.min(2);
        let number = u32::try_from(index).unwrap();
        chunk(None, target, number, 3, &rows[index..=index])
    };
    for (what, chunks) in [
        ("missing", vec![part(&target, 0), part(&target, 2)]),
        (
            "repeated",
            vec![
                part(&target, 0),
                part(&target, 0),
                part(&target, 1),
                part(&target, 2),
            ],
        ),
        (
            "out of order",
            vec![part(&target, 1), part(&target, 0), part(&target, 2)],
        ),
        (
            "other target",
            vec![part(&target, 0), part(&other, 1), part(&target, 2)],
        ),
        ("no beginning", vec![part(&target, 2)]),
    ] {
        let (mut subscriber, mut stream, first) = running(5, &[network("z", 9)]).await;
        let (last, before) = chunks.split_last().unwrap();
        for message in before {
            stream.send(message.clone()).await;
        }
        let nack = stream.ask_for_nack(last.clone()).await;
        assert_eq!(nack.reason(), NackReason::Decode, "{what}");
        assert_eq!(
            nack.running,
            Some(wire::version_to_wire(&version(&first))),
            "{what}"
        );
        assert!(subscriber.has_no_update(), "{what}");
        stream.send(part(&target, 0)).await;
        stream.send(part(&target, 1)).await;
        stream.ask_for_ack(part(&target, 2)).await;
        assert_eq!(subscriber.update().await.version, target, "{what}");
    }
}

/// C103
#[tokio::test]
async fn a_restarted_subscriber_runs_from_disk_before_any_connection_and_says_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::start().await;
    let config = config(&[&server.uri], Some(directory.path()));
    let rows = [network("a", 1)];
    let kept = version(&content(LINEAGE, 5, &rows));
    let subscriber = Subscriber::start(config.clone());
    let ack = server
        .welcome()
        .await
        .ask_for_ack(snapshot_of(&kept, &rows))
        .await;
    assert!(ack.persisted);
    subscriber.stop().await;

    let mut offline = config.clone();
    offline.endpoints = vec!["http://127.0.0.1:1".parse().unwrap()];
    let mut subscriber = Subscriber::start(offline);
    let update = subscriber.update().await;
    assert_eq!(update.version, kept);
    assert_eq!(update.changed, [key("a")]);
    let status = subscriber.status(|status| status.running.is_some()).await;
    assert!(status.persisted && !status.connected);
    subscriber.stop().await;

    let subscriber = Subscriber::start(config);
    assert_eq!(server.accept().await.have(), Some(kept));
    subscriber.stop().await;
}

/// C104
#[tokio::test]
async fn the_damaged_end_of_a_log_gives_way_to_what_was_before() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::start().await;
    let config = config(&[&server.uri], Some(directory.path()));
    let (older, newer) = ([network("a", 1)], [network("a", 2)]);
    let older_version = version(&content(LINEAGE, 5, &older));
    let newer_version = version(&content(LINEAGE, 6, &newer));
    let subscriber = Subscriber::start(config.clone());
    let mut stream = server.welcome().await;
    stream.ask_for_ack(snapshot_of(&older_version, &older)).await;
    stream
        .ask_for_ack(delta(&older_version, &newer_version, &newer, &[]))
        .await;
    subscriber.stop().await;

    let files = fs::read_dir(directory.path()).unwrap();
    let mut paths = files.map(|file| file.unwrap().path());
    let log = paths.find(|path| path.extension().is_some_and(|extension| extension == "log"));
    let log = log.unwrap();
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, bytes).unwrap();
    let mut subscriber = Subscriber::start(config);
    assert_eq!(subscriber.update().await.version, older_version);
    assert_eq!(server.accept().await.have(), Some(older_version));
    subscriber.stop().await;
}

#[tokio::test]
async fn a_full_disk_does_not_stop_an_update_and_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("file");
    fs::write(&in_the_way, "").unwrap();
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], Some(&in_the_way)));
    let rows = [network("a", 1)];
    let target = version(&content(LINEAGE, 5, &rows));
    let mut stream = server.welcome().await;
    let ack = stream.ask_for_ack(snapshot_of(&target, &rows)).await;
    assert!(!ack.persisted);
    assert!(
        ack.warnings[1].contains("could not be written to disk"),
        "{ack:?}"
    );
    assert_eq!(subscriber.update().await.version, target);

    fs::remove_file(&in_the_way).unwrap();
    stream
        .send(Message::Heartbeat(v1::Heartbeat {
            head: vec![wire::version_to_wire(&target)],
        }))
        .await;
    subscriber.status(|status| status.persisted).await;
    assert!(in_the_way.join("CURRENT").exists());
}

#[tokio::test]
async fn equal_content_of_a_restored_control_plane_is_adopted_without_sending_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = ScriptedServer::start().await;
    let config = config(&[&server.uri], Some(directory.path()));
    let rows = [network("a", 1)];
    let before = version(&content(LINEAGE, 5, &rows));
    let after = version(&content(OTHER_LINEAGE, 2, &rows));
    let mut subscriber = Subscriber::start(config.clone());
    let mut stream = server.welcome().await;
    stream.ask_for_ack(snapshot_of(&before, &rows)).await;
    subscriber.update().await;
    drop(stream);

    let mut stream = server.accept().await;
    assert_eq!(stream.have(), Some(before));
    stream.send(welcome(Some(&after), PATIENCE)).await;
    let update = subscriber.update().await;
    assert_eq!((update.version, update.changed), (after, vec![]));
    let status = subscriber.status(|status| status.running == Some(after)).await;
    assert!(status.persisted && status.head == Some(after));
    subscriber.stop().await;
    let subscriber = Subscriber::start(config);
    assert_eq!(server.accept().await.have(), Some(after));
    subscriber.stop().await;
}

#[tokio::test]
async fn a_server_that_takes_another_content_for_ours_is_left() {
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], None));
    let foreign = version(&content(LINEAGE, 5, &[network("a", 1)]));
    let mut stream = server.accept().await;
    stream.send(welcome(Some(&foreign), PATIENCE)).await;
    stream.closed().await;
    assert_eq!(server.accept().await.have(), None);
    assert!(subscriber.has_no_update());
}

#[tokio::test]
async fn who_selects_takes_nothing_from_a_control_plane_that_would_send_everything() {
    let (old, new) = (ScriptedServer::start().await, ScriptedServer::start().await);
    let labels = [("team".to_owned(), "a".to_owned())];
    let mut config = config(&[&old.uri, &new.uri], None);
    config.selection = Selection::of(labels.clone().into());
    let mut subscriber = Subscriber::start(config);
    let mut stream = old.accept().await;
    assert_eq!(stream.hello.selector.as_ref().unwrap().labels, labels.into());
    let rows = [network("a", 1)];
    let target = version(&content(LINEAGE, 5, &rows));
    stream.send(welcome(None, PATIENCE)).await;
    stream.closed().await;
    let mut stream = new.accept().await;
    let Message::Welcome(mut welcome) = welcome(None, PATIENCE) else {
        panic!("no welcome")
    };
    welcome.features.push(Selection::FEATURE.to_owned());
    stream.send(Message::Welcome(welcome)).await;
    stream.ask_for_ack(snapshot_of(&target, &rows)).await;
    assert_eq!(subscriber.update().await.version, target);
    subscriber.stop().await;
}

/// C108
#[tokio::test]
async fn a_silent_server_is_left_after_three_heartbeats_while_the_content_runs_on() {
    let server = ScriptedServer::start().await;
    let mut subscriber = Subscriber::start(config(&[&server.uri], None));
    let mut silent = server.accept().await;
    let heartbeat = Duration::from_millis(50);
    silent.send(welcome(None, heartbeat)).await;
    let rows = [network("a", 1)];
    let target = version(&content(LINEAGE, 5, &rows));
    silent.ask_for_ack(snapshot_of(&target, &rows)).await;
    let since = tokio::time::Instant::now();
    silent.closed().await;
    assert!(since.elapsed() >= 2 * heartbeat);
    assert_eq!(server.accept().await.have(), Some(target));
    assert_eq!(subscriber.status.borrow_and_update().running, Some(target));
}

/// C109
#[tokio::test]
async fn streams_that_end_early_do_not_reset_the_back_off() {
    let server = ScriptedServer::start().await;
    let subscriber = Subscriber::start(config(&[&server.uri], None));
    for attempt in 0..100 {
        let stream = server.welcome().await;
        assert_eq!(stream.hello.attempt, attempt);
    }
    subscriber.stop().await;
}

#[tokio::test]
async fn a_stream_that_held_resets_the_back_off() {
    let server = ScriptedServer::start().await;
    let mut config = config(&[&server.uri], None);
    config.timing.stable_after = Duration::ZERO;
    config.timing.reconnect_spread = Duration::from_millis(1);
    let subscriber = Subscriber::start(config);
    for _ in 0..3 {
        assert_eq!(server.welcome().await.hello.attempt, 0);
    }
    subscriber.stop().await;
}

#[tokio::test]
async fn endpoints_are_tried_in_turn_and_a_directive_leads_to_the_next() {
    let (first, second) = (ScriptedServer::start().await, ScriptedServer::start().await);
    let dead = "http://127.0.0.1:1".parse().unwrap();
    let mut config = config(&[&dead, &first.uri, &second.uri], None);
    // Any stream is a good one, and after a good one that was lost nobody would return within the test.
    config.timing.stable_after = Duration::from_nanos(1);
    config.timing.reconnect_spread = Duration::from_secs(3600);
    let subscriber = Subscriber::start(config);
    let mut stream = first.welcome().await;
    let reconnect = v1::Reconnect {
        within: Some(Duration::from_millis(5).try_into().unwrap()),
        why: "age".into(),
    };
    stream
        .send(Message::Directive(v1::Directive {
            directive: Some(Directive::Reconnect(reconnect)),
        }))
        .await;
    second.welcome().await;
    stream.closed().await;
    subscriber.stop().await;
}

#[tokio::test]
async fn a_subscription_that_cannot_work_says_so_at_once() {
    let good = "http://127.0.0.1:1".parse().unwrap();
    let mut nameless = config(&[&good], None);
    nameless.node.id = "with blank".into();
    let with_user = "http://user@127.0.0.1:1".parse().unwrap();
    for bad in [nameless, config(&[], None), config(&[&with_user], None)] {
        let (status, _) = tokio::sync::watch::channel(tyrscale_client::SubscriptionStatus::default());
        let consumer = |_: &tyrscale_client::Update| Ok(vec![]);
        let ended = tyrscale_client::subscription::run(bad, consumer, status, Default::default());
        assert!(tokio::time::timeout(PATIENCE, ended).await.unwrap().is_err());
    }
}
