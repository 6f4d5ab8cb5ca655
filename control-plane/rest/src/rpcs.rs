//! `/api/v1/rpcs`.

use axum::extract::{Path, State};
use serde::Serialize;
use tyrscale_model::{
    Collector, Expectation, HttpUrl, Kind, Name, Operation, Resource, ResourceKey, Rpc, RpcId, Snapshot,
    UpstreamHeaders, Violation, ViolationCode, Visibility,
};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    RestState,
    envelope::{Identified, Items, Nothing, Success, created, done, listed},
    error::{ApiError, absent},
    networks::must_exist,
    object::{Object, parse, parse_name, parse_uuid, required},
    openapi::{BadRequest, Conflict, Internal, NotFound},
    query::{Filters, check_numeric, passes},
    request_body::{JsonBody, OptionalJsonBody},
    state::in_order,
};

/// An rpc in lists; secrets in the URL are masked.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RpcItem {
    uuid: String,
    /// The network's.
    chain_id: u64,
    url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    provider: String,
    network_name: String,
    collectors: Vec<&'static str>,
}

/// A new rpc.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct NewRpc {
    /// http or https; unique.
    #[schema(value_type = String, example = "https://rpc.example/v1")]
    url: HttpUrl,
    /// `private` or `public`.
    #[schema(value_type = String, rename = "type", example = "private")]
    visibility: Visibility,
    #[schema(value_type = String, pattern = "^[a-zA-Z0-9_-]+$", example = "infura")]
    provider: Name,
    #[schema(value_type = String, pattern = "^[a-zA-Z0-9_-]+$", example = "eth-mainnet")]
    network_name: Name,
    /// `eth_block_number`, `net_peers`; at least one.
    #[schema(value_type = Vec<String>, min_items = 1, example = json!(["eth_block_number"]))]
    collectors: Vec<Collector>,
    /// Made by the server when absent.
    #[schema(value_type = Option<String>, pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    uuid: Option<Uuid>,
}

impl NewRpc {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            url: required("url", body.parsed("url")?)?,
            visibility: required("type", body.parsed("type")?)?,
            provider: required("provider", body.name("provider")?)?,
            network_name: required("network_name", body.name("network_name")?)?,
            collectors: required("collectors", read_collectors(body)?)?,
            uuid: body.uuid("uuid")?,
        })
    }
}

/// What changes of an rpc; what is absent or empty stays.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct RpcUpdate {
    /// Which rpc.
    uuid: String,
    /// http or https; unique. The masked form of the stored one means "unchanged".
    #[schema(value_type = Option<String>)]
    url: Option<HttpUrl>,
    /// `private` or `public`.
    #[schema(value_type = Option<String>, rename = "type")]
    visibility: Option<Visibility>,
    #[schema(value_type = Option<String>)]
    provider: Option<Name>,
    /// At least one when present.
    #[schema(value_type = Option<Vec<String>>, min_items = 1)]
    collectors: Option<Vec<Collector>>,
}

impl RpcUpdate {
    fn read(body: &Object) -> Result<Self, ApiError> {
        Ok(Self {
            uuid: required("uuid", body.filled("uuid")?)?,
            url: body.parsed("url")?,
            visibility: body.parsed("type")?,
            provider: body.name("provider")?,
            collectors: read_collectors(body)?,
        })
    }

    fn apply(self, snapshot: &Snapshot) -> Result<Operation, Violation> {
        let before = stored(snapshot, &self.uuid)?;
        let after = Rpc {
            id: before.id,
            network: before.network.clone(),
            provider: self.provider.unwrap_or_else(|| before.provider.clone()),
            visibility: self.visibility.unwrap_or(before.visibility),
            url: self.url.unwrap_or_else(|| before.url.clone()),
            collectors: match self.collectors {
                Some(collectors) => {
                    let others = before
                        .collectors
                        .iter()
                        .copied()
                        .filter(|other| !is_shown(*other));
                    collectors.into_iter().chain(others).collect()
                }
                None => before.collectors.clone(),
            },
            methods: before.methods.clone(),
            prices: before.prices,
            headers: before.headers.clone(),
            egress_proxy: before.egress_proxy.clone(),
        };
        Ok(Operation::Upsert {
            resource: Resource::Rpc(after),
            expectation: Expectation::Present,
            etag: None,
        })
    }
}

/// Whether and how an rpc goes.
#[derive(Debug, Clone, ToSchema)]
pub(crate) struct DeleteRpcOptions {
    /// Absent or true: its upstreams go with it. False: refused while it has any.
    #[expect(dead_code, reason = "read by name; the field describes the body")]
    cascade_delete_upstream: Option<bool>,
}

