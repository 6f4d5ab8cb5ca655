//! Several control planes over one store in etcd. Needs the program `etcd` on the path.
#![cfg(test)]

mod delayed;
mod lagging;
mod replicas;
mod sharing;
mod trial;

use tokio_util::sync::CancellationToken;

use self::replicas::{Etcd, LIMIT, Replica, runs, store_command, store_verb, subscribe};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_goes_on_with_another_replica_when_its_own_ends() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    assert_eq!(one.put("a", 1).await, 1);
    let stop = CancellationToken::new();
    let mut status = subscribe("gw", &[&one, &two], &stop);
    runs(&mut status, 1).await;
    // What another replica commits comes over the stream of this one.
    assert_eq!(two.put("b", 2).await, 2);
    runs(&mut status, 2).await;
    one.stop().await;
    assert_eq!(two.put("c", 3).await, 3);
    runs(&mut status, 3).await;
    assert_eq!(status.borrow().updates_refused, 0);
    stop.cancel();
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_stays_in_sync_while_the_store_moves_into_etcd() {
    let etcd = Etcd::start().await;
    let key = ["--secrets-key-file", etcd.key.to_str().unwrap()];
    let one = Replica::start_at("127.0.0.1:0", &key).await;
    for number in 1..=5 {
        one.put(&format!("n{number}"), number).await;
    }
    let stop = CancellationToken::new();
    let mut status = subscribe("gw", &[&one], &stop);
    runs(&mut status, 5).await;
    let (before, address) = (status.borrow().clone(), one.grpc.to_string());
    let data = one.stop().await;
    let (data, file) = (data.path().join("data"), data.path().join("moving"));
    let (data, file) = (data.to_str().unwrap(), file.to_str().unwrap());
    let exported = store_command(&["export", file, "--data-dir", data]).await;
    let missing = store_verb(&["verify", "--etcd", &etcd.endpoint])
        .unwrap()
        .run()
        .await;
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("there is no store in etcd:default"), "{missing}");
    let both = store_verb(&["verify", "--data-dir", data, "--etcd", &etcd.endpoint]);
    let both = both.unwrap_err().to_string();
    assert!(both.contains("--data-dir and --etcd name two stores"), "{both}");
    let imported = store_command(&["import", file, "--etcd", &etcd.endpoint]).await;
    let verified = store_command(&["verify", "--etcd", &etcd.endpoint]).await;
    assert_eq!(exported.digest, imported.digest);
    assert_eq!((&verified.lineage, verified.revision), (&exported.lineage, 5));

    // The control plane over etcd is where the other one was.
    let words = [&key[..], &["--etcd", &etcd.endpoint]].concat();
    let two = Replica::start_at(&address, &words).await;
    let current = status.wait_for(|status| status.current_at > before.current_at && status.connected);
    timeout(LIMIT, current).await.unwrap().unwrap();
    let now = status.borrow().clone();
    assert_eq!(now.running, before.running);
    assert_eq!(now.running_since, before.running_since, "nothing was sent");
    assert_eq!(now.updates_applied, before.updates_applied);
    assert_eq!(two.put("n6", 6).await, 6);
    runs(&mut status, 6).await;
    assert_eq!(status.borrow().updates_applied, before.updates_applied + 1);
    assert_eq!(status.borrow().updates_refused, 0);
    stop.cancel();
    two.stop().await;
}

/// Changes are made on both in turn, and twenty subscribers move from one to the other.
#[tokio::test(flavor = "multi_thread")]
async fn c93_revisions_are_dense_and_nobody_goes_backwards_who_moves() {
    let etcd = Etcd::start().await;
    let (one, two) = (Replica::start(&etcd).await, Replica::start(&etcd).await);
    let stop = CancellationToken::new();
    let mut subscribers = Vec::new();
    let mut watching = tokio::task::JoinSet::new();
    for number in 0..20 {
        let order = if number % 2 == 0 {
            [&one, &two]
        } else {
            [&two, &one]
        };
        let status = subscribe(&format!("gw-{number}"), &order, &stop);
        let mut seen = status.clone();
        watching.spawn(async move {
            let mut highest = None;
            while seen.changed().await.is_ok() {
                let running = seen.borrow_and_update().running.map(|version| version.revision);
                assert!(running >= highest, "from {highest:?} back to {running:?}");
                highest = running;
            }
        });
        subscribers.push(status);
    }
    for revision in 1..=10 {
        let writer = if revision % 2 == 0 { &one } else { &two };
        assert_eq!(writer.put(&format!("n{revision}"), revision).await, revision);
    }
    one.kill().await;
    for revision in 11..=20 {
        assert_eq!(two.put(&format!("n{revision}"), revision).await, revision);
    }
    for status in &mut subscribers {
        runs(status, 20).await;
        assert_eq!(status.borrow().updates_refused, 0);
    }
    stop.cancel();
    drop(subscribers);
    while let Some(watched) = watching.join_next().await {
        watched.unwrap();
    }
    two.stop().await;
}
