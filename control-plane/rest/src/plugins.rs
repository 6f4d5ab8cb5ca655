//! `/api/v1/plugins` and the plugins of a route.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::value::RawValue;
use tyrscale_model::{
    Kind, Name, Operation, PluginAttachment, PluginPriority, PluginType, Resource, RouteId, Snapshot,
};
use utoipa::ToSchema;

use crate::{
    RestState,
    envelope::{Nothing, Success, done, found},
    error::{ApiError, absent},
    object::{Object, required},
    openapi::{BadRequest, Internal, NotFound},
    request_body::JsonBody,
    routes,
};

/// The plugins of one type.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct PluginNames {
    names: Vec<String>,
}

/// The plugins gateways have loaded, by type; left out when there is none.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoadedPlugins {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    plugins: BTreeMap<&'static str, PluginNames>,
}

/// A plugin attached to a route.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PluginItem {
    name: String,
    description: String,
    priority: u32,
    #[schema(value_type = Object)]
    config: Box<RawValue>,
}

/// A plugin to attach, once per name and route.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct AttachBody {
    #[schema(value_type = String)]
    name: Name,
    /// `Middleware`, `RequestInterceptor` or `ResponseInterceptor`.
    #[schema(value_type = String, rename = "type")]
    plugin_type: PluginType,
    /// Any JSON but `null`.
    #[schema(value_type = Object)]
    config: String,
    #[schema(value_type = u32, minimum = 1, maximum = 1000)]
    priority: PluginPriority,
    #[schema(value_type = Option<String>)]
    description: String,
}

impl AttachBody {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            name: required("name", body.name("name")?)?,
            plugin_type: required("type", body.parsed("type")?)?,
            config: required("config", body.raw("config"))?.to_owned(),
            priority: read_priority(body)?,
            description: body.text("description")?.unwrap_or_default(),
        })
    }
}

/// A plugin to detach.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct DetachBody {
    name: String,
    /// Required, without effect: a route has a name once.
    #[schema(rename = "type")]
    #[expect(dead_code, reason = "read to be required; the field describes the body")]
    plugin_type: String,
}

impl DetachBody {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            name: required("name", body.filled("name")?)?,
            plugin_type: required("type", body.filled("type")?)?,
        })
    }
}

fn read_priority(body: &Object) -> Result<PluginPriority, ApiError> {
    let number = body.whole("priority")?.filter(|number| *number != 0);
    let number = required("priority", number)?;
    let priority = u32::try_from(number)
        .ok()
        .and_then(|number| PluginPriority::try_from(number).ok());
    priority.ok_or_else(|| {
        ApiError::invalid(if number < 0 {
            "priority must be greater than 0"
        } else {
            "priority must be 1,000 or less"
        })
    })
}

/// Bodies of plugins that cannot be read are refused in words of their own.
fn body(read: Result<JsonBody, ApiError>) -> Result<Object, ApiError> {
    match read {
        Ok(JsonBody(object)) => Ok(object),
        Err(ApiError::Invalid(_)) => Err(ApiError::invalid("failed to parse request")),
        Err(error) => Err(error),
    }
}

/// Lists the plugins that gateways have loaded.
#[utoipa::path(
    get, path = "/api/v1/plugins", tag = "plugins", operation_id = "listPlugins",
    responses((status = 200, description = "The plugins by type", body = Success<LoadedPlugins>), Internal)
)]
pub(crate) async fn list(State(state): State<RestState>) -> Success<LoadedPlugins> {
    let mut plugins: BTreeMap<&'static str, PluginNames> = BTreeMap::new();
    for (name, plugin_type) in state.plugins() {
        let of_type = plugins.entry(plugin_type.as_str()).or_default();
        of_type.names.push(name.to_string());
    }
    found(LoadedPlugins { plugins })
}

/// Lists the plugins of a route by type.
#[utoipa::path(
    get, path = "/api/v1/routes/{route_uuid}/plugins", tag = "plugins", operation_id = "listRoutePlugins",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    responses(
        (status = 200, description = "The plugins; none for an unknown route",
            body = Success<BTreeMap<String, Vec<PluginItem>>>),
        Internal
    )
)]
pub(crate) async fn list_of_route(
    State(state): State<RestState>,
    Path(route): Path<String>,
) -> Success<BTreeMap<&'static str, Vec<PluginItem>>> {
    let mut by_type: BTreeMap<&'static str, Vec<PluginItem>> = BTreeMap::new();
    let Ok(route) = route.parse::<RouteId>() else {
        return found(by_type);
    };
    let head = state.head();
    let snapshot = &head.snapshot;
    let of_route = snapshot
        .referrers_of(&route.key())
        .filter(|key| key.kind == Kind::Plugin);
    let mut entries: Vec<_> = of_route.filter_map(|key| snapshot.get(key)).collect();
    entries.sort_by_key(|entry| entry.meta.create_revision);
    for entry in entries {
        let Resource::Plugin(plugin) = &entry.resource else {
            continue;
        };
        let Ok(config) = RawValue::from_string(plugin.config_json.clone()) else {
            continue;
        };
        by_type
            .entry(plugin.plugin_type.as_str())
            .or_default()
            .push(PluginItem {
                name: plugin.name.to_string(),
                description: plugin.description.clone(),
                priority: plugin.priority.get(),
                config,
            });
    }
    found(by_type)
}

/// Attaches a plugin to a route, or replaces the attachment of its name.
#[utoipa::path(
    post, path = "/api/v1/routes/{route_uuid}/attach-plugin", tag = "plugins", operation_id = "attachPlugin",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    request_body = AttachBody,
    responses(
        (status = 200, description = "Attached", body = Success<Nothing>),
        BadRequest, NotFound, Internal
    )
)]
pub(crate) async fn attach(
    State(state): State<RestState>,
    Path(route): Path<String>,
    read: Result<JsonBody, ApiError>,
) -> Result<Success<Nothing>, ApiError> {
    let wish = AttachBody::read(&body(read)?)?;
    let plan = move |snapshot: &Snapshot| {
        let attachment = PluginAttachment {
            route_id: routes::stored(snapshot, &route)?.id,
            name: wish.name.clone(),
            plugin_type: wish.plugin_type,
            priority: wish.priority,
            description: wish.description.clone(),
            config_json: wish.config.clone(),
        };
        Ok(vec![Operation::put(Resource::Plugin(attachment))])
    };
    state.commit("attach plugin", plan).await?;
    Ok(done())
}

/// Detaches a plugin from a route.
#[utoipa::path(
    post, path = "/api/v1/routes/{route_uuid}/detach-plugin", tag = "plugins", operation_id = "detachPlugin",
    params(("route_uuid" = String, Path, description = "The route's UUID.")),
    request_body = DetachBody,
    responses(
        (status = 200, description = "Detached", body = Success<Nothing>),
        BadRequest, NotFound, Internal
    )
)]
pub(crate) async fn detach(
    State(state): State<RestState>,
    Path(route): Path<String>,
    read: Result<JsonBody, ApiError>,
) -> Result<Success<Nothing>, ApiError> {
    let DetachBody { name, .. } = DetachBody::read(&body(read)?)?;
    let plan = move |snapshot: &Snapshot| {
        let key = tyrscale_model::ResourceKey::new(Kind::Plugin, format!("{route}/{name}"));
        if snapshot.get(&key).is_none() {
            return Err(absent(key));
        }
        Ok(vec![Operation::Delete {
            key,
            etag: None,
            cascade: false,
        }])
    };
    state.commit("detach plugin", plan).await?;
    Ok(done())
}