fn read_collectors(body: &Object) -> Result<Option<Vec<Collector>>, ApiError> {
    let Some(words) = body.texts("collectors")? else {
        return Ok(None);
    };
    if words.is_empty() {
        return Err(ApiError::invalid("collectors must contain at least 1 item"));
    }
    let collectors = words.iter().map(|word| match parse("collectors", word) {
        Ok(collector) if is_shown(collector) => Ok(collector),
        _ => Err(ApiError::invalid(
            "collectors must be one of [eth_block_number net_peers]",
        )),
    });
    collectors.collect::<Result<_, _>>().map(Some)
}

/// Whether REST knows the collector. The others it neither shows nor changes.
const fn is_shown(collector: Collector) -> bool {
    matches!(collector, Collector::EthBlockNumber | Collector::NetPeers)
}

/// The rpc of an id as clients send it: whatever is no UUID names none.
pub(crate) fn stored<'a>(snapshot: &'a Snapshot, id: &str) -> Result<&'a Rpc, Violation> {
    let id_or_none = id.parse::<RpcId>().ok();
    let rpc = id_or_none.and_then(|id| snapshot.rpc(id));
    rpc.ok_or_else(|| absent(ResourceKey::new(Kind::Rpc, id)))
}

/// Creates an rpc.
#[utoipa::path(
    post, path = "/api/v1/rpcs", tag = "rpcs", operation_id = "createRpc",
    request_body = NewRpc,
    responses(
        (status = 201, description = "Created", body = Success<Identified>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn create(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<Identified>, ApiError> {
    let new = NewRpc::read(&body)?;
    let rpc = Rpc {
        id: RpcId(new.uuid.unwrap_or_else(Uuid::new_v4)),
        network: new.network_name,
        provider: new.provider,
        visibility: new.visibility,
        url: new.url,
        collectors: new.collectors,
        methods: None,
        prices: None,
        egress_proxy: None,
        headers: UpstreamHeaders::default(),
    };
    let (id, url) = (rpc.id, rpc.url.clone());
    let plan = move |snapshot: &Snapshot| {
        must_exist(snapshot, &rpc.network)?;
        match snapshot.rpc(rpc.id) {
            Some(known) if known.url.normalized() == rpc.url.normalized() => Err(url_taken(&rpc)),
            _ => Ok(vec![Operation::Upsert {
                resource: Resource::Rpc(rpc.clone()),
                expectation: Expectation::Absent,
                etag: None,
            }]),
        }
    };
    state.commit_url("create rpc", Some(&url), plan).await?;
    Ok(created(Identified { uuid: id.to_string() }))
}

/// An equal URL is the better reason than an equal id: it tells the client which rpc it has.
fn url_taken(rpc: &Rpc) -> Violation {
    Violation::new("url", ViolationCode::AlreadyExists, "is taken")
        .of(rpc.key())
        .against(rpc.key())
}

/// Lists the rpcs.
#[utoipa::path(
    get, path = "/api/v1/rpcs", tag = "rpcs", operation_id = "listRpcs",
    params(
        ("uuid" = Option<String>, Query, description = "Only this rpc."),
        ("chain_id" = Option<String>, Query, description = "Only of this chain; also as `chainId`."),
        ("type" = Option<String>, Query, description = "Only `private` or `public` ones."),
        ("provider" = Option<String>, Query, description = "Only of this provider."),
        ("network_name" = Option<String>, Query, description = "Only of this network."),
        ("url" = Option<String>, Query, description = "Only at this URL, as given or as listed."),
        ("sort_by" = Option<String>, Query, description = "`uuid`, `type`, `provider` or `network_name`."),
        ("sort_descending" = Option<bool>, Query, description = "Also as `sort_ascending`, the reverse."),
    ),
    responses((status = 200, description = "The rpcs", body = Success<Items<RpcItem>>), BadRequest, Internal)
)]
pub(crate) async fn list(
    State(state): State<RestState>,
    filters: Filters,
) -> Result<Success<Items<RpcItem>>, ApiError> {
    let order = Order::read(&filters)?;
    let uuid = filters.checked(&["uuid"], parse_uuid)?;
    let chain_id = filters.checked(&["chain_id", "chainId"], check_numeric)?;
    let kind = filters.checked(&["type"], parse::<Visibility>)?;
    let provider = filters.checked(&["provider"], parse_name)?;
    let network_name = filters.checked(&["network_name"], parse_name)?;
    let url = filters.checked(&["url"], parse::<HttpUrl>)?;
    let head = state.head();
    let chosen = in_order(&head.snapshot, Kind::Rpc)
        .into_iter()
        .filter_map(|entry| {
            let Resource::Rpc(rpc) = &entry.resource else {
                return None;
            };
            let item = item(&head.snapshot, rpc)?;
            let passes_all = passes(uuid, &item.uuid)
                && passes(chain_id, &item.chain_id.to_string())
                && passes(kind, item.kind)
                && passes(provider, &item.provider)
                && passes(network_name, &item.network_name)
                && (passes(url, &item.url) || passes(url, rpc.url.expose()));
            passes_all.then_some(item)
        });
    let mut items: Vec<RpcItem> = chosen.collect();
    order.sort(&mut items);
    Ok(listed(items))
}

fn item(snapshot: &Snapshot, rpc: &Rpc) -> Option<RpcItem> {
    let network = snapshot.get(&tyrscale_model::Network::key_of(&rpc.network))?;
    let Resource::Network(network) = &network.resource else {
        return None;
    };
    Some(RpcItem {
        uuid: rpc.id.to_string(),
        chain_id: network.chain_id.get(),
        url: rpc.url.masked(),
        kind: rpc.visibility.as_str(),
        provider: rpc.provider.to_string(),
        network_name: rpc.network.to_string(),
        collectors: rpc
            .collectors
            .iter()
            .filter(|collector| is_shown(**collector))
            .map(|collector| collector.as_str())
            .collect(),
    })
}

/// The order of a list.
struct Order {
    by: Option<fn(&RpcItem) -> &str>,
    descending: bool,
}

impl Order {
    fn read(filters: &Filters) -> Result<Self, ApiError> {
        let by: Option<fn(&RpcItem) -> &str> = match filters.get(&["sort_by"]) {
            None => None,
            Some("uuid") => Some(|item| &item.uuid),
            Some("type") => Some(|item| item.kind),
            Some("provider") => Some(|item| &item.provider),
            Some("network_name") => Some(|item| &item.network_name),
            Some(_) => {
                let rule = "sort_by must be one of [uuid type provider network_name]";
                return Err(ApiError::invalid(rule));
            }
        };
        let descending = filters.boolean("sort_descending")?;
        let ascending = filters.boolean("sort_ascending")?;
        Ok(Self {
            by,
            descending: descending
                .or_else(|| ascending.map(|ascending| !ascending))
                .unwrap_or(false),
        })
    }

    fn sort(&self, items: &mut [RpcItem]) {
        let Some(by) = self.by else { return };
        items.sort_by(|one, other| match self.descending {
            true => by(other).cmp(by(one)),
            false => by(one).cmp(by(other)),
        });
    }
}

/// Changes an rpc.
#[utoipa::path(
    put, path = "/api/v1/rpcs", tag = "rpcs", operation_id = "updateRpc",
    request_body = RpcUpdate,
    responses(
        (status = 200, description = "Changed", body = Success<Nothing>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn update(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<Nothing>, ApiError> {
    let update = RpcUpdate::read(&body)?;
    let url = update.url.clone();
    let plan = move |snapshot: &Snapshot| Ok(vec![update.clone().apply(snapshot)?]);
    state.commit_url("update rpc", url.as_ref(), plan).await?;
    Ok(done())
}

/// Deletes an rpc, with its upstreams unless told otherwise.
#[utoipa::path(
    delete, path = "/api/v1/rpcs/{uuid}", tag = "rpcs", operation_id = "deleteRpc",
    params(("uuid" = String, Path, description = "The rpc's UUID.")),
    request_body = Option<DeleteRpcOptions>,
    responses(
        (status = 200, description = "Deleted", body = Success<Nothing>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn delete(
    State(state): State<RestState>,
    Path(uuid): Path<String>,
    OptionalJsonBody(body): OptionalJsonBody,
) -> Result<Success<Nothing>, ApiError> {
    let wish = body
        .map(|body| body.boolean("cascade_delete_upstream"))
        .transpose()?;
    let cascade = wish.flatten().unwrap_or(true);
    let plan = move |snapshot: &Snapshot| {
        let key = stored(snapshot, &uuid)?.key();
        Ok(vec![Operation::Delete {
            key,
            etag: None,
            cascade,
        }])
    };
    state.commit("delete rpc", plan).await?;
    Ok(done())
}
