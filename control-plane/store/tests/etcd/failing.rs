//! Members that die.

use tyrscale_model::{Revision, View};
use tyrscale_store::StoreError;

use crate::cluster::{Cluster, put, reaches};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_while_members_die_and_return() {
    let mut cluster = Cluster::start(3);
    let (one, two) = (cluster.store().await, cluster.store().await);
    let mut acknowledged = Vec::new();
    for round in 0..6 {
        let member = round % 3;
        cluster.members[member].kill();
        for number in 0..10 {
            let store = if number % 2 == 0 { &one } else { &two };
            let name = format!("n-{round}-{number}");
            // Without a leader a write may fail; what is told to be done must stay.
            if put(store, &name).await.is_ok() {
                acknowledged.push(name);
            }
        }
        cluster.members[member].restart();
    }
    assert!(
        acknowledged.len() >= 30,
        "only {} were acknowledged",
        acknowledged.len()
    );
    let after = cluster.store().await;
    let head = after.head();
    let networks: Vec<String> = head
        .snapshot
        .of_kind(tyrscale_model::Kind::Network)
        .map(|(key, _)| key.id.to_string())
        .collect();
    for name in &acknowledged {
        assert!(networks.contains(name), "{name} is lost");
    }
    let revision = head.snapshot.revision();
    reaches(&one, revision).await;
    reaches(&two, revision).await;
    assert_eq!(
        one.head().snapshot.version(View::ALL),
        two.head().snapshot.version(View::ALL)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_without_a_majority_and_taken_again_with_it() {
    let mut cluster = Cluster::start(1);
    let store = cluster.store().await;
    put(&store, "before").await.unwrap();
    cluster.members[0].kill();
    assert!(put(&store, "meanwhile").await.is_err());
    assert!(store.is_ready().is_err());
    // What is there is still served.
    assert!(store.head().snapshot.revision() >= Revision(1));
    cluster.members[0].restart();
    let mut tries = 0;
    while put(&store, "after").await.is_err() {
        tries += 1;
        assert!(tries < 5, "writes are not taken again");
    }
    assert!(store.is_ready().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_was_restored_to_an_earlier_state_is_noticed_and_nothing_is_written_over_it() {
    let mut cluster = Cluster::start(1);
    let store = cluster.store().await;
    put(&store, "before").await.unwrap();
    cluster.members[0].kill();
    cluster.members[0].keep_data();
    cluster.members[0].restart();
    let mut tries = 0;
    while put(&store, "lost").await.is_err() {
        tries += 1;
        assert!(tries < 5, "writes are not taken again");
    }
    let told = store.head().snapshot.version(View::ALL);
    cluster.members[0].kill();
    cluster.members[0].put_data_back();
    cluster.members[0].restart();
    // The first one may only find that the member had gone.
    let mut refused = put(&store, "after").await;
    for _ in 0..5 {
        if matches!(refused, Err(StoreError::Damaged { .. })) {
            break;
        }
        refused = put(&store, "after").await;
    }
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("went back from revision 2 to 1"), "{refused}");
    assert_eq!(
        store.head().snapshot.version(View::ALL),
        told,
        "what is served stays"
    );
    let again = cluster.store().await;
    assert_eq!(again.head().snapshot.revision(), Revision(1));
}
