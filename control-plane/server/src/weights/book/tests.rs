//! What may be set, for how long it holds, and who may set it.

use tyrscale_model::{
    Address, ChangeSet, LoadBalancer, Operation, Policy, Resource, Route, Scheme, Standing, Target, Upstream,
    apply,
};

use tyrscale_store::StoreOptions;

use super::*;

const TTL: Duration = Duration::from_secs(60);
const GUARDS: Guards = Guards {
    floor: 1.0,
    max_step: 50.0,
    max_zero_percent: 50,
    min_interval: Duration::from_secs(5),
};

fn route() -> RouteId {
    "00000000-0000-4000-8000-000000000000".parse().unwrap()
}

fn id(number: u8) -> UpstreamId {
    format!("00000000-0000-4000-8000-0000000001{number:02x}")
        .parse()
        .unwrap()
}

fn upstream(number: u8, weight: f64) -> Resource {
    let address = Address::new(Scheme::Http, "localhost", 1, &format!("/{number}")).unwrap();
    let weight = weight.try_into().unwrap();
    Resource::Upstream(Upstream::new(
        id(number),
        route(),
        Target::Address(address),
        weight,
    ))
}

fn changed(snapshot: &Snapshot, operations: Vec<Operation>) -> Snapshot {
    let change_set = ChangeSet {
        operations,
        ..ChangeSet::default()
    };
    let applied = apply(snapshot, &change_set, &Policy::default(), UnixMillis(0));
    applied.unwrap().snapshot
}

fn put(snapshot: &Snapshot, resources: Vec<Resource>) -> Snapshot {
    changed(snapshot, resources.into_iter().map(Operation::put).collect())
}

/// A route with two upstreams of weight 10, at revision 1.
fn configuration() -> Snapshot {
    let one = Resource::Route(Route::new(route(), "h.example", "/", LoadBalancer::LeastLoad));
    let empty = Snapshot::empty(Lineage([1; 16]));
    put(&empty, vec![one, upstream(1, 10.0), upstream(2, 10.0)])
}

fn book(now: Instant) -> Book {
    Book::new(Lineage([2; 16]), GUARDS, now)
}

fn proposal(weights: &[(u8, f64)]) -> Proposal {
    let weight = |(number, weight): &(u8, f64)| {
        let ttl = WeightTtl::try_from(TTL).unwrap();
        (id(*number), Weight::try_from(*weight).unwrap(), ttl)
    };
    Proposal {
        route: route(),
        weights: weights.iter().map(weight).collect(),
        fencing_token: None,
        based_on: None,
        reason: "test".to_owned(),
        author: "me".to_owned(),
        time: UnixMillis(0),
        dry_run: false,
    }
}

fn refused(outcome: Result<Outcome, SetError>) -> Vec<ViolationCode> {
    match outcome.unwrap_err() {
        SetError::Refused(rejection) => rejection.violations.iter().map(|it| it.code).collect(),
        error => panic!("{error}"),
    }
}

fn effective_of(snapshot: &Snapshot, book: &Book, number: u8) -> (f64, Standing) {
    let effective = effective(snapshot, &book.head(), snapshot.upstream(id(number)).unwrap());
    (effective.weight.get(), effective.standing)
}

#[tokio::test]
async fn what_is_set_counts_until_it_expires() {
    let t0 = Instant::now();
    let (snapshot, book) = (configuration(), book(t0));
    let outcome = book.set(&snapshot, &proposal(&[(1, 30.0)]), t0).await.unwrap();
    assert_eq!(outcome.version.revision, Revision(1));
    assert!(!outcome.unchanged);
    assert_eq!(effective_of(&snapshot, &book, 1), (30.0, Standing::Recommended));
    assert_eq!(effective_of(&snapshot, &book, 2), (10.0, Standing::Operator));
    book.drop_dead(&snapshot, t0 + TTL - Duration::from_secs(1))
        .await
        .unwrap();
    assert_eq!(book.head().weights.len(), 1);
    book.drop_dead(&snapshot, t0 + TTL).await.unwrap();
    assert_eq!(effective_of(&snapshot, &book, 1), (10.0, Standing::Operator));
    assert_eq!(
        book.head().weights.revision(),
        Revision(2),
        "its end is a revision of its own"
    );
}

#[tokio::test]
async fn the_same_numbers_again_renew_the_time_to_live() {
    let t0 = Instant::now();
    let (snapshot, book) = (configuration(), book(t0));
    let first = book.set(&snapshot, &proposal(&[(1, 30.0)]), t0).await.unwrap();
    let later = t0 + Duration::from_secs(30);
    let again = book.set(&snapshot, &proposal(&[(1, 30.0)]), later).await.unwrap();
    assert!(again.unchanged);
    assert_eq!(again.version.digest, first.version.digest);
    assert_eq!(
        again.version.revision,
        Revision(2),
        "gateways have to hear of it, too"
    );
    assert_eq!(book.head().deadline(id(1)), Some(later + TTL));
}

