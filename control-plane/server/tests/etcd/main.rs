//! Several control planes over one store in etcd. Needs the program `etcd` on the path.
#![cfg(test)]

mod replicas;
mod sharing;

use tokio_util::sync::CancellationToken;

use self::replicas::{Etcd, LIMIT, Replica, runs, store_command, subscribe};
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
    let one = Replica::start_at("127.0.0.1:0", &[]).await;
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
    let imported = store_command(&["import", file, "--etcd", &etcd.endpoint]).await;
    let verified = store_command(&["verify", "--etcd", &etcd.endpoint]).await;
    assert_eq!(exported.digest, imported.digest);
    assert_eq!((&verified.lineage, verified.revision), (&exported.lineage, 5));

    // The control plane over etcd is where the other one was.
    let two = Replica::start_at(&address, &["--etcd", &etcd.endpoint]).await;
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
