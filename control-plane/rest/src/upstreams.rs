//! `/api/v1/routes/{route_uuid}/upstreams` and `/api/v1/upstreams`.

use axum::extract::{Path, State};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Number;
use tyrscale_model::{
    Address, HttpUrl, Kind, Operation, ProxyAddress, Resource, ResourceKey, RouteId, Scheme, Snapshot,
    Target, Upstream, UpstreamId, Violation, Weight,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    RestState,
    envelope::{Identified, Items, Success, created, found, listed},
    error::{ApiError, absent},
    object::{Object, parse, parse_uuid, required},
    openapi::{BadRequest, Conflict, Internal, NotFound},
    query::{Filters, passes},
    request_body::JsonBody,
    routes, rpcs,
};

/// How an upstream is reached.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FasthttpSettings {
    /// HTTP CONNECT proxy, `[user:password@]host:port`; credentials are masked in lists.
    #[schema(example = "localhost:9050")]
    proxy_host: String,
}

/// An upstream in lists; secrets in the path and the proxy's credentials are masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpstreamItem {
    uuid: String,
    /// Empty when it has an address of its own.
    rpc_uuid: String,
    host: String,
    port: u16,
    path: String,
    scheme: &'static str,
    #[schema(value_type = f64)]
    weight: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    fasthttp_settings: Option<FasthttpSettings>,
}

/// A new upstream, or one that replaces the one of its UUID: at an rpc or at an address of its own.
#[derive(Debug, Clone, ToSchema)]
#[expect(
    dead_code,
    reason = "describes the body, which is read into an upstream member by member"
)]
pub(crate) struct UpstreamBody {
    /// Present: replaces this upstream of the route.
    #[schema(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    uuid: Option<String>,
    /// The rpc; then none of host, port, path and scheme.
    rpc_uuid: Option<String>,
    host: Option<String>,
    #[schema(minimum = 1, maximum = 65535)]
    port: Option<u16>,
    path: Option<String>,
    /// `http` or `https`.
    scheme: Option<String>,
    /// 0 drains.
    #[schema(minimum = 0, maximum = 100, example = 50)]
    weight: f64,
    fasthttp_settings: Option<FasthttpSettings>,
}

/// Where a body says an upstream is; the rpc is still text, whatever it is must exist.
#[derive(Clone)]
enum Place {
    Rpc(String),
    Address(Address),
}

/// A body read.
#[derive(Clone)]
struct Wish {
    id: Option<UpstreamId>,
    place: Place,
    weight: Weight,
    proxy: Option<ProxyAddress>,
}

impl Wish {
    fn read(body: &Object) -> Result<Self, ApiError> {
        let settings = body.object("fasthttp_settings")?;
        let proxy = settings
            .map(|settings| settings.parsed("proxy_host"))
            .transpose()?;
        Ok(Self {
            id: body.uuid("uuid")?.map(UpstreamId),
            place: read_place(body)?,
            weight: read_weight(body)?,
            proxy: proxy.flatten(),
        })
    }

    /// Checks the upstream, then the route, then the rpc. What this interface has no words for stays.
    fn plan(self, snapshot: &Snapshot, route: &str, new_id: UpstreamId) -> Result<Operation, Violation> {
        let before = self.id.map(|id| stored(snapshot, route, id)).transpose()?;
        let route_id = routes::stored(snapshot, route)?.id;
        let target = match self.place {
            Place::Rpc(id) => Target::Rpc(rpcs::stored(snapshot, &id)?.id),
            Place::Address(address) => Target::Address(address),
        };
        let mut upstream = match before {
            Some(before) => Upstream {
                target,
                weight: self.weight,
                ..before.clone()
            },
            None => Upstream::new(new_id, route_id, target, self.weight),
        };
        upstream.proxy = self.proxy;
        Ok(Operation::put(Resource::Upstream(upstream)))
    }
}

