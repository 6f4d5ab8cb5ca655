//! Several stores over one engine, as replicas of a control plane are.

use std::sync::{Arc, atomic::Ordering};

use tyrscale_model::{ChangeSet, Expectation, Revision, ViolationCode};
use tyrscale_store::{Engine, Store, StoreError, StoreOptions};

use crate::{
    create, put,
    shared_engine::{SharedEngine, proof},
};

async fn replica(engine: &Arc<SharedEngine>) -> Store {
    let engine: Arc<dyn Engine> = Arc::<SharedEngine>::clone(engine);
    Store::over(engine, StoreOptions::default()).await.unwrap()
}

async fn reaches(store: &Store, revision: u64) {
    let mut heads = store.subscribe();
    heads
        .wait_for(|head| head.snapshot.revision() >= Revision(revision))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c96_of_two_replicas_that_expect_one_revision_exactly_one_wins() {
    let engine = Arc::new(SharedEngine::new());
    let replicas = [replica(&engine).await, replica(&engine).await];
    for round in 0..50 {
        let attempt = |replica: &Store, name: String| {
            let change_set = ChangeSet {
                expected_revision: Some(Revision(round)),
                ..put(&name, 1, Expectation::Absent)
            };
            let replica = replica.clone();
            tokio::spawn(async move { replica.commit(move |_| Ok(change_set.clone())).await })
        };
        let one = attempt(&replicas[0], format!("one-{round}"));
        let other = attempt(&replicas[1], format!("other-{round}"));
        let outcomes = [one.await.unwrap(), other.await.unwrap()];
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            1,
            "{outcomes:?}"
        );
        let lost = outcomes.into_iter().find_map(Result::err).unwrap();
        let StoreError::Rejected(rejection) = lost else {
            panic!("{lost}")
        };
        assert_eq!(rejection.violations[0].code, ViolationCode::RevisionMismatch);
        reaches(&replicas[0], round + 1).await;
        reaches(&replicas[1], round + 1).await;
    }
    assert_eq!(
        proof(&replicas[0].head().snapshot),
        proof(&replicas[1].head().snapshot)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_on_two_replicas_make_one_dense_history() {
    let engine = Arc::new(SharedEngine::new());
    let replicas = [replica(&engine).await, replica(&engine).await];
    let writers: Vec<_> = (0..40)
        .map(|number| {
            let replica = replicas[number % 2].clone();
            tokio::spawn(async move { replica.commit(create(&format!("n{number}"))).await.map(drop) })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    for replica in &replicas {
        reaches(replica, 40).await;
        let head = replica.head();
        assert_eq!((head.snapshot.len(), head.history.len()), (40, 40));
    }
    assert_eq!(
        proof(&replicas[0].head().snapshot),
        proof(&replicas[1].head().snapshot)
    );
    let third = replica(&engine).await;
    assert_eq!(proof(&third.head().snapshot), proof(&replicas[0].head().snapshot));
}

#[tokio::test]
async fn after_a_failed_flush_nothing_is_shown_and_no_write_is_taken_until_it_recovers() {
    let engine = Arc::new(SharedEngine::new());
    let store = replica(&engine).await;
    store.commit(create("a")).await.unwrap();
    engine.breaks.store(true, Ordering::SeqCst);
    assert!(matches!(
        store.commit(create("b")).await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(store.head().snapshot.revision(), Revision(1));
    assert!(matches!(
        store.commit(create("c")).await,
        Err(StoreError::Unavailable(_))
    ));
    assert_eq!(
        store.head().snapshot.revision(),
        Revision(1),
        "what is not durable is not shown by a later failure either"
    );
    assert!(store.is_ready().is_err());
    engine.breaks.store(false, Ordering::SeqCst);
    store.commit(create("c")).await.unwrap();
    assert_eq!(
        store.head().snapshot.revision(),
        Revision(3),
        "the first of them had reached the log"
    );
    assert!(store.is_ready().is_ok());
}
