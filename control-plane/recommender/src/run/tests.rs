//! Runs against a control plane that only notes what it is asked.

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use tyrscale_client::Credentials;
use tyrscale_model::{
    ChangeSet, Lineage, Operation, Policy, RecommendationStrategy, Rejection, Resource, apply, wire,
};
use tyrscale_proto::v1::{
    recommendation_run_service_server::{RecommendationRunService, RecommendationRunServiceServer},
    recommendation_service_server::{RecommendationService, RecommendationServiceServer},
    resource::Resource as Wire,
    telemetry::Telemetry as Known,
};

use super::*;
use crate::telemetry::Memory;

const ROUTE: &str = "00000000-0000-4000-8000-000000000001";

fn id(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// What was asked, and what is answered.
#[derive(Default)]
struct Asked {
    records: Vec<v1::RecommendationRun>,
    sets: Vec<v1::SetWeightsRequest>,
    refuse_set: Option<Status>,
    refuse_record: Option<Status>,
    recommended: bool,
}

#[derive(Clone, Default)]
struct Plane(Arc<Mutex<Asked>>);

impl Plane {
    fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.0.lock().unwrap()
    }
}

/// What no run asks for.
fn unasked<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("no run asks for it"))
}

#[tonic::async_trait]
impl RecommendationService for Plane {
    async fn set_weights(
        &self,
        request: Request<v1::SetWeightsRequest>,
    ) -> Result<Response<v1::SetWeightsResponse>, Status> {
        let request = request.into_inner();
        let weights = request.weights.clone();
        self.asked().sets.push(request);
        let refusal = self.asked().refuse_set.clone();
        let version = Some(v1::Version {
            revision: 5,
            ..v1::Version::default()
        });
        refusal.map_or_else(
            || {
                Ok(Response::new(v1::SetWeightsResponse {
                    version,
                    weights,
                    ..v1::SetWeightsResponse::default()
                }))
            },
            Err,
        )
    }

    async fn list_weights(
        &self,
        _: Request<v1::ListWeightsRequest>,
    ) -> Result<Response<v1::ListWeightsResponse>, Status> {
        let recommended = self.asked().recommended;
        let standing = if recommended {
            v1::WeightStanding::Recommended
        } else {
            v1::WeightStanding::Operator
        };
        let weight = |number| v1::EffectiveWeight {
            upstream_id: id(number),
            effective: 50.0,
            standing: standing.into(),
            remaining: Some(prost_types::Duration {
                seconds: 10,
                nanos: 0,
            }),
            ..v1::EffectiveWeight::default()
        };
        let weights = vec![weight(2), weight(3)];
        Ok(Response::new(v1::ListWeightsResponse {
            weights,
            version: None,
        }))
    }

    async fn get_recommendation(
        &self,
        _: Request<v1::GetRecommendationRequest>,
    ) -> Result<Response<v1::GetRecommendationResponse>, Status> {
        unasked()
    }

    async fn list_recommendations(
        &self,
        _: Request<v1::ListRecommendationsRequest>,
    ) -> Result<Response<v1::ListRecommendationsResponse>, Status> {
        unasked()
    }

    async fn create_recommendation(
        &self,
        _: Request<v1::CreateRecommendationRequest>,
    ) -> Result<Response<v1::CreateRecommendationResponse>, Status> {
        unasked()
    }

    async fn update_recommendation(
        &self,
        _: Request<v1::UpdateRecommendationRequest>,
    ) -> Result<Response<v1::UpdateRecommendationResponse>, Status> {
        unasked()
    }

    async fn delete_recommendation(
        &self,
        _: Request<v1::DeleteRecommendationRequest>,
    ) -> Result<Response<v1::DeleteRecommendationResponse>, Status> {
        unasked()
    }

    async fn clear_weights(
        &self,
        _: Request<v1::ClearWeightsRequest>,
    ) -> Result<Response<v1::ClearWeightsResponse>, Status> {
        unasked()
    }
}

