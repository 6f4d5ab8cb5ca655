//! The pages on the admin address that show a gateway from inside: routes, upstreams and recorded requests.
//!
//! No page tells an address beyond scheme, host and port: the rest may hold a key.

use http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;
use tyrscale_balance::{BreakerState, Obstacle};
use tyrscale_model::{EffectiveWeight, OperatorWeight, RouteId, Standing};
use tyrscale_telemetry::Page;

use crate::endpoint::{Endpoint, Finding};
use crate::route::Route;
use crate::table::Table;
use crate::trace::Traces;

/// The page at `path`, if there is one.
pub(crate) fn page(path: &str, table: &Table, traces: &Traces) -> Option<Page> {
    let value = routes(path, table)
        .or_else(|| upstreams(path, table))
        .or_else(|| recorded(path, traces))?;
    Some(Page::json(StatusCode::OK, value.to_string()))
}

/// `/debug/routes`, or of one route `/debug/routes/ID`; `None` for other paths.
fn routes(path: &str, table: &Table) -> Option<Value> {
    let rest = path.strip_prefix("/debug/routes")?;
    if rest.is_empty() {
        let routes: Vec<Value> = table.routes().map(|route| route_json(route)).collect();
        return Some(json!({ "routes": routes }));
    }
    let id: RouteId = rest.strip_prefix('/')?.parse().ok()?;
    let route = table.get(id)?;
    Some(json!({ "route": route_json(route), "upstreams": upstreams_json(route) }))
}

/// `/debug/upstreams`; `None` for other paths.
fn upstreams(path: &str, table: &Table) -> Option<Value> {
    (path == "/debug/upstreams").then_some(())?;
    let upstreams: Vec<Value> = table.routes().flat_map(|route| upstreams_json(route)).collect();
    Some(json!({ "upstreams": upstreams }))
}

/// `/debug/traces`, or of one trace `/debug/traces/ID`; `None` for other paths.
fn recorded(path: &str, traces: &Traces) -> Option<Value> {
    let rest = path.strip_prefix("/debug/traces")?;
    let id = match rest {
        "" => None,
        _ => Some(rest.strip_prefix('/')?),
    };
    let traces: Vec<Value> = traces.newest(id).iter().map(|trace| trace.to_json()).collect();
    Some(json!({ "traces": traces }))
}

fn route_json(route: &Route) -> Value {
    let upstreams: Vec<String> = route
        .endpoints()
        .iter()
        .map(|endpoint| endpoint.spec().upstream_id.to_string())
        .collect();
    json!({
        "id": route.id.to_string(),
        "host": route.key.host.as_str(),
        "path": route.key.path.as_str(),
        "upstreams": upstreams,
    })
}

fn upstreams_json(route: &Route) -> Vec<Value> {
    let upstreams = route.obstacles(Instant::now()).into_iter().zip(route.weights());
    upstreams
        .map(|((endpoint, obstacle), weights)| upstream_json(endpoint, obstacle, &weights))
        .collect()
}

fn upstream_json(
    endpoint: &Endpoint,
    obstacle: Option<Obstacle>,
    (operator, effective): &(OperatorWeight, EffectiveWeight),
) -> Value {
    let standing = match effective.standing {
        Standing::Operator => "operator",
        Standing::Recommended => "recommended",
        Standing::Withheld => "withheld",
        Standing::Outdated => "outdated",
    };
    let breaker = match endpoint.breaker_state(Instant::now().into_std()) {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Open => "open",
    };
    let stats = endpoint.stats();
    let latency = stats.latency.snapshot();
    json!({
        "id": endpoint.spec().upstream_id.to_string(),
        "route": endpoint.spec().route_id.to_string(),
        "origin": endpoint.address().origin(),
        "weight": {
            "operator": operator.weight.get(),
            "effective": effective.weight.get(),
            "standing": standing,
        },
        "cordoned": operator.cordoned,
        "healthy": endpoint.is_healthy(),
        "obstacle": obstacle.map(|obstacle| obstacle.name()),
        "wrong_chain": endpoint.is_on_wrong_chain(),
        "findings": endpoint.findings().map(Finding::name).collect::<Vec<_>>(),
        "head": endpoint.head(),
        "breaker": breaker,
        "in_flight": endpoint.in_flight(),
        "attempts": stats.attempts.load(std::sync::atomic::Ordering::Relaxed),
        "failures": stats.failures.load(std::sync::atomic::Ordering::Relaxed),
        "answered": latency.count,
    })
}