fn read_place(body: &Object) -> Result<Place, ApiError> {
    let rpc = body.filled("rpc_uuid")?;
    let host = body.filled("host")?;
    let port = body.whole("port")?.filter(|port| *port != 0);
    let path = body.filled("path")?;
    let scheme = body.filled("scheme")?;
    if let Some(rpc) = rpc {
        if host.is_some() || port.is_some() || path.is_some() || scheme.is_some() {
            return Err(ApiError::invalid("rpc_uuid is an excluded field"));
        }
        return Ok(Place::Rpc(rpc));
    }
    let host = required("host", host)?;
    let port = required("port", port)?;
    let path = required("path", path)?;
    let scheme: Scheme = parse("scheme", &required("scheme", scheme)?)?;
    if port < 0 {
        return Err(ApiError::invalid("port must be greater than 0"));
    }
    let port = u16::try_from(port).map_err(|_| ApiError::invalid("port must be 65,535 or less"))?;
    let address = Address::new(scheme, &host, port, &path);
    let wrong =
        |violation: Violation| ApiError::invalid(format!("{} {}", violation.field, violation.message));
    address.map(Place::Address).map_err(wrong)
}

fn read_weight(body: &Object) -> Result<Weight, ApiError> {
    let number = required("weight", body.number("weight")?)?;
    Weight::try_from(number).map_err(|_| {
        ApiError::invalid(if number < 0.0 {
            "weight must be 0 or greater"
        } else {
            "weight must be 100 or less"
        })
    })
}

/// The upstream of an id, if it is one of the route.
fn stored<'a>(snapshot: &'a Snapshot, route: &str, id: UpstreamId) -> Result<&'a Upstream, Violation> {
    let upstream = snapshot.upstream(id);
    let of_route = upstream.filter(|upstream| upstream.route_id.to_string() == route);
    of_route.ok_or_else(|| absent(id.key()))
}

async fn write(state: &RestState, route: String, body: &Object) -> Result<Success<Identified>, ApiError> {
    let wish = Wish::read(body)?;
    let new_id = UpstreamId(Uuid::new_v4());
    let id = wish.id.unwrap_or(new_id);
    let plan = move |snapshot: &Snapshot| Ok(vec![wish.clone().plan(snapshot, &route, new_id)?]);
    state.commit("write upstream", plan).await?;
    Ok(created(Identified { uuid: id.to_string() }))
}

