//! Recommended weights as messages: set, listed, cleared.

use std::collections::BTreeSet;

use tokio::time::Instant;
use tonic::Status;
use tyrscale_model::{
    Revision, RouteId, Snapshot, Standing, Upstream, UpstreamId, Violation, ViolationCode, Weight, WeightTtl,
    wire,
};
use tyrscale_proto::v1;
use tyrscale_store::StoreError;

use super::{refused, rejected, store_status};
use crate::{
    fleet,
    weights::{Book, Head, Outcome, Proposal, SetError, effective},
};

/// The most weights of one call.
const MAX_WEIGHTS: usize = 10_000;
/// The longest reason kept, in characters.
const MAX_REASON: usize = 256;

/// Sets weights of a route.
pub(crate) async fn set(
    book: &Book,
    snapshot: &Snapshot,
    request: v1::SetWeightsRequest,
    author: String,
) -> Result<v1::SetWeightsResponse, Status> {
    let proposal = read(request, author)?;
    let outcome = book
        .set(snapshot, &proposal, Instant::now())
        .await
        .map_err(|error| match error {
            SetError::Refused(rejection) => rejected(&rejection),
            SetError::TooSoon(_) => Status::resource_exhausted(error.to_string()),
            // That a call came too soon has the code of a full disk.
            SetError::Store(full @ StoreError::Full(_)) => Status::unavailable(full.to_string()),
            SetError::Store(error) => store_status(error),
        })?;
    let Outcome {
        version,
        clamped,
        unchanged,
        weights,
    } = outcome;
    tracing::info!(
        route.id = %proposal.route,
        revision = %version.revision,
        author = %proposal.author,
        weights = weights.len(),
        clamped = clamped.len(),
        dry_run = proposal.dry_run,
        "weights recommended"
    );
    Ok(v1::SetWeightsResponse {
        version: Some(wire::version_to_wire(&version)),
        clamped: clamped.iter().map(wire::violation_to_wire).collect(),
        unchanged,
        weights: weights
            .iter()
            .map(|(upstream, soft)| wire::weight_to_wire(*upstream, soft))
            .collect(),
    })
}

fn read(request: v1::SetWeightsRequest, author: String) -> Result<Proposal, Status> {
    if request.weights.len() > MAX_WEIGHTS {
        let message = format!("must have at most {MAX_WEIGHTS} items");
        return Err(refused(Violation::new(
            "weights",
            ViolationCode::OutOfRange,
            message,
        )));
    }
    let mut violations = Vec::new();
    let route = route_of(&request.route_id).map_err(|violation| violations.push(violation));
    let mut weights = Vec::new();
    for (place, message) in request.weights.iter().enumerate() {
        match read_weight(message) {
            Ok(weight) => weights.push(weight),
            Err(violation) => violations.push(violation.within(&format!("weights[{place}]"))),
        }
    }
    let Some(route) = route.ok().filter(|_| violations.is_empty()) else {
        return Err(rejected(&violations.into()));
    };
    let printable = request.reason.chars().filter(|character| !character.is_control());
    Ok(Proposal {
        route,
        weights,
        fencing_token: request.fencing_token,
        based_on: Some(Revision(request.based_on_config_revision)).filter(|it| *it != Revision(0)),
        reason: printable.take(MAX_REASON).collect(),
        author,
        time: fleet::now(),
        dry_run: request.dry_run,
    })
}

fn read_weight(message: &v1::Weight) -> Result<(UpstreamId, Weight, WeightTtl), Violation> {
    let named = |field: &str, violation: Violation| Violation {
        field: field.to_owned(),
        ..violation
    };
    let upstream = message.upstream_id.parse();
    let ttl = wire::ttl_from_wire(message.ttl.as_ref());
    Ok((
        upstream.map_err(|violation| named("upstream_id", violation))?,
        Weight::try_from(message.weight)?,
        ttl?.unwrap_or_default(),
    ))
}

fn route_of(text: &str) -> Result<RouteId, Violation> {
    if text.is_empty() {
        return Err(Violation::new("route_id", ViolationCode::Required, "must be set"));
    }
    text.parse().map_err(|violation| Violation {
        field: "route_id".to_owned(),
        ..violation
    })
}

/// The route that is named, which must exist; `None` when none is.
fn named_route(snapshot: &Snapshot, text: &str) -> Result<Option<RouteId>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let route = route_of(text).map_err(refused)?;
    if snapshot.route(route).is_none() {
        let key = route.key();
        let message = format!("{key} does not exist");
        return Err(refused(
            Violation::new("route_id", ViolationCode::NotFound, message).of(key),
        ));
    }
    Ok(Some(route))
}

/// Lists what counts of the upstreams of a route, or of every route with recommended weights.
pub(crate) fn list(
    head: &Head,
    snapshot: &Snapshot,
    route_id: &str,
) -> Result<v1::ListWeightsResponse, Status> {
    let routes = match named_route(snapshot, route_id)? {
        Some(route) => BTreeSet::from([route]),
        None => head.notes().map(|(_, note)| note.route).collect(),
    };
    let upstreams = routes.into_iter().flat_map(|route| snapshot.upstreams_of(route));
    let now = Instant::now();
    Ok(v1::ListWeightsResponse {
        weights: upstreams
            .map(|upstream| row(head, snapshot, upstream, now))
            .collect(),
        version: Some(wire::version_to_wire(&head.weights.version())),
    })
}

fn row(head: &Head, snapshot: &Snapshot, upstream: &Upstream, now: Instant) -> v1::EffectiveWeight {
    let effective = effective(snapshot, head, upstream);
    let recommended = head.weights.get(upstream.id);
    let note = head.note(upstream.id);
    let remaining = note.map(|note| note.deadline.duration_since(now));
    v1::EffectiveWeight {
        upstream_id: upstream.id.to_string(),
        route_id: upstream.route_id.to_string(),
        standing: match effective.standing {
            Standing::Operator => v1::WeightStanding::Operator,
            Standing::Recommended => v1::WeightStanding::Recommended,
            Standing::Withheld => v1::WeightStanding::Withheld,
            Standing::Outdated => v1::WeightStanding::Outdated,
        }
        .into(),
        effective: effective.weight.get(),
        operator: upstream.weight.get(),
        recommended: recommended.map(|entry| wire::weight_to_wire(upstream.id, &entry.soft)),
        remaining: remaining.and_then(|remaining| remaining.try_into().ok()),
        reason: note.map(|note| note.reason.to_string()).unwrap_or_default(),
        set_time: note.map(|note| wire::timestamp_to_wire(note.set_time)),
        set_by: note.map(|note| note.set_by.to_string()).unwrap_or_default(),
    }
}

/// Drops the weights of a route, or all.
pub(crate) async fn clear(
    book: &Book,
    snapshot: &Snapshot,
    route_id: &str,
    author: &str,
) -> Result<v1::ClearWeightsResponse, Status> {
    let route = named_route(snapshot, route_id)?;
    let clearing = book.clear(route, Instant::now());
    let (version, cleared) = clearing.await.map_err(store_status)?;
    tracing::info!(
        route.id = route.map(tracing::field::display),
        cleared,
        author,
        "recommended weights cleared"
    );
    Ok(v1::ClearWeightsResponse {
        version: Some(wire::version_to_wire(&version)),
        cleared: u32::try_from(cleared).unwrap_or(u32::MAX),
    })
}