#[tonic::async_trait]
impl RecommendationRunService for Plane {
    async fn record_run(
        &self,
        request: Request<v1::RecordRunRequest>,
    ) -> Result<Response<v1::RecordRunResponse>, Status> {
        let request = request.into_inner();
        let mut asked = self.asked();
        if let Some(refusal) = asked.refuse_record.clone() {
            return Err(refusal);
        }
        assert_eq!(request.fencing_token, 9);
        asked.records.extend(request.run);
        Ok(Response::new(v1::RecordRunResponse {}))
    }

    async fn list_runs(
        &self,
        _: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        unasked()
    }

    async fn get_run(&self, _: Request<v1::GetRunRequest>) -> Result<Response<v1::GetRunResponse>, Status> {
        unasked()
    }

    async fn approve_run(
        &self,
        _: Request<v1::ApproveRunRequest>,
    ) -> Result<Response<v1::ApproveRunResponse>, Status> {
        unasked()
    }

    async fn reject_run(
        &self,
        _: Request<v1::RejectRunRequest>,
    ) -> Result<Response<v1::RejectRunResponse>, Status> {
        unasked()
    }
}

async fn serve(plane: Plane) -> Leadership {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let server = tonic::transport::Server::builder()
        .add_service(RecommendationServiceServer::new(plane.clone()))
        .add_service(RecommendationRunServiceServer::new(plane));
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let control_plane = ControlPlane::connect(&uri, &Credentials::default())
        .await
        .unwrap();
    Leadership::of(control_plane, 9)
}

fn snapshot() -> Snapshot {
    let network = v1::Network {
        name: "eth".to_owned(),
        blockchain: "ethereum".to_owned(),
        chain_id: 1,
        meta: None,
    };
    let route = v1::Route {
        id: ROUTE.to_owned(),
        host: "a.example".to_owned(),
        ..v1::Route::default()
    };
    let upstream = |number: usize, cordoned| {
        Wire::Upstream(v1::Upstream {
            id: id(number),
            route_id: ROUTE.to_owned(),
            target: Some(v1::upstream::Target::Address(v1::Address {
                scheme: "http".to_owned(),
                host: "node.example".to_owned(),
                port: 80,
                path: "/".to_owned(),
            })),
            weight: 50.0,
            cordoned,
            ..v1::Upstream::default()
        })
    };
    let messages = [
        Wire::Network(network),
        Wire::Route(route),
        upstream(2, false),
        upstream(3, false),
        upstream(4, true),
    ];
    let upsert = |message| {
        let message = v1::Resource {
            resource: Some(message),
        };
        let resource: Result<Resource, Rejection> =
            wire::resource_from_wire(&message).map_err(Rejection::from);
        Operation::put(resource.unwrap())
    };
    let change_set = ChangeSet {
        operations: messages.into_iter().map(upsert).collect(),
        ..ChangeSet::default()
    };
    let empty = Snapshot::empty(Lineage([7; 16]));
    apply(&empty, &change_set, &Policy::default(), UnixMillis(0))
        .unwrap()
        .snapshot
}

/// One upstream answers everything; of the attempts at the other so many of 100 fail.
fn source(failures: u64) -> Source {
    let mut memory = Memory::default();
    let now = clock::now();
    for (counted, at) in [(0, now.0 - 60_000), (1, now.0)] {
        let tell = |number: usize, failures: u64| v1::Telemetry {
            telemetry: Some(Known::Upstream(v1::UpstreamTelemetry {
                upstream_id: id(number),
                answered: (100 - failures) * counted,
                failures: [("server".to_owned(), failures * counted)].into(),
                ..v1::UpstreamTelemetry::default()
            })),
        };
        memory.add(&[tell(2, failures), tell(3, 0)], UnixMillis(at));
    }
    Source::Telemetry(Arc::new(Mutex::new(memory)))
}

fn recommendation(mode: RecommendationMode) -> Recommendation {
    Recommendation {
        mode,
        ..Recommendation::new(
            ROUTE.parse().unwrap(),
            "eth".parse().unwrap(),
            "@every 10m".parse().unwrap(),
            RecommendationStrategy::ErrorRate,
        )
    }
}

