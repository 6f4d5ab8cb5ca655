//! The service of the records of runs.

use tonic::{Request, Response, Status};
use tyrscale_access::Guard;
use tyrscale_model::{RouteId, Violation, ViolationCode};
use tyrscale_proto::v1::{
    self, RecommendationRun, RunState, recommendation_service_server::RecommendationService,
};

use super::{author_of, refused, store_status};
use crate::{
    access::{Admission, Claim},
    runs::{RecordError, RunRecords},
};

/// What recommenders ask for, in the audit log.
const RECORD: &str = "/tyrscale.v1.RecommendationRunService/RecordRun";

const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: u32 = 1000;
/// The longest name of a run, bytes.
const MAX_ID: usize = 64;

/// Records of runs over gRPC. What an operator approves goes to `W`, the service that sets weights.
pub(crate) struct Runs<W> {
    records: RunRecords,
    weights: W,
    guard: Guard,
}

impl<W: RecommendationService> Runs<W> {
    pub(crate) const fn new(records: RunRecords, weights: W, guard: Guard) -> Self {
        Self {
            records,
            weights,
            guard,
        }
    }

    /// Settles a run that waits for an operator.
    async fn settle(
        &self,
        route: RouteId,
        id: &str,
        weights_revision: Option<u64>,
        operator: &str,
    ) -> Result<Option<RecommendationRun>, Status> {
        let settled = self.records.book().settle(route, id, weights_revision, operator);
        let changed = settled.map_err(status_of)?;
        self.records.keep(&changed, &[]).await.map_err(store_status)?;
        Ok(changed.into_iter().next())
    }
}

fn route_of(text: &str) -> Result<RouteId, Status> {
    text.parse().map_err(|violation: Violation| {
        refused(Violation {
            field: "route_id".to_owned(),
            ..violation
        })
    })
}

fn status_of(error: RecordError) -> Status {
    let text = error.to_string();
    match error {
        RecordError::Superseded { .. } => Status::aborted(text),
        RecordError::Taken { .. } => Status::already_exists(text),
        RecordError::NotFound => Status::not_found(text),
        RecordError::NotProposed { .. } => Status::failed_precondition(text),
    }
}

/// Checks what a recommender records.
fn checked(run: Option<RecommendationRun>) -> Result<(RouteId, RecommendationRun), Status> {
    let required = |field: &str| refused(Violation::new(field, ViolationCode::Required, "must be set"));
    let run = run.ok_or_else(|| required("run"))?;
    let route = route_of(&run.route_id)?;
    let is_name = (1..=MAX_ID).contains(&run.id.len()) && run.id.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name {
        let rule = "must have 1 to 64 visible ASCII characters";
        return Err(refused(Violation::new("run.id", ViolationCode::Invalid, rule)));
    }
    match run.state() {
        RunState::Unspecified => Err(required("run.state")),
        RunState::Approved | RunState::Rejected => {
            let rule = "is for operators to set";
            Err(refused(Violation::new("run.state", ViolationCode::Invalid, rule)))
        }
        RunState::Open
        | RunState::Applied
        | RunState::Held
        | RunState::Proposed
        | RunState::Shadowed
        | RunState::Failed => Ok((route, run)),
    }
}

/// The weights that a run proposes, set by hand.
fn wish_of(run: RecommendationRun) -> v1::SetWeightsRequest {
    let ttl = Some(prost_types::Duration {
        seconds: i64::from(run.ttl_s),
        nanos: 0,
    });
    let weight = |upstream: v1::RunUpstream| v1::Weight {
        upstream_id: upstream.upstream_id,
        weight: upstream.weight_after,
        ttl,
        ..v1::Weight::default()
    };
    v1::SetWeightsRequest {
        route_id: run.route_id,
        weights: run.upstreams.into_iter().map(weight).collect(),
        fencing_token: None,
        based_on_config_revision: run.config_revision,
        reason: format!("run {} approved: {}", run.id, run.reason),
        dry_run: false,
    }
}

#[tonic::async_trait]
impl<W: RecommendationService> v1::recommendation_run_service_server::RecommendationRunService for Runs<W> {
    async fn record_run(
        &self,
        request: Request<v1::RecordRunRequest>,
    ) -> Result<Response<v1::RecordRunResponse>, Status> {
        let request = request.into_inner();
        let (route, run) = checked(request.run)?;
        Admission::of_call(&self.guard, RECORD)
            .admit(Claim::of_id(&run.node_id))
            .await?;
        let recorded = self
            .records
            .book()
            .record(route, run.clone(), request.fencing_token);
        let gone = recorded.map_err(status_of)?;
        self.records.keep(&[run], &gone).await.map_err(store_status)?;
        Ok(Response::new(v1::RecordRunResponse {}))
    }

    async fn list_runs(
        &self,
        request: Request<v1::ListRunsRequest>,
    ) -> Result<Response<v1::ListRunsResponse>, Status> {
        let request = request.into_inner();
        let route = match request.route_id.as_str() {
            "" => None,
            id => Some(route_of(id)?),
        };
        let limit = match request.limit {
            0 => DEFAULT_LIMIT,
            limit @ 1..=MAX_LIMIT => usize::try_from(limit).unwrap_or(DEFAULT_LIMIT),
            _ => {
                let rule = format!("must be at most {MAX_LIMIT}");
                return Err(refused(Violation::new("limit", ViolationCode::OutOfRange, rule)));
            }
        };
        let runs = self.records.book().list(route, limit);
        Ok(Response::new(v1::ListRunsResponse { runs }))
    }

    async fn get_run(
        &self,
        request: Request<v1::GetRunRequest>,
    ) -> Result<Response<v1::GetRunResponse>, Status> {
        let request = request.into_inner();
        let route = route_of(&request.route_id)?;
        let run = self.records.book().get(route, &request.run_id).cloned();
        let run = Some(run.map_err(status_of)?);
        Ok(Response::new(v1::GetRunResponse { run }))
    }

    async fn approve_run(
        &self,
        request: Request<v1::ApproveRunRequest>,
    ) -> Result<Response<v1::ApproveRunResponse>, Status> {
        let author = author_of(&request);
        let (metadata, extensions, request) = request.into_parts();
        let route = route_of(&request.route_id)?;
        let run = self.records.book().proposed(route, &request.run_id).cloned();
        let set = Request::from_parts(metadata, extensions, wish_of(run.map_err(status_of)?));
        let written = self.weights.set_weights(set).await?.into_inner();
        let revision = written.version.map_or(0, |version| version.revision);
        let run = self
            .settle(route, &request.run_id, Some(revision), &author)
            .await?;
        Ok(Response::new(v1::ApproveRunResponse { run }))
    }

    async fn reject_run(
        &self,
        request: Request<v1::RejectRunRequest>,
    ) -> Result<Response<v1::RejectRunResponse>, Status> {
        let author = author_of(&request);
        let request = request.into_inner();
        let route = route_of(&request.route_id)?;
        let run = self.settle(route, &request.run_id, None, &author).await?;
        Ok(Response::new(v1::RejectRunResponse { run }))
    }
}
