//! Records of runs: opened and closed by recommenders, read and decided by operators.

use tonic::Code;
use tyrscale_proto::v1::{
    self, RunState, recommendation_run_service_client::RecommendationRunServiceClient as Client,
};

use crate::plane::{Plane, id};

fn run(name: &str, state: RunState) -> v1::RecommendationRun {
    v1::RecommendationRun {
        route_id: id(1),
        id: name.to_owned(),
        node_id: "recommender".to_owned(),
        rule: "scored".to_owned(),
        state: state.into(),
        ..v1::RecommendationRun::default()
    }
}

fn record(run: v1::RecommendationRun, fencing_token: u64) -> v1::RecordRunRequest {
    v1::RecordRunRequest {
        run: Some(run),
        fencing_token,
    }
}

#[tokio::test]
async fn a_run_is_recorded_once_listed_and_shown() {
    let plane = Plane::start().await;
    let mut client = Client::new(plane.channel.clone());
    for state in [RunState::Open, RunState::Applied] {
        client.record_run(record(run("t1", state), 3)).await.unwrap();
    }
    let again = client
        .record_run(record(run("t1", RunState::Open), 3))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let late = client
        .record_run(record(run("t2", RunState::Open), 2))
        .await
        .unwrap_err();
    assert_eq!(late.code(), Code::Aborted);
    client
        .record_run(record(run("t2", RunState::Held), 3))
        .await
        .unwrap();
    let listed = client
        .list_runs(v1::ListRunsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .runs;
    assert_eq!(listed, [run("t2", RunState::Held), run("t1", RunState::Applied)]);
    let get = |run_id: &str| v1::GetRunRequest {
        route_id: id(1),
        run_id: run_id.to_owned(),
    };
    let newest = client.get_run(get("")).await.unwrap().into_inner().run;
    assert_eq!(newest, Some(run("t2", RunState::Held)));
    assert_eq!(
        client.get_run(get("t3")).await.unwrap_err().code(),
        Code::NotFound
    );
    plane.stop().await;
}

#[tokio::test]
async fn a_proposal_is_dropped_by_name_and_once() {
    let plane = Plane::start().await;
    let mut client = Client::new(plane.channel.clone());
    client
        .record_run(record(run("t1", RunState::Proposed), 1))
        .await
        .unwrap();
    let reject = || {
        let request = v1::RejectRunRequest {
            route_id: id(1),
            run_id: "t1".to_owned(),
        };
        let mut request = tonic::Request::new(request);
        request
            .metadata_mut()
            .insert("x-tyrscale-author", "ops".parse().unwrap());
        request
    };
    let rejected = client
        .reject_run(reject())
        .await
        .unwrap()
        .into_inner()
        .run
        .unwrap();
    assert_eq!(
        (rejected.state(), rejected.decided_by.as_str()),
        (RunState::Rejected, "ops")
    );
    let twice = client.reject_run(reject()).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);
    plane.stop().await;
}

#[tokio::test]
async fn what_is_no_record_is_refused() {
    let plane = Plane::start().await;
    let mut client = Client::new(plane.channel.clone());
    let bad_route = v1::RecommendationRun {
        route_id: "zz".to_owned(),
        ..run("t1", RunState::Open)
    };
    for bad in [
        v1::RecordRunRequest::default(),
        record(run("", RunState::Open), 1),
        record(run("a b", RunState::Open), 1),
        record(run("t1", RunState::Unspecified), 1),
        record(run("t1", RunState::Approved), 1),
        record(bad_route, 1),
    ] {
        let refused = client.record_run(bad).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    plane.stop().await;
}
