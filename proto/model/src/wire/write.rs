//! From the model to messages.

use tyrscale_proto::v1;

use crate::{
    CircuitBreaker, Collector, Entry, HealthCheck, HealthCheckType, LoadBalancer, PluginType,
    RecommendationStrategy, Resource, Route, Rpc, Target, Upstream, Visibility, wire::timestamp_to_wire,
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
        Resource::Upstream(upstream) => Wire::Upstream(upstream_to_wire(upstream, exposure)),
        Resource::Route(route) => Wire::Route(route_to_wire(route)),
        Resource::Recommendation(recommendation) => Wire::Recommendation(v1::Recommendation {
            route_id: recommendation.route_id.to_string(),
            network: recommendation.network.to_string(),
            schedule: recommendation.schedule.as_str().to_owned(),
            strategy: recommendation_strategy(recommendation.strategy).into(),
            meta: None,
        }),
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
    let collector = |collector: &Collector| match collector {
        Collector::EthBlockNumber => v1::Collector::EthBlockNumber.into(),
        Collector::NetPeers => v1::Collector::NetPeers.into(),
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
        collectors: rpc.collectors.iter().map(collector).collect(),
        meta: None,
    }
}

fn upstream_to_wire(upstream: &Upstream, exposure: Exposure) -> v1::Upstream {
    let target = match &upstream.target {
        Target::Rpc(rpc) => v1::upstream::Target::RpcId(rpc.to_string()),
        Target::Address(address) => v1::upstream::Target::Address(v1::Address {
            scheme: address.scheme.as_str().to_owned(),
            host: address.host.clone(),
            port: address.port.into(),
            path: match exposure {
                Exposure::Masked => address.masked_path(),
                Exposure::Full => address.expose_path().to_owned(),
            },
        }),
    };
    let proxy = upstream.proxy.as_ref().map(|proxy| match exposure {
        Exposure::Masked => proxy.masked(),
        Exposure::Full => proxy.expose().to_owned(),
    });
    v1::Upstream {
        id: upstream.id.to_string(),
        route_id: upstream.route_id.to_string(),
        target: Some(target),
        weight: upstream.weight.get(),
        proxy_host: proxy.unwrap_or_default(),
        meta: None,
    }
}

fn route_to_wire(route: &Route) -> v1::Route {
    let load_balancer = match route.load_balancer {
        LoadBalancer::WeightRoundRobin => v1::LoadBalancer::WeightRoundRobin,
        LoadBalancer::LeastLoad => v1::LoadBalancer::LeastLoad,
        LoadBalancer::FailoverPriority => v1::LoadBalancer::FailoverPriority,
    };
    v1::Route {
        id: route.id.to_string(),
        host: route.host.clone(),
        path: route.path.clone(),
        load_balancer: load_balancer.into(),
        circuit_breaker: route.circuit_breaker.as_ref().map(circuit_breaker_to_wire),
        health_check: route.health_check.as_ref().map(health_check_to_wire),
        meta: None,
    }
}

const fn circuit_breaker_to_wire(breaker: &CircuitBreaker) -> v1::CircuitBreaker {
    v1::CircuitBreaker {
        enabled: breaker.enabled,
        max_requests: breaker.max_requests,
        max_consecutive_failures: breaker.max_consecutive_failures,
        interval_ms: breaker.interval_ms,
        timeout_ms: breaker.timeout_ms,
    }
}

fn health_check_to_wire(check: &HealthCheck) -> v1::HealthCheck {
    let check_type = match check.check {
        None => v1::HealthCheckType::Unspecified,
        Some(HealthCheckType::EthBlockNumber) => v1::HealthCheckType::EthBlockNumber,
        Some(HealthCheckType::EthSyncing) => v1::HealthCheckType::EthSyncing,
        Some(HealthCheckType::Custom) => v1::HealthCheckType::Custom,
    };
    v1::HealthCheck {
        enabled: check.enabled,
        r#type: check_type.into(),
        combined_with_circuit_breaker: check.combined_with_circuit_breaker,
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        request: check.request.as_ref().map(|request| v1::HealthCheckRequest {
            method: request.method.clone(),
            status_code: request.status_code,
            body: request.body.clone(),
            headers: request.headers.clone(),
        }),
        tolerance_blocks: check.tolerance_blocks,
        unhealthy_threshold: check.unhealthy_threshold,
        healthy_threshold: check.healthy_threshold,
    }
}

const fn plugin_type(plugin_type: PluginType) -> v1::PluginType {
    match plugin_type {
        PluginType::Middleware => v1::PluginType::Middleware,
        PluginType::RequestInterceptor => v1::PluginType::RequestInterceptor,
        PluginType::ResponseInterceptor => v1::PluginType::ResponseInterceptor,
    }
}

const fn recommendation_strategy(strategy: RecommendationStrategy) -> v1::RecommendationStrategy {
    match strategy {
        RecommendationStrategy::Custom => v1::RecommendationStrategy::Custom,
        RecommendationStrategy::HighestBlock => v1::RecommendationStrategy::HighestBlock,
        RecommendationStrategy::AreaUnderTheCurve => v1::RecommendationStrategy::AreaUnderTheCurve,
        RecommendationStrategy::RateLimit => v1::RecommendationStrategy::RateLimit,
        RecommendationStrategy::AreaBlockNumber => v1::RecommendationStrategy::AreaBlockNumber,
        RecommendationStrategy::AirUnderTheCurve => v1::RecommendationStrategy::AirUnderTheCurve,
    }
}
