use super::*;

fn route(number: u32) -> RouteId {
    format!("00000000-0000-4000-8000-{number:012}").parse().unwrap()
}

fn run(id: &str, node_id: &str, state: RunState) -> RecommendationRun {
    RecommendationRun {
        route_id: route(1).to_string(),
        id: id.to_owned(),
        node_id: node_id.to_owned(),
        state: state.into(),
        ..RecommendationRun::default()
    }
}

fn ids(runs: &[RecommendationRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

#[test]
fn a_run_is_opened_once_and_closed_by_who_opened_it() {
    let mut book = RunBook::default();
    let taken = |node_id: &str| RecordError::Taken {
        node_id: node_id.to_owned(),
    };
    book.record(route(1), run("t1", "a", RunState::Open), 1).unwrap();
    let other = book.record(route(1), run("t1", "b", RunState::Open), 2);
    assert_eq!(other, Err(taken("a")));
    book.record(route(1), run("t1", "a", RunState::Applied), 1)
        .unwrap();
    let again = book.record(route(1), run("t1", "a", RunState::Applied), 1);
    assert_eq!(again, Err(taken("a")));
    assert_eq!(book.get(route(1), "t1").unwrap().state(), RunState::Applied);
    assert_eq!(book.get(route(1), "t2"), Err(RecordError::NotFound));
}

#[test]
fn a_leader_that_was_followed_records_no_more() {
    let mut book = RunBook::default();
    book.record(route(1), run("t1", "a", RunState::Open), 5).unwrap();
    book.record(route(2), run("t2", "b", RunState::Open), 6).unwrap();
    let late = book.record(route(1), run("t1", "a", RunState::Applied), 5);
    assert_eq!(late, Err(RecordError::Superseded { given: 5, newest: 6 }));
    assert_eq!(book.get(route(1), "").unwrap().state(), RunState::Open);
}

#[test]
fn the_newest_come_first_and_the_oldest_go() {
    let mut book = RunBook::default();
    for number in 0..150 {
        let of = route(number % 2 + 1);
        book.record(of, run(&format!("t{number}"), "a", RunState::Open), 1)
            .unwrap();
        book.record(of, run(&format!("t{number}"), "a", RunState::Held), 1)
            .unwrap();
    }
    assert_eq!(ids(&book.list(None, 3)), ["t149", "t148", "t147"]);
    assert_eq!(ids(&book.list(Some(route(1)), 2)), ["t148", "t146"]);
    for number in 150..300 {
        book.record(route(1), run(&format!("t{number}"), "a", RunState::Open), 1)
            .unwrap();
    }
    let kept = book.list(Some(route(1)), 1000);
    assert_eq!(kept.len(), MAX_RUNS);
    let gone = book
        .record(route(1), run("t300", "a", RunState::Open), 1)
        .unwrap();
    assert_eq!(gone, [(route(1), kept[MAX_RUNS - 1].id.clone())]);
    assert_eq!(book.get(route(1), "").unwrap().id, "t300");
}

#[test]
fn an_operator_settles_a_proposal_and_with_it_the_others_of_the_route() {
    let mut book = RunBook::default();
    for name in ["t1", "t2", "t3"] {
        book.record(route(1), run(name, "a", RunState::Proposed), 1)
            .unwrap();
    }
    book.record(route(2), run("t4", "a", RunState::Proposed), 1)
        .unwrap();
    let rejected = book.settle(route(1), "t1", None, "ops").unwrap().remove(0);
    assert_eq!(
        (rejected.state(), rejected.decided_by.as_str()),
        (RunState::Rejected, "ops")
    );
    assert!(book.proposed(route(1), "t3").is_ok(), "the others still wait");
    let changed = book.settle(route(1), "t2", Some(7), "ops").unwrap();
    assert_eq!(ids(&changed), ["t2", "t3"]);
    let approved = &changed[0];
    assert_eq!(
        (approved.state(), approved.weights_revision),
        (RunState::Approved, 7)
    );
    let late = book.settle(route(1), "t3", Some(8), "ops");
    assert_eq!(late, Err(RecordError::NotProposed { state: "rejected" }));
    assert!(
        book.proposed(route(2), "t4").is_ok(),
        "another route's still waits"
    );
}
