//! `/api/v1/routes`.

use axum::extract::{Path, State};
use serde::Serialize;
use tyrscale_model::{
    Expectation, Kind, LoadBalancer, Operation, Resource, ResourceKey, Route, RouteId, Snapshot, Violation,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    RestState,
    envelope::{Identified, Items, Nothing, Success, created, done, listed},
    error::{ApiError, absent},
    object::{Object, parse, parse_uuid, required},
    openapi::{BadRequest, Conflict, Internal, NotFound},
    query::{Filters, passes},
    request_body::JsonBody,
    route_parts::{BreakerItem, HealthCheckItem, HealthCheckUpdate, Zero},
    state::in_order,
};

/// A route in lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteItem {
    uuid: String,
    host: String,
    path: String,
    /// Left out for a strategy that clients of the original program do not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    load_balancer_strategy: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit_breaker: Option<BreakerItem>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_check: Option<HealthCheckItem>,
}

impl From<&Route> for RouteItem {
    fn from(route: &Route) -> Self {
        Self {
            uuid: route.id.to_string(),
            host: route.host.clone(),
            path: route.path.clone(),
            load_balancer_strategy: is_known(route.load_balancer).then(|| route.load_balancer.as_str()),
            circuit_breaker: route.circuit_breaker.map(BreakerItem::from),
            health_check: route.health_check.as_ref().map(HealthCheckItem::from),
        }
    }
}

/// A new route.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct NewRoute {
    #[schema(example = "eth.example")]
    host: String,
    /// Absent means `/`.
    #[schema(value_type = Option<String>, example = "/eth")]
    path: String,
    /// `weight-round-robin`, `least-load` or `failover-priority`.
    #[schema(value_type = String, example = "weight-round-robin")]
    load_balancer_strategy: LoadBalancer,
    circuit_breaker: Option<BreakerItem>,
    health_check: Option<HealthCheckUpdate>,
}

impl NewRoute {
    fn read(body: &Object) -> Result<Self, ApiError> {
        let new = Self {
            host: required("host", body.filled("host")?)?,
            path: body.text("path")?.unwrap_or_default(),
            load_balancer_strategy: required("load_balancer_strategy", read_strategy(body)?)?,
            circuit_breaker: read_breaker(body, Zero::Absent)?,
            health_check: read_health_check(body)?,
        };
        body.uuid("uuid")?;
        Ok(new)
    }

    fn route(self, id: RouteId) -> Result<Route, Violation> {
        let breaker = self.circuit_breaker.map(|sent| sent.over(None));
        let health_check = self.health_check.map(|sent| sent.over(None));
        Ok(Route {
            circuit_breaker: breaker.transpose()?,
            health_check: health_check.transpose()?,
            ..Route::new(id, self.host, self.path, self.load_balancer_strategy)
        })
    }
}

/// What changes of a route; what is absent stays, also inside the breaker and the health check.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct RouteUpdate {
    host: Option<String>,
    path: Option<String>,
    /// `weight-round-robin`, `least-load` or `failover-priority`.
    #[schema(value_type = Option<String>)]
    load_balancer_strategy: Option<LoadBalancer>,
    circuit_breaker: Option<BreakerItem>,
    health_check: Option<HealthCheckUpdate>,
}

impl RouteUpdate {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            host: body.text("host")?,
            path: body.text("path")?,
            load_balancer_strategy: read_strategy(body)?,
            circuit_breaker: read_breaker(body, Zero::Value)?,
            health_check: read_health_check(body)?,
        })
    }

    fn over(self, stored: &Route) -> Result<Route, Violation> {
        let mut route = stored.clone();
        if let Some(host) = self.host {
            route.host = host;
        }
        if let Some(path) = self.path {
            route.path = path;
        }
        if let Some(strategy) = self.load_balancer_strategy {
            route.load_balancer = strategy;
        }
        if let Some(sent) = self.circuit_breaker {
            route.circuit_breaker = Some(sent.over(stored.circuit_breaker)?);
        }
        if let Some(sent) = self.health_check {
            route.health_check = Some(sent.over(stored.health_check.as_ref())?);
        }
        Ok(route)
    }
}

fn read_strategy(body: &Object) -> Result<Option<LoadBalancer>, ApiError> {
    let Some(word) = body.text("load_balancer_strategy")? else {
        return Ok(None);
    };
    if word.is_empty() {
        return required("load_balancer_strategy", None);
    }
    let unknown = || {
        let start: String = word.chars().take(64).collect();
        ApiError::invalid(format!("invalid balancer type: {start}"))
    };
    match word.parse() {
        Ok(strategy) if is_known(strategy) => Ok(Some(strategy)),
        _ => Err(unknown()),
    }
}

