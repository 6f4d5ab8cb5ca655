//! Several control planes over one store in etcd. Needs the program `etcd` on the path.
#![cfg(test)]

mod replicas;
mod sharing;

use tokio_util::sync::CancellationToken;

use self::replicas::{Etcd, Replica, runs, subscribe};

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