/// Creates or replaces an upstream.
#[utoipa::path(
    put, path = "/api/v1/routes/{route_uuid}/upstreams", tag = "upstreams", operation_id = "upsertUpstream",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    request_body = UpstreamBody,
    responses(
        (status = 201, description = "Created or replaced", body = Success<Identified>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn put(
    State(state): State<RestState>,
    Path(route): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Success<Identified>, ApiError> {
    write(&state, route, &body).await
}

/// The same as PUT.
#[utoipa::path(
    post, path = "/api/v1/routes/{route_uuid}/upstreams", tag = "upstreams", operation_id = "createUpstream",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    request_body = UpstreamBody,
    responses(
        (status = 201, description = "Created or replaced", body = Success<Identified>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn post(
    State(state): State<RestState>,
    Path(route): Path<String>,
    JsonBody(body): JsonBody,
) -> Result<Success<Identified>, ApiError> {
    write(&state, route, &body).await
}

/// Lists the upstreams of a route.
#[utoipa::path(
    get, path = "/api/v1/routes/{route_uuid}/upstreams", tag = "upstreams", operation_id = "listUpstreams",
    params(
        ("route_uuid" = String, Path, description = "The route's UUID."),
        ("uuid" = Option<String>, Query, description = "Only this upstream."),
    ),
    responses(
        (status = 200, description = "The upstreams; none for an unknown route", body = Success<Items<UpstreamItem>>),
        BadRequest, Internal
    )
)]
pub(crate) async fn list(
    State(state): State<RestState>,
    Path(route): Path<String>,
    filters: Filters,
) -> Result<Success<Items<UpstreamItem>>, ApiError> {
    list_of(&state, &route, &filters)
}

/// Lists the upstreams of a route named in the query.
#[utoipa::path(
    get, path = "/api/v1/upstreams", tag = "upstreams", operation_id = "listUpstreamsByQuery",
    params(
        ("route_uuid" = String, Query, description = "The route's UUID."),
        ("uuid" = Option<String>, Query, description = "Only this upstream."),
    ),
    responses(
        (status = 200, description = "The upstreams; none for an unknown route", body = Success<Items<UpstreamItem>>),
        BadRequest, Internal
    )
)]
pub(crate) async fn list_by_query(
    State(state): State<RestState>,
    filters: Filters,
) -> Result<Success<Items<UpstreamItem>>, ApiError> {
    let route = required("route_uuid", filters.get(&["route_uuid"]))?;
    list_of(&state, route, &filters)
}

fn list_of(
    state: &RestState,
    route: &str,
    filters: &Filters,
) -> Result<Success<Items<UpstreamItem>>, ApiError> {
    let route = RouteId(parse_uuid("route_uuid", route)?);
    let uuid = filters.checked(&["uuid"], parse_uuid)?;
    let head = state.head();
    let snapshot = &head.snapshot;
    let of_route = snapshot
        .referrers_of(&route.key())
        .filter(|key| key.kind == Kind::Upstream);
    let mut entries: Vec<_> = of_route.filter_map(|key| snapshot.get(key)).collect();
    entries.sort_by_key(|entry| entry.meta.create_revision);
    let items = entries.into_iter().filter_map(|entry| match &entry.resource {
        Resource::Upstream(upstream) => item(snapshot, upstream),
        _ => None,
    });
    Ok(listed(items.filter(|item| passes(uuid, &item.uuid))))
}

fn item(snapshot: &Snapshot, upstream: &Upstream) -> Option<UpstreamItem> {
    let (rpc_uuid, host, port, path, scheme) = match &upstream.target {
        Target::Rpc(id) => {
            let url = &snapshot.rpc(*id)?.url;
            (
                id.to_string(),
                url.host().to_owned(),
                url.port(),
                shown_path(url)?,
                url.scheme(),
            )
        }
        Target::Address(address) => (
            String::new(),
            address.host.clone(),
            address.port,
            address.masked_path(),
            address.scheme,
        ),
    };
    let proxy = upstream.proxy.as_ref();
    Some(UpstreamItem {
        uuid: upstream.id.to_string(),
        rpc_uuid,
        host,
        port,
        path,
        scheme: scheme.as_str(),
        // Through its text, so that whole weights are listed as whole numbers.
        weight: upstream.weight.get().to_string().parse().ok()?,
        fasthttp_settings: proxy.map(|proxy| FasthttpSettings {
            proxy_host: proxy.masked(),
        }),
    })
}

/// The path of an rpc's URL without its secrets: a masked URL is a URL.
fn shown_path(url: &HttpUrl) -> Option<String> {
    let masked: HttpUrl = url.masked().parse().ok()?;
    Some(
        percent_decode_str(masked.expose_path())
            .decode_utf8_lossy()
            .into_owned(),
    )
}

/// Deletes an upstream.
#[utoipa::path(
    delete, path = "/api/v1/routes/{route_uuid}/upstreams/{uuid}", tag = "upstreams",
    operation_id = "deleteUpstream",
    params(
        ("route_uuid" = String, Path, description = "The route's UUID."),
        ("uuid" = String, Path, description = "The upstream's UUID."),
    ),
    responses(
        (status = 200, description = "Deleted", body = Success<Identified>),
        BadRequest, NotFound, Internal
    )
)]
pub(crate) async fn delete(
    State(state): State<RestState>,
    Path((route, uuid)): Path<(String, String)>,
) -> Result<Success<Identified>, ApiError> {
    parse_uuid("route_uuid", &route)?;
    let id = UpstreamId(parse_uuid("uuid", &uuid)?);
    let plan = move |snapshot: &Snapshot| {
        let key: ResourceKey = stored(snapshot, &route, id)?.key();
        Ok(vec![Operation::Delete {
            key,
            etag: None,
            cascade: false,
        }])
    };
    state.commit("delete upstream", plan).await?;
    Ok(found(Identified { uuid }))
}