/// Whether the original program knows a strategy.
const fn is_known(strategy: LoadBalancer) -> bool {
    match strategy {
        LoadBalancer::WeightRoundRobin | LoadBalancer::LeastLoad | LoadBalancer::FailoverPriority => true,
        LoadBalancer::Concurrent | LoadBalancer::P2cPeakEwma => false,
    }
}

fn read_breaker(body: &Object, zero: Zero) -> Result<Option<BreakerItem>, ApiError> {
    let sent = body.object("circuit_breaker")?;
    sent.map(|sent| BreakerItem::read(&sent, zero)).transpose()
}

fn read_health_check(body: &Object) -> Result<Option<HealthCheckUpdate>, ApiError> {
    let sent = body.object("health_check")?;
    sent.map(|sent| HealthCheckUpdate::read(&sent)).transpose()
}

/// The route of an id as clients send it: whatever is no UUID names none.
pub(crate) fn stored<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Route, Violation> {
    let id_or_none = id.parse::<RouteId>().ok();
    let route = id_or_none.and_then(|id| snapshot.route(id));
    route.ok_or_else(|| absent(ResourceKey::new(Kind::Route, id)))
}

/// Creates a route.
#[utoipa::path(
    post, path = "/api/v1/routes", tag = "routes", operation_id = "createRoute",
    request_body = NewRoute,
    responses((status = 201, description = "Created", body = Success<Identified>), BadRequest, Conflict, Internal)
)]
pub(crate) async fn create(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<Identified>, ApiError> {
    let new = NewRoute::read(&body)?;
    let id = RouteId(Uuid::new_v4());
    let plan = move |_: &Snapshot| {
        Ok(vec![Operation::Upsert {
            resource: Resource::Route(new.clone().route(id)?),
            expectation: Expectation::Absent,
            etag: None,
        }])
    };
    state.commit("create route", plan).await?;
    Ok(created(Identified { uuid: id.to_string() }))
}

/// Lists the routes.
#[utoipa::path(
    get, path = "/api/v1/routes", tag = "routes", operation_id = "listRoutes",
    params(
        ("uuid" = Option<String>, Query, description = "Only this route."),
        ("host" = Option<String>, Query, description = "Only of this host."),
        ("path" = Option<String>, Query, description = "Only of this path."),
        ("load_balancer_strategy" = Option<String>, Query,
            description = "Only with this strategy; also as `loadBalancerStrategy`."),
    ),
    responses((status = 200, description = "The routes", body = Success<Items<RouteItem>>), BadRequest, Internal)
)]
pub(crate) async fn list(
    State(state): State<RestState>,
    filters: Filters,
) -> Result<Success<Items<RouteItem>>, ApiError> {
    let uuid = filters.checked(&["uuid"], parse_uuid)?;
    let host = filters.get(&["host"]);
    let path = filters.get(&["path"]);
    let strategy_names = ["load_balancer_strategy", "loadBalancerStrategy"];
    let strategy = filters.checked(&strategy_names, parse::<LoadBalancer>)?;
    let head = state.head();
    let entries = in_order(&head.snapshot, Kind::Route);
    let routes = entries.into_iter().filter_map(|entry| match &entry.resource {
        Resource::Route(route) => Some(route),
        _ => None,
    });
    let chosen = routes.filter(|route| {
        passes(uuid, &route.id.to_string())
            && passes(host, &route.host)
            && passes(path, &route.path)
            && passes(strategy, route.load_balancer.as_str())
    });
    Ok(listed(chosen.map(RouteItem::from)))
}

/// Changes a route.
#[utoipa::path(
    patch, path = "/api/v1/routes/{route_uuid}", tag = "routes", operation_id = "updateRoute",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    request_body = RouteUpdate,
    responses(
        (status = 200, description = "Changed", body = Success<Nothing>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn update(
    State(state): State<RestState>,
    Path(uuid): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Success<Nothing>, ApiError> {
    let update = RouteUpdate::read(&body)?;
    let plan = move |snapshot: &Snapshot| {
        let route = update.clone().over(stored(snapshot, &uuid)?)?;
        Ok(vec![Operation::Upsert {
            resource: Resource::Route(route),
            expectation: Expectation::Present,
            etag: None,
        }])
    };
    state.commit("update route", plan).await?;
    Ok(done())
}

/// Deletes a route with its upstreams and plugins.
#[utoipa::path(
    delete, path = "/api/v1/routes/{route_uuid}", tag = "routes", operation_id = "deleteRoute",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    responses(
        (status = 200, description = "Deleted", body = Success<Nothing>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn delete(
    State(state): State<RestState>,
    Path(uuid): Path<String>,
) -> Result<Success<Nothing>, ApiError> {
    let plan = move |snapshot: &Snapshot| {
        Ok(vec![Operation::Delete {
            key: stored(snapshot, &uuid)?.key(),
            etag: None,
            cascade: true,
        }])
    };
    state.commit("delete route", plan).await?;
    Ok(done())
}