async fn make(plane: &Plane, mode: RecommendationMode, failures: u64) -> Option<Ran> {
    let leadership = serve(plane.clone()).await;
    let run = Run {
        recommendation: &recommendation(mode),
        snapshot: &snapshot(),
        due: UnixMillis(600_000),
        source: &source(failures),
        node_id: "n",
        leadership: &leadership,
        changed_at: None,
    };
    run.make().await.unwrap()
}

#[tokio::test]
async fn a_run_opens_its_record_writes_once_and_closes_it() {
    let plane = Plane::default();
    let ran = make(&plane, RecommendationMode::Apply, 4).await.unwrap();
    assert_eq!(ran.state, RunState::Applied);
    assert!(ran.changed_at.is_some());
    let asked = plane.asked();
    let states: Vec<RunState> = asked.records.iter().map(v1::RecommendationRun::state).collect();
    assert_eq!(states, [RunState::Open, RunState::Applied]);
    let record = &asked.records[1];
    assert_eq!(
        (record.id.as_str(), record.rule.as_str()),
        ("1970-01-01T00:10:00Z", "scored")
    );
    assert_eq!(
        (record.weights_revision, record.config_revision, record.ttl_s),
        (5, 1, 1800)
    );
    let [set] = asked.sets.as_slice() else {
        panic!("{:?}", asked.sets)
    };
    assert_eq!((set.fencing_token, set.based_on_config_revision), (Some(9), 1));
    let weights: Vec<f64> = set.weights.iter().map(|weight| weight.weight).collect();
    assert_eq!(weights, [20.0, 80.0], "of the cordoned one nothing is said");
    let failing = &record.upstreams[0];
    assert_eq!((failing.weight_before, failing.weight_after), (50.0, 20.0));
    assert_eq!(failing.measurements.get("error_rate"), Some(&0.04));
}

#[tokio::test]
async fn what_is_proposed_or_shadowed_is_not_written() {
    for (mode, state) in [
        (RecommendationMode::Propose, RunState::Proposed),
        (RecommendationMode::Shadow, RunState::Shadowed),
    ] {
        let plane = Plane::default();
        assert_eq!(make(&plane, mode, 4).await.unwrap().state, state);
        assert!(plane.asked().sets.is_empty());
        assert_eq!(plane.asked().records[1].upstreams[0].weight_after, 20.0);
    }
}

#[tokio::test]
async fn a_run_that_another_has_claimed_is_left_alone() {
    let plane = Plane::default();
    plane.asked().refuse_record = Some(Status::already_exists("taken"));
    assert_eq!(make(&plane, RecommendationMode::Apply, 4).await, None);
    assert!(plane.asked().sets.is_empty());
}

#[tokio::test]
async fn an_operators_change_in_between_wins_and_is_told() {
    let plane = Plane::default();
    plane.asked().refuse_set = Some(Status::aborted("was changed at revision 2"));
    let ran = make(&plane, RecommendationMode::Apply, 4).await.unwrap();
    assert_eq!((ran.state, ran.changed_at), (RunState::Failed, None));
    let asked = plane.asked();
    let record = &asked.records[1];
    assert_eq!(
        (record.rule.as_str(), record.reason.as_str()),
        ("overtaken", "was changed at revision 2")
    );
    assert_eq!(record.upstreams[0].weight_after, 50.0, "nothing moved");
}

#[tokio::test]
async fn weights_that_are_right_and_soon_to_expire_are_renewed() {
    for (recommended, renewals) in [(true, 1), (false, 0)] {
        let plane = Plane::default();
        plane.asked().recommended = recommended;
        let ran = make(&plane, RecommendationMode::Apply, 0).await.unwrap();
        assert_eq!((ran.state, ran.changed_at), (RunState::Held, None));
        assert_eq!(plane.asked().sets.len(), renewals);
        assert_eq!(plane.asked().records[1].rule, "within_hysteresis");
    }
}
