//! `/api/v1/recommendations`, each named by the UUID of its route.

use axum::extract::{Path, State};
use serde::Serialize;
use tyrscale_model::{
    Expectation, Kind, Name, Operation, Recommendation, RecommendationStrategy, Resource, RouteId, Schedule,
    Snapshot, Violation,
};
use utoipa::ToSchema;

use crate::{
    RestState,
    envelope::{Items, Nothing, Success, created, done, listed},
    error::{ApiError, absent},
    networks::must_exist,
    object::{Object, parse_name, parse_uuid, required},
    openapi::{BadRequest, Conflict, Internal, NotFound},
    query::{Filters, passes},
    request_body::JsonBody,
    routes,
    state::in_order,
};

/// A recommendation in lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecommendationItem {
    route_uuid: String,
    schedule: String,
    network_name: String,
    /// Left out when generated clients of the original program would refuse the word.
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<&'static str>,
}

/// Names a recommendation by its route.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedRecommendation {
    route_uuid: String,
}

/// A recommendation: has the weights of a route computed.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct RecommendationBody {
    #[schema(value_type = String, pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    route_uuid: RouteId,
    #[schema(value_type = String)]
    network_name: Name,
    /// A cron expression of five to seven fields, a nickname such as `@hourly`, or `@every 1m`.
    #[schema(value_type = String, example = "*/10 * * * *")]
    schedule: Schedule,
    /// `STRATEGY_CUSTOM`, `STRATEGY_HIGHEST_BLOCK`, `STRATEGY_AREA_UNDER_THE_CURVE` (also
    /// `STRATEGY_AIR_UNDER_THE_CURVE`, `STRATEGY_AREA_BLOCK_NUMBER`), `STRATEGY_RATE_LIMIT`.
    #[schema(value_type = String, example = "STRATEGY_HIGHEST_BLOCK")]
    strategy: RecommendationStrategy,
}

impl RecommendationBody {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            route_uuid: RouteId(required("route_uuid", body.uuid("route_uuid")?)?),
            network_name: required("network_name", body.name("network_name")?)?,
            schedule: required("schedule", body.parsed("schedule")?)?,
            strategy: read_strategy(body)?,
        })
    }

    /// The stored one with these fields, or a new one. What belongs to another strategy goes with it.
    fn over(self, snapshot: &Snapshot) -> Recommendation {
        let stored = snapshot.get(&Recommendation::key_of(self.route_uuid));
        let fresh = Recommendation::new(self.route_uuid, self.network_name, self.schedule, self.strategy);
        let Some(Resource::Recommendation(stored)) = stored.map(|entry| &entry.resource) else {
            return fresh;
        };
        let mut changed = Recommendation {
            network: fresh.network,
            schedule: fresh.schedule,
            strategy: fresh.strategy,
            ..stored.clone()
        };
        if changed.strategy != RecommendationStrategy::Custom {
            (changed.expression, changed.promql) = (None, None);
        }
        changed
    }

    /// Checks the network, then the route.
    fn plan(self, snapshot: &Snapshot, expectation: Expectation) -> Result<Operation, Violation> {
        must_exist(snapshot, &self.network_name)?;
        routes::stored(snapshot, &self.route_uuid.to_string())?;
        Ok(Operation::Upsert {
            resource: Resource::Recommendation(self.over(snapshot)),
            expectation,
            etag: None,
        })
    }
}

fn read_strategy(body: &Object) -> Result<RecommendationStrategy, ApiError> {
    let word = required("strategy", body.filled("strategy")?)?;
    let strategy = word.parse().ok().filter(|strategy| is_taken(*strategy));
    strategy.ok_or_else(|| ApiError::invalid("invalid strategy"))
}

/// Whether this interface takes the strategy.
const fn is_taken(strategy: RecommendationStrategy) -> bool {
    match strategy {
        RecommendationStrategy::Custom
        | RecommendationStrategy::HighestBlock
        | RecommendationStrategy::AreaUnderTheCurve
        | RecommendationStrategy::RateLimit
        | RecommendationStrategy::AreaBlockNumber
        | RecommendationStrategy::AirUnderTheCurve => true,
        RecommendationStrategy::Latency
        | RecommendationStrategy::ErrorRate
        | RecommendationStrategy::Balanced
        | RecommendationStrategy::Cost => false,
    }
}

