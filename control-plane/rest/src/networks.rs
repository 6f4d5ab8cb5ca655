//! `/api/v1/networks`.

use axum::extract::{Path, State};
use serde::Serialize;
use tyrscale_model::{
    ChainId, Expectation, Kind, Name, Network, Operation, Resource, ResourceKey, Snapshot, Violation,
};
use utoipa::ToSchema;

use crate::{
    RestState,
    envelope::{Items, Success, created, found, listed},
    error::{ApiError, unknown_reference},
    object::{Object, parse_name, required},
    openapi::{BadRequest, Conflict, Internal, NotFound},
    query::{Filters, check_numeric, passes},
    request_body::JsonBody,
    state::in_order,
};

/// A network, in bodies and lists.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NetworkItem {
    /// EIP-155 chain id, above 0.
    #[schema(minimum = 1, example = 1)]
    chain_id: u64,
    /// The id.
    #[schema(pattern = "^[a-zA-Z0-9_-]+$", example = "eth-mainnet")]
    name: String,
    #[schema(pattern = "^[a-zA-Z0-9_-]+$", example = "ethereum")]
    blockchain: String,
}

/// Names a chain.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedNetwork {
    chain_id: u64,
}

/// Names a network.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeletedNetwork {
    name: String,
}

fn read(body: &Object) -> Result<Network, ApiError> {
    let name = required("name", body.name("name")?)?;
    let number = body.whole("chain_id")?.filter(|number| *number != 0);
    let number = required("chain_id", number)?;
    if number < 0 {
        return Err(ApiError::invalid("chain_id must be greater than 0"));
    }
    let chain_id = u64::try_from(number)
        .ok()
        .and_then(|number| ChainId::try_from(number).ok());
    let chain_id =
        chain_id.ok_or_else(|| ApiError::invalid("chain_id must be 18,446,744,073,709,551,615 or less"))?;
    let blockchain = required("blockchain", body.name("blockchain")?)?;
    Ok(Network {
        name,
        blockchain,
        chain_id,
    })
}

/// Creates a network.
#[utoipa::path(
    post, path = "/api/v1/networks", tag = "networks", operation_id = "createNetwork",
    request_body = NetworkItem,
    responses((status = 201, description = "Created", body = Success<CreatedNetwork>), BadRequest, Conflict, Internal)
)]
pub(crate) async fn create(
    State(state): State<RestState>,
    JsonBody(body): JsonBody,
) -> Result<Success<CreatedNetwork>, ApiError> {
    let network = read(&body)?;
    let chain_id = network.chain_id.get();
    let create = Operation::Upsert {
        resource: Resource::Network(network),
        expectation: Expectation::Absent,
        etag: None,
    };
    state
        .commit("create network", move |_| Ok(vec![create.clone()]))
        .await?;
    Ok(created(CreatedNetwork { chain_id }))
}

/// Lists the networks.
#[utoipa::path(
    get, path = "/api/v1/networks", tag = "networks", operation_id = "listNetworks",
    params(
        ("chain_id" = Option<String>, Query, description = "Only this chain id; also as `chainId`."),
        ("name" = Option<String>, Query, description = "Only this name."),
        ("blockchain" = Option<String>, Query, description = "Only this blockchain."),
    ),
    responses((status = 200, description = "The networks", body = Success<Items<NetworkItem>>), BadRequest, Internal)
)]
pub(crate) async fn list(
    State(state): State<RestState>,
    filters: Filters,
) -> Result<Success<Items<NetworkItem>>, ApiError> {
    let chain_id = filters.checked(&["chain_id", "chainId"], check_numeric)?;
    let name = filters.checked(&["name"], parse_name)?;
    let blockchain = filters.checked(&["blockchain"], parse_name)?;
    let head = state.head();
    let entries = in_order(&head.snapshot, Kind::Network);
    let networks = entries.into_iter().filter_map(|entry| match &entry.resource {
        Resource::Network(network) => Some(network),
        _ => None,
    });
    let chosen = networks.filter(|network| {
        passes(name, network.name.as_str())
            && passes(blockchain, network.blockchain.as_str())
            && passes(chain_id, &network.chain_id.get().to_string())
    });
    Ok(listed(chosen.map(|network| NetworkItem {
        chain_id: network.chain_id.get(),
        name: network.name.to_string(),
        blockchain: network.blockchain.to_string(),
    })))
}

/// Deletes a network with its rpcs and their upstreams.
#[utoipa::path(
    delete, path = "/api/v1/networks/{name}", tag = "networks", operation_id = "deleteNetwork",
    params(("name" = String, Path, description = "The network's name.")),
    responses(
        (status = 200, description = "Deleted", body = Success<DeletedNetwork>),
        BadRequest, NotFound, Conflict, Internal
    )
)]
pub(crate) async fn delete(
    State(state): State<RestState>,
    Path(name): Path<String>,
) -> Result<Success<DeletedNetwork>, ApiError> {
    let delete = Operation::Delete {
        key: ResourceKey::new(Kind::Network, name.as_str()),
        etag: None,
        cascade: true,
    };
    state
        .commit("delete network", move |_| Ok(vec![delete.clone()]))
        .await?;
    Ok(found(DeletedNetwork { name }))
}

/// Refuses a network that is not there.
pub(crate) fn must_exist(snapshot: &Snapshot, name: &Name) -> Result<(), Violation> {
    let key = Network::key_of(name);
    match snapshot.get(&key) {
        Some(_) => Ok(()),
        None => Err(unknown_reference(key)),
    }
}