#[tokio::test]
async fn a_route_is_set_once_in_a_while_and_never_by_a_leader_of_the_past() {
    let t0 = Instant::now();
    let (snapshot, book) = (configuration(), book(t0));
    let by = |token| Proposal {
        fencing_token: Some(token),
        ..proposal(&[(1, 30.0)])
    };
    book.set(&snapshot, &by(7), t0).await.unwrap();
    let soon = book.set(&snapshot, &by(7), t0 + Duration::from_secs(4)).await;
    assert!(matches!(soon, Err(SetError::TooSoon(wait)) if wait == Duration::from_secs(1)));
    let later = t0 + Duration::from_secs(5);
    assert_eq!(
        refused(book.set(&snapshot, &by(6), later).await),
        [ViolationCode::RevisionMismatch]
    );
    book.set(&snapshot, &by(8), later).await.unwrap();
    let by_hand = proposal(&[(1, 20.0)]);
    book.set(&snapshot, &by_hand, later + GUARDS.min_interval)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_operators_later_word_wins_over_what_was_computed_before() {
    let t0 = Instant::now();
    let (before, book) = (configuration(), book(t0));
    book.set(&before, &proposal(&[(1, 30.0), (2, 20.0)]), t0)
        .await
        .unwrap();
    let after = put(&before, vec![upstream(1, 50.0)]);
    assert_eq!(effective_of(&after, &book, 1), (50.0, Standing::Outdated));
    assert_eq!(effective_of(&after, &book, 2), (20.0, Standing::Recommended));
    let late = Proposal {
        based_on: Some(Revision(1)),
        ..proposal(&[(1, 40.0), (2, 20.0)])
    };
    let later = t0 + GUARDS.min_interval;
    assert_eq!(
        refused(book.set(&after, &late, later).await),
        [ViolationCode::RevisionMismatch]
    );
    let fresh = proposal(&[(1, 40.0), (2, 20.0)]);
    book.set(&after, &fresh, later).await.unwrap();
    assert_eq!(effective_of(&after, &book, 1), (40.0, Standing::Recommended));
    let drained = put(&after, vec![upstream(1, 0.0)]);
    assert_eq!(effective_of(&drained, &book, 1), (0.0, Standing::Withheld));
}

#[tokio::test]
async fn every_broken_rule_is_named_and_nothing_is_set() {
    let t0 = Instant::now();
    let (snapshot, book) = (configuration(), book(t0));
    let bad = Proposal {
        based_on: Some(Revision(9)),
        ..proposal(&[(1, 5.0), (1, 6.0), (9, 5.0)])
    };
    assert_eq!(
        refused(book.set(&snapshot, &bad, t0).await),
        [
            ViolationCode::OutOfRange,
            ViolationCode::Invalid,
            ViolationCode::NotFound
        ]
    );
    assert_eq!(
        refused(book.set(&snapshot, &proposal(&[]), t0).await),
        [ViolationCode::Required]
    );
    let nowhere = Proposal {
        route: "00000000-0000-4000-8000-00000000000f".parse().unwrap(),
        ..proposal(&[(1, 5.0)])
    };
    assert_eq!(
        refused(book.set(&snapshot, &nowhere, t0).await),
        [ViolationCode::NotFound]
    );
    let dry = Proposal {
        dry_run: true,
        ..proposal(&[(1, 90.0)])
    };
    let outcome = book.set(&snapshot, &dry, t0).await.unwrap();
    assert_eq!(
        (outcome.clamped.len(), outcome.weights[0].1.weight.get()),
        (1, 60.0)
    );
    assert!(book.head().weights.is_empty());
}

#[tokio::test]
async fn weights_go_with_their_upstreams_and_when_they_are_cleared() {
    let t0 = Instant::now();
    let (snapshot, book) = (configuration(), book(t0));
    book.set(&snapshot, &proposal(&[(1, 30.0), (2, 20.0)]), t0)
        .await
        .unwrap();
    let gone = Operation::Delete {
        key: id(1).key(),
        etag: None,
        cascade: true,
    };
    book.drop_dead(&changed(&snapshot, vec![gone]), t0).await.unwrap();
    assert_eq!(book.head().weights.len(), 1);
    let (version, cleared) = book.clear(Some(route()), t0).await.unwrap();
    assert_eq!((version.revision, cleared), (Revision(3), 1));
    assert_eq!(
        book.clear(None, t0).await.unwrap().1,
        0,
        "and again is no revision"
    );
    assert_eq!(book.head().weights.revision(), Revision(3));
}

/// Two control planes over one store.
#[tokio::test]
async fn what_is_set_on_one_control_plane_is_the_same_revision_on_another() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).await.unwrap();
    let t0 = Instant::now();
    let snapshot = configuration();
    let one = Book::shared(&store, Lineage([2; 16]), GUARDS, t0).await.unwrap();
    let two = Book::shared(&store, Lineage([3; 16]), GUARDS, t0).await.unwrap();
    let set = one.set(&snapshot, &proposal(&[(1, 30.0)]), t0).await.unwrap();
    two.catch_up(t0).await.unwrap();
    assert_eq!(two.head().weights.version(), set.version);
    assert_eq!(two.head().note(id(1)).unwrap().set_by.as_ref(), "me");
    let soon = two.set(&snapshot, &proposal(&[(2, 20.0)]), t0).await;
    assert!(matches!(soon, Err(SetError::TooSoon(_))));
    let later = t0 + GUARDS.min_interval;
    // The first one has not heard of it when it drops its own.
    two.set(&snapshot, &proposal(&[(2, 20.0)]), later).await.unwrap();
    one.drop_dead(&snapshot, t0 + TTL).await.unwrap();
    two.catch_up(later).await.unwrap();
    assert_eq!(one.head().weights.version(), two.head().weights.version());
    assert_eq!(one.head().weights.revision(), Revision(3));
    assert_eq!(effective_of(&snapshot, &two, 2), (20.0, Standing::Recommended));
    assert_eq!(effective_of(&snapshot, &two, 1), (10.0, Standing::Operator));
    assert_eq!(two.head().deadline(id(2)), Some(later + TTL));
    let late = Book::shared(&store, Lineage([4; 16]), GUARDS, later)
        .await
        .unwrap();
    assert_eq!(late.head().weights.version(), two.head().weights.version());
    assert_eq!(late.clear(None, later).await.unwrap().1, 1);
    two.catch_up(later).await.unwrap();
    assert!(two.head().weights.is_empty());
    store.close().await;
}
