//! From the model to messages.

mod recommendation;
mod route;
mod upstream;

use bytes::Bytes;
use tyrscale_proto::v1;

use crate::{
    CallPrices, Collector, Entry, MethodFilter, PluginType, ProxyAddress, Resource, Rpc, Visibility,
    wire::timestamp_to_wire,
};

/// Whether secrets are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposure {
    /// Secrets as `***`: for people.
    Masked,
    /// Secrets as they are: for payloads.
    Full,
}

/// The meta of an entry.
#[must_use]
pub fn meta_to_wire(entry: &Entry) -> v1::ObjectMeta {
    let meta = &entry.meta;
    v1::ObjectMeta {
        etag: entry.etag().0,
        create_revision: meta.create_revision.0,
        modify_revision: meta.modify_revision.0,
        create_time: Some(timestamp_to_wire(meta.create_time)),
        modify_time: Some(timestamp_to_wire(meta.modify_time)),
        modified_by: meta.modified_by.clone(),
        labels: meta.labels.clone(),
        annotations: meta.annotations.clone(),
        managed_by: meta.managed_by.clone(),
    }
}

/// The message of a resource, without meta.
#[must_use]
pub fn resource_to_wire(resource: &Resource, exposure: Exposure) -> v1::Resource {
    use v1::resource::Resource as Wire;
    let message = match resource {
        Resource::Network(network) => Wire::Network(v1::Network {
            name: network.name.to_string(),
            blockchain: network.blockchain.to_string(),
            chain_id: network.chain_id.get(),
            meta: None,
        }),
        Resource::Secret(secret) => Wire::Secret(v1::Secret {
            name: secret.name.to_string(),
            value: None,
            fingerprint: secret.fingerprint.clone(),
            sealed: match exposure {
                Exposure::Masked => Bytes::new(),
                Exposure::Full => secret.sealed.clone(),
            },
            referrers: Vec::new(),
            meta: None,
        }),
        Resource::Rpc(rpc) => Wire::Rpc(rpc_to_wire(rpc, exposure)),
        Resource::Plugin(plugin) => Wire::Plugin(v1::PluginAttachment {
            route_id: plugin.route_id.to_string(),
            name: plugin.name.to_string(),
            r#type: plugin_type(plugin.plugin_type).into(),
            priority: plugin.priority.get(),
            description: plugin.description.clone(),
            config_json: plugin.config_json.clone(),
            meta: None,
        }),
        Resource::Upstream(upstream) => Wire::Upstream(upstream::to_wire(upstream, exposure)),
        Resource::Route(route) => Wire::Route(route::to_wire(route)),
        Resource::Recommendation(recommendation) => {
            Wire::Recommendation(recommendation::to_wire(recommendation))
        }
    };
    v1::Resource {
        resource: Some(message),
    }
}

fn rpc_to_wire(rpc: &Rpc, exposure: Exposure) -> v1::Rpc {
    let visibility = match rpc.visibility {
        Visibility::Private => v1::Visibility::Private,
        Visibility::Public => v1::Visibility::Public,
    };
    v1::Rpc {
        id: rpc.id.to_string(),
        network: rpc.network.to_string(),
        provider: rpc.provider.to_string(),
        visibility: visibility.into(),
        url: match exposure {
            Exposure::Masked => rpc.url.masked(),
            Exposure::Full => rpc.url.expose().to_owned(),
        },
        collectors: rpc
            .collectors
            .iter()
            .map(|&collector| collector_to_wire(collector).into())
            .collect(),
        methods: rpc.methods.as_ref().map(methods_to_wire),
        prices: rpc.prices.map(prices_to_wire),
        headers: match exposure {
            Exposure::Masked => rpc.headers.masked(),
            Exposure::Full => rpc.headers.exposed_texts(),
        },
        egress_proxy: proxy_to_wire(rpc.egress_proxy.as_ref(), exposure),
        meta: None,
    }
}

/// An HTTP CONNECT proxy on the wire; empty when there is none.
fn proxy_to_wire(proxy: Option<&ProxyAddress>, exposure: Exposure) -> String {
    let text = proxy.map(|proxy| match exposure {
        Exposure::Masked => proxy.masked(),
        Exposure::Full => proxy.expose().to_owned(),
    });
    text.unwrap_or_default()
}

/// A collector on the wire.
#[must_use]
pub const fn collector_to_wire(collector: Collector) -> v1::Collector {
    match collector {
        Collector::EthBlockNumber => v1::Collector::EthBlockNumber,
        Collector::NetPeers => v1::Collector::NetPeers,
        Collector::EthSyncing => v1::Collector::EthSyncing,
        Collector::EthChainId => v1::Collector::EthChainId,
        Collector::EthGasPrice => v1::Collector::EthGasPrice,
        Collector::ClientVersion => v1::Collector::ClientVersion,
        Collector::FinalizedBlock => v1::Collector::FinalizedBlock,
        Collector::SafeBlock => v1::Collector::SafeBlock,
        Collector::TxpoolStatus => v1::Collector::TxpoolStatus,
        Collector::ArchiveDepth => v1::Collector::ArchiveDepth,
        Collector::Latency => v1::Collector::Latency,
    }
}

const fn prices_to_wire(prices: CallPrices) -> v1::CallPrices {
    v1::CallPrices {
        calls: prices.calls,
        logs: prices.logs,
        traces: prices.traces,
        transactions: prices.transactions,
    }
}

fn methods_to_wire(methods: &MethodFilter) -> v1::MethodFilter {
    v1::MethodFilter {
        allow: texts(&methods.allow),
        ignore: texts(&methods.ignore),
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

const fn plugin_type(plugin_type: PluginType) -> v1::PluginType {
    match plugin_type {
        PluginType::Middleware => v1::PluginType::Middleware,
        PluginType::RequestInterceptor => v1::PluginType::RequestInterceptor,
        PluginType::ResponseInterceptor => v1::PluginType::ResponseInterceptor,
    }
}
