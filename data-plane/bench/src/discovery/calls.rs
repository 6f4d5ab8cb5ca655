//! What is called.

use anyhow::Context as _;
use tonic::transport::Channel;
use tyrscale_model::Lane;
use tyrscale_proto::v1::{
    self, configuration_service_client::ConfigurationServiceClient,
    network_service_client::NetworkServiceClient, recommendation_service_client::RecommendationServiceClient,
};

use super::{
    document::{self, Shape, apply},
    plane::Plane,
};

/// What a change touches.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit {
    /// A recommended weight of one upstream.
    Recommended,
    /// The operator's weight of one upstream.
    Weight,
    /// A route with all its upstreams.
    Route,
}

impl Edit {
    pub(super) const fn lane(self) -> Lane {
        match self {
            Self::Recommended => Lane::Weights,
            Self::Weight | Self::Route => Lane::Config,
        }
    }
}

/// Makes a change; the revision of its lane.
pub(super) async fn make(channel: &Channel, shape: Shape, edit: Edit, number: u32) -> anyhow::Result<u64> {
    let route = number
        .wrapping_mul(7919)
        .checked_rem(shape.routes)
        .unwrap_or_default();
    let resources = match edit {
        Edit::Recommended => return recommend(channel, route, number).await,
        // Never the weight that is there: neighbours in the sequence differ, and so do rounds over the routes.
        Edit::Weight => vec![v1::resource::Resource::Upstream(document::upstream(
            route,
            0,
            1.0 + f64::from(number % 97),
        ))],
        Edit::Route => shape.route(route, 2_001 + number),
    };
    send(channel, apply(resources, false)).await
}

async fn recommend(channel: &Channel, route: u32, number: u32) -> anyhow::Result<u64> {
    let weight = v1::Weight {
        upstream_id: document::upstream_id(route, 0),
        weight: 11.0 + f64::from(number % 37),
        ..Default::default()
    };
    let request = v1::SetWeightsRequest {
        route_id: document::route_id(route),
        weights: vec![weight],
        ..Default::default()
    };
    let set = RecommendationServiceClient::new(channel.clone())
        .set_weights(request)
        .await?;
    Ok(set
        .into_inner()
        .version
        .context("an answer without version")?
        .revision)
}

/// Applies; the revision it made.
pub(crate) async fn send(channel: &Channel, requests: Vec<v1::ApplyRequest>) -> anyhow::Result<u64> {
    let applied = ConfigurationServiceClient::new(channel.clone())
        .max_decoding_message_size(64 * 1024 * 1024)
        .apply(tokio_stream::iter(requests))
        .await?;
    Ok(applied
        .into_inner()
        .version
        .context("an answer without version")?
        .revision)
}

/// Restores what was at a revision; the new one.
pub(super) async fn roll_back(channel: &Channel, to: u64) -> anyhow::Result<u64> {
    let request = v1::RollbackRequest {
        revision: to,
        ..Default::default()
    };
    let restored = ConfigurationServiceClient::new(channel.clone())
        .rollback(request)
        .await?;
    Ok(restored
        .into_inner()
        .version
        .context("an answer without version")?
        .revision)
}

/// Makes a network.
pub(super) async fn create_network(channel: &Channel, name: String, chain_id: u64) -> anyhow::Result<()> {
    let network = v1::Network {
        name,
        blockchain: "ethereum".to_owned(),
        chain_id,
        ..Default::default()
    };
    let request = v1::CreateNetworkRequest {
        network: Some(network),
        ..Default::default()
    };
    NetworkServiceClient::new(channel.clone())
        .create_network(request)
        .await?;
    Ok(())
}

/// The newest revision.
pub(super) async fn head(plane: &Plane) -> anyhow::Result<u64> {
    let request = v1::GetNetworkRequest {
        name: "bench".to_owned(),
        at_revision: None,
    };
    let got = NetworkServiceClient::new(plane.connect().await?)
        .get_network(request)
        .await?;
    Ok(got.into_inner().revision)
}