/// The word, when generated clients of the original program know it.
const fn known_word(strategy: RecommendationStrategy) -> Option<&'static str> {
    match strategy {
        RecommendationStrategy::Custom
        | RecommendationStrategy::HighestBlock
        | RecommendationStrategy::AirUnderTheCurve => Some(strategy.as_str()),
        RecommendationStrategy::AreaUnderTheCurve
        | RecommendationStrategy::RateLimit
        | RecommendationStrategy::AreaBlockNumber
        | RecommendationStrategy::Latency
        | RecommendationStrategy::ErrorRate
        | RecommendationStrategy::Balanced
        | RecommendationStrategy::Cost => None,
    }
}

/// Creates a recommendation.
#[utoipa::path(
    post, path = "/api/v1/recommendations", tag = "recommendations", operation_id = "createRecommendation",
    request_body = RecommendationBody,
    responses(
        (status = 201, description = "Created", body = Success<CreatedRecommendation>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn create(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<CreatedRecommendation>, ApiError> {
    let wish = RecommendationBody::read(&body)?;
    let route_uuid = wish.route_uuid.to_string();
    let plan = move |snapshot: &Snapshot| Ok(vec![wish.clone().plan(snapshot, Expectation::Absent)?]);
    state.commit("create recommendation", plan).await?;
    Ok(created(CreatedRecommendation { route_uuid }))
}

/// Lists the recommendations.
#[utoipa::path(
    get, path = "/api/v1/recommendations", tag = "recommendations", operation_id = "listRecommendations",
    params(
        ("route_uuid" = Option<String>, Query, description = "Only of this route."),
        ("network_name" = Option<String>, Query, description = "Only of this network."),
        ("strategy" = Option<String>, Query, description = "Only with this strategy."),
    ),
    responses(
        (status = 200, description = "The recommendations", body = Success<Items<RecommendationItem>>),
        BadRequest, Internal
    )
)]
pub(crate) async fn list(
    State(state): State<RestState>,
    filters: Filters,
) -> Result<Success<Items<RecommendationItem>>, ApiError> {
    let route_uuid = filters.checked(&["route_uuid"], parse_uuid)?;
    let network_name = filters.checked(&["network_name"], parse_name)?;
    let strategy = filters.get(&["strategy"]);
    let head = state.head();
    let entries = in_order(&head.snapshot, Kind::Recommendation);
    let recommendations = entries.into_iter().filter_map(|entry| match &entry.resource {
        Resource::Recommendation(recommendation) => Some(recommendation),
        _ => None,
    });
    let chosen = recommendations.filter(|recommendation| {
        passes(route_uuid, &recommendation.route_id.to_string())
            && passes(network_name, recommendation.network.as_str())
            && passes(strategy, recommendation.strategy.as_str())
    });
    Ok(listed(chosen.map(|recommendation| RecommendationItem {
        route_uuid: recommendation.route_id.to_string(),
        schedule: recommendation.schedule.as_str().to_owned(),
        network_name: recommendation.network.to_string(),
        strategy: known_word(recommendation.strategy),
    })))
}

/// Replaces the recommendation of a route.
#[utoipa::path(
    put, path = "/api/v1/recommendations", tag = "recommendations", operation_id = "updateRecommendation",
    request_body = RecommendationBody,
    responses(
        (status = 200, description = "Changed", body = Success<Nothing>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn update(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<Nothing>, ApiError> {
    let wish = RecommendationBody::read(&body)?;
    let plan = move |snapshot: &Snapshot| {
        let key = Recommendation::key_of(wish.route_uuid);
        if snapshot.get(&key).is_none() {
            return Err(absent(key));
        }
        Ok(vec![wish.clone().plan(snapshot, Expectation::Present)?])
    };
    state.commit("update recommendation", plan).await?;
    Ok(done())
}

/// Deletes the recommendation of a route.
#[utoipa::path(
    delete, path = "/api/v1/recommendations/{route_uuid}", tag = "recommendations",
    operation_id = "deleteRecommendation",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    responses(
        (status = 200, description = "Deleted", body = Success<Nothing>),
        BadRequest, NotFound, Internal
    )
)]
pub(crate) async fn delete(
    State(state): State<RestState>,
    Path(route): Path<String>,
) -> Result<Success<Nothing>, ApiError> {
    let route = RouteId(parse_uuid("route_uuid", &route)?);
    let delete = Operation::Delete {
        key: Recommendation::key_of(route),
        etag: None,
        cascade: false,
    };
    state
        .commit("delete recommendation", move |_| Ok(vec![delete.clone()]))
        .await?;
    Ok(done())
}
